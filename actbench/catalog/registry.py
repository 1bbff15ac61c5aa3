"""Where declarations are made and found: the decorators, the catalogue, users' files and plug-ins."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from actbench.catalog.declaration import KINDS, Body, Declaration, Derivation, Kind, Kink, Param, Template
from actbench.catalog.domain import EXTENDED_REALS, REALS, Domain, Range
from actbench.catalog.errors import (
    ActbenchError,
    DeclarationError,
    InputFileError,
    ParameterError,
    UnknownFunction,
    UsageError,
)
from actbench.catalog.formula import Formula
from actbench.wording import in_one_line, suggestion

_LISTED = "see 'actbench list'"
_declared: dict[str, Declaration] = {}
_being_declared: set[str] | None = None
"""The functions that the file which is being loaded has declared so far; None where none is, as at a prompt."""


def _domain(value: Domain | str) -> Domain:
    return value if isinstance(value, Domain) else Domain(value)


def _param(value: Param) -> Param:
    return replace(value, valid=Domain(value.valid)) if isinstance(value.valid, str) else value


def _declare(
    kind: Kind,
    template: Template,
    *,
    derivative: Body | Derivation | None,
    family: str,
    formula: str,
    derivative_formula: str | None,
    params: Mapping[str, Param] | None,
    domain: Domain | str,
    range: Domain | Range | str,
    target: Domain | str = REALS,
    aliases: Sequence[str] = (),
    name: str | None = None,
    summary: str | None = None,
    **rest: Any,
) -> Callable[[Body], Declaration]:
    given: dict[str, Any] = {"formula": formula, "derivative_formula": derivative_formula, "params": params}
    given |= {"domain": domain, "range": range, "target": target, "aliases": aliases, "name": name}
    given |= {"summary": summary, **rest}
    for field, value in given.items():
        _check_type(field, value)

    def declare(forward: Body) -> Declaration:
        if not isinstance(forward, FunctionType):
            raise DeclarationError(
                f"the decorator goes before a plain Python function (def), not before a {type(forward).__name__}"
            )
        declaration = Declaration(
            name=name or forward.__name__,
            kind=kind,
            template=template,
            family=family,
            summary=summary or (inspect.getdoc(forward) or "").partition("\n")[0],
            forward=forward,
            formula=Formula(formula),
            derivative=derivative if derivative is not None else "",  # type: ignore[arg-type]
            derivative_formula=Formula(derivative_formula) if derivative_formula else None,
            params={n: _param(p) for n, p in (params or {}).items()},
            aliases=tuple(aliases),
            domain=_domain(domain),
            range=Range(str(range)),
            target=_domain(target),
            origin=inspect.getsourcefile(forward) or "",
            **rest,
        )
        _check_names(declaration)
        _check_defaults(declaration)
        _register(declaration)
        return declaration

    return declare


def _check_fields(given: Mapping[str, Any], decorator: Callable[..., Any], *taken: str) -> None:
    """Raise DeclarationError for a field that no declaration of the decorator has."""
    known = {*inspect.signature(decorator).parameters, *(f.name for f in fields(Declaration))}
    known -= {"rest", "kind", "forward", "origin", *taken}
    for name in given:
        if name not in known:
            raise DeclarationError(
                f"{decorator.__name__}() takes no {name!r}{suggestion(name, sorted(known))}"
            )


_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "formula": ((str,), "an expression in a string"),
    "derivative_formula": ((str,), "an expression in a string"),
    "params": ((Mapping,), "a dictionary of names and Param(...)"),
    "domain": ((Domain, str), "an interval in a string, as '[0, inf)'"),
    "range": ((Domain, Range, str), "an interval in a string, as '[0, inf)'"),
    "target": ((Domain, str), "an interval in a string, as '[0, inf)', or labels, as '{-1, 1}'"),
    "aliases": ((tuple, list), "names in a tuple"),
    "name": ((str,), "a string"),
    "summary": ((str,), "a string"),
    "kinks": ((tuple, list), "a tuple of Kink(...)"),
    "pitfalls": ((tuple, list), "sentences in a tuple"),
}
_ITEMS: Mapping[str, type] = {"params": Param, "aliases": str, "kinks": Kink, "pitfalls": str}


def _check_type(field: str, value: Any) -> None:
    if field not in _TYPES or value is None:
        return
    types, wanted = _TYPES[field]
    fits = isinstance(value, types)
    if fits and field in _ITEMS:
        items = value.values() if isinstance(value, Mapping) else value
        fits = all(isinstance(item, _ITEMS[field]) for item in items)
    if not fits:
        raise DeclarationError(f"{field}={in_one_line(repr(value))}: give {wanted}")


def _check_names(declaration: Declaration) -> None:
    """Names are typed at a prompt and become those of files and of Python functions."""
    for name in (declaration.name, *declaration.aliases):
        if name == "<lambda>":
            raise DeclarationError("a lambda has no name: write def, or give the decorator name=")
        if not name.isidentifier():
            raise DeclarationError(
                f"the name {name!r} is no identifier: write it of letters, digits and underscores"
            )


def _check_defaults(declaration: Declaration) -> None:
    for name, default in declaration.defaults.items():
        if default is None:
            continue
        if name in declaration.params:
            try:
                declaration.describe(name).check(declaration.name, name, default)
            except ParameterError as error:
                raise DeclarationError(f"{error}: its default must be valid, too") from None
        elif isinstance(default, str) and not isinstance(declaration.describe(name).valid, tuple):
            raise DeclarationError(
                f"{declaration.name}: the default {name}={default!r} is no number: list its choices, "
                f"as params={{{name!r}: Param(({default!r}, ...))}}"
            )


def activation(
    *,
    formula: str,
    derivative: Body | Derivation | None = None,
    derivative_formula: str | None = None,
    family: str = "custom",
    rowwise: bool = False,
    params: Mapping[str, Param] | None = None,
    domain: Domain | str = EXTENDED_REALS,
    range: Domain | Range | str = REALS,
    **rest: Any,
) -> Callable[[Body], Declaration]:
    """Declare the decorated scalar (or, with ``rowwise``, row) function as an activation.

    The name, the one-line summary and the parameters' defaults are those of the function; ``rest`` are
    further fields of Declaration. Raises DeclarationError when the declaration contradicts itself.
    """
    _check_fields(rest, activation, "template", "target", "default_reduction", "mean_over")
    return _declare(
        "activation",
        "rowwise" if rowwise else "elementwise",
        derivative=derivative,
        family=family,
        formula=formula,
        derivative_formula=derivative_formula,
        params=params,
        domain=domain,
        range=range,
        **rest,
    )


def loss(
    *,
    formula: str,
    derivative: Body | Derivation | None = None,
    derivative_formula: str | None = None,
    family: str = "custom",
    template: Template = "pairwise",
    params: Mapping[str, Param] | None = None,
    domain: Domain | str = REALS,
    range: Domain | Range | str = "[0, inf)",
    **rest: Any,
) -> Callable[[Body], Declaration]:
    """Declare the decorated function of (pred, target, ...) as a loss; see ``activation``."""
    _check_fields(rest, loss, "row_output", "row_kinks")
    return _declare(
        "loss",
        template,
        derivative=derivative,
        family=family,
        formula=formula,
        derivative_formula=derivative_formula,
        params=params,
        domain=domain,
        range=range,
        **rest,
    )


def _register(declaration: Declaration) -> None:
    for name in (declaration.name, *declaration.aliases):
        other = _by_name().get(name)
        if other is None:
            continue
        if other.origin != declaration.origin:
            raise DeclarationError(
                f"{declaration.name}: the name {name!r} belongs to {other.name} already; choose another"
            )
        if _being_declared is not None and other.name in _being_declared:
            raise DeclarationError(f"the name {name!r} is declared twice; choose another for one of them")
    _declared[declaration.name] = declaration
    if _being_declared is not None:
        _being_declared.add(declaration.name)


def _by_name() -> dict[str, Declaration]:
    names = {alias: d for d in [*_declared.values()] for alias in d.aliases}
    return names | _declared


def load() -> None:
    """Load the catalogue: its own modules, then the plug-ins, once; a thread that comes meanwhile waits."""
    importlib.import_module("actbench.catalog.contents")


def declarations(kind: str | None = None, family: str | None = None) -> tuple[Declaration, ...]:
    """Every declaration, activations first, each family together, in the order they were declared.

    Raises UsageError for an unknown kind or family.
    """
    load()
    for label, value, known in (
        ("kind", kind, KINDS),
        ("family", family, sorted({d.family for d in _declared.values()})),
    ):
        if value is not None and value not in known:
            raise UsageError(f"unknown {label} {value!r}{suggestion(str(value), known)}")
    return tuple(
        d
        for d in sorted(_declared.values(), key=lambda d: d.kind)
        if kind in (None, d.kind) and family in (None, d.family)
    )


def find(name: str) -> Declaration:
    """The declaration with that name or alias; UnknownFunction suggests the nearest.

    Raises TypeError for a name that is no string.
    """
    if not isinstance(name, str):
        raise TypeError(f"a function is found by its name, a string, not by {type(name).__name__}")
    load()
    names = _by_name()
    if name not in names:
        raise UnknownFunction(f"unknown function {name!r}{suggestion(name, names, _LISTED)}")
    return names[name]


def declared(name: str) -> Declaration | None:
    """The declaration of that very name, if there is one."""
    load()
    return _declared.get(name)


def select(patterns: Iterable[str]) -> tuple[Declaration, ...]:
    """The declarations that names, aliases, globs (``'*elu'``) and families (``@rectifier``) pick.

    Raises UnknownFunction where one of them picks nothing.
    """
    chosen: dict[str, Declaration] = {}
    for pattern in patterns:
        if pattern.startswith("@"):
            found = declarations(family=pattern[1:])
        elif any(c in pattern for c in "*?["):
            found = tuple(d for d in declarations() if fnmatch.fnmatchcase(d.name, pattern))
            if not found:
                raise UnknownFunction(f"no function matches {pattern!r}: {_LISTED}")
        else:
            found = (find(pattern),)
        chosen |= {d.name: d for d in found}
    return tuple(chosen.values())


def check_file(path: Path) -> None:
    """Raise InputFileError where a path is not that of a file."""
    if path.is_dir():
        raise InputFileError(f"{path} is a folder: name a file in it")
    if not path.is_file():
        raise InputFileError(f"no such file: {path}")


class _SourceLoader(SourceFileLoader):
    """Runs what stands in a file now, and writes nothing beside it.

    Bytecode on disk is taken for that of a file of the same length and second, which an edit of a digit leaves.
    """

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def load_file(path: Path | str) -> tuple[Declaration, ...]:
    """Run a user's Python file and return what it declares.

    Raises InputFileError where it cannot be read, and DeclarationError, in one line, where it fails.
    """
    global _being_declared
    check_file(Path(path))
    path = Path(path).resolve()
    load()
    # The name is stable and unique, and stays in sys.modules, because cached kernels and worker
    # processes find the module by it again.
    name = f"actbench_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if path.suffix != ".py":
        raise InputFileError(f"{path} is not a Python file (its name must end in .py)")
    loader = _SourceLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None  # which it is only without a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _being_declared = set()
    try:
        # What the file prints is no part of the command's document.
        with contextlib.redirect_stdout(sys.stderr):
            loader.exec_module(module)
    except ActbenchError as error:
        raise DeclarationError(f"{path}: {error}") from error
    except (Exception, SystemExit) as error:
        line = _line_in(error, path)
        message = error.msg if isinstance(error, SyntaxError) else error
        raise DeclarationError(f"{path}{line}: {type(error).__name__}: {message}") from error
    finally:
        _being_declared = None
    found = tuple(d for d in _declared.values() if d.origin == str(path))
    if not found:
        raise DeclarationError(
            f"{path} declares no function: decorate one with @actbench.activation(...) or @actbench.loss(...)"
        )
    return found


def _line_in(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f":{error.lineno}" if error.lineno else ""
    traceback, line = error.__traceback__, ""
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == str(path):
            line = f":{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return line
