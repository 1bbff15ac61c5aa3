"""The primitives of losses against classes, of a row and its class or probabilities, or of 16 rows and theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from actbench.catalog import primitives
from actbench.kernels import lanes
from actbench.kernels.lanes import COUNT, equal, fma, splat, two_sum, where, widen
from actbench.kernels.linking import inline
from actbench.kernels.row_steps import (
    add,
    at,
    due,
    finished,
    is_block,
    lone,
    overloaded,
    put,
    room,
    settle,
    spread,
    steps,
    whole,
)


def _loss(a: Any, x: Any, b: Any) -> Any: ...


@overloaded(_loss)  # type: ignore[untyped-decorator]
def _loss_of(a: Any, x: Any, b: Any) -> Any:
    """(a - x) + b in float64, rounded once where b is a pair."""
    if not isinstance(b, lanes.Pair):
        return lambda a, x, b: (a - x) + b

    def loss(a: Any, x: Any, b: Any) -> Any:
        d, e = two_sum(a, x * np.float64(-1.0))
        s, f = two_sum(d, b.high)
        return lone(a, finished(spread(s), spread(f + (e + b.low))))

    return loss


def _one(b: Any, highs: Any, i: Any) -> Any: ...


@overloaded(_one)  # type: ignore[untyped-decorator]
def _one_of(b: Any, highs: Any, i: Any) -> Any:
    """Lane i of b, whose numbers, or high parts, are in memory."""
    if isinstance(b, lanes.Pair):
        return lambda b, highs, i: lanes.pair(highs[i], lanes.lane(b.low, i))
    return lambda b, highs, i: highs[i]


def class_mean(target: Any, weight: Any, label_smoothing: Any, x: Any, a: Any, b: Any) -> Any:
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
        lanes.store(seconds, 0, spread(b))
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

    return indices if is_block(x) else (soft if isinstance(target, types.Array) else index)


@inline
def _pair_sum(high: Any, low: Any) -> Any:
    total, rest = splat(np.float64(0.0)), splat(high.dtype.type(0))
    for i in steps(high):
        if due(high, i):
            total, rest = settle(total, rest)
        total, rest = add(total, rest, at(high, i, high.dtype.type(0)), at(low, i, high.dtype.type(0)))
    return whole(high, total, rest)


@inline
def _pair_sum_without(own: Any, high: Any, low: Any) -> Any:
    """The sums of 16 rows side by side, but for one element of each."""
    zero = splat(high.dtype.type(0))
    total, rest = splat(np.float64(0.0)), zero
    for c in range(high.shape[0]):
        if due(high, c):
            total, rest = settle(total, rest)
        here = equal(own, splat(high.dtype.type(c)))
        a, b = lanes.load(high, c * COUNT), lanes.load(low, c * COUNT)
        total, rest = add(total, rest, where(here, zero, a), where(here, zero, b))
    return whole(high, total, rest)


def class_gradient(target: Any, weight: Any, label_smoothing: Any, high: Any, low: Any, total: Any) -> Any:
    @inline
    def masses_of_class(k: Any, weight: Any, smoothing: Any) -> Any:
        """All of weight*q, and what the others have of it: the difference of all and one would cancel."""
        mass, others = np.float64(weight[k]), 0.0
        if smoothing != 0.0:
            share = smoothing / weight.size
            for c in range(weight.size):
                others += np.float64(weight[c]) if c != k else 0.0
            others *= share
            mass = ((1.0 - smoothing) + share) * mass + others
        return mass, others

    @inline
    def finish(k: Any, weight: Any, smoothing: Any, out: Any, mass: Any, others: Any, rest: Any) -> Any:
        slope = others - mass * rest
        if smoothing != 0.0:
            share = smoothing / weight.size
            # Where the others have nearly all, it is what is formed of them that would cancel.
            if rest >= 0.5:
                slope = np.float64(out[k]) - np.float64(weight[k]) * ((1.0 - smoothing) + share)
            for c in range(weight.size):
                out[c] -= weight[c] * share
        out[k] = slope

    def index(target: Any, weight: Any, label_smoothing: Any, high: Any, low: Any, total: Any) -> Any:
        smoothing = np.float64(label_smoothing)
        a, b = high[target], low[target]
        high[target] = low[target] = 0
        rest = _pair_sum(high, low[: high.size]) / total
        if smoothing != 0.0:
            high[target], low[target] = a, b
        mass, others = masses_of_class(target, weight, smoothing)
        primitives.row_scale_pair(mass, total, high, low, high)
        finish(target, weight, smoothing, high, mass, others, rest)

    def indices(target: Any, weight: Any, label_smoothing: Any, high: Any, low: Any, total: Any) -> Any:
        smoothing = np.float64(label_smoothing)
        masses, others, rests, chosen = room(smoothing), room(smoothing), room(smoothing), room(high)
        for i in range(COUNT):
            masses[i], others[i] = masses_of_class(target[i], weight, smoothing)
            chosen[i] = target[i]
        mass, own = lanes.load(masses, 0), lanes.load(chosen, 0)
        rest = _pair_sum_without(own, high, low) / total
        if smoothing == 0.0:
            # Masks: numbers written one by one and read as vectors would wait for one another.
            primitives.row_scale_pair(mass, total, high, low, high)
            gradient = lanes.narrow(splat(np.float64(0.0)) - mass * rest, high)
            for c in range(high.shape[0]):
                here = equal(own, splat(high.dtype.type(c)))
                put(high, c, where(here, gradient, at(high, c, high.dtype.type(0))))
        else:
            lanes.store(rests, 0, rest)
            primitives.row_scale_pair(mass, total, high, low, high)
            for i in range(COUNT):
                finish(target[i], weight, smoothing, high[:, i], masses[i], others[i], rests[i])

    def soft(target: Any, weight: Any, label_smoothing: Any, high: Any, low: Any, total: Any) -> Any:
        smoothing, none = np.float64(label_smoothing), high.dtype.type(0)
        kept, share = splat(1.0 - smoothing), splat(smoothing / high.size)
        top, zero, nothing = splat(primitives.row_max(high)), splat(none), splat(np.float64(0.0))
        rest, rest_low, count = nothing, zero, zero
        others, others_low, own = nothing, nothing, nothing
        for i in steps(high):
            e = at(high, i, none)
            q = widen(at(weight, i, none)) * fma(kept, widen(at(target, i, none)), share)
            if due(high, i):
                rest, rest_low = settle(rest, rest_low)
                others, others_low = settle(others, others_low)
            is_top = equal(e, top)
            count = count + where(is_top, splat(high.dtype.type(1)), zero)
            rest, rest_low = add(
                rest, rest_low, where(is_top, zero, e), where(is_top, zero, at(low, i, none))
            )
            # What the others have is no difference of all and one, which cancels where that has nearly all: 9.4 ULP.
            others, others_low = add(others, others_low, where(is_top, nothing, q), nothing)
            own = own + where(is_top, q, nothing)
        remains = whole(high, others, others_low)
        mass = remains + lanes.total(own)
        r = splat(whole(high, rest, rest_low) / total)
        alone = equal(splat(lanes.total(widen(count))), splat(np.float64(1.0)))
        confident = lanes.both(alone, lanes.below(r, splat(np.float64(0.5))))
        f, formed = splat(mass) / spread(total), splat(remains) - splat(mass) * r
        for i in steps(high):
            h = at(high, i, none)
            q = widen(at(weight, i, none)) * fma(kept, widen(at(target, i, none)), share)
            slope = fma(widen(h), f, widen(at(low, i, none)) * f) - q
            single = lanes.both(equal(h, top), confident)
            put(high, i, lanes.narrow(where(single, formed, slope), high))

    return indices if is_block(high) else (soft if isinstance(target, types.Array) else index)
