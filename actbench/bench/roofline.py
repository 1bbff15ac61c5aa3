"""What bounds a kernel: the bytes that it moves, or its own arithmetic; said by measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from actbench.bench import statistics
from actbench.bench.run import Measurement, Run

Bound = Literal["memory", "compute", "call"]
_NEAR = 0.8
"""A kernel that moves its bytes at such a part of the ceiling's speed has no faster way to go."""


def bounds(run: Run) -> Mapping[str, Bound]:
    """What bounds each cell, by its key; cells without a ceiling are left out.

    The call, where that costs more than the kernel. Memory, where the kernel reaches 80 % of the speed at which the
    ceiling's kernel moves the same bytes, or where those bytes take longer than the kernel's arithmetic: the least
    time an element that the same kernel took at any size. Else compute.
    """
    least: dict[object, float] = {}
    for m in run.sized:
        least[_kernel(m)] = min(m.ns_per_element, least.get(_kernel(m), m.ns_per_element))
    return {m.cell.key: _bound(m, least[_kernel(m)]) for m in run.sized if m.ceiling_ns}


def _kernel(m: Measurement) -> object:
    return m.cell.function, m.cell.pass_, m.cell.dtype, m.cell.threads


def _bound(m: Measurement, arithmetic_ns: float) -> Bound:
    if "call-bound" in m.flags or m.share is None:
        return "call"
    traffic_ns = statistics.median(m.ceiling_ns).value / m.elements
    return "memory" if m.share.value >= _NEAR or traffic_ns >= arithmetic_ns else "compute"
