"""What the machine itself can do: kernels that only move bytes, as many as the cell beside them.

There is more than one way to move bytes, and which is fastest depends on the machine, the size and the threads: of
64 MiB a stream, wide vectors copy 9 GB/s, non-temporal stores 34 and memcpy 10; of 128 KiB they copy 86, 16 and 24.
So the ways are raced once at every size, and the fastest is the ceiling there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from actbench.bench.clock import Arm, Call, settling
from actbench.kernels import threads as pool
from actbench.kernels.workload import Workload

Words = NDArray[np.float64]
Way = Callable[[tuple[Words, ...], int], Call]
"""How bytes are moved: the call that does so over given buffers, in so many threads."""

STREAMS = {"copy": 2, "triad": 3, "read": 1, "read2": 2}
_WORD = 8
_LINE_WORDS = 8
# Words between the beginnings of two streams modulo a page: at the same place, every load would
# wait for a store that only looks like its own.
_APART = 168
_PAGE_WORDS = 512
_HEATS = 5
_HEAT_WORDS = 1 << 15  # that many take microseconds: enough for the clock, and for a choice


def kind_of(workload: Workload) -> str:
    """The kind of `STREAMS` whose reads and writes are nearest to those of `workload`."""
    if 8 * workload.bytes_written < workload.bytes_read:
        inputs = sum(2.5 * a.nbytes > workload.bytes_read for a in workload.arrays.values())
        return "read2" if inputs > 1 else "read"
    return "copy" if workload.bytes_read < 1.5 * workload.bytes_written else "triad"


def words_of(workload: Workload) -> int:
    """The 8-byte words a stream, so that all streams together move the bytes of `workload`."""
    moved = workload.bytes_read + workload.bytes_written
    return max(1, round(moved / (_WORD * STREAMS[kind_of(workload)])))


class Ceiling:
    """The ceiling kernels over one set of buffers that grows with the largest cell."""

    def __init__(self) -> None:
        self._random = np.random.default_rng()  # another place within a page every process
        self._arena: Words = np.empty(0)
        self._fastest: dict[tuple[str, int, int, int, int], Way] = {}

    def __call__(self, workload: Workload, threads: int = 1, copies: int = 1, times: int = 1) -> Arm:
        """An arm that moves the bytes of `workload` the fastest way, over `copies` sets of buffers in turn.

        Each call moves them so many `times`.
        """
        kind, words = kind_of(workload), words_of(workload)
        streams = STREAMS[kind]
        stride = -(-words // _PAGE_WORDS) * _PAGE_WORDS + _APART
        need = stride * streams * copies + _PAGE_WORDS + _LINE_WORDS
        if self._arena.size < need:
            self._arena = np.empty(0)  # the old one goes before the new one comes
            self._arena = np.ones(need)
        # Streams begin cache lines: non-temporal stores need it, the others are no slower.
        line = -self._arena.ctypes.data // _WORD % _LINE_WORDS
        begin = line + _LINE_WORDS * int(self._random.integers(_PAGE_WORDS // _LINE_WORDS))
        buffers = [
            self._arena[at : at + words] for at in range(begin, begin + stride * streams * copies, stride)
        ]
        sets = [tuple(buffers[i : i + streams]) for i in range(0, len(buffers), streams)]
        key = (kind, words, threads, copies, times)
        if key not in self._fastest:
            self._fastest[key] = fastest(_ways(kind, threads, times), sets, threads)
        way = self._fastest[key]
        return Arm(
            kind,
            [way(arrays, threads) for arrays in sets],
            way(tuple(a[:0] for a in sets[0]), threads),
            settling(pool.SETTLES_S, threads),
        )


def fastest(
    ways: Sequence[Way],
    sets: Sequence[tuple[Words, ...]],
    threads: int,
    timer: Callable[[], int] = time.perf_counter_ns,
) -> Way:
    """The way whose best time over the sets is shortest, all of them raced in turns."""
    calls = [[way(arrays, threads) for arrays in sets] for way in ways]
    loops = max(1, _HEAT_WORDS // sets[0][0].size)
    best = [float("inf")] * len(ways)
    for _ in range(_HEATS):
        for i, turns in enumerate(calls):
            turns[0]()  # after another way, buffers and clock are not yet as they will be
            begun = timer()
            for call in islice(cycle(turns), loops * len(turns)):
                call()
            best[i] = min(best[i], timer() - begun)
    return ways[best.index(min(best))]


@cache
def _ways(kind: str, threads: int, times: int = 1) -> tuple[Way, ...]:
    """The ways to do what the kind's name says, so many times over in so many threads."""
    if kind not in ("copy", "triad"):
        return (_kernel(kind, times),)
    kernels = _kernel(kind, times, False), _kernel(kind, times, True)
    return (*kernels, _memcpy) if kind == "copy" and threads == times == 1 else kernels


def _memcpy(arrays: tuple[Words, ...], threads: int) -> Call:
    out, a = arrays
    return partial(np.copyto, out, a)


def _kernel(kind: str, times: int, *options: bool) -> Way:
    from actbench.kernels.traffic import kernel

    moves, writes = kernel(kind, *options, times=times), not kind.startswith("read")

    def way(arrays: tuple[Words, ...], threads: int) -> Call:
        words = arrays[0].size
        out, inputs = (arrays[0], arrays[1:]) if writes else (np.zeros(words // pool.GRAIN + 1), arrays)
        return partial(moves.run, out, (), inputs, threads, times * words)

    return way
