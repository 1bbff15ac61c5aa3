"""What checks of compiled functions are made of: tallies, curves with kinks, special values, float32 by float64."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from actbench.catalog.domain import REALS, Domain
from actbench.catalog.errors import InfeasibleError, ParameterError, UsageError
from actbench.kernels.base import Function
from actbench.verify import differences, inputs, laws, truth
from actbench.verify.report import Place, Tally
from actbench.verify.section import Array

Params = Mapping[str, Any]
_NICE = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 40.0, 100.0, 700.0)
_SAMPLE = 200
"""Points a formula judges in each setting, at 20 us each."""
_FLOAT64 = np.dtype(np.float64)
_ULP32 = 2.0**-23
_WRONG32 = 1024
"""ULP from where on a float32 is wrong, not merely inexact, which is the audit's concern."""


def abscissae(domain: Domain = REALS, kinks: Iterable[float] = (), origin: float = 0.0) -> Array:
    """Points for a check: simple numbers, a dense stretch, every exponent, the approach to kinks and ends."""
    rng = np.random.default_rng(1)
    exponents = np.concatenate(
        [np.arange(-60.0, 12, 0.5), np.arange(-1000.0, -60, 40), np.arange(12.0, 1000, 40)]
    )
    # 32 significant bits, so that sums with a step are exact.
    scattered = np.exp2(exponents) * (1 + np.floor(rng.random(exponents.size) * 2.0**31) / 2.0**31)
    dense = np.round(np.linspace(-10, 10, 401) + rng.uniform(-0.02, 0.02, 401), 6)
    nice = np.array(_NICE)
    groups = [origin + g for g in (nice, -nice, scattered, -scattered, dense, np.zeros(1))]
    for place in kinks:
        near = np.exp2(np.arange(-40.0, 1, 2)) * max(1.0, abs(place))
        groups += [place + near, place - near]
    if math.isfinite(domain.low) and math.isfinite(domain.high):
        width = domain.high - domain.low
        groups.append(domain.low + width * np.arange(1, 64) / 64)
    for end, sign in ((domain.low, 1), (domain.high, -1)):
        if math.isfinite(end):
            groups.append(end + sign * np.exp2(np.arange(-50.0, -1, 1.0)))
    x = np.unique(np.concatenate(groups))
    return x[(x > domain.low) & (x < domain.high) & ~np.isin(x, list(kinks))]


def _one_ulp_apart(curve: Callable[[Array], Array], x: Array, relative: float) -> Array:
    """How much a value moves when x does by a share of itself: what rounding inside may cost."""
    y = curve(x)
    below, above = (np.abs(curve(x * (1 + s * relative)) - y) for s in (-1, 1))
    # One may lie beyond the domain's end; NaN there says nothing.
    moved: Array = np.fmax(below, above)
    return moved


def _unsteady(derivative: Callable[[Array], Array], x: Array) -> Array:
    """Where a function of large arguments oscillates within the shortest step, so that no difference resolves it."""
    got, changed = derivative(x), np.zeros(x.shape, bool)
    for share in (1.0, -1.0, 0.5, -0.7):
        other = derivative(x * (1 + share * differences.STEP / 64))
        changed |= np.abs(other - got) > 0.05 * np.maximum(np.abs(other), np.abs(got))
    return changed & (np.abs(x) > 100)


def _poles(x: Array, y: Array) -> list[float]:
    """Where the value is infinite, and finite on both sides, which have nothing to do with one another."""
    infinite = np.isinf(y)
    alone = infinite[1:-1] & ~infinite[:-2] & ~infinite[2:]
    poles: list[float] = x[1:-1][alone].tolist()
    return poles


def on(axis: str, x: Array, fixed: Place = ()) -> Callable[[int], Place]:
    """The places of points on a curve."""
    return lambda i: ((axis, float(x[i])), *fixed)


def or_zero(found: differences.Slope, flat: Array) -> tuple[Array, Array]:
    """The slopes and their errors, exactly 0 where the value is known not to move at all."""
    return np.where(flat, 0, found.value), np.where(flat, 0, found.error)


class Checker(ABC):
    """Checks of one function, added up over the settings."""

    def __init__(self, f: Function, points: Array | None) -> None:
        self.f, self.points = f, points
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.rng = np.random.default_rng(2)
        self.rough = f.declaration.derivative == "numerical"
        """A derivative that is a difference itself: right to its own accuracy, and no judge's business in tails."""

    def tally(self, check: str, judge: str) -> Tally:
        """The tally of that name, by that judge."""
        return self.tallies.setdefault((check, judge), Tally(self.f.name, check, judge))

    @abstractmethod
    def run(self, given: dict[str, Any]) -> None:
        """All checks of a black box at one setting of the parameters."""

    def curves(self, given: Params) -> Sequence[tuple[Array, ...]]:
        """The operands at which the formula judges, of a function that maps elements."""
        return []

    def formula(self, given: Params) -> None:
        """All that the formula tells at one setting of the parameters."""
        try:
            for judge in (truth.judgements, laws.judgements):
                for j in judge(self.f, given, self.curves(given)):
                    self.tally(j.check, j.judge).add(
                        j.got, j.expected, j.room, j.place, given, relative=False, error=j.error
                    )
        except UsageError as error:  # python-flint is missing, or it knows nothing of the function
            self.tally("value", truth.JUDGE).give_up(str(error))

    def away(self, places: Sequence[float]) -> Array:
        """The user's points that lie on no kink; InfeasibleError where there is none."""
        left = np.setdiff1d(np.asarray(self.points), places)
        if not left.size:
            raise InfeasibleError(f"{self.f.name}: all values of the input lie on its kinks")
        return left

    def chosen(self, x: Array) -> Array:
        """An even sample of points, and the simple ones among them."""
        some = x[np.linspace(0, x.size - 1, _SAMPLE).astype(int)]
        return np.union1d(some, np.intersect1d(x, [*_NICE, *(-n for n in _NICE)]))

    # -- curves: elementwise activations, and pairwise losses at one target

    def curve(
        self,
        value: Callable[[Array], Array],
        derivative: Callable[[Array], Array],
        kinks: tuple[tuple[float, float, float, float], ...],
        x: Array,
        axis: str,
        fixed: Place,
        given: Params,
    ) -> None:
        """Derivative, kinks, formula, range and special values of one curve."""
        domain = self.f.declaration.domain
        kinks = tuple(k for k in kinks if math.isfinite(k[0]))
        places = [k[0] for k in kinks]

        # A numerical derivative has no shorter step than 1e-8.
        for p in places if self.rough else ():
            x = x[np.abs(x - p) > 1e-6 * max(1.0, abs(p))]
        y, got = value(x), derivative(x)
        reach = differences.reach_within(x, [*places, *_poles(x, y)], domain.low, domain.high)
        found = differences.slope(lambda t: value(x + t), reach, at=x)
        # A slope that moves no value by a number that there is: differences see nothing of it.
        hidden = (found.value == 0) & (got != 0) & (np.abs(got) * reach < np.finfo(np.float64).tiny)
        found = differences.Slope(found.value, np.where(hidden, np.inf, found.error))
        # Below the normal numbers an intermediate result that vanished (1/(x x) at 1e160) is no fault.
        tiny = np.finfo(np.float64).tiny
        found = differences.Slope(found.value, found.error + np.where(np.abs(found.value) < tiny, tiny, 0.0))
        if self.rough:
            # A step of 1e-3 crosses bends of the slope, and is long in a steep tail.
            scale = np.maximum(np.abs(found.value), np.abs(value(x)) / np.maximum(np.abs(x), 1.0))
            found = differences.Slope(found.value, found.error + 1e-3 * np.abs(found.value) + 1e-9 * scale)
        found = differences.Slope(found.value, np.where(_unsteady(derivative, x), np.inf, found.error))
        flat = np.zeros(x.shape, bool)
        # A stretch from kink to kink on which the value is one constant is flat, though its last bits hide slopes.
        for piece in np.split(np.arange(x.size), np.searchsorted(x, sorted(places))):
            flat[piece] = piece.size > 1 and bool(np.all(y[piece] == y[piece[0]]))
        self.tally("derivative", "differences").add(
            got, *or_zero(found, flat & (got == 0)), on(axis, x, fixed), given
        )
        if kinks:
            self._kinks(value, derivative, kinks, axis, fixed, given)
        self._undeclared(value, derivative, places, x, axis, fixed, given)
        bounds = self.f.declaration.range_at(given)
        clipped = np.clip(y, bounds.low, bounds.high)
        room = 1e-12 * np.maximum(1.0, np.minimum(np.abs(clipped), 1e300))
        self.tally("range", "declared range").add(y, clipped, room, on(axis, x, fixed), given, relative=False)
        self._special(value, derivative, axis, fixed, given)

    def _kinks(
        self,
        value: Callable[[Array], Array],
        derivative: Callable[[Array], Array],
        kinks: tuple[tuple[float, float, float, float], ...],
        axis: str,
        fixed: Place,
        given: Params,
    ) -> None:
        tally = self.tally("kinks", "one-sided slopes")
        domain, places = self.f.declaration.domain, [k[0] for k in kinks]
        for at, left, right, convention in kinks:
            where = np.array([at])

            def place(i: int, at: float = at) -> Place:
                return ((axis, at), *fixed)

            got = derivative(where)
            tally.add(got, np.array([convention]), 1e-12 * abs(convention), place, given, relative=False)
            between = np.clip(got, min(left, right), max(left, right))
            tally.add(got, between, 1e-12 * abs(float(between[0])), place, given, relative=False)
            others = [p for p in places if p != at]
            for side, declared in ((-1, left), (1, right)):
                beside = np.nextafter(where, side * math.inf)
                if not (domain.low <= beside[0] <= domain.high) or math.isinf(declared) or self.rough:
                    continue
                tally.add(
                    derivative(beside),
                    np.array([declared]),
                    1e-9 * max(abs(left), abs(right)),
                    place,
                    given,
                    relative=False,
                )
                found = differences.slope(
                    lambda t, w=where: value(w + t),  # type: ignore[misc]
                    2 * differences.reach_within(where, others, domain.low, domain.high),
                    at=where,
                    side=side,
                )
                tally.add(
                    np.array([declared]), found.value, found.error, place, given, relative=bool(declared)
                )

    def _undeclared(
        self,
        value: Callable[[Array], Array],
        derivative: Callable[[Array], Array],
        places: list[float],
        x: Array,
        axis: str,
        fixed: Place,
        given: Params,
    ) -> None:
        """Jumps of value or derivative between neighbouring floats, at places that are not declared."""
        tally = self.tally("undeclared kinks", "bisection")
        if _unsteady(derivative, x).any():  # neighbours far out are as far apart as any two
            x = x[np.abs(x) <= 100]
        for curve in (derivative, value):
            low, high = inputs.ordered(x[:-1]), inputs.ordered(x[1:])
            y_low, y_high = curve(x[:-1]), curve(x[1:])
            local = np.maximum(np.abs(y_low), np.abs(y_high))
            usual = np.abs(x) <= 100
            scale = np.nanmax(np.abs(curve(x[usual])), initial=0.0, where=np.isfinite(curve(x[usual])))
            for _ in range(64):
                middle = low // 2 + high // 2 + (low % 2 + high % 2) // 2
                y = curve(inputs.unordered(middle, _FLOAT64))
                first = np.abs(y - y_low) >= np.abs(y_high - y)
                low, y_low = np.where(first, low, middle), np.where(first, y_low, y)
                high, y_high = np.where(first, middle, high), np.where(first, y, y_high)
            left, right = (inputs.unordered(places, _FLOAT64) for places in (low, high))
            # A steep but continuous curve moves as much between the next neighbours on both sides.
            beside = np.fmin(
                np.abs(curve(np.nextafter(left, -math.inf)) - y_low),
                np.abs(curve(np.nextafter(right, math.inf)) - y_high),
            )
            jump = np.abs(y_high - y_low) > np.maximum(np.maximum(1e-6 * local, 1e-9 * scale), 30 * beside)
            close = np.zeros(jump.shape, bool)
            for p in places:
                near = (1e-6 if self.rough else 1e-12) * max(1.0, abs(p))
                close |= (np.abs(left - p) <= near) | (np.abs(right - p) <= near)
            fault = jump & ~close & np.isfinite(local)
            expected = np.where(fault, y_low, y_high)
            at = np.where(np.abs(left) < np.abs(right), left, right)
            tally.add(y_high, expected, 0.0, on(axis, at, fixed), given, relative=False)

    def _special(
        self,
        value: Callable[[Array], Array],
        derivative: Callable[[Array], Array],
        axis: str,
        fixed: Place,
        given: Params,
    ) -> None:
        """NaN stays NaN, numbers do not become NaN, and infinity gives the limit."""
        domain = self.f.declaration.domain
        info = np.finfo(np.float64)
        numbers = np.array(
            [
                0.0,
                -0.0,
                info.smallest_subnormal,
                -info.smallest_subnormal,
                info.tiny,
                -info.tiny,
                info.max,
                info.min,
            ]
        )
        numbers = numbers[(numbers >= domain.low) & (numbers <= domain.high)]
        tally = self.tally("special values", "limits")
        for curve in (value,) if self.rough else (value, derivative):
            tally.add(
                curve(np.array([np.nan])),
                np.array([np.nan]),
                0.0,
                lambda i: ((axis, math.nan), *fixed),
                given,
                relative=False,
            )
            y = curve(numbers)
            expected = np.where(np.isnan(y), 0.0, y)
            tally.add(y, expected, 0.0, lambda i: ((axis, float(numbers[i])), *fixed), given, relative=False)
            for end in (domain.low, domain.high):
                if math.isfinite(end) or end not in domain:
                    continue
                if _unsteady(curve, np.array([math.copysign(2.0**900, end)])).any():
                    continue
                near, far, limit = curve(math.copysign(1.0, end) * np.array([2.0**900, 2.0**1000, math.inf]))
                settled = abs(far - near) <= 1e-9 * abs(far)
                if math.isnan(far) or not (settled or abs(far) > 2 * abs(near)):
                    continue
                wanted = far if settled else math.copysign(math.inf, far)
                tally.add(
                    np.array([limit]), np.array([wanted]), 1e-9 * abs(wanted) if settled else 0.0,
                    on(axis, np.array([end]), fixed), given, relative=False,
                )  # fmt: skip

    def narrow(
        self,
        call: Callable[..., Array],
        operands: Mapping[str, Array],
        given: Params,
        check: str,
        *,
        rows: bool = False,
    ) -> None:
        """A float32 kernel beside the float64 one at the same inputs and parameters."""
        labels = bool(self.f.declaration.target.members)
        names = list(operands)
        small = [o.astype(np.float32) if o.dtype.kind == "f" else o for o in operands.values()]
        rounded = {
            n: float(np.float32(v)) if isinstance(v, float) and not isinstance(v, bool) else v
            for n, v in given.items()
        }
        try:
            self.f.declaration.resolve(rounded)
        except ParameterError:
            return
        large = [o.astype(np.float64) if o.dtype.kind == "f" else o for o in small]
        expected = call(*large, **rounded)
        moved = np.zeros(expected.shape)
        for signs in ((1.0,), (-1.0,), (-1.0, 1.0), (-1.0, 1.0)):
            shaken = [
                o
                if o.dtype.kind != "f" or (labels and name == "target")
                else o * (1 + _ULP32 * self.rng.choice(signs, o.shape))
                for name, o in zip(names, large, strict=True)
            ]
            moved = np.fmax(moved, np.abs(call(*shaken, **rounded) - expected))
        got = call(*small, **rounded)
        rounded_expected = expected.astype(np.float32)
        # Beside that, 8 times what a last bit of the inputs is worth.
        room = _WRONG32 * np.spacing(np.abs(rounded_expected)).astype(np.float64) + 8 * moved
        room[np.isinf(rounded_expected) | (np.abs(expected) > 3e38)] = np.nan
        room[~np.isfinite(expected)] = 0

        def place(i: int) -> Place:
            if rows:
                return tuple(
                    (f"{n}[...]", float(o.flat[0])) for n, o in zip(names[:1], large[:1], strict=True)
                )
            return tuple((n, float(o.flat[i])) for n, o in zip(names, large, strict=True))

        self.tally(f"{check}, float32", "float64 kernel").add(
            got, expected, room, place, given, relative=False
        )
