"""Is it right? Checks of a compiled function as a black box, the same for the catalogue's and for users' own.

float64 derivatives are judged by differences of the compiled forward pass, float32 kernels by the float64 ones, and
both by the formula's own exact value, which sees the tails that differences do not.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from actbench.catalog.declaration import Declaration
from actbench.catalog.domain import REALS, Domain
from actbench.catalog.errors import InfeasibleError, ParameterError, UsageError
from actbench.kernels.base import Function
from actbench.verify import differences, inputs, laws, truth
from actbench.verify.report import Evidence, Place, Tally
from actbench.verify.section import Array, kinks_of
from actbench.verify.trial import tried

Params = Mapping[str, Any]
_NICE = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 40.0, 100.0, 700.0)
_SAMPLE = 200
"""Points a formula judges in each setting, at 20 us each."""
_FLOAT64 = np.dtype(np.float64)
_ULP32 = 2.0**-23
_WRONG32 = 1024
"""ULP from where on a float32 is wrong, not merely inexact, which is the audit's concern."""


def evidence(
    f: Function, params: Iterable[Params] | None = None, points: Array | None = None
) -> tuple[Evidence, ...]:
    """The checks of one function: at the given settings of its parameters, or at those of ``settings``.

    ``points`` are inputs to use in the place of the built-in ones. Raises ParameterError for a parameter that the
    function does not take, InfeasibleError for points of which none lies in its domain.
    """
    if points is not None:
        points = np.asarray(points, np.float64).reshape(-1)
        domain = f.declaration.domain
        points = np.unique([p for p in points.tolist() if math.isfinite(p) and p in domain])
        if not points.size:
            raise InfeasibleError(f"{f.name}: the input holds no finite value in its domain {domain}")
    tried(f)
    chosen = settings(f.declaration) if params is None else [dict(given) for given in params]
    checker = _CHECKERS[f.declaration.template](f, points)
    for given in chosen:
        f.declaration.resolve(given)
        with np.errstate(all="ignore"):
            checker.run(given)
            checker.formula(given)
    return tuple(t.evidence() for t in checker.tallies.values() if t.points)


def settings(declaration: Declaration) -> list[dict[str, Any]]:
    """Parameter values to check at: the defaults, each parameter's shown values, and draws from its valid range."""
    names = declaration.defaults if declaration.prepare else declaration.body_params
    rng = np.random.default_rng(0)
    varied: list[dict[str, Any]] = []
    drawn: list[dict[str, Any]] = [{}, {}]
    for name in names:
        default, param = declaration.defaults[name], declaration.describe(name)
        if isinstance(param.valid, tuple):
            # A loss's choice copies what a framework does, which is not always the derivative (torch's bce).
            varied += [{name: c} for c in param.valid if c != default and declaration.kind == "activation"]
        elif isinstance(default, int | float) and isinstance(param.valid, Domain):
            varied += [{name: value} for value in param.shown]
            for together in drawn:
                together[name] = _draw(rng, param.valid, default)
    return [given for given in [{}, *varied, *(d for d in drawn if d)] if _valid(declaration, given)]


def _draw(rng: np.random.Generator, valid: Domain, default: float) -> float:
    if valid.members:
        return float(rng.choice(valid.members))
    low, high = valid.low, valid.high
    if isinstance(default, int) and not isinstance(default, bool):
        return int(rng.integers(int(max(low, default)), int(min(high, default + 4)), endpoint=True))
    if math.isfinite(low) and math.isfinite(high):
        drawn = rng.uniform(low, high)
    elif math.isfinite(low):
        drawn = low + rng.lognormal()
    else:
        drawn = high - rng.lognormal() if math.isfinite(high) else default + rng.normal()
    # Few digits, so that a counter-example can be typed.
    return float(f"{drawn:.3g}")


def _valid(declaration: Declaration, given: Params) -> bool:
    try:
        values = declaration.resolve(given)
        if declaration.prepare is not None:
            declaration.prepare(np.zeros(1), **values)
    except ParameterError:
        return False
    return True


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


def _on(axis: str, x: Array, fixed: Place = ()) -> Callable[[int], Place]:
    """The places of points on a curve."""
    return lambda i: ((axis, float(x[i])), *fixed)


def _or_zero(found: differences.Slope, flat: Array) -> tuple[Array, Array]:
    """The slopes and their errors, exactly 0 where the value is known not to move at all."""
    return np.where(flat, 0, found.value), np.where(flat, 0, found.error)


class _Checker(ABC):
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

    def _away(self, places: Sequence[float]) -> Array:
        """The user's points that lie on no kink; InfeasibleError where there is none."""
        left = np.setdiff1d(np.asarray(self.points), places)
        if not left.size:
            raise InfeasibleError(f"{self.f.name}: all values of the input lie on its kinks")
        return left

    def _chosen(self, x: Array) -> Array:
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
            got, *_or_zero(found, flat & (got == 0)), _on(axis, x, fixed), given
        )
        if kinks:
            self._kinks(value, derivative, kinks, axis, fixed, given)
        self._undeclared(value, derivative, places, x, axis, fixed, given)
        bounds = self.f.declaration.range_at(given)
        clipped = np.clip(y, bounds.low, bounds.high)
        room = 1e-12 * np.maximum(1.0, np.minimum(np.abs(clipped), 1e300))
        self.tally("range", "declared range").add(
            y, clipped, room, _on(axis, x, fixed), given, relative=False
        )
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
            tally.add(y_high, expected, 0.0, _on(axis, at, fixed), given, relative=False)

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
                    _on(axis, np.array([end]), fixed), given, relative=False,
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


class _Elementwise(_Checker):
    def _abscissae(self, given: Params) -> Array:
        places = [k[0] for k in kinks_of(self.f, given) if math.isfinite(k[0])]
        if self.points is not None:
            return self._away(places)
        return abscissae(self.f.declaration.domain, places)

    def curves(self, given: Params) -> Sequence[tuple[Array, ...]]:
        return [(self._chosen(self._abscissae(given)),)]

    def run(self, given: dict[str, Any]) -> None:
        f, declaration = self.f, self.f.declaration
        kinks, x = kinks_of(f, given), self._abscissae(given)
        self.curve(lambda v: f(v, **given), lambda v: f.derivative(v, **given), kinks, x, "x", (), given)
        g = self.rng.normal(size=x.size)
        for dtype in (np.float64, np.float32):
            a, b = x.astype(dtype), g.astype(dtype)
            product = b * f.derivative(a, **given)
            # Bit for bit; a derivative kept in float64 inside a float32 kernel is rounded once, after the product.
            room = np.spacing(np.abs(product)) if dtype is np.float32 else 0.0
            self.tally("backward", "g * derivative").add(
                f.backward(b, a, **given), product, room,
                lambda i: (("x", float(x[i])), ("grad_output", float(g[i]))), given, relative=False,
            )  # fmt: skip
        moderate = x[np.abs(x) < 1e30]
        self.narrow(lambda v, **p: f(v, **p), {"x": moderate}, given, "value")
        if not self.rough:
            self.narrow(lambda v, **p: f.derivative(v, **p), {"x": moderate}, given, "derivative")
        for name in declaration.gradients:
            self._learned(name, x, given)

    def _learned(self, name: str, x: Array, given: dict[str, Any]) -> None:
        f, declaration = self.f, self.f.declaration
        at, param = float(declaration.resolve(given)[name]), declaration.describe(name)
        assert isinstance(param.valid, Domain)
        reach = float(differences.reach_within(np.array([at]), [], param.valid.low, param.valid.high)[0])
        x = x[np.abs(x) <= 1e6]
        x = x[:: max(1, x.size // 300)]
        tally = self.tally(f"gradient wrt {name}", "differences")

        def along(t: Array) -> Array:
            # One parameter a call: displacements of one step are few, points are many.
            y = np.empty(x.size)
            for step in np.unique(t):
                mask = t == step
                y[mask] = f(x[mask], **{**given, name: at + step})
            return y

        one = np.ones(1)
        got = np.array([f.backward(one, x[i : i + 1], wrt=name, **given) for i in range(x.size)])
        if reach > 0:
            found = differences.slope(along, np.full(x.size, reach), at=at)
            far = [along(np.full(x.size, t)) for t in (-0.9 * min(reach, 1.0), 0.0, 0.9 * min(reach, 1.0))]
            idle = (got == 0) & (far[0] == far[1]) & (far[1] == far[2])
            tally.add(got, *_or_zero(found, idle), lambda i: (("x", float(x[i])),), given)
        total = np.array([math.fsum(got)])
        summed = np.atleast_1d(f.backward(np.ones(x.size), x, wrt=name, **given))
        room = 1e-13 * math.fsum(np.abs(got))
        tally.add(summed, total, room, lambda i: (("sum over x from", float(x[0])),), given, relative=False)
        if param.array and x.size >= 12:
            block = x[:12].reshape(2, 3, 2)
            weights = at + np.array([0.0, 0.25, -0.5])
            parts = f.backward(np.ones(block.shape), block, wrt=name, **{**given, name: weights})
            alone = [
                f.backward(np.ones((2, 2)), block[:, c], wrt=name, **{**given, name: float(w)})
                for c, w in enumerate(weights)
            ]
            tally.add(
                parts,
                np.array(alone),
                1e-13 * np.abs(block).sum(),
                lambda i: (("channel", float(i)),),
                given,
                relative=False,
            )


class _Pairwise(_Checker):
    def _abscissae(self, given: Params, target: float) -> Array:
        places = [k[0] for k in kinks_of(self.f, given, target=target) if math.isfinite(k[0])]
        if self.points is not None:
            return self._away(places)
        domain = self.f.declaration.domain
        return abscissae(domain, places, target if domain.low == -math.inf else 0.0)

    def curves(self, given: Params) -> Sequence[tuple[Array, ...]]:
        found = []
        for target in inputs.typical_targets(self.f.declaration):
            x = self._chosen(self._abscissae(given, target))
            found.append((x, np.full_like(x, target)))
        return found

    def run(self, given: dict[str, Any]) -> None:
        f, declaration = self.f, self.f.declaration
        for t in inputs.typical_targets(declaration):
            kinks = kinks_of(f, given, target=t)
            x = self._abscissae(given, t)

            def value(v: Array, t: float = t) -> Array:
                return f(v, np.full_like(v, t), reduction="none", **given)  # type: ignore[no-any-return]

            def slope(v: Array, t: float = t) -> Array:
                return f.backward(v, np.full_like(v, t), reduction="none", **given)  # type: ignore[no-any-return]

            self.curve(value, slope, kinks, x, "pred", (("target", t),), given)
            moderate = x[np.abs(x) < 1e15]
            both = {"pred": moderate, "target": np.full_like(moderate, t)}
            self.narrow(lambda p, y, **q: f(p, y, reduction="none", **q), both, given, "value")
            if not self.rough:
                self.narrow(
                    lambda p, y, **q: f.backward(p, y, reduction="none", **q), both, given, "derivative"
                )
        for name in declaration.gradients:
            self._wrt(name, given)
        self._reduced(given)

    def _drawn(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Predictions and targets at random."""
        declaration = self.f.declaration
        pred, target = (inputs.drawn(d, shape, self.rng) for d in (declaration.domain, declaration.target))
        return pred, target

    def _wrt(self, name: str, given: dict[str, Any]) -> None:
        f, declaration = self.f, self.f.declaration
        pred, target = self._drawn((200,))
        tally = self.tally(f"gradient wrt {name}", "differences")
        place = lambda i: (("pred", float(pred[i])), ("target", float(target[i])))  # noqa: E731
        got = f.backward(pred, target, reduction="none", wrt=name, **given)
        if name == "target":
            reach = differences.reach_within(target, [], declaration.target.low, declaration.target.high)
            found = differences.slope(
                lambda t: f(pred, target + t, reduction="none", **given), reach, at=target
            )
        else:
            at = float(declaration.resolve(given)[name])
            valid = declaration.describe(name).valid
            assert isinstance(valid, Domain)
            reach = differences.reach_within(np.array([at]), [], valid.low, valid.high)
            found = differences.slope(
                lambda t: f(pred, target, reduction="none", **{**given, name: at + float(t[0])}),
                np.full(pred.shape, float(reach[0])),
                at=at,
            )
        tally.add(got, found.value, found.error, place, given)

    def _reduced(self, given: dict[str, Any]) -> None:
        """Gradients of the mean and of the sum, along random directions of a small batch."""
        f, declaration = self.f, self.f.declaration
        for reduction in ("mean", "sum"):
            tally = self.tally(f"gradient of the {reduction}", "differences")
            for _ in range(6):
                pred, target = self._drawn((3, 4))
                v = np.round(self.rng.uniform(-1, 1, pred.shape), 3)
                got = np.array([np.vdot(f.backward(pred, target, reduction=reduction, **given), v)])
                reach = differences.reach_within(
                    pred, [], declaration.domain.low, declaration.domain.high
                ).min()
                found = differences.slope(
                    lambda t: np.array([float(f(pred + t[0] * v, target, reduction=reduction, **given))]),  # noqa: B023
                    np.array([reach]),
                )
                tally.add(got, found.value, found.error, _on("pred[0, 0]", pred[0, :1]), given)


class _Rowwise(_Checker):
    def run(self, given: dict[str, Any]) -> None:
        f = self.f
        for width in (1, 2, 3, 4, 6, 17):
            for scale in (0.1, 1.0, 10.0, 100.0):
                x = np.round(self.rng.normal(0, scale, (width,)), 6)
                if self.points is not None:
                    x = self.rng.choice(self.points, width)
                try:
                    y = f(x, **given)
                except InfeasibleError:
                    break
                self._jacobian(x, y.size, given)
        self._ties(given)
        for width in (8, 1000):
            try:
                x = self.rng.normal(0, 4, (16, width))
                g = self.rng.normal(size=f(x, **given).shape)
            except InfeasibleError:
                continue
            self.narrow(lambda v, **p: f(v, **p), {"x": x}, given, "value", rows=True)
            self.narrow(
                lambda u, v, **p: f.backward(u, v, **p),
                {"grad_output": g, "x": x},
                given,
                "backward",
                rows=True,
            )

    def _jacobian(self, x: Array, outputs: int, given: dict[str, Any]) -> None:
        """Vector-Jacobian products against directional differences: every entry alone, and random vectors."""
        f, width = self.f, x.size
        units = [
            (np.eye(outputs)[j], np.eye(width)[i])
            for i in range(min(width, 6))
            for j in range(min(outputs, 6))
        ]
        random = [(self.rng.normal(size=outputs), np.round(self.rng.normal(size=width), 3)) for _ in range(8)]
        g = np.array([pair[0] for pair in units + random])
        v = np.array([pair[1] for pair in units + random])
        got = np.sum(f.backward(g, np.broadcast_to(x, (len(g), width)), **given) * v, axis=1)
        size = np.sum(np.abs(g * f(x, **given)), axis=1)
        found = differences.slope(
            lambda t: np.sum(g * f(x + t[:, None] * v, **given), axis=1), np.full(len(g), np.inf),
            at=np.abs(x).max(), magnitude=size,
        )  # fmt: skip

        def place(i: int) -> Place:
            return tuple((f"x[{k}]", float(x[k])) for k in range(min(width, 6)))

        self.tally("backward", "differences").add(got, found.value, found.error, place, given)

    def _ties(self, given: dict[str, Any]) -> None:
        """Where elements are equal the product lies between the slopes of the two sides."""
        f, tally = self.f, self.tally("ties", "one-sided slopes")
        for width in (2, 3, 4, 6):
            x = np.full(width, 0.5)
            try:
                outputs = f(x, **given).size
            except InfeasibleError:
                continue
            g, v = np.eye(outputs)[np.arange(width) % outputs], np.eye(width)
            got = np.sum(f.backward(g, np.broadcast_to(x, (width, width)), **given) * v, axis=1)
            sides = [
                differences.slope(
                    lambda t: np.sum(g * f(x + t[:, None] * v, **given), axis=1),  # noqa: B023
                    np.full(width, np.inf), side=side,
                )
                for side in (-1, 1)
            ]  # fmt: skip
            low, high = np.minimum(sides[0].value, sides[1].value), np.maximum(sides[0].value, sides[1].value)
            tally.add(
                got, np.clip(got, low, high), sides[0].error + sides[1].error,
                lambda i: (("every x", 0.5), ("width", float(x.size))), given, relative=False,  # noqa: B023
            )  # fmt: skip


class _Classification(_Checker):
    def run(self, given: dict[str, Any]) -> None:
        f = self.f
        for classes in (2, 3, 5):
            weight = np.round(self.rng.uniform(0.25, 2, classes), 3)
            soft = self.rng.dirichlet(np.ones(classes), 4)
            index = np.array([0, classes - 1, 1, 0])
            for scale in (0.1, 1.0, 10.0, 40.0):
                pred = np.round(self.rng.normal(0, scale, (4, classes)), 6)
                if self.points is not None:
                    pred = self.rng.choice(self.points, pred.shape)
                for target in (index, np.eye(classes)[index], soft):
                    for more in ({}, {"weight": weight}):
                        self._gradient(pred, target, {**given, **more})
            for target in (index, soft):
                for options in ([], [("weight", weight)], [("ignore_index", 1)]):
                    self._reduced(self.rng.normal(size=(4, classes)), target, given | dict(options))
        pred, index = self.rng.normal(0, 4, (16, 100)), self.rng.integers(0, 100, 16)
        both = {"pred": pred, "target": index}
        self.narrow(lambda p, y, **q: f(p, y, reduction="none", **q), both, given, "value", rows=True)
        self.narrow(
            lambda p, y, **q: f.backward(p, y, reduction="none", **q), both, given, "backward", rows=True
        )

    def _gradient(self, pred: Array, target: Array, given: dict[str, Any]) -> None:
        """Every entry of the gradient against differences in that logit."""
        f, classes = self.f, pred.shape[1]
        row, column = (i.reshape(-1) for i in np.indices(pred.shape))
        got = f.backward(pred, target, reduction="none", **given)[row, column]
        unit = np.eye(classes)[column]
        found = differences.slope(
            lambda t: f(pred[row] + t[:, None] * unit, target[row], reduction="none", **given),
            np.full(row.size, np.inf), at=np.abs(pred).max(),
        )  # fmt: skip

        def place(i: int) -> Place:
            return tuple((f"pred[{c}]", float(pred[row[i], c])) for c in range(classes))

        shown = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in given.items()}
        self.tally("gradient", "differences").add(got, found.value, found.error, place, shown)

    def _reduced(self, pred: Array, target: Array, given: dict[str, Any]) -> None:
        f = self.f
        v = np.round(self.rng.normal(size=pred.shape), 3)
        for reduction in ("mean", "sum"):
            got = np.array([np.vdot(f.backward(pred, target, reduction=reduction, **given), v)])
            found = differences.slope(
                lambda t: np.array([float(f(pred + t[0] * v, target, reduction=reduction, **given))]),  # noqa: B023
                np.array([np.inf]),
            )
            shown = {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in given.items()}
            self.tally(f"gradient of the {reduction}", "differences").add(
                got, found.value, found.error, lambda i: (("pred[0, 0]", float(pred[0, 0])),), shown
            )


class _Sequence(_Checker):
    def run(self, given: dict[str, Any]) -> None:
        for steps, classes, labels in inputs.ALIGNMENTS:
            # Other blanks exchange their place with class 0.
            blank = int(self.f.declaration.resolve(given)["blank"])
            width = max(classes, blank + 1)
            moved = np.array([[0 if c == blank else c for c in labels]], np.int64)
            for scale in (1.0, 5.0):
                scores = np.round(self.rng.normal(0, scale, (steps, 1, width)), 6)
                if self.f.declaration.domain.high <= 0:
                    scores = -np.abs(scores) - 0.125
                if self.points is not None:
                    scores = self.rng.choice(self.points, scores.shape)
                self._gradient(scores, moved, given)
        self._batched(given)

    def _gradient(self, scores: Array, labels: Array, given: dict[str, Any]) -> None:
        """Every entry of the gradient against differences in that score; the displacements are the batch."""
        f, (steps, _, classes) = self.f, scores.shape
        got = f.backward(scores, labels, reduction="none", **given)[:, 0].reshape(-1)
        n = got.size
        step, symbol = (i.reshape(-1) for i in np.indices((steps, classes)))
        unit = np.zeros((steps, n, classes))
        unit[step, np.arange(n), symbol] = 1
        many = np.repeat(labels, n, axis=0)
        found = differences.slope(
            lambda t: f(scores + t[:, None] * unit, many, reduction="none", **given), np.full(n, np.inf),
            magnitude=np.abs(scores).max(),
        )  # fmt: skip

        def place(i: int) -> Place:
            return (
                ("steps", float(steps)), *((f"label[{k}]", float(c)) for k, c in enumerate(labels[0])),
                (f"scores[{step[i]}, 0, {symbol[i]}]", float(scores[step[i], 0, symbol[i]])),
            )  # fmt: skip

        self.tally("gradient", "differences").add(got, found.value, found.error, place, given)

    def _batched(self, given: dict[str, Any]) -> None:
        """Several lengths in one batch: the gradients of the reductions, and zeros beyond each length."""
        f = self.f
        blank = int(f.declaration.resolve(given)["blank"])
        classes = max(4, blank + 1)
        usable = [c for c in range(classes) if c != blank]
        labels = np.array(
            [
                [usable[0], usable[1], usable[0]],
                [usable[2], usable[2], usable[1]],
                [usable[1]] * 3,
                [usable[0]] * 3,
            ]
        )
        scores = -np.abs(np.round(self.rng.normal(0, 2, (7, 4, classes)), 6)) - 0.125
        more = {**given, "input_lengths": np.array([7, 5, 6, 4]), "target_lengths": np.array([3, 2, 3, 0])}
        v = np.round(self.rng.normal(size=scores.shape), 3)
        for reduction in ("mean", "sum"):
            for by in ("target_lengths", "batch"):
                options = {**more, "mean_by": by}
                gradient = f.backward(scores, labels, reduction=reduction, **options)
                tally = self.tally(f"gradient of the {reduction}", "differences")
                found = differences.slope(
                    lambda t: np.array([float(f(scores + t[0] * v, labels, reduction=reduction, **options))]),  # noqa: B023
                    np.array([np.inf]),
                )
                place = lambda i: (("scores[0, 0, 0]", float(scores[0, 0, 0])),)  # noqa: E731
                tally.add(np.array([np.vdot(gradient, v)]), found.value, found.error, place, given)
                beyond = np.concatenate([gradient[n:, i].reshape(-1) for i, n in enumerate((7, 5, 6, 4))])
                tally.add(beyond, np.zeros(beyond.size), 0.0, place, given, relative=False)
        both = {"scores": scores, "labels": labels}
        self.narrow(lambda s, y, **q: f(s, y, reduction="none", **q), both, more, "value", rows=True)
        self.narrow(
            lambda s, y, **q: f.backward(s, y, reduction="none", **q), both, more, "backward", rows=True
        )


_CHECKERS: dict[str, type[_Checker]] = {
    "elementwise": _Elementwise,
    "pairwise": _Pairwise,
    "rowwise": _Rowwise,
    "classification": _Classification,
    "sequence": _Sequence,
}
