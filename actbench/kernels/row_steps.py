"""What the primitives over rows are written with: the same code for one row, and for 16 short ones side by side.

A row is an array of one dimension, taken 16 elements at a time. A block of 16 short rows is an array of shape
(length, 16): lane k holds row k, so that nothing is masked and no sum runs across lanes. What belongs to a row (its
largest element, its sum) is a number for the one, 16 lanes for the other. Sums are float64; those of float64 rows are
compensated, and what their last rounding takes goes with them: a quotient by a rounded sum would err by up to an ULP
more.
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

from actbench.kernels import lanes
from actbench.kernels.lanes import COUNT, equal, splat, two_sum, where, widen
from actbench.kernels.linking import INLINE, inline
from actbench.kernels.vecmath.coefficients import Float32, Float64

overloaded = functools.partial(overload, jit_options=INLINE, strict=False)
ON_STACK = 4096
"""Elements of a row up to which its workspace is on the stack: an allocation costs as much as a row of 50."""


def is_block(x: Any) -> bool:
    return isinstance(x, lanes.Lanes) or (isinstance(x, types.Array) and x.ndim == 2)


def spread(v: Any) -> Any: ...


@overloaded(spread)  # type: ignore[untyped-decorator]
def _spread_of(v: Any) -> Any:
    """What belongs to a row, in every lane that works on it; of a pair, its high part."""
    if isinstance(v, lanes.Pair):
        return lambda v: spread(v.high)
    return (lambda v: v) if isinstance(v, lanes.Lanes) else (lambda v: splat(v))


def steps(x: Any) -> Any: ...


@overloaded(steps)  # type: ignore[untyped-decorator]
def _steps_of(x: Any) -> Any:
    return (lambda x: range(x.shape[0])) if is_block(x) else (lambda x: range(0, x.size, COUNT))


def at(x: Any, i: Any, fill: Any) -> Any: ...


@overloaded(at)  # type: ignore[untyped-decorator]
def _at_of(x: Any, i: Any, fill: Any) -> Any:
    """The lanes at a step; ``fill`` beyond the end of a row."""
    if is_block(x):
        return lambda x, i, fill: lanes.load(x, i * COUNT)
    return lambda x, i, fill: lanes.part(x, i, fill)


def put(x: Any, i: Any, value: Any) -> Any: ...


@overloaded(put)  # type: ignore[untyped-decorator]
def _put_of(x: Any, i: Any, value: Any) -> Any:
    if is_block(x):
        return lambda x, i, value: lanes.store(x, i * COUNT, value)
    return lambda x, i, value: lanes.put(x, i, value)


def ahead(x: Any, i: Any) -> None: ...


@overloaded(ahead)  # type: ignore[untyped-decorator]
def _ahead_of(x: Any, i: Any) -> Any:
    """Ask for the next row while this one is worked on: 0.1 of 0.5 ns an element where rows come from memory."""
    if is_block(x):
        return lambda x, i: None
    return lambda x, i: lanes.prefetch(x, i + x.size)


def most(x: Any, v: Any) -> Any: ...


@overloaded(most)  # type: ignore[untyped-decorator]
def _most_of(x: Any, v: Any) -> Any:
    return (lambda x, v: v) if is_block(x) else (lambda x, v: lanes.largest(v))


def whole(x: Any, high: Any, low: Any) -> Any: ...


@overloaded(whole)  # type: ignore[untyped-decorator]
def _whole_of(x: Any, high: Any, low: Any) -> Any:
    """The sum of a row from its float64 lanes and what they lack."""
    if is_block(x):
        return lambda x, high, low: high + widen(low)
    if low == lanes.SINGLE:
        return lambda x, high, low: lanes.total(high + widen(low))

    def whole(x: Any, high: Any, low: Any) -> Any:
        total, rest = lanes.exact_total(high, low)
        return total + rest

    return whole


def whole_pair(x: Any, high: Any, low: Any) -> Any: ...


@overloaded(whole_pair)  # type: ignore[untyped-decorator]
def _whole_pair_of(x: Any, high: Any, low: Any) -> Any:
    """The same as a pair where the row is float64."""
    if low == lanes.SINGLE:
        return lambda x, high, low: whole(x, high, low)
    if is_block(x):
        return lambda x, high, low: lanes.pair(*two_sum(high, low))

    def whole_pair(x: Any, high: Any, low: Any) -> Any:
        total, rest = lanes.exact_total(high, low)
        return lanes.pair(*two_sum(total, rest))

    return whole_pair


def lone(x: Any, v: Any) -> Any: ...


@overloaded(lone)  # type: ignore[untyped-decorator]
def _lone_of(x: Any, v: Any) -> Any:
    """What belongs to a row, from lanes that all hold it."""
    return (lambda x, v: v) if is_block(x) else (lambda x, v: lanes.lane(v, 0))


def add(high: Any, low: Any, a: Any, b: Any) -> Any: ...


@overloaded(add)  # type: ignore[untyped-decorator]
def _add_of(high: Any, low: Any, a: Any, b: Any) -> Any:
    """Float64 lanes, and what they lack, with a + b added; float64 terms are added without error."""
    if low == lanes.SINGLE:
        return lambda high, low, a, b: (high + widen(a), low + b)

    def add(high: Any, low: Any, a: Any, b: Any) -> Any:
        high, e = two_sum(high, a)
        return high, low + (b + e)

    return add


def settle(high: Any, low: Any) -> Any: ...


@overloaded(settle)  # type: ignore[untyped-decorator]
def _settle_of(high: Any, low: Any) -> Any:
    """What float64 lanes lack, moved into them, and what they lack then.

    Low parts are up to 7 % of the terms: added up over a row of 50 000 equal ones they would be wrong by 23 ULP.
    """
    if low == lanes.SINGLE:
        return lambda high, low: (high + widen(low), splat(np.float32(0.0)))
    return lambda high, low: two_sum(high, low)


def due(x: Any, i: Any) -> Any: ...


@overloaded(due)  # type: ignore[untyped-decorator]
def _due_of(x: Any, i: Any) -> Any:
    """Whether to settle before this step: every 16th."""
    return (lambda x, i: i & 15 == 0) if is_block(x) else (lambda x, i: i & (16 * COUNT - 1) == 0)


def totals(high: Any, low: Any) -> Any: ...


@overloaded(totals)  # type: ignore[untyped-decorator]
def _totals_of(high: Any, low: Any) -> Any:
    """The sum of all lanes as a number and what it lacks, which is 0 where the number is not finite."""
    if low == lanes.SINGLE:
        return lambda high, low: (lanes.total(high), np.float64(0.0))

    def totals(high: Any, low: Any) -> Any:
        total, rest = lanes.exact_total(high, low)
        return total, rest if rest == rest else np.float64(0.0)

    return totals


def counts(target: Any, r: Any, classes: Any) -> Any: ...


@overloaded(counts)  # type: ignore[untyped-decorator]
def _counts_of(target: Any, r: Any, classes: Any) -> Any:
    """Whether a row's target is one of the classes; probabilities always are."""
    if target.ndim == 2:
        return lambda target, r, classes: True
    return lambda target, r, classes: 0 <= target[r] < classes


def of_row(target: Any, r: Any) -> Any: ...


@overloaded(of_row)  # type: ignore[untyped-decorator]
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


def row_workspace(x: Any) -> Any:
    T = np.float32 if x.dtype == types.float32 else np.float64
    if is_block(x):
        return lambda x: carray(_stack(x), (x.shape[0], COUNT))

    def row_workspace(x: Any) -> Any:
        size = -(-x.size // COUNT) * COUNT
        if size <= ON_STACK:
            return carray(_stack(x), size)
        return np.empty(size, T)

    return row_workspace


@inline
def finished(s: Any, rest: Any) -> Any:
    """s + rest, where what two_sum left of an infinite s is NaN."""
    return where(equal(rest, rest), s + rest, s)


def constants_of(x: Any) -> SimpleNamespace:
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
        # SHRINK takes less than this below the normal numbers.
        TINY=T(2.0 ** (64 - (126 if single else 1022))),
        # Beyond it x - max(x) is exact wherever its exponential is not 0.
        FAR=T(256 if single else 2048),
        # The quotient of a smaller exponential and a sum of at least 1 rounds to 0.
        CUT=T(105 if single else 747),
        # Less than this may be taken from any number without overflow: half an ULP of the largest is twice as much.
        SAFE=T(2.0 ** (102 if single else 969)),
    )  # fmt: skip
