"""What a plot of functions shows: families of parameters, and curves sampled between their kinks and jumps."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np

from actbench.catalog.declaration import Body, Declaration
from actbench.catalog.errors import ParameterError, UsageError
from actbench.catalog.formula import Formula
from actbench.kernels.base import Function, derivative_body
from actbench.present import formula as notation
from actbench.verify.section import Array, Section, sections

POINTS = 1201
"""Abscissae a curve: closer than the pixels of a plot."""
_FARTHEST = 1e9
_RANGE = re.compile(r"([^:]+):([^:]+)")
Limits = tuple[float, float]
Slopes = tuple[float, float, float]


class Interpreted:
    """A function of scalars evaluated by its bodies as plain Python, in float64.

    The thousand points of a plot take 2 ms; importing Numba and loading two kernels takes 600.
    """

    def __init__(self, function: Function) -> None:
        self.function, self.declaration = function, function.declaration

    def __call__(self, *arrays: Array, reduction: str = "none", **params: Any) -> Array:
        """The forward pass, without a reduction."""
        return self._map(self.declaration.forward, arrays, params, self.function)

    def derivative(self, x: Array, **params: Any) -> Array:
        """dy/dx."""
        return self._map(derivative_body(self.declaration), (x,), params, self.function.derivative)

    def backward(self, *arrays: Array, reduction: str = "none", **params: Any) -> Array:
        """The gradient of a loss with respect to the prediction."""
        return self._map(derivative_body(self.declaration), arrays, params, self.function.backward)

    def _map(
        self, body: Body, arrays: tuple[Array, ...], params: Mapping[str, Any], compiled: Callable[..., Array]
    ) -> Array:
        d = self.declaration
        values = d.resolve(params)
        if d.prepare is not None:
            values = dict(d.prepare(arrays[0], **values))
        numbers = d.numbers({name: values[name] for name in d.body_params}).values()
        try:
            return np.array(
                [
                    body(*point, *numbers) if not any(map(math.isnan, point)) else math.nan
                    for point in zip(*(a.tolist() for a in arrays), strict=True)
                ],
                np.float64,
            )
        # Python raises, or goes on with complex numbers, where IEEE arithmetic and so the kernels have inf and NaN.
        except (ArithmeticError, ValueError, TypeError):
            more = {"reduction": "none"} if len(arrays) > 1 else {}
            return compiled(*arrays, **more, **params)


@dataclass(frozen=True)
class Subject:
    """A function at given parameters; ``varied`` names those that tell it from the others of its family."""

    function: Function
    params: Mapping[str, Any] = field(default_factory=dict)
    varied: tuple[str, ...] = ()

    @property
    def declaration(self) -> Declaration:
        return self.function.declaration

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        self.declaration.resolve(self.params)
        plain = self.declaration.template in ("elementwise", "pairwise")
        evaluated = cast(Function, Interpreted(self.function)) if plain else self.function
        return sections(evaluated, self.params)

    def setting(self, names: Iterable[str]) -> str:
        """Parameters and their values as mathtext, such as ``$\\alpha = 0.3$``."""
        return ", ".join(_assignment(name, self.params[name]) for name in names)

    @property
    def changed(self) -> tuple[str, ...]:
        """The parameters that are not at their defaults and that the whole family shares."""
        defaults = self.declaration.defaults
        return tuple(n for n, v in self.params.items() if n not in self.varied and v != defaults[n])


def _assignment(name: str, value: Any) -> str:
    if isinstance(value, (str, bool)):
        return f"{name} = {value}"
    number = notation.mathtext(Formula(f"{value:g}"))[0][0].strip("$")
    return f"${notation.symbol(name)} = {number}$"


def parse_limits(text: str) -> Limits:
    """The ends of a range such as ``-6:6``; raises UsageError."""
    match = _RANGE.fullmatch(text.strip())
    try:
        low, high = map(float, match.groups()) if match else (math.nan, math.nan)
    except ValueError:
        low = high = math.nan
    if not (low < high and low >= -_FARTHEST and high <= _FARTHEST):
        raise UsageError(f"--range {text}: write two numbers within 1e9 of 0, the lower first, as -6:6")
    if high - low < 1e-9 * max(1.0, abs(low), abs(high)):
        raise UsageError(f"--range {text}: the ends are too close together to draw anything between")
    return low, high


def parse_params(texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Parameter names and the values to draw from ``alpha=0.1,0.3`` and the like; raises UsageError."""
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        listed = tuple(dict.fromkeys(value.strip() for value in values.split(",")))
        if not equals or not name.strip() or not all(listed):
            raise UsageError(f"--param {text}: write a name and one or more values, as alpha=0.1,0.3")
        found[name.strip()] = tuple(dict.fromkeys([*found.get(name.strip(), ()), *listed]))
    return found


def subjects(function: Function, params: Mapping[str, Sequence[str]]) -> tuple[Subject, ...]:
    """The family of a function that the values, given as text, span; raises ParameterError."""
    values = [
        [(name, _value(function.declaration, name, text)) for text in texts] for name, texts in params.items()
    ]
    varied = tuple(name for name, texts in params.items() if len(texts) > 1)
    family = tuple(Subject(function, dict(chosen), varied) for chosen in itertools.product(*values))
    for subject in family:
        function.declaration.resolve(subject.params)
    return family


def _value(declaration: Declaration, name: str, text: str) -> Any:
    """``text`` as the parameter takes it; what is neither number nor choice is left for resolve to refuse."""
    if name not in declaration.defaults:
        return text
    default, valid = declaration.defaults[name], declaration.describe(name).valid
    if isinstance(valid, tuple):
        return next((choice for choice in valid if str(choice).lower() == text.lower()), text)
    if default is None:
        raise ParameterError(f"{declaration.name}: {name} takes an array, which --param cannot give")
    try:
        number = float(text)
    except ValueError:
        return text
    if isinstance(default, int) and not number.is_integer():
        raise ParameterError(f"{declaration.name}: {name}={text} is not a whole number")
    return int(number) if isinstance(default, int) else number


@dataclass(frozen=True)
class Kink:
    """A place where value or slope jumps: their limits from the left, there, and from the right."""

    at: float
    values: tuple[float, float, float]
    slopes: tuple[float, float, float]

    @property
    def jumps(self) -> bool:
        left, _, right = self.values
        return abs(right - left) > 1e-6 * max(1.0, abs(left), abs(right))


@dataclass(frozen=True)
class Trace:
    """A section sampled between its kinks: one array of abscissae, values and slopes a smooth piece."""

    section: Section
    low: float
    high: float
    kinks: tuple[Kink, ...]

    @cached_property
    def pieces(self) -> tuple[tuple[Array, Array, Array], ...]:
        ends = [self.low, *(k.at for k in self.kinks if self.low < k.at < self.high), self.high]
        return tuple(self._piece(a, b) for a, b in itertools.pairwise(ends))

    def _piece(self, a: float, b: float) -> tuple[Array, Array, Array]:
        inset = 1e-9 * (b - a)  # next to a kink or an end of the domain, never on it
        x = np.linspace(a + inset, b - inset, POINTS)
        with np.errstate(all="ignore"):
            return x, self.section.value(x), self.section.slope(x)

    def curve(self, which: int) -> Array:
        """The finite values (1) or slopes (2), evenly spread over the axis."""
        x = np.linspace(self.low, self.high, POINTS)
        with np.errstate(all="ignore"):
            across, along = (np.concatenate([piece[i] for piece in self.pieces]) for i in (0, which))
            y = np.interp(x, across, along)
        finite: Array = y[np.isfinite(y)]
        return finite


@np.errstate(all="ignore")
def trace(section: Section, low: float, high: float) -> Trace:
    """The section between two places, with its declared kinks and the jumps that are found."""
    low, high = max(low, section.domain.low), min(high, section.domain.high)
    declared = {k[0]: k[1:] for k in section.kinks if low <= k[0] <= high}
    x = np.linspace(low, high, POINTS)
    found = {at for curve in (section.value, section.slope) for at in _jumps(curve, x)}
    found = {at for at in found if all(abs(at - k) > 1e-6 * (high - low) for k in declared)}
    return Trace(section, low, high, tuple(_kinks(section, declared, found, 1e-9 * (high - low))))


def _kinks(
    section: Section, declared: Mapping[float, Slopes], found: Iterable[float], step: float
) -> Iterator[Kink]:
    for at in sorted({*declared, *found}):
        near = np.array([at - step, at, at + step])
        values, slopes = section.value(near), section.slope(near)
        if at in declared:
            left, right, convention = declared[at]
            slopes = np.array([left, convention, right])
        yield Kink(at, tuple(values.tolist()), tuple(slopes.tolist()))


def _jumps(curve: Callable[[Array], Array], x: Array) -> list[float]:
    """Where a sampled curve jumps: a step that keeps its height however closely one looks."""
    y = curve(x)
    step: Array = np.abs(np.diff(y))
    finite = step[np.isfinite(step)]
    if not finite.size:
        return []
    around = np.maximum(np.r_[0, step[:-1]], np.r_[step[1:], 0])
    # Steps of a smooth, well sampled curve grow and shrink slowly; a pole stands out by as little as a quarter.
    suspects = np.isfinite(step) & (step > 1e-3 * finite.max()) & ~(step <= 1.05 * around)
    places = []
    for i in np.flatnonzero(suspects)[:50]:
        (a, b), (low, high) = x[i : i + 2], y[i : i + 2]
        for _ in range(60):
            middle = (a + b) / 2
            between = curve(np.array([middle]))[0]
            if not (a < middle < b and math.isfinite(between)):
                break
            if abs(between - low) >= abs(high - between):
                b, high = middle, between
            else:
                a, low = middle, between
        if abs(high - low) > step[i] / 2:
            # Bisection ends beside 1, and the value there is not the value at 1.
            place = (a + b) / 2
            places.append(0.0 if abs(place) < 1e-9 * (x[-1] - x[0]) else float(f"{place:.9g}"))
    return places
