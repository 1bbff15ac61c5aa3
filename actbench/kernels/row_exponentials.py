"""The primitives of softmax and its kin: exponentials of a row, their sums and logarithms, and what comes of them.

Exponentials are pairs (high, low) of e^x times a power of two that the row shares: one number of the format would
err by half an ULP before the division, and another half after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from actbench.catalog import primitives
from actbench.kernels import lanes
from actbench.kernels.lanes import COUNT, above, equal, fma, splat, two_sum, where, widen
from actbench.kernels.linking import inline
from actbench.kernels.row_steps import (
    add,
    ahead,
    at,
    constants_of,
    due,
    finished,
    is_block,
    lone,
    most,
    overloaded,
    put,
    room,
    settle,
    spread,
    steps,
    whole,
    whole_pair,
)
from actbench.kernels.vecmath import float64
from actbench.kernels.vecmath.intrinsics import wide_vectors

_wide = float64.functions
log1p, reduced, series_pair, power = _wide.log1p, _wide.reduced, _wide.series_pair, _wide.power
TO_POWER = np.float64(_wide.ROUNDER + 1023)


def _exponential(x: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(reference, pair): pair(v, *reference(largest)) is e^(v - largest) E in two lanes, for one E a row.

    x is reduced by multiples of ln 2 without subtracting the largest first, which would round.
    """
    c = constants_of(x)
    ZERO, ONE, LOG2E, LN2, LN2_LOW = c.ZERO, c.ONE, c.LOG2E, c.LN2, c.LN2_LOW
    ROUNDER, UNIT, FAR, CUT = c.ROUNDER, c.UNIT, c.FAR, c.CUT
    COEFFICIENTS = tuple(reversed(c.EXP))

    @inline
    def reference(largest: Any) -> Any:
        m = spread(largest)
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


def row_max(x: Any) -> Any:
    LOWEST = constants_of(x).LOWEST

    def row_max(x: Any) -> Any:
        m = splat(LOWEST)
        for i in steps(x):
            m = lanes.larger(at(x, i, LOWEST), m)
        return most(x, m)

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

    return row_max if is_block(x) else long_row_max


def row_sum(x: Any) -> Any:
    ZERO = constants_of(x).ZERO

    def row_sum(x: Any) -> Any:
        high, low = splat(np.float64(0.0)), splat(ZERO)
        for i in steps(x):
            high, low = add(high, low, at(x, i, ZERO), splat(ZERO))
        return whole(x, high, low)

    return row_sum


def _at_largest(g: Any, i: Any, v: Any, m: Any, known: Any) -> Any: ...


@overloaded(_at_largest)  # type: ignore[untyped-decorator]
def _at_largest_of(g: Any, i: Any, v: Any, m: Any, known: Any) -> Any:
    """The elements of g where v is m, and elsewhere what is known; nothing of no g."""
    if isinstance(g, types.NoneType):
        return lambda g, i, v, m, known: known
    ZERO = constants_of(g).ZERO
    return lambda g, i, v, m, known: where(equal(v, m), at(g, i, ZERO), known)


def _row_exp(x: Any, largest: Any, g: Any, high: Any, low: Any) -> Any: ...


@overloaded(_row_exp)  # type: ignore[untyped-decorator]
def _row_exp_of(x: Any, largest: Any, g: Any, high: Any, low: Any) -> Any:
    """What row_exp_pair fills and returns, and beside it lanes of g where x is the largest, -inf in the others."""
    c = constants_of(x)
    ZERO, LOWEST, SEED = c.ZERO, c.LOWEST, c.SEED
    reference, pair = _exponential(x)

    def row_exp(x: Any, largest: Any, g: Any, high: Any, low: Any) -> Any:
        known, m, own = reference(largest), spread(largest), splat(LOWEST)
        # The largest term is below 2^65: added to more than that, it leaves an error that takes no test to know.
        seeded, rest, total = splat(SEED), splat(ZERO), splat(np.float64(0.0))
        for i in steps(x):
            ahead(x, i)
            v = at(x, i, LOWEST)
            own = _at_largest(g, i, v, m, own)
            a, b = pair(v, *known)
            put(high, i, a)
            put(low, i, b)
            if due(x, i):
                total, rest = settle(total, rest)
            s = seeded + a
            rest = rest + (b + (a - (s - seeded)))
            seeded = s
        total, lost = two_sum(total, widen(seeded - splat(SEED)))
        return whole_pair(x, total, rest + lanes.narrow(lost, x)), own

    return row_exp


def row_exp_pair(x: Any, largest: Any, high: Any, low: Any) -> Any:
    return lambda x, largest, high, low: _row_exp(x, largest, None, high, low)[0]


def row_exp_pivot(x: Any, largest: Any, g: Any, high: Any, low: Any) -> Any:
    ZERO, SAFE = constants_of(x).ZERO, constants_of(x).SAFE
    # The largest exponential is 2^64 times .7 to 1.42: the pivot's share is above .35, and one that is left out below
    # .71. A small share would not do: then what is rounded in g - pivot is more than the pivot's own rounding is worth.
    HALF = np.float64(2.0**65)

    def row_exp_pivot(x: Any, largest: Any, g: Any, high: Any, low: Any) -> Any:
        total, own = _row_exp(x, largest, g, high, low)
        own = spread(most(x, own))
        pivot = where(lanes.below(spread(total), splat(HALF)), own, splat(ZERO))
        safe = lanes.below(lanes.larger(own, splat(ZERO) - own), splat(SAFE))
        return total, lone(x, where(safe, pivot, splat(ZERO)))

    return row_exp_pivot


def _relative(x: Any, total: Any, a: Any, b: Any, others: Any) -> Any: ...


@overloaded(_relative)  # type: ignore[untyped-decorator]
def _relative_of(x: Any, total: Any, a: Any, b: Any, others: Any) -> Any:
    """total / (a + b) + others, a pair where the total is one."""
    if not isinstance(total, lanes.Pair):
        return lambda x, total, a, b, others: total / lone(x, widen(a) + widen(b)) + others

    def relative(x: Any, total: Any, a: Any, b: Any, others: Any) -> Any:
        unit, unit_low = two_sum(a, b)
        q = spread(total) / unit
        left = fma(splat(np.float64(0.0)) - q, unit, spread(total)) + spread(total.low)
        high, e = two_sum(q, spread(others))
        high, e = two_sum(high, e + (left - q * unit_low) / unit)
        return lanes.pair(lone(x, high), lone(x, e))

    return relative


def row_exp_rest(x: Any, largest: Any) -> Any:
    ZERO, ONE, LOWEST = constants_of(x).ZERO, constants_of(x).ONE, constants_of(x).LOWEST
    reference, pair = _exponential(x)

    def row_exp_rest(x: Any, largest: Any) -> Any:
        known = reference(largest)
        m, zero = spread(largest), splat(ZERO)
        total, rest, count = splat(np.float64(0.0)), zero, zero
        for i in steps(x):
            ahead(x, i)
            v = at(x, i, LOWEST)
            a, b = pair(v, *known)
            if due(x, i):
                total, rest = settle(total, rest)
            highest = equal(v, m)
            count = count + where(highest, splat(ONE), zero)
            total, rest = add(total, rest, where(highest, zero, a), where(highest, zero, b))
        # In units of e^largest; and all but one of the elements that are as large count 1 each.
        a, b = pair(known[3] + known[0], *known)
        others = whole(x, widen(count), splat(np.float32(0.0))) - lone(x, splat(np.float64(1.0)))
        return _relative(x, whole_pair(x, total, rest), a, b, others)

    return row_exp_rest


def _quotient(out: Any) -> Callable[..., Any]:
    """2^64 factor / total as a pair of the format: so large, no product underflows before its last rounding."""

    @inline
    def halves(factor: Any, total: Any, out: Any) -> Any:
        q = splat(np.float64(2.0**64)) * (spread(factor) / spread(total))
        f = lanes.narrow(q, out)
        return f, lanes.narrow(q - widen(f), out)

    @inline
    def with_remainder(factor: Any, total: Any, out: Any) -> Any:
        t, unit = spread(total), splat(np.float64(2.0**64))
        f = spread(factor) / t
        left = fma(splat(np.float64(0.0)) - f, t, spread(factor)) - f * spread(total.low)
        return f * unit, left / t * unit

    chosen: Callable[..., Any] = halves if out.dtype == types.float32 else with_remainder
    return chosen


def row_scale_pair(factor: Any, total: Any, high: Any, low: Any, out: Any) -> Any:
    ZERO, SHRINK = constants_of(out).ZERO, constants_of(out).SHRINK
    quotient = _quotient(out)

    def row_scale_pair(factor: Any, total: Any, high: Any, low: Any, out: Any) -> Any:
        f, f_low = quotient(factor, total, out)
        for i in steps(out):
            h = at(high, i, ZERO)
            put(out, i, fma(h, f, fma(at(low, i, ZERO), f, h * f_low)) * splat(SHRINK))

    return row_scale_pair


def row_gate_pair(
    factor: Any, total: Any, high: Any, low: Any, g: Any, pivot: Any, mean: Any, out: Any
) -> Any:
    c = constants_of(out)
    ZERO, ONE, SHRINK, TINY = c.ZERO, c.ONE, c.SHRINK, c.TINY
    quotient = _quotient(out)

    def row_gate_pair(
        factor: Any, total: Any, high: Any, low: Any, g: Any, pivot: Any, mean: Any, out: Any
    ) -> Any:
        f, f_low = quotient(factor, total, out)
        # pivot + mean as a pair, whose low part is all of the mean where that is lost in the pivot.
        first, second = widen(spread(pivot)), spread(mean)
        m = lanes.narrow(first + second, out)
        m_low = lanes.narrow((first - widen(m)) + second, out)
        for i in steps(out):
            h = at(high, i, ZERO)
            p = h * f
            p_low = fma(h, f, splat(ZERO) - p) + fma(at(low, i, ZERO), f, h * f_low)
            d = (at(g, i, ZERO) - m) - m_low
            # A share near the subnormal numbers is multiplied first, or d would multiply its rounding: .3 % of d = 1e5.
            tiny = lanes.below(p, splat(TINY))
            before, after = where(tiny, splat(ONE), splat(SHRINK)), where(tiny, splat(SHRINK), splat(ONE))
            put(out, i, fma(p * before, d, p_low * before * d) * after)

    return row_gate_pair


def row_residual_pair(g: Any, high: Any, low: Any, total: Any, out: Any) -> Any:
    ZERO, ONE = constants_of(out).ZERO, constants_of(out).ONE
    SHRINK = np.float64(2.0**-64)

    def row_residual_pair(g: Any, high: Any, low: Any, total: Any, out: Any) -> Any:
        top, zero, count = spread(primitives.row_max(high)), splat(ZERO), splat(ZERO)
        rest, rest_low = splat(np.float64(0.0)), zero
        others, others_low = rest, zero
        everything, everything_low = rest, zero
        for i in steps(out):
            e, v = at(high, i, ZERO), at(g, i, ZERO)
            if due(out, i):
                rest, rest_low = settle(rest, rest_low)
            is_top = equal(e, top)
            count = count + where(is_top, splat(ONE), zero)
            rest, rest_low = add(
                rest, rest_low, where(is_top, zero, e), where(is_top, zero, at(low, i, ZERO))
            )
            others, others_low = add(others, others_low, where(is_top, zero, v), zero)
            everything, everything_low = add(everything, everything_low, v, zero)
        t = spread(total) * splat(SHRINK)
        inverse = splat(np.float64(1.0)) / t
        r = spread(whole(out, rest, rest_low)) * splat(SHRINK)
        f, f_others = (
            spread(whole(out, everything, everything_low)),
            spread(whole(out, others, others_low)),
        )
        alone = equal(spread(whole(out, widen(count), splat(np.float32(0.0)))), splat(np.float64(1.0)))
        for i in steps(out):
            h = at(high, i, ZERO)
            e = (widen(h) + widen(at(low, i, ZERO))) * splat(SHRINK)
            v = widen(at(g, i, ZERO))
            # One element with nearly all of the sum: g (total - e) would cancel, so that it is formed of the others.
            single = lanes.both(equal(h, top), alone)
            product = where(single, v * r - e * f_others, v * t - e * f)
            put(out, i, lanes.narrow(product * inverse, out))

    return row_residual_pair


def row_dot_pair(g: Any, pivot: Any, high: Any, low: Any) -> Any:
    ZERO = constants_of(g).ZERO
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

    def row_dot_pair(g: Any, pivot: Any, high: Any, low: Any) -> Any:
        total, rest, p = splat(np.float64(0.0)), splat(ZERO), spread(pivot)
        for i in steps(g):
            if due(g, i):
                total, rest = settle(total, rest)
            total, rest = add_product(total, rest, at(g, i, ZERO) - p, at(high, i, ZERO), at(low, i, ZERO))
        return whole(g, total, rest)

    return row_dot_pair


def row_shift(x: Any, a: Any, b: Any, out: Any) -> Any:
    ZERO = constants_of(x).ZERO

    def row_shift(x: Any, a: Any, b: Any, out: Any) -> Any:
        first, second = widen(spread(a)), spread(b)
        for i in steps(x):
            put(out, i, lanes.narrow((widen(at(x, i, ZERO)) - first) - second, out))

    def shift_by_pair(x: Any, a: Any, b: Any, out: Any) -> Any:
        minus, e = two_sum(splat(ZERO) - spread(a), splat(ZERO) - spread(b))
        minus_low = e - spread(b.low)
        for i in steps(x):
            s, e = two_sum(at(x, i, ZERO), minus)
            put(out, i, finished(s, e + minus_low))

    return shift_by_pair if isinstance(b, lanes.Pair) else row_shift


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


def log_total(rest: Any) -> Any:
    if not isinstance(rest, lanes.Pair):
        return (lambda rest: _each_log1p(rest)) if is_block(rest) else (lambda rest: log1p(rest))
    if is_block(rest.part):
        return lambda rest: lanes.pair(*_each_log1p_pair(rest.high, rest.low))
    return lambda rest: lanes.pair(*_log1p_pair(rest.high, rest.low))
