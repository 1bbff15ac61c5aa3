"""Sums that depend on nothing but their terms: fixed spans, in 16 lanes each, without rounding errors that count.

The terms of a block are formed as an elementwise kernel forms them, then added in float64 lanes: float64 terms with
the error of every addition kept, float32 terms as they are, whose own rounding is 2^29 times larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from actbench.kernels import threads as pool
from actbench.kernels.arrays import Array, contiguous

SPAN = 1 << 16
"""Elements a partial sum: fixed, so that a sum does not depend on the number of threads."""


def total(
    kernel: Callable[..., Any],
    params: tuple[Any, ...],
    inputs: tuple[Array, ...],
    dtype: np.dtype[Any],
    threads: int | None,
) -> np.float64:
    """The sum that a partial-sum kernel computes over its inputs, in float64."""
    flat = [contiguous(x, dtype).reshape(-1) for x in inputs]
    size = flat[0].size
    partials = np.empty(2 * -(-size // SPAN))
    if size <= SPAN:
        kernel(partials, params, *flat)
        return np.float64(partials[0] + partials[1] if size else 0.0)

    def work(start: int, stop: int) -> None:
        kernel(partials[2 * start : 2 * stop], params, *(x[start * SPAN : stop * SPAN] for x in flat))

    pool.run(work, partials.size // 2, threads, grain=1)
    # fsum rounds once, but it refuses infinities.
    return np.float64(math.fsum(partials) if np.isfinite(partials).all() else np.add.reduce(partials))
