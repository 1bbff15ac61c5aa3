"""The primitives of maxout: the largest of every group of k neighbours in a row, and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from actbench.kernels import lanes
from actbench.kernels.lanes import COUNT, equal, splat, where
from actbench.kernels.linking import inline
from actbench.kernels.row_steps import at, constants_of, is_block, overloaded, put, steps

LONG = 32
"""Elements a group from which on its own fill the lanes: of shorter ones 16 are worked on side by side."""


def _member(x: Any, i: Any, j: Any, k: Any) -> Any: ...


@overloaded(_member)  # type: ignore[untyped-decorator]
def _member_of(x: Any, i: Any, j: Any, k: Any) -> Any:
    """Element j of the groups of k at a step over groups."""
    if is_block(x):
        return lambda x, i, j, k: lanes.load(x, (i * k + j) * COUNT)
    return lambda x, i, j, k: lanes.load_every(x, i * k + j, k, min(COUNT, x.size // k - i))


def _put_member(x: Any, i: Any, j: Any, k: Any, value: Any) -> Any: ...


@overloaded(_put_member)  # type: ignore[untyped-decorator]
def _put_member_of(x: Any, i: Any, j: Any, k: Any, value: Any) -> Any:
    if is_block(x):
        return lambda x, i, j, k, value: lanes.store(x, (i * k + j) * COUNT, value)
    return lambda x, i, j, k, value: lanes.store_every(x, i * k + j, k, min(COUNT, x.size // k - i), value)


def _pair(x: Any, i: Any) -> Any: ...


@overloaded(_pair)  # type: ignore[untyped-decorator]
def _pair_of(x: Any, i: Any) -> Any:
    """Both elements of the groups of 2 at a step, which shuffles part faster than one by one."""
    if is_block(x):
        return lambda x, i: (_member(x, i, 0, 2), _member(x, i, 1, 2))

    def pair(x: Any, i: Any) -> Any:
        if 2 * (i + COUNT) <= x.size:
            return lanes.load_pairs(x, 2 * i)
        return _member(x, i, 0, 2), _member(x, i, 1, 2)

    return pair


def _put_pair(x: Any, i: Any, a: Any, b: Any) -> Any: ...


@overloaded(_put_pair)  # type: ignore[untyped-decorator]
def _put_pair_of(x: Any, i: Any, a: Any, b: Any) -> Any:
    block = is_block(x)

    def put_pair(x: Any, i: Any, a: Any, b: Any) -> None:
        if not block and 2 * (i + COUNT) <= x.size:
            lanes.store_pairs(x, 2 * i, a, b)
        else:
            _put_member(x, i, 0, 2, a)
            _put_member(x, i, 1, 2, b)

    return put_pair


def _greatest(x: Any) -> Any: ...


@overloaded(_greatest)  # type: ignore[untyped-decorator]
def _greatest_of(x: Any) -> Any:
    LOWEST = constants_of(x).LOWEST

    def greatest(x: Any) -> Any:
        m = splat(LOWEST)
        for i in range(0, x.size, COUNT):
            m = lanes.maximum(m, lanes.part(x, i, LOWEST))
        return lanes.greatest(m)

    return greatest


def row_group_max(x: Any, k: Any, out: Any) -> Any:
    def side_by_side(x: Any, k: Any, out: Any) -> Any:
        if k == 2:
            for i in steps(out):
                put(out, i, lanes.maximum(*_pair(x, i)))
        else:
            for i in steps(out):
                m = _member(x, i, 0, k)
                for j in range(1, k):
                    m = lanes.maximum(m, _member(x, i, j, k))
                put(out, i, m)

    if is_block(x):
        return side_by_side
    several = inline(side_by_side)

    def row_group_max(x: Any, k: Any, out: Any) -> Any:
        if k < LONG:
            several(x, k, out)
        else:
            for i in range(out.size):
                out[i] = _greatest(lanes.stretch(x, i * k, k))

    return row_group_max


def row_group_gate(g: Any, x: Any, k: Any, ties: Any, out: Any) -> Any:
    c = constants_of(x)
    ZERO, ONE, NAN = c.ZERO, c.ONE, c.ONE * np.nan

    @inline
    def marked(v: Any, m: Any) -> Any:
        return where(equal(v, m), splat(ONE), splat(ZERO))

    def side_by_side(g: Any, x: Any, k: Any, ties: Any, out: Any) -> Any:
        zero = splat(ZERO)
        if k == 2:
            for i in steps(g):
                a, b = _pair(x, i)
                m, share = lanes.maximum(a, b), at(g, i, ZERO)
                none = where(equal(m, m), zero, splat(NAN))
                if ties == 1:
                    share = rest = share / (marked(a, m) + marked(b, m))
                else:
                    rest = where(equal(a, m), zero, share)
                _put_pair(out, i, where(equal(a, m), share, none), where(equal(b, m), rest, none))
            return
        for i in steps(g):
            m = _member(x, i, 0, k)
            for j in range(1, k):
                m = lanes.maximum(m, _member(x, i, j, k))
            share, none = at(g, i, ZERO), where(equal(m, m), zero, splat(NAN))
            if ties == 1:
                count = zero
                for j in range(k):
                    count = count + marked(_member(x, i, j, k), m)
                share = share / count
            for j in range(k):
                hit = equal(_member(x, i, j, k), m)
                _put_member(out, i, j, k, where(hit, share, none))
                if ties != 1:
                    share = where(hit, zero, share)

    if is_block(x):
        return side_by_side
    several = inline(side_by_side)

    def row_group_gate(g: Any, x: Any, k: Any, ties: Any, out: Any) -> Any:
        if k < LONG:
            several(g, x, k, ties, out)
            return
        for i in range(g.size):
            group, result = lanes.stretch(x, i * k, k), lanes.stretch(out, i * k, k)
            largest, share, count = _greatest(group), g[i], splat(ZERO)
            m, none = splat(largest), splat(ZERO if largest == largest else NAN)
            if ties == 1:
                for j in range(0, k, COUNT):
                    count = count + marked(lanes.part(group, j, NAN), m)
                share = share / lanes.total(count)
            for j in range(0, k, COUNT):
                hit = equal(lanes.part(group, j, NAN), m)
                lanes.put(result, j, where(hit, splat(share), none))
            if ties != 1:
                first = 0
                while first < k and group[first] != largest:
                    first += 1
                result[first + 1 :] = ZERO

    return row_group_gate
