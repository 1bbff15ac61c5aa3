"""Sums that do not depend on the number of threads: float64 partial sums of fixed blocks, added pairwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from actbench.kernels import threads as pool
from actbench.kernels.arrays import Array, contiguous

BLOCK = 1024
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
    partials = np.empty(-(-flat[0].size // BLOCK))

    def work(start: int, stop: int) -> None:
        part = slice(start * BLOCK, stop * BLOCK)
        kernel(partials[start:stop], params, *(x[part] for x in flat))

    pool.run(work, partials.size, threads, grain=8)
    return np.float64(np.add.reduce(partials))
