"""The primitives of losses against classes, of a row and its class or probabilities, or of 16 rows and theirs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from actbench.catalog import primitives
from actbench.kernels import lanes
from actbench.kernels.lanes import COUNT, equal, splat, two_sum, where, widen
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
                put(high, c, where(here, gradient, at(high, c, high.dtype.type(0))))
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

    return indices if is_block(high) else (soft if isinstance(target, types.Array) else index)
