"""How much equal work varies here: slices of the same calls for two seconds, and what that hides."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from actbench.bench import statistics
from actbench.bench.clock import Arm, Timer, interleave
from actbench.bench.machine import UNKNOWN_CACHE

ARITHMETIC, TRAFFIC = "arithmetic", "memory traffic"
ROUNDS = 12  # of a cell in the presets quick and peers
_SECONDS = 2.0
_SLICE_NS = 1e6  # as in these presets
_SLOWED = 1.05
_ELEMENTS = 2048  # in and out 16 KiB of float32: half of the smallest first-level caches
_PIECE = 2**20
_SHARE = 4  # the part of the available memory that buffers may take is one by this


@dataclass(frozen=True)
class Noise:
    """What the times of equal slices tell; parts are of the median."""

    kind: str
    slices: int
    median_ns: float
    """Of one call."""
    spread: float
    """The interquartile range."""
    drift: float
    """By how much the median of the second half is longer than that of the first."""
    worst: float
    """By how much the slowest slice is longer."""
    slowed: float
    """The share of the slices that are longer by 5 % and more."""
    smallest_difference: float | None
    """What `smallest_difference` says; None for too few slices."""


def arms(last_level_cache: int | None, available: int | None) -> tuple[Arm, ...]:
    """The work: tanh in the first-level cache and, where memory allows, a copy that no cache holds."""
    from actbench.kernels import function

    tanh = function("tanh").workload("forward", "float32", _ELEMENTS)
    tanh.call()  # compiled before anything is watched
    found = [Arm(ARITHMETIC, [tanh.call])]
    # Each of two buffers: together half as much again as the cache. More costs time, for a virtual machine may get
    # its pages from the host only now: 520 MiB took 0.15 s, or 4.
    size = 3 * (last_level_cache or UNKNOWN_CACHE) // 4
    if available is None or 2 * size * _SHARE <= available:
        source, copied = np.ones(size, np.uint8), np.ones(size, np.uint8)
        pieces = [slice(i, i + _PIECE) for i in range(0, size, _PIECE)]
        found.append(Arm(TRAFFIC, [partial(np.copyto, copied[p], source[p]) for p in pieces]))
    return tuple(found)


def measure(
    arms: Sequence[Arm], timer: Timer = time.perf_counter_ns, step_ns: float = 1.0, seconds: float = _SECONDS
) -> tuple[Noise, ...]:
    """The noise of each arm, all in the same rounds, as the arms of a cell are timed."""
    allowance = seconds * 1e9
    most = int(allowance / _SLICE_NS)
    timings = interleave(
        arms, slice_ns=_SLICE_NS, rounds=most, timer=timer, step_ns=step_ns, allowance_ns=allowance
    )
    return tuple(noise(arm.name, timing.samples_ns) for arm, timing in zip(arms, timings, strict=True))


def noise(kind: str, samples: Sequence[float]) -> Noise:
    """What at least two samples tell."""
    middle, half = statistics.median(samples).value, len(samples) // 2
    first, second = (statistics.median(part).value for part in (samples[:half], samples[half:]))
    return Noise(
        kind=kind,
        slices=len(samples),
        median_ns=middle,
        spread=statistics.spread(samples),
        drift=second / first - 1,
        worst=max(samples) / middle - 1,
        slowed=sum(sample > _SLOWED * middle for sample in samples) / len(samples),
        smallest_difference=smallest_difference(samples),
    )


def smallest_difference(samples: Sequence[float], rounds: int = ROUNDS) -> float | None:
    """The part by which a kernel must be slower so that so many rounds show it, nine times in ten.

    Of every 2 `rounds` successive slices, the even and the odd ones stand for two kernels that are one; a kernel
    that is slower by more than an end of their ratio's 95 % interval is away from 1 would be told from the other.
    """
    reaches = []
    for begin in range(0, len(samples) - 2 * rounds + 1, 2 * rounds):
        part = samples[begin : begin + 2 * rounds]
        found = statistics.ratio(part[::2], part[1::2])
        reaches += [1 / found.low - 1, found.high - 1]
    return float(np.percentile(reaches, 90)) if reaches else None
