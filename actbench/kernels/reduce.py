"""Sums that depend on nothing but their terms: fixed spans, in 16 lanes each, without rounding errors that count.

The terms of a block are formed as an elementwise kernel forms them, then added in float64 lanes: float64 terms with
the error of every addition kept, float32 terms as they are, whose own rounding is 2^29 times larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from actbench.kernels import threads as pool
from actbench.kernels.arrays import Array, contiguous

if TYPE_CHECKING:
    from actbench.kernels.compiler import Kernel

SPAN = 1 << 16
"""Elements a partial sum: fixed, so that a sum does not depend on the number of threads."""


def total(
    kernel: Callable[[bool], Kernel],
    params: tuple[Any, ...],
    inputs: tuple[Array, ...],
    dtype: np.dtype[Any],
    threads: int | None,
) -> np.float64:
    """The sum that a partial-sum kernel computes over its inputs, arrays of one shape in ``dtype``, in float64.

    ``kernel`` is asked for the one for a single thread, or for that which several share.
    """
    size = inputs[0].size
    spans = -(-size // SPAN)
    partials = np.empty(2 * spans)
    count = pool.default if threads is None else threads
    together = size >= pool.SHARED and count != 1
    entry = kernel(together).entry
    run = partial(pool.together, units=spans, threads=count, grain=1) if together else _alone
    # The kernel itself looks at shapes and order, and declines what it cannot do.
    if inputs[0].dtype is not dtype or not run(entry, partials, params, inputs):
        run(entry, partials, params, _flat(inputs, dtype))
    if size <= SPAN:
        return partials[0] + partials[1] if size else np.float64(0)
    return np.float64(rounded_once(partials))


def _alone(entry: Callable[..., bool], *operands: Any) -> bool:
    return entry(*operands)


def rounded_once(terms: Array) -> float:
    """The sum of a few float64 terms."""
    try:
        return math.fsum(terms.tolist())
    except (OverflowError, ValueError):  # infinities of both signs, or a sum beyond the largest number
        return float(np.add.reduce(terms))


def _flat(inputs: tuple[Array, ...], dtype: np.dtype[Any]) -> tuple[Array, ...]:
    """The inputs end to end, in C order, with that very dtype object: a kernel compares no more than its address."""
    return tuple(contiguous(x, dtype).reshape(-1).view(dtype) for x in inputs)
