"""The same bits everywhere: what a unit (an element, a row, a sequence) maps to depends on nothing beside it.

Vectorised code has many ways to do one thing: whole vectors and what is left of them, aligned and not, past the caches
and not, one thread and several. Each of them must give the bits of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from actbench.kernels import threads as pool
from actbench.kernels.arrays import dtype_named
from actbench.kernels.base import Function
from actbench.verify.report import Evidence, Place, Tally
from actbench.verify.section import Array
from actbench.verify.trial import tried

SIZES = (*range(68), 4095, 4096, 4097)
"""Up to four vectors of 16 and what is left of them; whole steps of the kernels, and their neighbours."""
OFFSETS = range(16)
STRIDES = (2, 3, -1)
LANES = 16
THREADS = (1, 2, 3, 7)
_ODD = (0.0, -0.0, 5e-324, -1e-310, 1e-40, 1e30, -1e30, np.inf, -np.inf, np.nan)
Run = Callable[[tuple[Array, ...], Array | None, int], Array]


@dataclass(frozen=True)
class Units:
    """A pass as a map of independent units, which lie along the first axis of the operands and of the result."""

    run: Run
    """The pass over (operands, out or None, threads)."""
    operands: tuple[Array, ...]
    replaceable: int | None = None
    """The operand in whose place the result may be written."""
    labels: int | None = None
    """The operand that can hold no other numbers."""
    whole: bool = False
    """Whether all units make one result, which may depend on their order, but not on threads or memory."""

    def __len__(self) -> int:
        return len(self.operands[0])

    def take(self, chosen: Any) -> tuple[Array, ...]:
        """The operands of some units, in memory of their own."""
        return tuple(np.array(x[chosen], order="C") for x in self.operands)


Variant = tuple[str, float, Array, Array]
"""What is varied, how much, the result, and what it should be."""


def check(f: Function, dtypes: tuple[str, ...] = ("float64", "float32")) -> tuple[Evidence, ...]:
    """Whether every pass gives the same bits in all ways to call it, with default parameters."""
    tallies: dict[str, Tally] = {}
    try:
        with np.errstate(all="ignore"):
            for name in dtypes:
                for pass_, units in _PASSES[f.declaration.template](f, dtype_named(name)):
                    for what, value, got, expected in variants(units):
                        tally = tallies.setdefault(what, Tally(f.name, f"bits: {what}", "plain call"))
                        tally.same(got, expected, partial(_place, units, f"{pass_} {name}, {what}", value))
    except Exception:
        tried(f)  # which says what a user's function raises
        raise
    return tuple(t.evidence() for t in tallies.values())


def _place(units: Units, what: str, value: float, i: int) -> Place:
    first = units.operands[-1 if units.operands[-1].dtype.kind == "f" else 0]
    at = float(first.reshape(len(first), -1)[i % len(first), 0]) if len(first) else 0.0
    return ((what, value), ("unit", float(i)), ("which begins", at))


def variants(units: Units) -> Iterator[Variant]:
    """Results in all ways to call a pass, beside those of one plain call."""
    plain = units.run(units.operands, None, 1)
    if units.whole:
        yield from _of_a_whole(units, plain)
        return
    rng = np.random.default_rng(0)
    for n in SIZES:
        if n <= len(units):
            yield "sizes", n, units.run(units.take(slice(n)), None, 1), plain[:n]
    for k in OFFSETS:
        part = tuple(x[k : k + 3 * LANES + 1] for x in units.operands)
        yield "offsets", k, units.run(part, None, 1), plain[k : k + 3 * LANES + 1]
        room = np.zeros((len(plain) + k, *plain.shape[1:]), plain.dtype)
        yield "offsets", k, units.run(units.operands, room[k:], 1), plain
    for k in STRIDES:
        spread = tuple(_spread(x, k) for x in units.operands)
        yield "strides", k, units.run(spread, None, 1), plain
        yield "strides", k, units.run(units.operands, _spread(np.zeros_like(plain), k), 1), plain
    if units.replaceable is not None:
        operands = units.take(slice(None))
        yield "in place", 0, units.run(operands, operands[units.replaceable], 1), plain
        backwards = units.take(slice(None))
        target = backwards[units.replaceable][::-1]
        yield "in place", -1, units.run(backwards, target, 1), plain
        for k in (1, LANES):
            overlapping = [*units.operands]
            x = units.operands[units.replaceable]
            memory = np.concatenate([x, np.zeros_like(x[:k])])
            overlapping[units.replaceable] = memory[: len(x)]
            yield "in place", k, units.run(tuple(overlapping), memory[k:], 1), plain
    order = rng.permutation(len(units))
    yield "order", 0, units.run(units.take(order), None, 1), plain[order]
    for lane in range(LANES):
        alone = np.arange(len(units)) % LANES == lane
        for poison in (np.nan, np.inf):
            operands = tuple(
                x if i == units.labels else _poisoned(x, alone, poison) for i, x in enumerate(units.operands)
            )
            yield "neighbours", lane, units.run(operands, None, 1)[alone], plain[alone]
    many = np.resize(np.arange(len(units)), _enough(units))
    operands = units.take(many)
    for threads in THREADS:
        yield "threads", threads, units.run(operands, None, threads), plain[many]


def _of_a_whole(units: Units, plain: Array) -> Iterator[Variant]:
    for k in OFFSETS:
        shifted = tuple(_shifted(x, k) for x in units.operands)
        yield "offsets", k, units.run(shifted, None, 1), plain
    for k in STRIDES:
        yield "strides", k, units.run(tuple(_spread(x, k) for x in units.operands), None, 1), plain
    operands = units.take(np.resize(np.arange(len(units)), _enough(units)))
    alone = units.run(operands, None, 1)
    for threads in THREADS[1:]:
        yield "threads", threads, units.run(operands, None, threads), alone


def _enough(units: Units) -> int:
    """As many units as several threads share, and some that fill no part of theirs."""
    each = max(1, max(x[:1].size for x in units.operands))
    return 3 * min(pool.SHARED, 1 << 20) // each + LANES + 3


def _spread(x: Array, step: int) -> Array:
    """The same units, every ``step``-th of those in memory, with room beside for a kernel that overlooks that."""
    size = abs(step) * len(x)
    memory = np.zeros((3 * size, *x.shape[1:]), x.dtype)
    view = memory[size : 2 * size][::step][: len(x)]
    view[...] = x
    return view


def _shifted(x: Array, count: int) -> Array:
    memory = np.zeros((len(x) + count, *x.shape[1:]), x.dtype)
    memory[count:] = x
    return memory[count:]


def _poisoned(x: Array, kept: Array, poison: float) -> Array:
    changed = np.full_like(x, poison)
    changed[kept] = x[kept]
    return changed


# -- the passes of every template


def _values(f: Function, dtype: Any, shape: tuple[int, ...], seed: int, odd: bool = True) -> Array:
    """Values of a function's domain: most of common size, some of every exponent, some that are special."""
    rng = np.random.default_rng(seed)
    domain = f.declaration.domain if seed < 2 else f.declaration.target
    if domain.members:
        return rng.choice(domain.members, shape).astype(dtype)
    x = rng.normal(0, 3, shape) * np.exp2(
        np.where(rng.random(shape) < 0.2, rng.integers(-140, 120, shape), 0)
    )
    if odd:
        places = rng.random(shape) < 0.05
        x[places] = rng.choice(_ODD, int(places.sum()))
    if np.isfinite(domain.low) and np.isfinite(domain.high):
        return (domain.low + (domain.high - domain.low) * rng.random(shape)).astype(dtype)
    return np.clip(x, domain.low, domain.high).astype(dtype)


Passes = Iterator[tuple[str, Units]]


def _elementwise(f: Function, dtype: Any) -> Passes:
    x, g = (_values(f, dtype, (4200,), seed) for seed in (0, 1))
    yield "forward", Units(_writing(f), (x,), 0)
    yield "derivative", Units(_writing(f.derivative), (x,), 0)
    yield "backward", Units(_writing(f.backward), (g, x), 1)
    finite = np.isfinite(g) & np.isfinite(x)
    for name in f.declaration.gradients:
        summed = _summing(partial(f.backward, wrt=name))
        yield f"gradient wrt {name}", Units(summed, (g[finite], x[finite]), whole=True)


def _pairwise(f: Function, dtype: Any) -> Passes:
    pred, target = _values(f, dtype, (4200,), 0), _values(f, dtype, (4200,), 2)
    for name, call in (("forward", f), ("backward", f.backward)):
        labels = 1 if f.declaration.target.members else None
        yield name, Units(_writing(partial(call, reduction="none")), (pred, target), 0, labels)
    finite = np.isfinite(pred) & np.isfinite(target)
    for reduction in ("sum", "mean"):
        summed = _summing(partial(f, reduction=reduction))
        yield reduction, Units(summed, (pred[finite], target[finite]), whole=True)


def _writing(call: Callable[..., Array]) -> Run:
    return lambda operands, out, threads: call(*operands, out=out, threads=threads)


def _summing(call: Callable[..., Any]) -> Run:
    return lambda operands, out, threads: np.asarray(call(*operands, threads=threads)).reshape(1)


def _copying(call: Callable[..., Array]) -> Run:
    """A pass without ``out=``: what it returns is copied there."""

    def copied(operands: tuple[Array, ...], out: Array | None, threads: int) -> Array:
        found = call(*operands, threads=threads)
        if out is None:
            return found
        out[...] = found
        return out

    return copied


def _rowwise(f: Function, dtype: Any) -> Passes:
    for width in (2, 10, 32, 34, 100):
        x = _values(f, dtype, (70, width), 0, odd=False)
        g = np.random.default_rng(1).normal(size=f(x).shape).astype(dtype)
        yield f"forward, rows of {width},", Units(_writing(f), (x,), 0 if x.shape == g.shape else None)
        yield f"backward, rows of {width},", Units(_writing(f.backward), (g, x), 1)


def _classification(f: Function, dtype: Any) -> Passes:
    rng = np.random.default_rng(3)
    for width in (2, 10, 32, 33, 100):
        pred, target = _values(f, dtype, (70, width), 0, odd=False), rng.integers(0, width, 70)
        for name, call in (("forward", f), ("backward", f.backward)):
            run = _copying(partial(call, reduction="none"))
            yield f"{name}, rows of {width},", Units(run, (pred, target), labels=1)


def _sequence(f: Function, dtype: Any) -> Passes:
    rng = np.random.default_rng(4)
    scores = -np.abs(rng.normal(0, 2, (40, 12, 9))).astype(dtype) - dtype.type(0.125)
    labels = rng.integers(1, 9, (40, 4))

    def losses(scores: Array, labels: Array, threads: int) -> Array:
        return f(np.moveaxis(scores, 0, 1), labels, reduction="none", threads=threads)  # type: ignore[no-any-return]

    def gradients(scores: Array, labels: Array, threads: int) -> Array:
        found = f.backward(np.moveaxis(scores, 0, 1), labels, reduction="none", threads=threads)
        return np.moveaxis(found, 1, 0)

    for name, call in (("forward", losses), ("backward", gradients)):
        yield name, Units(_copying(call), (scores, labels), labels=1)


_PASSES: dict[str, Callable[[Function, Any], Passes]] = {
    "elementwise": _elementwise,
    "pairwise": _pairwise,
    "rowwise": _rowwise,
    "classification": _classification,
    "sequence": _sequence,
}
