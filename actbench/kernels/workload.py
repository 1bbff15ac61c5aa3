"""One prepared benchmark cell: what to call, and what the call moves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.catalog.domain import REALS, Domain


@dataclass(frozen=True)
class Workload:
    """A call over preallocated, already touched buffers, with the bytes that it has to move."""

    call: Callable[[], object]
    elements: int
    bytes_read: int
    bytes_written: int
    arrays: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Compilation:
    """What a kernel's compilation cost in seconds, and whether this process found it on disk."""

    seconds: float
    cached: bool


def draw(rng: np.random.Generator, size: int, dtype: np.dtype[Any], domain: Domain = REALS) -> NDArray[Any]:
    """Random values of a domain: its members, uniform where it is bounded, else normal of deviation 2."""
    if domain.members:
        return rng.choice(np.array(domain.members), size).astype(dtype)
    if np.isfinite(domain.low) and np.isfinite(domain.high):
        # The ends are left out: logarithms there are infinite, and a benchmark is not about that.
        low, width = domain.low, domain.high - domain.low
        return (low + width * (0.01 + 0.98 * rng.random(size, np.float32))).astype(dtype)
    normal: NDArray[Any] = 2 * rng.standard_normal(size, np.float32)
    if np.isfinite(domain.low):
        normal = domain.low + np.abs(normal)
    elif np.isfinite(domain.high):
        normal = domain.high - np.abs(normal)
    return normal.astype(dtype, copy=False)
