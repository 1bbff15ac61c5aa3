"""From a declaration's plain Python body to the one that Numba compiles for a number format.

A body reads as mathematics: ``0.5 * x * (1 + erf(x / 1.414))``. Compiled for float32 as it stands, every
literal would pull the arithmetic up to float64, at half the speed. So the body's syntax tree is taken, its literals
(and the numbers and functions it refers to) are bound in the wanted format, and ``math.exp`` and its kin give
way to the vectorised primitives. Where the source is not at hand, the body is compiled as it stands: slower,
not wrong.
"""

from __future__ import annotations

import ast
import builtins
import copy
import dis
import functools
import hashlib
import inspect
import linecache
import math
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

import numpy as np

from actbench.catalog import primitives
from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import DeclarationError

_PRIMITIVES = {name: getattr(primitives, name) for name in (*primitives.SCALARS, *primitives.ROWS)}
_NAMES_IN_PRIMITIVES = {"abs": "fabs", "absolute": "fabs", "max": "maximum", "min": "minimum"}
_REPLACED_MODULES: tuple[ModuleType, ...] = (math, np, builtins)


def _stand_in(value: Any) -> Any:
    """The primitive that takes the place of a function of math, NumPy or the builtins; else the value."""
    for module in _REPLACED_MODULES:
        name = getattr(value, "__name__", None)
        if name and getattr(module, name, None) is value:
            return _PRIMITIVES.get(_NAMES_IN_PRIMITIVES.get(name, name), value)
    return value


def _is_primitive(value: Any) -> bool:
    return isinstance(value, FunctionType) and value in _PRIMITIVES.values()


def _references(body: FunctionType) -> dict[str, Any]:
    """What the free names of a body stand for: globals, then the cells of its closure."""
    names: dict[str, Any] = {}
    for code in _codes(body.__code__):
        for name in (i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"):
            if name in body.__globals__:
                names[name] = body.__globals__[name]
            elif hasattr(builtins, name):
                names[name] = getattr(builtins, name)
    closure = inspect.getclosurevars(body).nonlocals if body.__closure__ else {}
    return names | dict(closure)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _function(value: Any) -> FunctionType | None:
    """The plain Python function behind a value that a body may call, or None."""
    if isinstance(value, Declaration):
        value = value.forward
    elif isinstance(getattr(value, "declaration", None), Declaration):
        value = value.declaration.forward
    value = getattr(value, "py_func", value)  # of what numba.njit made
    return value if isinstance(value, FunctionType) else None


def digest(body: Callable[..., Any]) -> str:
    """A hash of everything the body's meaning depends on: its code, numbers, and the functions it calls.

    Taken from the bytecode, so that a kernel found on disk costs no parsing.
    """
    sha = hashlib.sha256()
    _feed(sha, body, frozenset(), set())
    return sha.hexdigest()


def _feed(sha: Any, value: Any, names: frozenset[str], seen: set[Any]) -> None:
    """Add what a body refers to; of a module, what it holds under any of the names in the body."""
    value = _stand_in(value)
    function = _function(value)
    if _is_primitive(value):
        sha.update(value.__name__.encode())
    elif isinstance(value, tuple):
        for item in value:
            _feed(sha, item, names, seen)
    elif isinstance(value, np.ndarray):
        sha.update(repr((value.dtype, value.shape)).encode() + value.tobytes())
    elif function is None and not isinstance(value, ModuleType):
        sha.update(repr(value).encode())
    elif (met := id(value) if function else (id(value), names)) not in seen:
        seen.add(met)
        if function is None:
            sha.update(value.__name__.encode())
            held = {name: getattr(value, name) for name in names if hasattr(value, name)}
        else:
            names = frozenset(name for code in _codes(function.__code__) for name in code.co_names)
            held = _references(function)
            for code in _codes(function.__code__):
                plain = tuple(c for c in code.co_consts if not isinstance(c, CodeType))
                essence = code.co_code, plain, code.co_names, code.co_varnames, function.__defaults__
                sha.update(repr(essence).encode())
        for name, item in sorted(held.items()):
            sha.update(name.encode())
            _feed(sha, item, names, seen)


class _Narrow(ast.NodeTransformer):
    """Bind literals to the format, and names and ``module.name`` to what they stand for."""

    def __init__(self, references: dict[str, Any], bind: Callable[[Any], str], integers: bool) -> None:
        self.references, self.bind, self.integers = references, bind, integers

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        narrow = isinstance(node.value, float) or (
            self.integers and isinstance(node.value, int) and not isinstance(node.value, bool)
        )
        return ast.Name(self.bind(node.value), ast.Load()) if narrow else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        node.left = self.visit(node.left)
        # x**2 with an integer literal is a product; with a float it would be a call to pow.
        if not (isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant)):
            node.right = self.visit(node.right)
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        node.value = self.visit(node.value)
        return node if self.integers else self.generic_visit(node)  # type: ignore[return-value]

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.value, ast.Name):
            module = self.references.get(node.value.id)
            if isinstance(module, ModuleType) and hasattr(module, node.attr):
                value = getattr(module, node.attr)
                if isinstance(value, float) or callable(_stand_in(value)):
                    return ast.Name(self.bind(value), ast.Load())
        return self.generic_visit(node)  # type: ignore[return-value]


@functools.lru_cache(maxsize=64)
def _nodes(filename: str, text: str) -> tuple[ast.AST, ...]:
    return tuple(
        node for node in ast.walk(ast.parse(text, filename)) if isinstance(node, ast.FunctionDef | ast.Lambda)
    )


def _definition(body: FunctionType) -> ast.FunctionDef | None:
    """The syntax tree of the body as a plain function, or None where its source is gone or has changed."""
    text = "".join(linecache.getlines(body.__code__.co_filename, body.__globals__))
    try:
        nodes = _nodes(body.__code__.co_filename, text)
    except SyntaxError:
        return None
    for node in nodes:
        plain = _as_function(node, body.__name__)
        if _first_line(node) <= body.__code__.co_firstlineno <= plain.lineno and _same(plain, body):
            return copy.deepcopy(plain)
    return None


def _first_line(node: ast.AST) -> int:
    decorators = getattr(node, "decorator_list", [])
    return int(min([node.lineno, *(d.lineno for d in decorators)]))  # type: ignore[attr-defined]


def _as_function(node: ast.AST, name: str) -> ast.FunctionDef:
    if isinstance(node, ast.FunctionDef):
        statements, arguments = node.body, node.args
    else:
        assert isinstance(node, ast.Lambda)
        statements, arguments = [ast.copy_location(ast.Return(node.body), node.body)], node.args
    bare = ast.arguments(
        posonlyargs=[],
        args=[ast.arg(a.arg) for a in (*arguments.posonlyargs, *arguments.args)],
        kwonlyargs=[],
        kw_defaults=[],
        defaults=[],
    )
    function = ast.FunctionDef("body" if name == "<lambda>" else name, bare, statements, decorator_list=[])
    if "type_params" in ast.FunctionDef._fields:
        function.type_params = []  # type: ignore[attr-defined, unused-ignore]
    return ast.fix_missing_locations(ast.copy_location(function, node))


def _compiled(function: ast.FunctionDef, filename: str) -> CodeType:
    module = compile(ast.Module([function], []), filename, "exec")
    return next(c for c in module.co_consts if isinstance(c, CodeType))


def _same(function: ast.FunctionDef, body: FunctionType) -> bool:
    """Whether the tree compiles to the body's own code: its operations, literals, names and places."""
    return _essence(_compiled(function, body.__code__.co_filename)) == _essence(body.__code__)


def _essence(code: CodeType) -> tuple[Any, ...]:
    """What a change of source would change; a name's scope (global or cell) is not part of it."""
    operations = [
        (i.opname, i.argrepr)
        for i in dis.get_instructions(code)
        if i.opname.startswith(("BINARY", "UNARY", "COMPARE", "IS", "CONTAINS", "POP_JUMP", "STORE", "FOR"))
        and not i.argrepr.startswith("to ")
    ]
    literals = {repr(k) for k in code.co_consts if not isinstance(k, CodeType | str)} - {"None"}
    places = {p for p in code.co_positions() if None not in p and p[2:] != (0, 0)}
    names = {*code.co_names, *code.co_freevars}
    first = min(places, default=None)
    return operations, literals, names, code.co_varnames, first, max(places, default=None)


def specialize(
    body: Callable[..., Any],
    dtype: np.dtype[Any],
    jitable: Callable[[FunctionType], Any],
    *,
    integers: bool,
    substitutes: Mapping[str, Any] = MappingProxyType({}),
    _done: dict[int, Any] | None = None,
) -> Any:
    """The body as a function for Numba whose literals have the dtype, and so have the functions it calls.

    ``integers`` says whether integer literals are numbers too (scalar bodies) or counts (bodies with loops);
    ``substitutes`` holds what takes the place of primitives, by their names.
    """
    done: dict[int, Any] = {} if _done is None else _done
    function = _function(body)
    if function is None:
        return body
    if _is_primitive(function):
        return substitutes.get(function.__name__, body)
    if id(function) in done:
        if done[id(function)] is None:
            raise DeclarationError(f"{function.__name__} calls itself: write it as a loop")
        return done[id(function)]
    done[id(function)] = None
    references = _references(function)
    namespace: dict[str, Any] = {"__builtins__": builtins, "__name__": __name__}

    def convert(value: Any) -> Any:
        if isinstance(value, bool | np.generic):
            return value
        if isinstance(value, float) or (integers and isinstance(value, int)):
            with np.errstate(over="ignore"):  # what is too large for the format is infinite there
                return dtype.type(value)
        if isinstance(value, tuple):
            return tuple(convert(item) if isinstance(item, float) else item for item in value)
        if isinstance(value, np.ndarray):
            return value.astype(dtype) if value.dtype.kind == "f" else value
        value = _stand_in(value)
        if _function(value) is None:
            return value
        return specialize(value, dtype, jitable, integers=integers, substitutes=substitutes, _done=done)

    def bind(value: Any) -> str:
        name = f"_{len(namespace)}"
        namespace[name] = convert(value)
        return name

    namespace |= {name: convert(value) for name, value in references.items()}
    tree = _definition(function)
    if tree is None:
        code, free = function.__code__, function.__closure__
        made = FunctionType(code, namespace, function.__name__, None, free)
    else:
        tree.body = [_Narrow(references, bind, integers).visit(s) for s in tree.body]
        made = FunctionType(
            _compiled(ast.fix_missing_locations(tree), function.__code__.co_filename), namespace
        )
    done[id(function)] = jitable(made)
    return done[id(function)]
