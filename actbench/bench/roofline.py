"""The most that a machine does, and what bounds a kernel below that; said by measurement."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np

from actbench.bench import statistics
from actbench.bench.ceiling import Ceiling
from actbench.bench.clock import Arm, Timer, interleave, settling
from actbench.bench.config import Config
from actbench.bench.machine import UNKNOWN_CACHE, Machine
from actbench.bench.run import Measurement, Roof, Run
from actbench.kernels import threads as pool
from actbench.kernels.workload import Workload

_KINDS = {"copy": (1, 1), "triad": (2, 1), "read": (1, 0)}
"""Of traffic: the streams that each reads and writes."""
_FILLED = 2 / 3
"""What the buffers take of a cache: all of it they never have to themselves."""
_LEAST = 4 * 2**20
"""Bytes that a call moves at least in each thread: of the 24 KiB in a first-level cache alone, 80 ns drown in the
call's 500."""
BEYOND = 4
"""Last-level caches that the buffers of traffic with memory take: STREAM's rule, for a part of them stays cached."""
_STEPS = 2**15
"""Of arithmetic that a call does in each thread: 70 us."""
_UNMEASURED = (1.0,)
Bound = Literal["memory", "compute", "neither", "call"]
_NEAR = 0.8
"""A kernel that moves its bytes at such a part of the ceiling's speed has no faster way to go."""
_SENSIBLE, _HALF = 0.2, 0.5
"""The part of its time that a kernel's operations must take at the machine's best rate, and its bytes at the ceiling's,
to be what bounds it. Kernels of an exponential or a logarithm have 0.25 to 0.83 of the first; of those with less, which
are comparisons, selections and sums, most have under 0.12."""


def roofs(
    machine: Machine,
    config: Config,
    threads: int,
    memory: int | None,
    timer: Timer = time.perf_counter_ns,
) -> tuple[Roof, ...]:
    """The machine's roofs in so many threads: traffic with each level of memory, and arithmetic in each dtype.

    A level that needs more than a quarter of the ``memory`` bytes available is left out.
    """
    found: list[tuple[Roof, Arm]] = []
    for level, size in _levels(machine, threads).items():
        if memory is None or size <= memory / 4:
            found += _traffic(level, size, threads)
    found += [_arithmetic(dtype, threads) for dtype in ("float32", "float64")]
    timings = interleave(
        [arm for _, arm in found],
        slice_ns=config.slice * 1e9,
        rounds=config.rounds,
        timer=timer,
        step_ns=machine.clock_ns or 1.0,
        seed=config.seed,
    )
    return tuple(
        replace(roof, samples_ns=timing.samples_ns) for (roof, _), timing in zip(found, timings, strict=True)
    )


def _levels(machine: Machine, threads: int) -> dict[str, int]:
    """The bytes that are moved to meet each level of memory, the nearest first."""
    caches = sorted(machine.caches.items(), key=lambda cache: cache[1])
    last = machine.last_level_cache or UNKNOWN_CACHE
    # All but the last are a core's own: two threads fill two of them.
    shares = {level: size * (threads if size < last else 1) for level, size in caches}
    return {level: int(_FILLED * size) for level, size in shares.items()} | {"memory": BEYOND * last}


def _traffic(level: str, size: int, threads: int) -> Iterator[tuple[Roof, Arm]]:
    ceiling = Ceiling()
    for kind, (reads, writes) in _KINDS.items():
        # Whole grains a thread, so that all of them get as much to do.
        unit = 8 * threads * pool.GRAIN
        stream = unit * max(1, size // (unit * (reads + writes)))
        load = Workload(_nothing, stream, reads * stream, writes * stream, {})
        moved = stream * (reads + writes)
        times = max(1, threads * _LEAST // moved)
        yield (
            Roof(kind, threads, moved * times, _UNMEASURED, level),
            ceiling(load, threads, times=times),
        )


def _arithmetic(dtype: str, threads: int) -> tuple[Roof, Arm]:
    from actbench.kernels.lanes import COUNT
    from actbench.kernels.traffic import CHAINS, kernel

    steps = np.full(threads * _STEPS, 0.5, dtype)
    out = np.zeros(steps.size // pool.GRAIN + 1, dtype)
    call = partial(kernel("arithmetic", dtype=dtype).run, out, (), (steps,), threads, steps.size)
    roof = Roof("fma", threads, 2 * CHAINS * COUNT * steps.size, _UNMEASURED, dtype=dtype)
    return roof, Arm(dtype, [call], settles_s=settling(pool.SETTLES_S, threads))


def _nothing() -> None: ...


def bounds(run: Run) -> Mapping[str, Bound]:
    """What bounds each cell, by its key; cells without a ceiling are left out.

    The call, where that costs more than the kernel. Memory, where the kernel reaches 80 % of the speed at which the
    ceiling's kernel moves the same bytes, or where those bytes take longer than the kernel's arithmetic: the least
    time an element that the same kernel took at any size. Else compute, unless operations were counted and would take
    less than a fifth of the time at the rate of the roof: then memory, a cache's too, where the bytes take half of it,
    and neither where they do not.
    """
    peaks = {(r.dtype, r.threads): r.rate.value for r in run.roofs if r.kind == "fma"}
    least: dict[object, float] = {}
    for m in run.sized:
        # The kernel's time in a cell that is mostly call is the difference of two noises, and may be next to nothing.
        if not {"call-bound", "clock-tied"} & set(m.flags):
            least[_kernel(m)] = min(m.ns_per_element, least.get(_kernel(m), m.ns_per_element))
    return {m.cell.key: _bound(m, least.get(_kernel(m)), _peak(m, peaks)) for m in run.sized if m.ceiling_ns}


def _kernel(m: Measurement) -> object:
    return m.cell.function, m.cell.pass_, m.cell.dtype, m.cell.threads


def _peak(m: Measurement, peaks: Mapping[tuple[str, int], float]) -> float | None:
    """GFLOP/s that the machine does at most in a cell's dtype; 16-bit formats are computed in float32."""
    found = peaks.get((m.cell.dtype, m.cell.threads))
    return peaks.get(("float32", m.cell.threads)) if found is None else found


def _bound(m: Measurement, arithmetic_ns: float | None, peak: float | None) -> Bound:
    if "call-bound" in m.flags or m.share is None or arithmetic_ns is None:
        return "call"
    traffic_ns = statistics.median(m.ceiling_ns).value / m.elements
    if m.share.value >= _NEAR or traffic_ns >= arithmetic_ns:
        return "memory"
    if m.flops is None or (m.flops and peak is None):
        return "compute"  # nothing else is known to take the time
    if peak is not None and m.flops / peak >= _SENSIBLE * m.ns_per_element:
        return "compute"
    return "memory" if m.share.value >= _HALF else "neither"
