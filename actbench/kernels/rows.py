"""The compiled twins of the primitives over rows: the same code for one row, and for 16 short ones side by side.

A row is an array of one dimension, taken 16 elements at a time. A block of 16 short rows is an array of shape
(length, 16): lane k holds row k, so that nothing is masked and no sum runs across lanes. What belongs to a row (its
largest element, its sum) is a number for the one, 16 lanes for the other; the first few functions are all that
differs. Sums are float64; those of float64 rows are compensated, and what their last rounding takes goes with them:
a quotient by a rounded sum would err by up to an ULP more.

Exponentials are pairs (high, low) of e^x times a power of two that the row shares: one number of the format would
err by half an ULP before the division, and another half after it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic, overload

from actbench.catalog import primitives
from actbench.kernels import lanes
from actbench.kernels.lanes import COUNT, above, equal, fma, splat, two_sum, where, widen
from actbench.kernels.linking import INLINE, inline
from actbench.kernels.vecmath import float64
from actbench.kernels.vecmath.coefficients import Float32, Float64
from actbench.kernels.vecmath.intrinsics import wide_vectors

_chosen = functools.partial(overload, jit_options=INLINE, strict=False)
_wide = float64.functions
log1p, reduced, series_pair, power = _wide.log1p, _wide.reduced, _wide.series_pair, _wide.power
TO_POWER = np.float64(_wide.ROUNDER + 1023)
ON_STACK = 4096
"""Elements of a row up to which its workspace is on the stack: an allocation costs as much as a row of 50."""


def _is_block(x: Any) -> bool:
    return isinstance(x, lanes.Lanes) or (isinstance(x, types.Array) and x.ndim == 2)


def _spread(v: Any) -> Any: ...


@_chosen(_spread)  # type: ignore[untyped-decorator]
def _spread_of(v: Any) -> Any:
    """What belongs to a row, in every lane that works on it; of a pair, its high part."""
    if isinstance(v, lanes.Pair):
        return lambda v: _spread(v.high)
    return (lambda v: v) if isinstance(v, lanes.Lanes) else (lambda v: splat(v))


def _steps(x: Any) -> Any: ...


@_chosen(_steps)  # type: ignore[untyped-decorator]
def _steps_of(x: Any) -> Any:
    return (lambda x: range(x.shape[0])) if _is_block(x) else (lambda x: range(0, x.size, COUNT))


def _at(x: Any, i: Any, fill: Any) -> Any: ...


@_chosen(_at)  # type: ignore[untyped-decorator]
def _at_of(x: Any, i: Any, fill: Any) -> Any:
    """The lanes at a step; ``fill`` beyond the end of a row."""
    if _is_block(x):
        return lambda x, i, fill: lanes.load(x, i * COUNT)
    return lambda x, i, fill: lanes.part(x, i, fill)


def _put(x: Any, i: Any, value: Any) -> Any: ...


@_chosen(_put)  # type: ignore[untyped-decorator]
def _put_of(x: Any, i: Any, value: Any) -> Any:
    if _is_block(x):
        return lambda x, i, value: lanes.store(x, i * COUNT, value)
    return lambda x, i, value: lanes.put(x, i, value)


def _ahead(x: Any, i: Any) -> None: ...


@_chosen(_ahead)  # type: ignore[untyped-decorator]
def _ahead_of(x: Any, i: Any) -> Any:
    """Ask for the next row while this one is worked on: 0.1 of 0.5 ns an element where rows come from memory."""
    if _is_block(x):
        return lambda x, i: None
    return lambda x, i: lanes.prefetch(x, i + x.size)


def _most(x: Any, v: Any) -> Any: ...


@_chosen(_most)  # type: ignore[untyped-decorator]
def _most_of(x: Any, v: Any) -> Any:
    return (lambda x, v: v) if _is_block(x) else (lambda x, v: lanes.largest(v))


def _whole(x: Any, high: Any, low: Any) -> Any: ...


@_chosen(_whole)  # type: ignore[untyped-decorator]
def _whole_of(x: Any, high: Any, low: Any) -> Any:
    """The sum of a row from its float64 lanes and what they lack."""
    if _is_block(x):
        return lambda x, high, low: high + widen(low)
    if low == lanes.SINGLE:
        return lambda x, high, low: lanes.total(high + widen(low))

    def whole(x: Any, high: Any, low: Any) -> Any:
        total, rest = lanes.exact_total(high, low)
        return total + rest

    return whole


def _whole_pair(x: Any, high: Any, low: Any) -> Any: ...


@_chosen(_whole_pair)  # type: ignore[untyped-decorator]
def _whole_pair_of(x: Any, high: Any, low: Any) -> Any:
    """The same as a pair where the row is float64."""
    if low == lanes.SINGLE:
        return lambda x, high, low: _whole(x, high, low)
    if _is_block(x):
        return lambda x, high, low: lanes.pair(*two_sum(high, low))

    def whole_pair(x: Any, high: Any, low: Any) -> Any:
        total, rest = lanes.exact_total(high, low)
        return lanes.pair(*two_sum(total, rest))

    return whole_pair


def _lone(x: Any, v: Any) -> Any: ...


@_chosen(_lone)  # type: ignore[untyped-decorator]
def _lone_of(x: Any, v: Any) -> Any:
    """What belongs to a row, from lanes that all hold it."""
    return (lambda x, v: v) if _is_block(x) else (lambda x, v: lanes.lane(v, 0))


def add(high: Any, low: Any, a: Any, b: Any) -> Any: ...


@_chosen(add)  # type: ignore[untyped-decorator]
def _add_of(high: Any, low: Any, a: Any, b: Any) -> Any:
    """Float64 lanes, and what they lack, with a + b added; float64 terms are added without error."""
    if low == lanes.SINGLE:
        return lambda high, low, a, b: (high + widen(a), low + b)

    def add(high: Any, low: Any, a: Any, b: Any) -> Any:
        high, e = two_sum(high, a)
        return high, low + (b + e)

    return add


def settle(high: Any, low: Any) -> Any: ...


@_chosen(settle)  # type: ignore[untyped-decorator]
def _settle_of(high: Any, low: Any) -> Any:
    """What float64 lanes lack, moved into them, and what they lack then.

    Low parts are up to 7 % of the terms: added up over a row of 50 000 equal ones they would be wrong by 23 ULP.
    """
    if low == lanes.SINGLE:
        return lambda high, low: (high + widen(low), splat(np.float32(0.0)))
    return lambda high, low: two_sum(high, low)


def _due(x: Any, i: Any) -> Any: ...


@_chosen(_due)  # type: ignore[untyped-decorator]
def _due_of(x: Any, i: Any) -> Any:
    """Whether to settle before this step: every 16th."""
    return (lambda x, i: i & 15 == 0) if _is_block(x) else (lambda x, i: i & (16 * COUNT - 1) == 0)


def totals(high: Any, low: Any) -> Any: ...


@_chosen(totals)  # type: ignore[untyped-decorator]
def _totals_of(high: Any, low: Any) -> Any:
    """The sum of all lanes as a number and what it lacks, which is 0 where the number is not finite."""
    if low == lanes.SINGLE:
        return lambda high, low: (lanes.total(high), np.float64(0.0))

    def totals(high: Any, low: Any) -> Any:
        total, rest = lanes.exact_total(high, low)
        return total, rest if rest == rest else np.float64(0.0)

    return totals


def counts(target: Any, r: Any, classes: Any) -> Any: ...


@_chosen(counts)  # type: ignore[untyped-decorator]
def _counts_of(target: Any, r: Any, classes: Any) -> Any:
    """Whether a row's target is one of the classes; probabilities always are."""
    if target.ndim == 2:
        return lambda target, r, classes: True
    return lambda target, r, classes: 0 <= target[r] < classes


def of_row(target: Any, r: Any) -> Any: ...


@_chosen(of_row)  # type: ignore[untyped-decorator]
def _of_row_of(target: Any, r: Any) -> Any:
    """The target of a row: its class, or its probabilities."""
    if target.ndim == 2:
        return lambda target, r: lanes.row(target, r)
    return lambda target, r: target[r]


@inline
def block(rows: Any) -> Any:
    """Zeros for 16 rows side by side, for as many columns as are moved at once, in the kernel's own frame.

    What has an owner is counted, also by the functions it is handed to: that was half the time of a block.
    """
    columns = carray(_stack(rows), (-(-rows.shape[1] // COUNT) * COUNT, COUNT))
    for i in range(columns.shape[0]):
        lanes.store(columns, i * COUNT, splat(rows.dtype.type(0)))
    return columns


@inline
def room(like: Any) -> Any:
    """16 numbers in the kernel's own frame."""
    return carray(_few(like), COUNT)


@inline
def stack(like: Any) -> Any:
    """ON_STACK elements of the kernel's own frame."""
    return carray(_stack(like), ON_STACK)


def _format(x: Any) -> SimpleNamespace:
    """The constants of a format, as vectorised code wants them."""
    single = x.dtype == types.float32
    c, T, fraction, bias = (Float32, np.float32, 23, 127) if single else (Float64, np.float64, 52, 1023)
    places = 2.0 ** (15 if single else 41)
    ln2 = np.floor(np.float64(c.LN2[0]) * places) / places
    return SimpleNamespace(
        ZERO=T(0), ONE=T(1), LOWEST=T(-np.inf),
        # Times the exponents there are, up to 2^9 and 2^12, the first part of ln 2 is exact.
        LOG2E=c.LOG2E, LN2=T(-ln2), LN2_LOW=T(-((c.LN2[0] - ln2) + c.LN2[1])), EXP=c.EXP,
        ROUNDER=T(1.5 * 2.0**fraction), UNIT=T(64 + bias), SHRINK=T(2.0**-64), SEED=T(2.0**66),
        # Beyond it x - max(x) is exact wherever its exponential is not 0.
        FAR=T(256 if single else 2048),
        # The quotient of a smaller exponential and a sum of at least 1 rounds to 0.
        CUT=T(105 if single else 747),
    )  # fmt: skip


def _exponential(x: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(reference, pair): pair(v, *reference(largest)) is e^(v - largest) E in two lanes, for one E a row.

    x is reduced by multiples of ln 2 without subtracting the largest first, which would round.
    """
    c = _format(x)
    ZERO, ONE, LOG2E, LN2, LN2_LOW = c.ZERO, c.ONE, c.LOG2E, c.LN2, c.LN2_LOW
    ROUNDER, UNIT, FAR, CUT = c.ROUNDER, c.UNIT, c.FAR, c.CUT
    COEFFICIENTS = tuple(reversed(c.EXP))

    @inline
    def reference(largest: Any) -> Any:
        m = _spread(largest)
        far = above(lanes.larger(m, splat(ZERO) - m), splat(FAR))
        shift = where(far, m, splat(ZERO))
        near = m - shift
        exponent = fma(near, splat(LOG2E), splat(ROUNDER)) - splat(ROUNDER)
        return shift, splat(ROUNDER + UNIT) - exponent, near - splat(CUT), near

    @inline
    def pair(v: Any, shift: Any, rounder: Any, cut: Any, near: Any) -> Any:
        d = v - shift
        shifted = fma(d, splat(LOG2E), rounder)
        k = shifted - rounder
        r = fma(k, splat(LN2), d)
        tail = k * splat(LN2_LOW)
        t = r + tail
        u = splat(ONE) + r
        # The tail joins where it is as small as what it is added to; in r, it would be rounded by a quarter ULP.
        low = (r - (u - splat(ONE))) + fma(t * t, lanes.horner(t, COEFFICIENTS), tail)
        scale = lanes.power_of_two(shifted)
        counts = above(d, cut)
        return where(counts, u * scale, splat(ZERO)), where(counts, low * scale, splat(ZERO))

    return reference, pair


def _row_max(x: Any) -> Any:
    LOWEST = _format(x).LOWEST

    def row_max(x: Any) -> Any:
        m = splat(LOWEST)
        for i in _steps(x):
            m = lanes.larger(_at(x, i, LOWEST), m)
        return _most(x, m)

    def long_row_max(x: Any) -> Any:
        # One chain of comparisons takes 4 cycles a step, four take 1.
        a = b = c = d = splat(LOWEST)
        i = 0
        while i + 4 * COUNT <= x.size:
            a, b = lanes.larger(lanes.load(x, i), a), lanes.larger(lanes.load(x, i + COUNT), b)
            c, d = (
                lanes.larger(lanes.load(x, i + 2 * COUNT), c),
                lanes.larger(lanes.load(x, i + 3 * COUNT), d),
            )
            i += 4 * COUNT
        while i < x.size:
            a = lanes.larger(lanes.part(x, i, LOWEST), a)
            i += COUNT
        return lanes.largest(lanes.larger(lanes.larger(a, b), lanes.larger(c, d)))

    return row_max if _is_block(x) else long_row_max


def _row_sum(x: Any) -> Any:
    ZERO = _format(x).ZERO

    def row_sum(x: Any) -> Any:
        high, low = splat(np.float64(0.0)), splat(ZERO)
        for i in _steps(x):
            high, low = add(high, low, _at(x, i, ZERO), splat(ZERO))
        return _whole(x, high, low)

    return row_sum


def _row_exp_pair(x: Any, largest: Any, high: Any, low: Any) -> Any:
    c = _format(x)
    ZERO, LOWEST, SEED = c.ZERO, c.LOWEST, c.SEED
    reference, pair = _exponential(x)

    def row_exp_pair(x: Any, largest: Any, high: Any, low: Any) -> Any:
        known = reference(largest)
        # The largest term is below 2^65: added to more than that, it leaves an error that takes no test to know.
        seeded, rest, total = splat(SEED), splat(ZERO), splat(np.float64(0.0))
        for i in _steps(x):
            _ahead(x, i)
            a, b = pair(_at(x, i, LOWEST), *known)
            _put(high, i, a)
            _put(low, i, b)
            if _due(x, i):
                total, rest = settle(total, rest)
            s = seeded + a
            rest = rest + (b + (a - (s - seeded)))
            seeded = s
        total, lost = two_sum(total, widen(seeded - splat(SEED)))
        return _whole_pair(x, total, rest + lanes.narrow(lost, x))

    return row_exp_pair


def _relative(x: Any, total: Any, a: Any, b: Any, others: Any) -> Any: ...


@_chosen(_relative)  # type: ignore[untyped-decorator]
def _relative_of(x: Any, total: Any, a: Any, b: Any, others: Any) -> Any:
    """total / (a + b) + others, a pair where the total is one."""
    if not isinstance(total, lanes.Pair):
        return lambda x, total, a, b, others: total / _lone(x, widen(a) + widen(b)) + others

    def relative(x: Any, total: Any, a: Any, b: Any, others: Any) -> Any:
        unit, unit_low = two_sum(a, b)
        q = _spread(total) / unit
        left = fma(splat(np.float64(0.0)) - q, unit, _spread(total)) + _spread(total.low)
        high, e = two_sum(q, _spread(others))
        high, e = two_sum(high, e + (left - q * unit_low) / unit)
        return lanes.pair(_lone(x, high), _lone(x, e))

    return relative


def _row_exp_rest(x: Any, largest: Any) -> Any:
    ZERO, ONE, LOWEST = _format(x).ZERO, _format(x).ONE, _format(x).LOWEST
    reference, pair = _exponential(x)

    def row_exp_rest(x: Any, largest: Any) -> Any:
        known = reference(largest)
        m, zero = _spread(largest), splat(ZERO)
        total, rest, count = splat(np.float64(0.0)), zero, zero
        for i in _steps(x):
            _ahead(x, i)
            v = _at(x, i, LOWEST)
            a, b = pair(v, *known)
            if _due(x, i):
                total, rest = settle(total, rest)
            highest = equal(v, m)
            count = count + where(highest, splat(ONE), zero)
            total, rest = add(total, rest, where(highest, zero, a), where(highest, zero, b))
        # In units of e^largest; and all but one of the elements that are as large count 1 each.
        a, b = pair(known[3] + known[0], *known)
        others = _whole(x, widen(count), splat(np.float32(0.0))) - _lone(x, splat(np.float64(1.0)))
        return _relative(x, _whole_pair(x, total, rest), a, b, others)

    return row_exp_rest


def _quotient(out: Any) -> Callable[..., Any]:
    """2^64 factor / total as a pair of the format: so large, no product underflows before its last rounding."""

    @inline
    def halves(factor: Any, total: Any, out: Any) -> Any:
        q = splat(np.float64(2.0**64)) * (_spread(factor) / _spread(total))
        f = lanes.narrow(q, out)
        return f, lanes.narrow(q - widen(f), out)

    @inline
    def with_remainder(factor: Any, total: Any, out: Any) -> Any:
        t, unit = _spread(total), splat(np.float64(2.0**64))
        f = _spread(factor) / t
        left = fma(splat(np.float64(0.0)) - f, t, _spread(factor)) - f * _spread(total.low)
        return f * unit, left / t * unit

    chosen: Callable[..., Any] = halves if out.dtype == types.float32 else with_remainder
    return chosen


def _row_scale_pair(factor: Any, total: Any, high: Any, low: Any, out: Any) -> Any:
    ZERO, SHRINK = _format(out).ZERO, _format(out).SHRINK
    quotient = _quotient(out)

    def row_scale_pair(factor: Any, total: Any, high: Any, low: Any, out: Any) -> Any:
        f, f_low = quotient(factor, total, out)
        for i in _steps(out):
            h = _at(high, i, ZERO)
            _put(out, i, fma(h, f, fma(_at(low, i, ZERO), f, h * f_low)) * splat(SHRINK))

    return row_scale_pair


def _row_gate_pair(factor: Any, total: Any, high: Any, low: Any, g: Any, mean: Any, out: Any) -> Any:
    ZERO, SHRINK = _format(out).ZERO, _format(out).SHRINK
    quotient = _quotient(out)

    def row_gate_pair(factor: Any, total: Any, high: Any, low: Any, g: Any, mean: Any, out: Any) -> Any:
        f, f_low = quotient(factor, total, out)
        m = lanes.narrow(_spread(mean), out)
        m_low = lanes.narrow(_spread(mean) - widen(m), out)
        for i in _steps(out):
            h = _at(high, i, ZERO)
            p = h * f
            p_low = fma(h, f, splat(ZERO) - p) + fma(_at(low, i, ZERO), f, h * f_low)
            d = (_at(g, i, ZERO) - m) - m_low
            _put(out, i, fma(p * splat(SHRINK), d, p_low * splat(SHRINK) * d))

    return row_gate_pair


def _row_residual_pair(g: Any, high: Any, low: Any, total: Any, out: Any) -> Any:
    ZERO, ONE = _format(out).ZERO, _format(out).ONE
    SHRINK = np.float64(2.0**-64)

    def row_residual_pair(g: Any, high: Any, low: Any, total: Any, out: Any) -> Any:
        top, zero, count = _spread(primitives.row_max(high)), splat(ZERO), splat(ZERO)
        rest, rest_low = splat(np.float64(0.0)), zero
        others, others_low = rest, zero
        everything, everything_low = rest, zero
        for i in _steps(out):
            e, v = _at(high, i, ZERO), _at(g, i, ZERO)
            if _due(out, i):
                rest, rest_low = settle(rest, rest_low)
            is_top = equal(e, top)
            count = count + where(is_top, splat(ONE), zero)
            rest, rest_low = add(
                rest, rest_low, where(is_top, zero, e), where(is_top, zero, _at(low, i, ZERO))
            )
            others, others_low = add(others, others_low, where(is_top, zero, v), zero)
            everything, everything_low = add(everything, everything_low, v, zero)
        t = _spread(total) * splat(SHRINK)
        inverse = splat(np.float64(1.0)) / t
        r = _spread(_whole(out, rest, rest_low)) * splat(SHRINK)
        f, f_others = (
            _spread(_whole(out, everything, everything_low)),
            _spread(_whole(out, others, others_low)),
        )
        alone = equal(_spread(_whole(out, widen(count), splat(np.float32(0.0)))), splat(np.float64(1.0)))
        for i in _steps(out):
            h = _at(high, i, ZERO)
            e = (widen(h) + widen(_at(low, i, ZERO))) * splat(SHRINK)
            v = widen(_at(g, i, ZERO))
            # One element with nearly all of the sum: g (total - e) would cancel, so that it is formed of the others.
            lone = lanes.both(equal(h, top), alone)
            product = where(lone, v * r - e * f_others, v * t - e * f)
            _put(out, i, lanes.narrow(product * inverse, out))

    return row_residual_pair


def _row_dot_pair(g: Any, high: Any, low: Any) -> Any:
    ZERO = _format(g).ZERO
    single = g.dtype == types.float32

    @inline
    def wide_product(total: Any, rest: Any, v: Any, a: Any, b: Any) -> Any:
        return fma(widen(v), widen(a), total), fma(v, b, rest)

    @inline
    def exact_product(total: Any, rest: Any, v: Any, a: Any, b: Any) -> Any:
        p = v * a
        total, e = two_sum(total, p)
        return total, rest + (fma(v, a, splat(ZERO) - p) + fma(v, b, e))

    add_product = wide_product if single else exact_product

    def row_dot_pair(g: Any, high: Any, low: Any) -> Any:
        total, rest = splat(np.float64(0.0)), splat(ZERO)
        for i in _steps(g):
            if _due(g, i):
                total, rest = settle(total, rest)
            total, rest = add_product(total, rest, _at(g, i, ZERO), _at(high, i, ZERO), _at(low, i, ZERO))
        return _whole(g, total, rest)

    return row_dot_pair


def _row_shift(x: Any, a: Any, b: Any, out: Any) -> Any:
    ZERO = _format(x).ZERO

    def row_shift(x: Any, a: Any, b: Any, out: Any) -> Any:
        first, second = widen(_spread(a)), _spread(b)
        for i in _steps(x):
            _put(out, i, lanes.narrow((widen(_at(x, i, ZERO)) - first) - second, out))

    def shift_by_pair(x: Any, a: Any, b: Any, out: Any) -> Any:
        minus, e = two_sum(splat(ZERO) - _spread(a), splat(ZERO) - _spread(b))
        minus_low = e - _spread(b.low)
        for i in _steps(x):
            s, e = two_sum(_at(x, i, ZERO), minus)
            _put(out, i, _finished(s, e + minus_low))

    return shift_by_pair if isinstance(b, lanes.Pair) else row_shift


@inline
def _finished(s: Any, rest: Any) -> Any:
    """s + rest, where what two_sum left of an infinite s is NaN."""
    return where(equal(rest, rest), s + rest, s)


LONG = 32
"""Elements a group from which on its own fill the lanes: of shorter ones 16 are worked on side by side."""


def _member(x: Any, i: Any, j: Any, k: Any) -> Any: ...


@_chosen(_member)  # type: ignore[untyped-decorator]
def _member_of(x: Any, i: Any, j: Any, k: Any) -> Any:
    """Element j of the groups of k at a step over groups."""
    if _is_block(x):
        return lambda x, i, j, k: lanes.load(x, (i * k + j) * COUNT)
    return lambda x, i, j, k: lanes.load_every(x, i * k + j, k, min(COUNT, x.size // k - i))


def _put_member(x: Any, i: Any, j: Any, k: Any, value: Any) -> Any: ...


@_chosen(_put_member)  # type: ignore[untyped-decorator]
def _put_member_of(x: Any, i: Any, j: Any, k: Any, value: Any) -> Any:
    if _is_block(x):
        return lambda x, i, j, k, value: lanes.store(x, (i * k + j) * COUNT, value)
    return lambda x, i, j, k, value: lanes.store_every(x, i * k + j, k, min(COUNT, x.size // k - i), value)


def _pair(x: Any, i: Any) -> Any: ...


@_chosen(_pair)  # type: ignore[untyped-decorator]
def _pair_of(x: Any, i: Any) -> Any:
    """Both elements of the groups of 2 at a step, which shuffles part faster than one by one."""
    if _is_block(x):
        return lambda x, i: (_member(x, i, 0, 2), _member(x, i, 1, 2))

    def pair(x: Any, i: Any) -> Any:
        if 2 * (i + COUNT) <= x.size:
            return lanes.load_pairs(x, 2 * i)
        return _member(x, i, 0, 2), _member(x, i, 1, 2)

    return pair


def _put_pair(x: Any, i: Any, a: Any, b: Any) -> Any: ...


@_chosen(_put_pair)  # type: ignore[untyped-decorator]
def _put_pair_of(x: Any, i: Any, a: Any, b: Any) -> Any:
    block = _is_block(x)

    def put_pair(x: Any, i: Any, a: Any, b: Any) -> None:
        if not block and 2 * (i + COUNT) <= x.size:
            lanes.store_pairs(x, 2 * i, a, b)
        else:
            _put_member(x, i, 0, 2, a)
            _put_member(x, i, 1, 2, b)

    return put_pair


def _greatest(x: Any) -> Any: ...


@_chosen(_greatest)  # type: ignore[untyped-decorator]
def _greatest_of(x: Any) -> Any:
    LOWEST = _format(x).LOWEST

    def greatest(x: Any) -> Any:
        m = splat(LOWEST)
        for i in range(0, x.size, COUNT):
            m = lanes.maximum(m, lanes.part(x, i, LOWEST))
        return lanes.greatest(m)

    return greatest


def _row_group_max(x: Any, k: Any, out: Any) -> Any:
    def side_by_side(x: Any, k: Any, out: Any) -> Any:
        if k == 2:
            for i in _steps(out):
                _put(out, i, lanes.maximum(*_pair(x, i)))
        else:
            for i in _steps(out):
                m = _member(x, i, 0, k)
                for j in range(1, k):
                    m = lanes.maximum(m, _member(x, i, j, k))
                _put(out, i, m)

    if _is_block(x):
        return side_by_side
    several = inline(side_by_side)

    def row_group_max(x: Any, k: Any, out: Any) -> Any:
        if k < LONG:
            several(x, k, out)
        else:
            for i in range(out.size):
                out[i] = _greatest(lanes.stretch(x, i * k, k))

    return row_group_max


def _row_group_gate(g: Any, x: Any, k: Any, ties: Any, out: Any) -> Any:
    c = _format(x)
    ZERO, ONE, NAN = c.ZERO, c.ONE, c.ONE * np.nan

    @inline
    def marked(v: Any, m: Any) -> Any:
        return where(equal(v, m), splat(ONE), splat(ZERO))

    def side_by_side(g: Any, x: Any, k: Any, ties: Any, out: Any) -> Any:
        zero = splat(ZERO)
        if k == 2:
            for i in _steps(g):
                a, b = _pair(x, i)
                m, share = lanes.maximum(a, b), _at(g, i, ZERO)
                if ties == 1:
                    share = rest = share / (marked(a, m) + marked(b, m))
                else:
                    rest = where(equal(a, m), zero, share)
                _put_pair(out, i, where(equal(a, m), share, zero), where(equal(b, m), rest, zero))
            return
        for i in _steps(g):
            m = _member(x, i, 0, k)
            for j in range(1, k):
                m = lanes.maximum(m, _member(x, i, j, k))
            share = _at(g, i, ZERO)
            if ties == 1:
                count = zero
                for j in range(k):
                    count = count + marked(_member(x, i, j, k), m)
                share = share / count
            for j in range(k):
                hit = equal(_member(x, i, j, k), m)
                _put_member(out, i, j, k, where(hit, share, zero))
                if ties != 1:
                    share = where(hit, zero, share)

    if _is_block(x):
        return side_by_side
    several = inline(side_by_side)

    def row_group_gate(g: Any, x: Any, k: Any, ties: Any, out: Any) -> Any:
        if k < LONG:
            several(g, x, k, ties, out)
            return
        for i in range(g.size):
            group, result = lanes.stretch(x, i * k, k), lanes.stretch(out, i * k, k)
            largest, share, count = _greatest(group), g[i], splat(ZERO)
            m = splat(largest)
            if ties == 1:
                for j in range(0, k, COUNT):
                    count = count + marked(lanes.part(group, j, NAN), m)
                share = share / lanes.total(count)
            for j in range(0, k, COUNT):
                hit = equal(lanes.part(group, j, NAN), m)
                lanes.put(result, j, where(hit, splat(share), splat(ZERO)))
            if ties != 1:
                first = 0
                while first < k and group[first] != largest:
                    first += 1
                result[first + 1 :] = ZERO

    return row_group_gate


def _on_stack(count: int) -> Callable[..., Any]:
    @intrinsic  # type: ignore[untyped-decorator]
    def room(typingctx: Any, like: Any) -> Any:
        """A pointer to room for ``count`` elements, of the array or the format given, in the kernel's own frame."""
        element = getattr(like, "dtype", like)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            kind = ir.ArrayType(context.get_value_type(element), count)
            # Not cgutils.alloca_once: it fills the room with zeros, 0.6 s to compile and 1 us a call.
            with builder.goto_entry_block():
                room = builder.alloca(kind)
            return builder.bitcast(room, context.get_value_type(sig.return_type))

        return types.CPointer(element)(like), codegen

    return room  # type: ignore[no-any-return]


_stack, _few = _on_stack(ON_STACK), _on_stack(COUNT)


def _row_workspace(x: Any) -> Any:
    T = np.float32 if x.dtype == types.float32 else np.float64
    if _is_block(x):
        return lambda x: carray(_stack(x), (x.shape[0], COUNT))

    def row_workspace(x: Any) -> Any:
        size = -(-x.size // COUNT) * COUNT
        if size <= ON_STACK:
            return carray(_stack(x), size)
        return np.empty(size, T)

    return row_workspace


@inline
def _each_log1p(v: Any) -> Any:
    wide_vectors()
    values = room(np.float64(0.0))
    lanes.store(values, 0, v)
    for i in range(lanes.unknown(COUNT)):
        values[i] = log1p(values[i])
    return lanes.load(values, 0)


@inline
def _log1p_pair(x: Any, low: Any) -> Any:
    """log(1 + x + low) as a pair: a logarithm and a step of Newton's from it."""
    y = log1p(x)
    t, r, tail = reduced(y, np.float64(0.0), TO_POWER)
    q, q_low = series_pair(r, tail)
    p = power(t)
    # e^y = p (1 + q + q_low); what is left of 1 + x cancels without error.
    left, e = two_sum(np.float64(1.0) - p, x)
    return y, ((left - p * q) + (e + (low - p * q_low))) / (np.float64(1.0) + x)


@inline
def _each_log1p_pair(high: Any, low: Any) -> Any:
    wide_vectors()
    firsts, seconds = room(np.float64(0.0)), room(np.float64(0.0))
    lanes.store(firsts, 0, high)
    lanes.store(seconds, 0, low)
    for i in range(lanes.unknown(COUNT)):
        firsts[i], seconds[i] = _log1p_pair(firsts[i], seconds[i])
    return lanes.load(firsts, 0), lanes.load(seconds, 0)


def _log_total(rest: Any) -> Any:
    if not isinstance(rest, lanes.Pair):
        return (lambda rest: _each_log1p(rest)) if _is_block(rest) else (lambda rest: log1p(rest))
    if _is_block(rest.part):
        return lambda rest: lanes.pair(*_each_log1p_pair(rest.high, rest.low))
    return lambda rest: lanes.pair(*_log1p_pair(rest.high, rest.low))


def _loss(a: Any, x: Any, b: Any) -> Any: ...


@_chosen(_loss)  # type: ignore[untyped-decorator]
def _loss_of(a: Any, x: Any, b: Any) -> Any:
    """(a - x) + b in float64, rounded once where b is a pair."""
    if not isinstance(b, lanes.Pair):
        return lambda a, x, b: (a - x) + b

    def loss(a: Any, x: Any, b: Any) -> Any:
        d, e = two_sum(a, x * np.float64(-1.0))
        s, f = two_sum(d, b.high)
        return _lone(a, _finished(_spread(s), _spread(f + (e + b.low))))

    return loss


def _one(b: Any, highs: Any, i: Any) -> Any: ...


@_chosen(_one)  # type: ignore[untyped-decorator]
def _one_of(b: Any, highs: Any, i: Any) -> Any:
    """Lane i of b, whose numbers, or high parts, are in memory."""
    if isinstance(b, lanes.Pair):
        return lambda b, highs, i: lanes.pair(highs[i], lanes.lane(b.low, i))
    return lambda b, highs, i: highs[i]


def _class_mean(target: Any, weight: Any, label_smoothing: Any, x: Any, a: Any, b: Any) -> Any:
    @inline
    def of_class(k: Any, weight: Any, smoothing: Any, x: Any, a: Any, b: Any) -> Any:
        # Most calls have no smoothing, and need no look at the other classes.
        q = np.float64(weight[k]) * (np.float64(1.0) - smoothing)
        value = q * _loss(a, np.float64(x[k]), b) if q != 0.0 else 0.0
        if smoothing != 0.0:
            for c in range(x.size):
                q = np.float64(weight[c]) * (smoothing / x.size)
                value += q * _loss(a, np.float64(x[c]), b) if q != 0.0 else 0.0
        return value

    def index(target: Any, weight: Any, label_smoothing: Any, x: Any, a: Any, b: Any) -> Any:
        return of_class(target, weight, np.float64(label_smoothing), x, np.float64(a), b)

    def indices(target: Any, weight: Any, label_smoothing: Any, x: Any, a: Any, b: Any) -> Any:
        smoothing, nothing = np.float64(label_smoothing), splat(np.float64(0.0))
        firsts, seconds = room(smoothing), room(smoothing)
        if smoothing == 0.0:
            for i in range(COUNT):
                firsts[i], seconds[i] = x[target[i], i], weight[target[i]]
            q = lanes.load(seconds, 0)
            value = q * _loss(widen(a), lanes.load(firsts, 0), b)
            return where(equal(q, nothing), nothing, value)
        lanes.store(firsts, 0, widen(a))
        lanes.store(seconds, 0, _spread(b))
        for i in range(COUNT):
            firsts[i] = of_class(target[i], weight, smoothing, x[:, i], firsts[i], _one(b, seconds, i))
        return lanes.load(firsts, 0)

    def soft(target: Any, weight: Any, label_smoothing: Any, x: Any, a: Any, b: Any) -> Any:
        smoothing, value = np.float64(label_smoothing), 0.0
        for c in range(x.size):
            share = (1.0 - smoothing) * np.float64(target[c]) + smoothing / x.size
            q = np.float64(weight[c]) * share
            value += q * _loss(np.float64(a), np.float64(x[c]), b) if q != 0.0 else 0.0
        return value

    return indices if _is_block(x) else (soft if isinstance(target, types.Array) else index)


@inline
def _pair_sum(high: Any, low: Any) -> Any:
    total, rest = splat(np.float64(0.0)), splat(high.dtype.type(0))
    for i in _steps(high):
        if _due(high, i):
            total, rest = settle(total, rest)
        total, rest = add(total, rest, _at(high, i, high.dtype.type(0)), _at(low, i, high.dtype.type(0)))
    return _whole(high, total, rest)


@inline
def _pair_sum_without(own: Any, high: Any, low: Any) -> Any:
    """The sums of 16 rows side by side, but for one element of each."""
    zero = splat(high.dtype.type(0))
    total, rest = splat(np.float64(0.0)), zero
    for c in range(high.shape[0]):
        if _due(high, c):
            total, rest = settle(total, rest)
        here = equal(own, splat(high.dtype.type(c)))
        a, b = lanes.load(high, c * COUNT), lanes.load(low, c * COUNT)
        total, rest = add(total, rest, where(here, zero, a), where(here, zero, b))
    return _whole(high, total, rest)


def _class_gradient(target: Any, weight: Any, label_smoothing: Any, high: Any, low: Any, total: Any) -> Any:
    @inline
    def mass_of_class(k: Any, weight: Any, smoothing: Any) -> Any:
        mass = np.float64(weight[k])
        if smoothing != 0.0:
            everything = 0.0
            for c in range(weight.size):
                everything += np.float64(weight[c])
            mass = (1.0 - smoothing) * mass + smoothing / weight.size * everything
        return mass

    @inline
    def finish(k: Any, weight: Any, smoothing: Any, out: Any, mass: Any, rest: Any) -> Any:
        share = smoothing / weight.size
        if smoothing != 0.0:
            for c in range(weight.size):
                out[c] -= weight[c] * share
        q = np.float64(weight[k]) * ((1.0 - smoothing) + share)
        out[k] = (mass - q) - mass * rest

    def index(target: Any, weight: Any, label_smoothing: Any, high: Any, low: Any, total: Any) -> Any:
        smoothing = np.float64(label_smoothing)
        high[target] = low[target] = 0
        rest = _pair_sum(high, low[: high.size]) / total
        mass = mass_of_class(target, weight, smoothing)
        primitives.row_scale_pair(mass, total, high, low, high)
        finish(target, weight, smoothing, high, mass, rest)

    def indices(target: Any, weight: Any, label_smoothing: Any, high: Any, low: Any, total: Any) -> Any:
        smoothing = np.float64(label_smoothing)
        masses, rests, chosen = room(smoothing), room(smoothing), room(high)
        for i in range(COUNT):
            masses[i], chosen[i] = mass_of_class(target[i], weight, smoothing), target[i]
        mass, own = lanes.load(masses, 0), lanes.load(chosen, 0)
        rest = _pair_sum_without(own, high, low) / total
        if smoothing == 0.0:
            # Masks: numbers written one by one and read as vectors would wait for one another.
            primitives.row_scale_pair(mass, total, high, low, high)
            gradient = lanes.narrow((mass - mass) - mass * rest, high)
            for c in range(high.shape[0]):
                here = equal(own, splat(high.dtype.type(c)))
                _put(high, c, where(here, gradient, _at(high, c, high.dtype.type(0))))
        else:
            lanes.store(rests, 0, rest)
            primitives.row_scale_pair(mass, total, high, low, high)
            for i in range(COUNT):
                finish(target[i], weight, smoothing, high[:, i], masses[i], rests[i])

    def soft(target: Any, weight: Any, label_smoothing: Any, high: Any, low: Any, total: Any) -> Any:
        smoothing, mass, k = np.float64(label_smoothing), 0.0, 0
        for c in range(high.size):
            share = (1.0 - smoothing) * np.float64(target[c]) + smoothing / high.size
            mass += np.float64(weight[c]) * share
            k = c if high[c] > high[k] else k
        a, b = high[k], low[k]
        high[k] = low[k] = 0
        rest = _pair_sum(high, low[: high.size]) / total
        high[k], low[k] = a, b
        for c in range(high.size):
            p = (np.float64(high[c]) + np.float64(low[c])) / total
            share = (1.0 - smoothing) * np.float64(target[c]) + smoothing / high.size
            q = np.float64(weight[c]) * share
            high[c] = (mass - q) - mass * rest if c == k and rest < 0.5 else mass * p - q

    return indices if _is_block(high) else (soft if isinstance(target, types.Array) else index)


TWINS = {
    "row_max": _row_max,
    "row_sum": _row_sum,
    "row_exp_pair": _row_exp_pair,
    "row_exp_rest": _row_exp_rest,
    "row_scale_pair": _row_scale_pair,
    "row_gate_pair": _row_gate_pair,
    "row_residual_pair": _row_residual_pair,
    "row_dot_pair": _row_dot_pair,
    "row_shift": _row_shift,
    "row_group_max": _row_group_max,
    "row_group_gate": _row_group_gate,
    "row_workspace": _row_workspace,
    "log_total": _log_total,
    "class_mean": _class_mean,
    "class_gradient": _class_gradient,
}


def install() -> None:
    """Tell Numba what to compile where a body calls a primitive over rows."""
    for name, twin in TWINS.items():
        _chosen(getattr(primitives, name))(twin)
