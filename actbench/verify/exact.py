"""A declaration's formula at any precision, and its derivative by mpmath: the judge that no kernel has a part in."""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from types import CodeType
from typing import TYPE_CHECKING, Any

from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import UsageError
from actbench.catalog.formula import Formula

if TYPE_CHECKING:
    from mpmath.ctx_mp import MPContext

FARTHEST = 1100.0
"""Beyond this |x| exponentials leave float64 both ways, and a formula's 1 + exp(-x) would need 10^4 bits."""


@functools.lru_cache(maxsize=1)
def context() -> MPContext:
    """A context of mpmath of our own; UsageError where mpmath is missing."""
    try:
        import mpmath
    except ImportError:
        raise UsageError("mpmath is not installed: pip install 'actbench[audit]'") from None
    return mpmath.mp.clone()


class _Exact(ast.NodeTransformer):
    """Numbers in a formula are exact: 1/3 is a third, and 0.1 a tenth, not the nearest float64."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        text = ast.Constant(repr(node.value))
        return ast.Call(ast.Name("number", ast.Load()), [text], [])


@functools.lru_cache(maxsize=512)
def _code(formula: Formula) -> CodeType:
    tree = _Exact().visit(ast.parse(formula.text, mode="eval"))
    return compile(ast.fix_missing_locations(tree), f"<formula {formula.text}>", "eval")


@functools.lru_cache(maxsize=1)
def _functions() -> Mapping[str, Any]:
    mp = context()
    names = ["exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh", "erf", "erfc", "sign"]
    return {name: getattr(mp, name) for name in names} | {
        "number": mp.mpf,
        "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
        "softplus": lambda x: mp.log(1 + mp.exp(x)),
        "max": max,
        "min": min,
        "abs": abs,
        "inf": mp.inf,
        "__builtins__": {},
    }


def evaluate(formula: Formula, values: Mapping[str, Any]) -> Any:
    """The formula at the context's precision; floats among the values count as the numbers they are."""
    mp = context()
    names = {name: mp.mpf(float(v)) if isinstance(v, int | float) else v for name, v in values.items()}
    return eval(_code(formula), {**_functions(), "pi": +mp.pi}, names)


def precision(values: Mapping[str, Any]) -> int:
    """Bits at which formulas like (e^x - e^-x)/(e^x + e^-x) keep 64 right ones at these values."""
    exponents = [abs(math.frexp(float(v))[1]) for v in values.values() if _finite(v)]
    sizes = [abs(float(v)) for v in values.values() if _finite(v)]
    growth = math.prod(max(1.0, s) for s in sizes)
    return 256 + 3 * max(exponents, default=0) + int(3 * 1.45 * min(growth, 3 * FARTHEST))


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def value(declaration: Declaration, values: Mapping[str, Any]) -> float:
    """The formula's value, rounded once to float64. ``values`` are the operands and the parameters of the bodies."""
    with context().workprec(precision(values)):
        return float(_value(declaration, values))


def derivative(declaration: Declaration, values: Mapping[str, Any], wrt: str) -> float:
    """The derivative of the formula (not the declared derivative) with respect to one name, rounded once.

    By mpmath's differences at several times the precision; not for kinks. NaN outside the domain.
    """
    with context().workprec(precision(values)):
        return float(_derivative(declaration, values, wrt))


def error(declaration: Declaration, values: Mapping[str, Any], wrt: str | None, got: float) -> float:
    """How far ``got`` is from the value, or from the derivative with respect to a name, in ULPs of float64."""
    mp = context()
    with mp.workprec(precision(values)):
        true = _value(declaration, values) if wrt is None else _derivative(declaration, values, wrt)
        return float(abs(mp.mpf(got) - true) / math.ulp(float(true)))


def _value(declaration: Declaration, values: Mapping[str, Any]) -> Any:
    return evaluate(declaration.formula, values)


def _derivative(declaration: Declaration, values: Mapping[str, Any], wrt: str) -> Any:
    mp = context()
    point = mp.mpf(float(values[wrt]))
    try:
        return mp.diff(lambda t: _value(declaration, {**values, wrt: t}), point)
    except (ValueError, TypeError, ZeroDivisionError):
        return mp.nan  # a complex value: the difference stepped out of the domain


def rows(declaration: Declaration, arguments: Sequence[Sequence[float]], *params: Any) -> Any:
    """The exact value of a row-wise function or loss of rows: a list of numbers, or one."""
    assert declaration.exact is not None
    mp = context()
    with mp.workprec(
        256 + 4 * int(max((abs(v) for row in arguments for v in row if math.isfinite(v)), default=0.0))
    ):
        return declaration.exact(mp, *([mp.mpf(float(v)) for v in row] for row in arguments), *params)


def gradient(scalar: Callable[[list[Any]], Any], x: Sequence[float]) -> list[float]:
    """The partial derivatives of a function of an mpmath row, rounded once."""
    mp = context()
    with mp.workprec(256 + 4 * int(max(map(abs, x)))):
        row = [mp.mpf(float(v)) for v in x]
        return [
            float(mp.diff(lambda t, i=i: scalar([*row[:i], t, *row[i + 1 :]]), row[i]))
            for i in range(len(row))
        ]
