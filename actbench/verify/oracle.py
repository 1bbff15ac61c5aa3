"""What is true: a formula and its derivative enclosed in Arb's balls, refined until the rounding is decided.

From the formula alone: no kernel, no scalar body and no declared derivative has a part in it. A derivative is the
second term of a power series, so that what is enclosed is the derivative itself and not a difference. Where balls tell
nothing, which is at ties, a formula that only adds, multiplies, divides and compares is worked out in fractions.
"""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from operator import methodcaller
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np

from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import UsageError
from actbench.catalog.formula import Formula
from actbench.verify.rounding import NAN, UNKNOWN, Array, Format, Number, Target

T = TypeVar("T")
FIRST, LAST = 96, 1 << 14
"""Bits of precision: to begin with, and where it is given up, which takes a millisecond."""
_FEW = 256
"""Bits after which fractions take over; once they had to they do after the first attempt, because they always tell."""
NEAR, FAR = 2000, 4000
"""The powers of 2 at which a limit is looked for; the cube of the second still fits in LAST bits."""
_PRECISE = 2.0**-10
"""A ULP's share that is left open of an error, at most."""


class UndefinedError(UsageError):
    """A function that exact arithmetic knows nothing of, or not at these parameters."""


class UndecidedError(ArithmeticError):
    """A comparison of two balls that overlap: more bits decide it, unless the two are equal."""


@functools.cache
def library() -> Any:
    """python-flint; UsageError where it is missing."""
    try:
        import flint
    except ImportError:
        raise UsageError("python-flint is not installed: pip install 'actbench[audit]'") from None
    return flint


@functools.cache
def _series() -> tuple[type[Any], ...]:
    return library().arb_series, library().fmpq_series


def _constant(v: Any) -> Any:
    """The value of a number or of a series."""
    return v[0] if isinstance(v, _series()) else v


def _below(a: Any, b: Any) -> bool:
    a, b = _constant(a), _constant(b)
    if a < b:
        return True
    if a >= b:
        return False
    raise UndecidedError


def _equal(a: Any, b: Any) -> bool:
    return not _below(a, b) and not _below(b, a)


def _max(*values: Any) -> Any:
    return functools.reduce(lambda a, b: b if _below(a, b) else a, values)


def _min(*values: Any) -> Any:
    return functools.reduce(lambda a, b: b if _below(b, a) else a, values)


def _abs(v: Any) -> Any:
    return -v if _below(v, 0) else v


def _sign(v: Any) -> int:
    return -1 if _below(v, 0) else int(_below(0, v))


def _tanh(v: Any) -> Any:
    return 1 - 2 / ((2 * v).exp() + 1)


_NAMES = ("exp", "log", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "erf", "erfc", "gamma", "lgamma")
ARITHMETIC = SimpleNamespace(
    **{name: methodcaller(name) for name in _NAMES},
    expm1=lambda v: v.exp() - 1,
    log1p=lambda v: (1 + v).log(),
    sinh=lambda v: (v.exp() - (-v).exp()) / 2,
    cosh=lambda v: (v.exp() + (-v).exp()) / 2,
    tanh=_tanh,
    sigmoid=lambda v: 1 / (1 + (-v).exp()),
    softplus=lambda v: (1 + v.exp()).log(),
    sign=_sign,
    max=_max,
    min=_min,
    abs=_abs,
    fsum=sum,
)
"""The functions of a formula, and what an ``exact`` body computes with: over balls, and over series of them."""
_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "Lt": _below,
    "Gt": lambda a, b: _below(b, a),
    "LtE": lambda a, b: not _below(b, a),
    "GtE": lambda a, b: not _below(a, b),
    "Eq": _equal,
    "NotEq": lambda a, b: not _equal(a, b),
}


class _Exact(ast.NodeTransformer):
    """Numbers in a formula are exact (1/3 a third, 0.1 a tenth), and comparisons are decided or raise."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        node.left = self.visit(node.left)
        if not _is_power(node):
            node.right = self.visit(node.right)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return _call("number", ast.Constant(repr(node.value)))

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        operands = [node.left, *node.comparators]
        pairs = zip(operands, node.ops, operands[1:], strict=False)
        tests = [_call(type(op).__name__, a, b) for a, op, b in pairs]
        return tests[0] if len(tests) == 1 else ast.BoolOp(ast.And(), tests)


def _call(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _is_power(node: ast.AST) -> bool:
    """Whether it is a power with a whole exponent."""
    exponent = node.right if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) else None
    return isinstance(exponent, ast.Constant) and isinstance(exponent.value, int)


def _calls(formula: Formula) -> set[str]:
    """The names of the functions that it calls."""
    calls = (node.func for node in ast.walk(formula.tree) if isinstance(node, ast.Call))
    return {function.id if isinstance(function, ast.Name) else ast.unparse(function) for function in calls}


@functools.cache
def _is_rational(formula: Formula) -> bool:
    """Whether it stays within the fractions: no other calls than comparisons, no pi, no infinity, no root."""
    powers = [node for node in ast.walk(formula.tree) if isinstance(getattr(node, "op", None), ast.Pow)]
    plain = _calls(formula) <= {"max", "min", "abs", "sign"} and not formula.names & {"pi", "inf"}
    return plain and all(map(_is_power, powers))


def _fraction(text: str) -> Any:
    return library().fmpq(*Fraction(text).as_integer_ratio())


FRACTIONS = 0
"""What stands for the precision of a formula that is worked out in fractions."""


@functools.lru_cache(maxsize=256)
def _names(bits: int) -> dict[str, Any]:
    """What a formula may name beside its operands and parameters, at a precision, which is the current one."""
    arb = library().arb
    if bits == FRACTIONS:
        known = {"number": functools.cache(_fraction)}
    else:
        known = {"pi": arb.pi(), "inf": arb.pos_inf(), "number": functools.cache(arb)}
    return {**vars(ARITHMETIC), **_COMPARISONS, **known, "__builtins__": {}}


@functools.lru_cache(maxsize=1024)
def _compiled(formula: Formula, arguments: tuple[str, ...], bits: int) -> Callable[..., Any]:
    """The formula as a function of numbers or series, at a precision, which is the current one."""
    body = _Exact().visit(ast.parse(formula.text, mode="eval")).body
    names = ast.arguments([], [ast.arg(n) for n in arguments], kwonlyargs=[], kw_defaults=[], defaults=[])
    tree = ast.fix_missing_locations(ast.Expression(ast.Lambda(names, body)))
    return eval(compile(tree, f"<formula {formula.text}>", "eval"), _names(bits))  # type: ignore[no-any-return]


class _Search:
    """Attempts with as many bits as they need, of points one after the other: neighbours need about as many.

    Once ``last`` bits have failed as often as ``patience`` says, ``impatient`` bits must do.
    """

    def __init__(self, last: int = LAST, impatient: int = 1 << 9, patience: int = 32) -> None:
        self._first, self._last, self._impatient, self._patience = FIRST, last, impatient, patience

    def __call__(self, attempt: Callable[[], T | None]) -> T | None:
        """What an attempt finds; None where it cannot tell with the most bits, which it says by None or by raising."""
        bits = self._first
        while True:
            library().ctx.prec = bits
            found = _attempted(attempt)
            if found is not None:
                self._first = max(FIRST, 7 * bits // 256 * 32 if bits == self._first else bits)
                return found
            if bits >= self._last:
                self._first, self._patience = FIRST, self._patience - 1
                self._last = self._last if self._patience > 0 else self._impatient
                return None
            bits = min(2 * bits, self._last)


def _attempted(attempt: Callable[[], T | None]) -> T | None:
    try:
        return attempt()
    except (ArithmeticError, ValueError):  # undecided comparisons; series that would have a pole
        return None
    except TypeError as error:
        raise UndefinedError(f"the formula cannot be worked out: {error}") from error


def rounded(exact: Any, format: Format) -> Number | None:
    """A fraction, or a ball, beside a format.

    None for a ball of which not all rounds to the same number, or that leaves more than 2^-10 ULP open.
    """
    if isinstance(exact, library().fmpq):
        return _quotient(int(exact.p), int(exact.q), format)
    if not exact.is_finite():
        return None
    low, high = (format.nearest(*map(int, end.man_exp())) for end in (exact.lower(), exact.upper()))
    if low.nearest != high.nearest or high.rest - low.rest > _PRECISE:
        return None
    # A zero whose sign is open has no rest.
    rest = 0.0 if low.rest < 0 < high.rest else (low.rest + high.rest) / 2
    return Number(low.nearest, rest, low.ulp)


def _quotient(p: int, q: int, format: Format) -> Number:
    """p/q beside a format: its first bits, and one more that tells whether others follow."""
    bits = 2 * format.places + max(q.bit_length() - p.bit_length(), 0)
    whole, rest = divmod(abs(p) << bits, q)
    return format.nearest((2 * whole + (rest > 0)) * (-1 if p < 0 else 1), -bits - 1)


def _all_rounded(exact: Iterable[Any], format: Format) -> list[Number] | None:
    numbers = [rounded(ball, format) for ball in exact]
    decided = [number for number in numbers if number is not None]
    return decided if len(decided) == len(numbers) else None


def _side(exact: Any, place: float) -> int | None:
    """-1, 0 or 1 where it lies below, at or above a place."""
    at = library().fmpq(*place.as_integer_ratio()) if isinstance(exact, library().fmpq) else place
    if exact < at:
        return -1
    if exact > at:
        return 1
    return 0 if exact == at else None


class _Arithmetic:
    """A formula, or its derivative in one of the names, over one kind of numbers: Arb's balls, or fractions."""

    def __init__(
        self, declaration: Declaration, params: Mapping[str, float], wrt: str | None, in_fractions: bool
    ) -> None:
        flint = library()
        self._number, self._series = flint.arb, flint.arb_series
        if in_fractions:
            self._number, self._series = flint.fmpq, flint.fmpq_series
        self._in_fractions, names = in_fractions, (*declaration.operands, *params)
        self._params = [self.exactly(value) for value in params.values()]
        self._place = None if wrt is None else names.index(wrt)
        formulas = _formulas(declaration, wrt)
        self._compiled = functools.cache(lambda bits: [_compiled(f, names, bits) for f in formulas])

    def exactly(self, value: float) -> Any:
        """A float as the number that it is."""
        return self._number(*value.as_integer_ratio()) if self._in_fractions else self._number(value)

    def power(self, exponent: int) -> Any:
        """A power of 2."""
        return self._number(2) ** exponent

    def __call__(self, point: Sequence[Any]) -> Any:
        """A number that is, or holds, the value or the derivative where the operands are these.

        At a declared kink a derivative is the convention. Raises UndecidedError where more bits are needed.
        """
        arguments = [*point, *self._params]
        body, *kinks = self._compiled(FRACTIONS if self._in_fractions else library().ctx.prec)
        for at, convention in zip(kinks[::2], kinks[1::2], strict=True):
            if _equal(point[0], at(*arguments)):
                return self._number(convention(*arguments))
        if self._place is None:
            return self._number(body(*arguments))
        arguments[self._place] = self._series([arguments[self._place], 1], prec=2)
        found = body(*arguments)
        return found[1] if isinstance(found, self._series) else self._number(0)


def _formulas(declaration: Declaration, wrt: str | None) -> list[Formula]:
    """The formula, and for a derivative in the first operand the places of kinks, each followed by its convention."""
    kinks = declaration.kinks if wrt == declaration.operands[0] else ()
    return [declaration.formula, *(Formula(text) for kink in kinks for text in (kink.at, kink.value))]


class Definition:
    """The formula of an elementwise function or loss in exact arithmetic, or its derivative in one of the names.

    ``params`` are the numbers that the bodies take as parameters, each counting as the number it is. Raises
    UndefinedError where the formula calls what exact arithmetic does not have.
    """

    def __init__(self, declaration: Declaration, params: Mapping[str, float], wrt: str | None = None) -> None:
        strangers = _calls(declaration.formula) - vars(ARITHMETIC).keys()
        if strangers:
            name, unknown = declaration.name, sorted(strangers)[0]
            raise UndefinedError(f"{name}: its formula calls {unknown}, which is unknown")
        self._ends = declaration.domain.low, declaration.domain.high
        self._oscillates = bool(_calls(declaration.formula) & {"sin", "cos", "tan"})
        self._balls, self._fractions = _Arithmetic(declaration, params, wrt, False), None
        if all(map(_is_rational, _formulas(declaration, wrt))) and all(map(math.isfinite, params.values())):
            self._fractions = _Arithmetic(declaration, params, wrt, True)

    def targets(self, operands: Sequence[Array], format: Format) -> Target:
        """The exact results at points, whose operands are given array by array, beside a format.

        An infinite x is where the limit is taken, and so is an end of the domain where the formula has no value.
        """
        numbers, search = list[Number](), self._search()
        with library().ctx.workprec(FIRST):
            for point in _points(operands):
                number: Number | None = NAN if any(map(math.isnan, point)) else None
                if all(map(math.isfinite, point)):
                    number = self._found(search, point, lambda exact: rounded(exact, format))
                if number is None and (math.isinf(point[0]) or point[0] in self._ends):
                    number = self._limit(point, format)
                numbers.append(number or UNKNOWN)
        return Target.of(format, numbers)

    def sides(self, operands: Sequence[Array], places: Array) -> Array:
        """-1, 0 or 1 where the exact results lie below, at or above places; NaN if undecided, or if infinities meet.

        A third of the work of ``targets``: enough to tell which of two numbers is the nearest.
        """
        found, search = np.full(places.shape, math.nan), self._search()
        with library().ctx.workprec(FIRST):
            for i, (*point, place) in enumerate(_points([*operands, places])):
                if math.isfinite(place) and all(map(math.isfinite, point)):
                    side = self._found(search, point, lambda exact: _side(exact, place))  # noqa: B023
                    found[i] = math.nan if side is None else side
        return found

    def total(self, operands: Sequence[Array], count: float, format: Format) -> Target:
        """The exact sum of the results at points, divided by a count."""
        arithmetic = self._fractions or self._balls
        points = [[*map(arithmetic.exactly, point)] for point in _points(operands)]

        def attempt() -> Number | None:
            terms = map(arithmetic, points)
            return rounded(sum(terms, arithmetic.exactly(0.0)) / arithmetic.exactly(count), format)

        with library().ctx.workprec(FIRST):
            return Target.of(format, [_Search()(attempt) or UNKNOWN])

    def _search(self) -> _Search:
        return _Search() if self._fractions is None else _Search(_FEW, impatient=FIRST, patience=1)

    def _found(self, search: _Search, point: Sequence[float], judge: Callable[[Any], T | None]) -> T | None:
        """What is judged of the exact result at a point: of balls, and where they tell nothing of the fraction."""
        balls = [*map(self._balls.exactly, point)]
        found = search(lambda: judge(self._balls(balls)))
        if found is None and (fractions := self._fractions) is not None:
            found = _attempted(lambda: judge(fractions([*map(fractions.exactly, point)])))
        return found

    def _limit(self, point: Sequence[float], format: Format) -> Number | None:
        """What the results tend to: where two places far out have rounded to it, or infinity where they still grow.

        The second place is as far beyond the first in its exponent as that is, so that logarithms grow, too.
        """
        if math.isinf(point[0]) and self._oscillates:
            return None
        near, far = (
            _Search()(lambda power=power: rounded(self._balls(self._beside(point, power)), format))  # type: ignore[misc]
            for power in (NEAR, FAR)
        )
        if near is None or far is None or near.nearest == far.nearest:
            return far
        if abs(far.nearest) > 1.5 * abs(near.nearest) and (far.nearest > 0) == (near.nearest > 0):
            return format.nearest(1 if far.nearest > 0 else -1, format.largest + 1)
        return None

    def _beside(self, point: Sequence[float], power: int) -> list[Any]:
        """The point with its first operand 2^power out, where that is infinite, or 2^-power within the domain."""
        x, *others = map(self._balls.exactly, point)
        out, within = self._balls.power(power), self._balls.power(-power)
        if math.isinf(point[0]):
            return [out if point[0] > 0 else -out, *others]
        return [x + within if point[0] == self._ends[0] else x - within, *others]


def _points(operands: Sequence[Array]) -> Iterator[tuple[float, ...]]:
    return zip(*(np.asarray(o, np.float64).tolist() for o in operands), strict=True)


class Rows:
    """The exact definition of a row-wise function, or of a loss of rows: outputs, and products with its Jacobian.

    ``others`` is what the definition takes beside the row; floats in it count as the numbers they are. A sequence is a
    row, too: its steps, of ``width`` scores each, one after the other. Raises UndefinedError without a definition.
    """

    def __init__(self, declaration: Declaration, others: Sequence[Any], width: int = 0) -> None:
        if declaration.exact is None:
            raise UndefinedError(f"{declaration.name}: it has no exact definition (exact=)")
        self._exact, self._width = declaration.exact, width
        self._others = [_lifted(other) for other in others]

    def targets(self, row: Array, format: Format) -> Target:
        """The exact outputs for a row."""
        values = [*map(library().arb, np.asarray(row, np.float64).tolist())]
        return self._decided(lambda: self._outputs(values), format)

    def products(self, cotangent: Array, row: Array, format: Format) -> Target:
        """The exact product of a cotangent and the Jacobian with respect to the row."""
        arb, series = library().arb, library().arb_series
        weights, values = ([*map(arb, np.asarray(a, np.float64).tolist())] for a in (cotangent, row))

        def column(i: int) -> Any:
            outputs = self._outputs([series([v, 1], prec=2) if i == j else v for j, v in enumerate(values)])
            slopes = (y[1] if isinstance(y, series) else arb(0) for y in outputs)
            return sum((g * d for g, d in zip(weights, slopes, strict=True)), arb(0))

        return self._decided(lambda: [column(i) for i in range(len(values))], format)

    def _outputs(self, row: list[Any]) -> list[Any]:
        steps = [row[i : i + self._width] for i in range(0, len(row), self._width)] if self._width else row
        found = self._exact(ARITHMETIC, steps, *self._others)
        return found if isinstance(found, list) else [found]

    def _decided(self, enclose: Callable[[], list[Any]], format: Format) -> Target:
        with library().ctx.workprec(FIRST):
            found = _Search()(lambda: _all_rounded(enclose(), format))
            return Target.of(format, found or [UNKNOWN] * len(enclose()))


def _lifted(value: Any) -> Any:
    if isinstance(value, list):
        return [_lifted(v) for v in value]
    return library().arb(value) if isinstance(value, float) else value
