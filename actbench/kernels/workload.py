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
class Order:
    """The cell that is wanted: a pass over about ``size`` elements, drawn by ``rng``, or over the user's own data."""

    pass_: str
    dtype: np.dtype[Any]
    size: int
    rng: np.random.Generator
    data: NDArray[Any] | None
    threads: int

    def draw(self, size: int, domain: Domain = REALS) -> NDArray[Any]:
        """Random values of a domain: its members, uniform where it is bounded, else normal of deviation 2."""
        if domain.members:
            return self.rng.choice(np.array(domain.members), size).astype(self.dtype)
        if np.isfinite(domain.low) and np.isfinite(domain.high):
            # The ends are left out: logarithms there are infinite, and a benchmark is not about that.
            low, width = domain.low, domain.high - domain.low
            return (low + width * (0.01 + 0.98 * self.rng.random(size, np.float32))).astype(self.dtype)
        normal: NDArray[Any] = 2 * self.rng.standard_normal(size, np.float32)
        if np.isfinite(domain.low):
            normal = domain.low + np.abs(normal)
        elif np.isfinite(domain.high):
            normal = domain.high - np.abs(normal)
        return normal.astype(self.dtype, copy=False)

    def operand(self, domain: Domain) -> NDArray[Any]:
        """The user's own data, in whatever order of axes they lie in a row, or as many random values of a domain."""
        if self.data is None:
            return self.draw(self.size, domain)
        # A call on arrays in Fortran's order makes its result in that order too: beside one in C's it took 14 times.
        return self.data.T if self.data.flags.fnc else self.data


@dataclass(frozen=True)
class Compilation:
    """What a kernel's compilation cost in seconds, and whether this process found it on disk."""

    seconds: float
    cached: bool
