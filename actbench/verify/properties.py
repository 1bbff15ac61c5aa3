"""What a curve is like (monotone, bounded, odd, saturating, convex, ...), found on the compiled float64 kernels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from actbench.kernels.base import Function
from actbench.verify.section import Array, Section, sections
from actbench.verify.trial import tried

SATURATED = 1e-3
"""The slope below which a unit counts as saturated."""
_NOISE = 1e-13
"""Slopes below this share of the largest are rounding: cross-entropy's p - 1 changes sign at 1e-16."""
_FLAT = 1e-9
"""A slope that is 0 next to slopes below this underflowed or cancelled; the region is not dead."""
_FAR, _FARTHER = 2.0**10, 2.0**20
"""Where asymptotes are read: exponentials have died out at the first, 1/x is 1e-6 at the second."""
_OUTWARDS = 2.0 ** np.array([250.0, 500.0, 1000.0])
"""Where limits are read: the exponents double, so that a logarithm's steps do."""
_NEGLIGIBLE = 1e-9
"""The share of a mean that its integrand may still have where the tails are cut off."""


@dataclass(frozen=True)
class Line:
    """A straight line, y = slope x + intercept."""

    slope: float
    intercept: float

    def __str__(self) -> str:
        if not self.slope:
            return f"y = {self.intercept:.6g}"
        product = {1.0: "x", -1.0: "-x"}.get(self.slope, f"{self.slope:.6g} x")
        sign = "-" if self.intercept < 0 else "+"
        return f"y = {product}" + (f" {sign} {abs(self.intercept):.6g}" if self.intercept else "")


@dataclass(frozen=True)
class Properties:
    """A curve's properties; places are on the section's axis, and infinite where they lie at an end of it."""

    label: str
    axis: str
    loss: bool
    monotone: str
    """``"increasing"``, ``"decreasing"``, ``"constant"`` or ``"neither"``."""
    turning_points: tuple[float, ...]
    jumps: tuple[float, ...]
    infimum: float
    supremum: float
    infimum_at: float | None
    """Where the infimum is taken; None where it is only approached."""
    supremum_at: float | None
    symmetry: str
    """``"odd"``, ``"even"`` or ``"neither"``."""
    at_zero: float | None
    mean: float | None
    """The mean output for standard normal input: infinite where it diverges, None where that leaves the domain."""
    saturated: tuple[float | None, float | None]
    """|slope| < 1e-3 everywhere below the first and above the second place."""
    dead: tuple[tuple[float, float], ...]
    """Intervals in which the slope is exactly 0."""
    lipschitz: float
    lipschitz_at: float | None
    """Where the steepest slope is taken; None where it is a limit or holds in a whole region."""
    asymptotes: tuple[Line | None, Line | None]
    """Towards -inf and +inf."""
    curvature: str
    """``"convex"``, ``"concave"``, ``"affine"`` or ``"neither"``."""

    @property
    def bounded(self) -> bool:
        """Whether the range is bounded on both sides."""
        return math.isfinite(self.infimum) and math.isfinite(self.supremum)

    @property
    def zero_centred(self) -> bool:
        """Whether the mean output for standard normal input is 0."""
        return self.mean is not None and abs(self.mean) < 1e-6

    @property
    def robust(self) -> bool:
        """Whether the gradient is bounded, so that one outlier has a bounded influence."""
        return math.isfinite(self.lipschitz)

    def rows(self) -> tuple[tuple[str, str], ...]:
        """Label and value as text, a line each."""
        x, rows = self.axis, [("monotone", self._monotone())]
        rows.append(("range", self._range()))
        if self.loss:
            where = "not reached" if self.infimum_at is None else f"at {x} = {_number(self.infimum_at)}"
            rows.append(("minimum", f"{_number(self.infimum)}, {where}"))
            rows.append(
                ("influence", f"bounded by {_number(self.lipschitz)}" if self.robust else "unbounded")
            )
        else:
            rows.append(("symmetry", self.symmetry))
            if self.at_zero is not None:
                rows.append(("f(0)", _number(self.at_zero)))
            if self.mean is not None:
                rows.append(("mean for N(0, 1)", self._centre(self.mean)))
            rows.append(("Lipschitz constant", self._lipschitz()))
        left, right = self.saturated
        sides = [f"{x} < {_number(left)}"] if left is not None else []
        sides += [f"{x} > {_number(right)}"] if right is not None else []
        if left is not None and right is not None and left >= right:
            sides = ["everywhere"]
        if sides:
            rows.append((f"slope below {SATURATED:g}", ", ".join(sides)))
        if self.dead:
            rows.append(("dead (slope 0)", ", ".join(_interval(x, *d) for d in self.dead)))
        lines = [f"{a} at {end}" for a, end in zip(self.asymptotes, ("-inf", "+inf"), strict=True) if a]
        if lines:
            rows.append(("asymptotes", "; ".join(lines)))
        rows.append(
            ("curvature", self.curvature if self.curvature != "neither" else "neither convex nor concave")
        )
        return tuple(rows)

    def _monotone(self) -> str:
        if self.monotone != "neither":
            return self.monotone
        listed = ", ".join(_number(t) for t in sorted(self.turning_points, key=abs)[:3])
        more = ", ..." if len(self.turning_points) > 3 else ""
        return f"no, turns at {self.axis} = {listed}{more}" if listed else "no"

    def _centre(self, mean: float) -> str:
        if self.zero_centred:
            return "zero-centred"
        return f"{mean:.4g}, not zero-centred" if math.isfinite(mean) else "diverges"

    def _range(self) -> str:
        low = "[" if self.infimum_at is not None else "("
        high = "]" if self.supremum_at is not None else ")"
        return f"{low}{_number(self.infimum)}, {_number(self.supremum)}{high}"

    def _lipschitz(self) -> str:
        if not self.robust:
            return f"none: it jumps at {_number(self.jumps[0])}" if self.jumps else "none"
        where = "" if self.lipschitz_at is None else f" at {self.axis} = {_number(self.lipschitz_at)}"
        return _number(self.lipschitz) + where


def _number(x: float) -> str:
    return f"{x + 0.0:.6g}"


def _interval(axis: str, low: float, high: float) -> str:
    if math.isinf(low):
        return "everywhere" if math.isinf(high) else f"{axis} < {_number(high)}"
    return f"{axis} > {_number(low)}" if math.isinf(high) else f"{_number(low)} < {axis} < {_number(high)}"


def properties(f: Function, params: Mapping[str, Any] | None = None) -> Properties:
    """The properties of a function: of its only section, or of a loss's at the largest target.

    Raises InfeasibleError where it has no values.
    """
    tried(f)
    return describe(sections(f, params)[-1], loss=f.kind == "loss")


@np.errstate(
    all="ignore"
)  # far out squares overflow and differences of infinities are invalid, as they should
def describe(section: Section, *, loss: bool = False) -> Properties:
    """The properties of one section."""
    return _Curve(section).properties(loss)


def _towards(place: float, side: int) -> Array:
    """Three places beside ``place`` on that side: their distances' exponents double, as far as numbers reach."""
    if not place:
        return side * 2.0 ** np.array([-250.0, -500.0, -1000.0])
    scale = 2.0 ** math.frexp(abs(place))[1]
    return place + side * scale * 2.0 ** np.array([-13.0, -26.0, -52.0])


class _Curve:
    """A section sampled at every scale, with its smooth pieces, turns and jumps located."""

    def __init__(self, section: Section) -> None:
        self.section = section
        self.kinks = [k[0] for k in section.kinks if math.isfinite(k[0])]
        self.x = self._abscissae()
        self.y, self.s = section.value(self.x), section.slope(self.x)
        good = ~np.isnan(self.y) & ~np.isnan(self.s)
        self.x, self.y, self.s = self.x[good], self.y[good], self.s[good]
        finite = np.abs(self.s[np.isfinite(self.s) & (np.abs(self.x) <= _FARTHER)])
        self.steepest = float(finite.max(initial=0.0))
        self.poles = self._poles()
        self.jumps = self._jumps()
        self.turns = self._turns()
        self.dead = self._dead()

    def _abscissae(self) -> Array:
        domain = self.section.domain
        powers = 2.0 ** np.concatenate(
            [np.arange(-60, 12, 0.125), np.arange(12, 1023, 7.0), np.arange(-1022, -60, 31.0)]
        )
        x = [np.linspace(-30, 30, 60 * 64 + 1), powers, -powers, np.zeros(1)]
        for end, sign in ((domain.low, 1), (domain.high, -1)):
            if math.isfinite(end):
                x += [np.array([end]), end + sign * powers[powers < 1]]
        for kink in self.kinks:
            near = 2.0 ** np.arange(-50.0, 0.0, 2.0) * max(1.0, abs(kink))
            x += [np.array([kink]), kink + near, kink - near]
        every = np.unique(np.concatenate(x))
        if domain.members:
            every = every[(every >= domain.low) & (every <= domain.high)]
        inside = (every > domain.low) & (every < domain.high)
        ends = [e for e in (domain.low, domain.high) if math.isfinite(e) and e in domain]
        return np.unique(np.concatenate([every[inside], ends]))

    def _value(self, x: float) -> float:
        return float(self.section.value(np.array([x]))[0])

    def _slope(self, x: float) -> float:
        return float(self.section.slope(np.array([x]))[0])

    def _bisect(self, right: Callable[[float], bool], low: float, high: float) -> float:
        """The place between low and high from which on ``right`` holds."""
        for _ in range(80):
            middle = low / 2 + high / 2
            if not low < middle < high:
                break
            low, high = (low, middle) if right(middle) else (middle, high)
        near = [k for k in (*self.kinks, 0.0) if abs(high - k) < 1e-9 * max(1.0, abs(k))]
        return near[0] if near else high

    def _poles(self) -> list[float]:
        """Places where the value is infinite, and finite again on either side."""
        infinite = np.isinf(self.y)
        edges = np.flatnonzero(np.diff(infinite.astype(np.int8))) + 1
        runs = np.split(np.arange(infinite.size), edges)[1:-1]
        return [float(min(self.x[run], key=abs)) for run in runs if infinite[run[0]]]

    def _jumps(self) -> tuple[tuple[float, float], ...]:
        """Places where the value is discontinuous, and by how much."""
        x, y = self.x, self.y
        moderate = (np.abs(x[:-1]) < _FARTHER) & (np.abs(x[1:]) < _FARTHER)
        rise = np.abs(np.diff(y))
        steep = np.maximum(np.abs(self.s[:-1]), np.abs(self.s[1:])) * np.diff(x)
        suspect = moderate & np.isfinite(rise) & (rise > 3 * steep + 1e-12 * (1 + np.abs(y[1:])))
        found: dict[float, float] = {}
        for i in np.flatnonzero(suspect)[:200]:
            low, high = float(x[i]), float(x[i + 1])
            y_low, y_high = float(y[i]), float(y[i + 1])
            whole = abs(y_high - y_low)
            for _ in range(1100):
                middle = low / 2 + high / 2
                if not low < middle < high:
                    break
                y_middle = self._value(middle)
                if abs(y_middle - y_low) >= abs(y_high - y_middle):
                    high, y_high = middle, y_middle
                else:
                    low, y_low = middle, y_middle
            if abs(y_high - y_low) > 0.3 * whole and abs(y_high - y_low) > 1e-9:
                at = min((low, high), key=abs) if low * high <= 0 else high
                near = [k for k in self.kinks if abs(at - k) < 1e-9 * max(1.0, abs(k))]
                place = near[0] if near else at
                found[place] = found.get(place, 0.0) + y_high - y_low
        return tuple(found.items())

    def _signs(self) -> Array:
        floor = _NOISE * max(self.steepest, 1e-300)
        sign: Array = np.sign(self.s)
        # A run of one sign that nowhere rises above the noise is no slope of its own.
        edges = np.flatnonzero(np.diff(sign)) + 1
        for run in np.split(np.arange(sign.size), edges):
            if np.abs(self.s[run]).max() <= floor:
                sign[run] = 0
        return sign

    def _turns(self) -> tuple[float, ...]:
        sign = self._signs()
        steep = np.flatnonzero(sign)
        places = []
        for i, j in itertools.pairwise(steep):
            if sign[i] != sign[j] and abs(self.x[j]) < _FARTHER:
                upper = sign[j]
                low, high = float(self.x[i]), float(self.x[j])
                places.append(self._bisect(lambda m, upper=upper: self._slope(m) * upper > 0, low, high))  # type: ignore[misc]
        return tuple(places)

    def _dead(self) -> tuple[tuple[float, float], ...]:
        zero = self.s == 0
        edges = np.flatnonzero(np.diff(zero.astype(np.int8))) + 1
        found = []
        for run in np.split(np.arange(zero.size), edges):
            low, high = float(self.x[run[0]]), float(self.x[run[-1]])
            if not zero[run[0]] or high - low < 1e-6 * max(1.0, abs(low), abs(high)):
                continue
            ends, alive = [low, high], True
            for side, i in ((0, run[0] - 1), (1, run[-1] + 1)):
                if not 0 <= i < zero.size:
                    ends[side] = math.copysign(math.inf, side - 0.5)
                    if math.isfinite(bound := (self.section.domain.low, self.section.domain.high)[side]):
                        ends[side] = bound
                    continue
                inside, outside = float(self.x[run[-side]]), float(self.x[i])
                if side == 0:
                    edge = self._bisect(lambda m: self._slope(m) == 0, outside, inside)
                else:
                    edge = self._bisect(lambda m: self._slope(m) != 0, inside, outside)
                step = math.copysign(0.01 * max(1.0, abs(edge)), side - 0.5)
                alive = alive and abs(self._slope(edge + step)) > _FLAT
                ends[side] = edge
            if alive:
                found.append((ends[0], ends[1]))
        return tuple(found)

    def properties(self, loss: bool) -> Properties:
        """All of it."""
        section = self.section
        (low, low_at), (high, high_at) = self._extreme(-1), self._extreme(1)
        lipschitz, lipschitz_at = self._lipschitz()
        zero = 0.0 in section.domain
        return Properties(
            label=section.label,
            axis=section.axis,
            loss=loss,
            monotone=self._monotone(),
            turning_points=self.turns,
            jumps=tuple(place for place, _ in self.jumps),
            infimum=low,
            supremum=high,
            infimum_at=low_at,
            supremum_at=high_at,
            symmetry=self._symmetry(),
            at_zero=self._value(0.0) if zero else None,
            mean=self._mean(),
            saturated=(self._saturated(-1), self._saturated(1)),
            dead=self.dead,
            lipschitz=lipschitz,
            lipschitz_at=lipschitz_at,
            asymptotes=(self._asymptote(-1), self._asymptote(1)),
            curvature=self._curvature(),
        )

    def _monotone(self) -> str:
        signs = {int(s) for s in np.unique(self._signs())} | {int(np.sign(by)) for _, by in self.jumps}
        signs.discard(0)
        if not signs:
            return "constant"
        return "neither" if len(signs) == 2 else ("increasing" if 1 in signs else "decreasing")

    @cached_property
    def _edges(self) -> tuple[Array, ...]:
        """Places that approach each end of the domain, and each pole, from each side where the curve goes on."""
        domain = self.section.domain
        edges = [
            _towards(end, -side) if math.isfinite(end) else side * _OUTWARDS
            for end, side in ((domain.low, -1), (domain.high, 1))
        ]
        for pole in self.poles:
            edges += [_towards(pole, side) for side in (-1, 1)]
        return tuple(edges)

    def _limit(self, edge: Array, curve: Callable[[Array], Array]) -> float:
        """The limit of the curve along an edge: infinite where it keeps growing, NaN where it cannot be read."""
        y = curve(edge)
        sizes = np.abs(y)
        if np.isnan(y).any():
            return math.nan
        # Where the curve grows as slowly as a logarithm its steps double, too; where it saturates they shrink.
        steps = np.diff(sizes)
        growing = bool((steps > 0).all()) and steps[1] > max(0.75 * steps[0], 1e-9 * sizes[2])
        return math.copysign(math.inf, y[2]) if growing or math.isinf(sizes[2]) else float(y[2])

    def _extreme(self, sign: int) -> tuple[float, float | None]:
        """The infimum (sign -1) or supremum (sign 1), and where it is taken."""
        domain = self.section.domain
        taken = [*self.turns, *self.kinks, *(e for pair in self.dead for e in pair if math.isfinite(e))]
        taken += [
            0.5 * (a + b) if math.isfinite(a + b) else (a + 1 if math.isfinite(a) else b - 1)
            for a, b in self.dead
            if math.isfinite(a) or math.isfinite(b)
        ]
        taken += [e for e in (domain.low, domain.high) if math.isfinite(e) and e in domain]
        taken += [0.0] if (not self.steepest and 0.0 in domain) else []
        for place, _ in self.jumps:
            taken += [place, np.nextafter(place, math.inf), np.nextafter(place, -math.inf)]
        moderate = np.abs(self.x) <= _FARTHER
        best = float((sign * self.y[moderate]).max())
        limits = [sign * self._limit(edge, self.section.value) for edge in self._edges]
        best = max([best, *(limit for limit in limits if not math.isnan(limit))])
        values = {float(x): sign * self._value(float(x)) for x in taken if x in domain}
        best = max(best, *(v for v in values.values() if not math.isnan(v)), -math.inf)
        # A sum of logarithms that should be 0 is 1e-16.
        best = 0.0 if abs(best) < 1e-14 else best
        reached = [
            x
            for x, v in values.items()
            if v >= best - 1e-12 * abs(best) and (math.isfinite(best) or v == best)
        ]
        return sign * best, min(reached, key=abs) if reached else None

    def _symmetry(self) -> str:
        domain = self.section.domain
        if domain.low != -domain.high:
            return "neither"
        x = self.x[(self.x > 0) & (self.x < domain.high)]
        x = x[~np.isin(x, self.kinks) & ~np.isin(-x, self.kinks)]
        # Below, pred - target has lost digits; above, squares overflow.
        x = x[(x > 1e-3) & (x < 2.0**500)]
        y, mirrored = self.section.value(x), self.section.value(-x)
        room = 1e-12 * np.abs(y)
        if bool(np.all((y == mirrored) | (np.abs(y - mirrored) <= room))):
            return "even"
        return "odd" if bool(np.all((y == -mirrored) | (np.abs(y + mirrored) <= room))) else "neither"

    def _mean(self) -> float | None:
        domain = self.section.domain
        if math.isfinite(domain.low) or math.isfinite(domain.high):
            return None
        # Midpoints: exact to 1e-7 even across kinks, and symmetric, so that odd functions give 0.
        near, far = (np.arange(9 * 1998) + 0.5) / 1998, 9 + (np.arange(29 * 64) + 0.5) / 64
        half = np.concatenate([near, far])
        width = np.concatenate([np.full(near.size, 1 / 1998), np.full(far.size, 1 / 64)])
        x, width = np.concatenate([-half[::-1], half]), np.concatenate([width[::-1], width])
        weight = np.exp(-0.5 * x * x) * width
        terms = self.section.value(x) * weight
        sizes = np.abs(terms)
        known = np.isfinite(terms)
        last = sizes[known][[0, -1]].max() if known.any() else math.inf
        whole = math.fsum(sizes[known])
        if np.isnan(terms).any() or last > _NEGLIGIBLE * whole or self._pole_matters(sizes[np.abs(x) < 9]):
            return math.inf
        return math.fsum(terms[known]) / math.fsum(weight)

    def _pole_matters(self, sizes: Array) -> bool:
        """Whether the integral of |f|, of evenly spread terms, depends on how closely a pole is looked at."""
        if not self.poles:
            return False
        coarse = 3 * math.fsum(sizes[1::3])
        return bool(abs(coarse - math.fsum(sizes)) > 0.01 * coarse)

    def _saturated(self, side: int) -> float | None:
        x, s = (self.x, self.s) if side > 0 else (self.x[::-1], self.s[::-1])
        end = self.section.domain.high if side > 0 else self.section.domain.low
        steep = np.flatnonzero(np.abs(s) >= SATURATED)
        if math.isfinite(end) or (steep.size and steep[-1] == s.size - 1):
            return None
        if not steep.size:
            return math.copysign(math.inf, -side)
        low, high = float(x[steep[-1]]), float(x[steep[-1] + 1])
        if side > 0:
            return self._bisect(lambda m: abs(self._slope(m)) < SATURATED, low, high)
        return self._bisect(lambda m: abs(self._slope(m)) >= SATURATED, high, low)

    def _lipschitz(self) -> tuple[float, float | None]:
        if self.jumps:
            return math.inf, self.jumps[0][0]
        for edge in self._edges:
            if math.isinf(self._limit(edge, self.section.slope)):
                return math.inf, None
        # Beyond 2^500 products such as x * x overflow, and with them what one may conclude.
        known = np.abs(self.x) < 2.0**500
        x, s = self.x[known], np.abs(self.s[known])
        best = float(s.max())
        if math.isinf(best):
            return best, float(x[np.argmax(s)])
        for place, left, right, _ in self.section.kinks:
            if max(abs(left), abs(right)) > best * (1 + 1e-12):
                return max(abs(left), abs(right)), place
        domain = self.section.domain
        if math.isfinite(domain.low + domain.high) and best > 1e6 * self.steepest_inside():
            return math.inf, float(x[np.argmax(s)])
        top = np.flatnonzero(s >= best * (1 - 1e-12))
        i = int(top[np.argmin(np.abs(x[top]))])
        if np.ptp(x[top]) > 0.1 or not 0 < i < x.size - 1:
            return best, None
        return (best, float(x[i])) if top.size > 3 else self._summit(float(x[i - 1]), float(x[i + 1]))

    def steepest_inside(self) -> float:
        """The largest slope in the middle half of a bounded domain."""
        low, high = self.section.domain.low, self.section.domain.high
        middle = (self.x > low + (high - low) / 4) & (self.x < high - (high - low) / 4)
        return float(np.abs(self.s[middle]).max(initial=1e-300))

    def _summit(self, low: float, high: float) -> tuple[float, float]:
        """The maximum of |slope| between two places, by repeated grids."""
        for _ in range(12):
            x = np.linspace(low, high, 33)
            s = np.abs(self.section.slope(x))
            i = int(np.argmax(s))
            low, high = float(x[max(i - 1, 0)]), float(x[min(i + 1, 32)])
            if high - low < 1e-7 * max(1.0, abs(low)):
                break
        return float(s[i]), float(x[i])

    def _asymptote(self, side: int) -> Line | None:
        end = self.section.domain.high if side > 0 else self.section.domain.low
        if math.isfinite(end):
            return None
        x = side * np.array([_FAR, _FARTHER])
        y, s = self.section.value(x), self.section.slope(x)
        if not np.isfinite(s).all() or abs(s[1] - s[0]) > 1e-4 * max(1.0, abs(s[1])):
            return None
        slope = (float(s[1]) if s[0] == s[1] else round(float(s[1]), 10)) + 0.0
        rest = y - slope * x
        if not np.isfinite(rest).all():
            return None
        gap = float(rest[1] - rest[0])
        if abs(gap) <= 1e-9 * (1 + abs(float(rest[0]))):
            # What has all but gone at the second place is on its way to 0: 1/x^4 is 1e-12 at the first.
            return Line(slope, 0.0 if abs(gap) > abs(float(rest[0])) / 2 else float(rest[0]) + 0.0)
        # What is left falls as 1/x or faster: extrapolated once. A logarithm or a power falls through here.
        if (
            abs(gap) > 0.05 * (1 + abs(float(rest[1])))
            or abs(self._value(side * 2.0**30) - slope * side * 2.0**30 - rest[1]) > abs(gap) / 16
        ):
            return None
        if not slope and math.isfinite(limit := self._limit(side * _OUTWARDS, self.section.value)):
            # 1/x is 1e-301 at 2^1000, and there is no number at which it were 0.
            return Line(0.0, 0.0 if abs(limit) < _NOISE * abs(float(rest[0])) else limit + 0.0)
        return Line(slope, round(float(rest[1]) + gap / (_FARTHER / _FAR - 1), 9) + 0.0)

    def _curvature(self) -> str:
        inner = (np.abs(self.x) <= 40) & np.isfinite(self.y) & np.isfinite(self.s)
        x, y, s = self.x[inner], self.y[inner], self.s[inner]
        gaps = np.diff(s)
        room = 1e-11 * np.maximum(np.abs(s[1:]), np.abs(s[:-1])) + _NOISE
        room += 1e-11 * np.maximum(np.abs(y[1:]), np.abs(y[:-1]))  # what numerical derivatives are exact to
        i, j = np.random.default_rng(0).integers(0, x.size, (2, 4096))
        chord = y[i] / 2 + y[j] / 2 - self.section.value(x[i] / 2 + x[j] / 2)
        slack = 1e-11 * (np.abs(y[i]) + np.abs(y[j]) + 1)
        convex = bool(np.all(gaps >= -room) and np.all(chord >= -slack))
        concave = bool(np.all(gaps <= room) and np.all(chord <= slack))
        return {(True, True): "affine", (True, False): "convex", (False, True): "concave"}.get(
            (convex, concave), "neither"
        )
