"""Sums that depend on nothing but their terms: fixed spans, in 16 lanes each, without rounding errors that count.

The terms of a block are formed as an elementwise kernel forms them, then added in float64 lanes: float64 terms with
the error of every addition kept, float32 terms as they are, whose own rounding is 2^29 times larger.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from actbench.kernels.arrays import Array, contiguous

if TYPE_CHECKING:
    from actbench.kernels.sharable import Sharable

SPAN = 1 << 16
"""Elements a partial sum: fixed, so that a sum does not depend on the number of threads."""


def spans(partials: Array, inputs: tuple[Array, ...]) -> tuple[int, int]:
    """The pieces of a sum."""
    return partials.size // 2, 1


def total(
    kernel: Sharable,
    params: tuple[Any, ...],
    inputs: tuple[Array, ...],
    dtype: np.dtype[Any],
    threads: int | None,
) -> np.float64:
    """The sum that a partial-sum kernel computes over its inputs, arrays of one shape in ``dtype``, in float64."""
    size = inputs[0].size
    partials = np.empty(2 * -(-size // SPAN))
    # The kernel itself looks at shapes and order, and declines what it cannot do.
    if inputs[0].dtype is not dtype or not kernel.run(partials, params, inputs, threads, size):
        kernel.apply(partials, params, _flat(inputs, dtype), threads, size)
    if size <= SPAN:
        return partials[0] + partials[1] if size else np.float64(0)
    return np.float64(rounded_once(partials))


def rounded_once(terms: Array) -> float:
    """The sum of a few float64 terms."""
    try:
        return math.fsum(terms.tolist())
    except (OverflowError, ValueError):  # infinities of both signs, or a sum beyond the largest number
        return float(np.add.reduce(terms))


def _flat(inputs: tuple[Array, ...], dtype: np.dtype[Any]) -> tuple[Array, ...]:
    """The inputs end to end, in C order, with that very dtype object: a kernel compares no more than its address."""
    return tuple(contiguous(np.asarray(x), dtype).reshape(-1).view(dtype) for x in inputs)
