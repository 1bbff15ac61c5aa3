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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.bench.clock import Arm, Call, settling
from actbench.kernels import threads as pool
from actbench.kernels.workload import Workload

Words = NDArray[np.float64]
Way = Callable[..., Any]

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
        self._fastest: dict[tuple[str, int, int, int], Way] = {}

    def __call__(self, workload: Workload, threads: int = 1, copies: int = 1) -> Arm:
        """An arm that moves the bytes of `workload` the fastest way, over `copies` sets of buffers in turn."""
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
        key = (kind, words, threads, copies)
        if key not in self._fastest:
            self._fastest[key] = fastest(_ways(kind), sets, threads)
        way = self._fastest[key]
        return Arm(
            kind,
            [_call(way, arrays, threads) for arrays in sets],
            partial(way, *(a[:0] for a in sets[0])),
            settling(pool.SETTLES_S, threads),
        )


def fastest(
    ways: Sequence[Way],
    sets: Sequence[tuple[Words, ...]],
    threads: int,
    timer: Callable[[], int] = time.perf_counter_ns,
) -> Way:
    """The way whose best time over the sets is shortest, all of them raced in turns."""
    calls = [[_call(way, arrays, threads) for arrays in sets] for way in ways]
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


def _call(way: Way, arrays: tuple[Words, ...], threads: int) -> Call:
    if threads == 1:
        return partial(way, *arrays)
    return partial(pool.run, lambda a, b: partial(way, *(x[a:b] for x in arrays)), arrays[0].size, threads)


@cache
def _ways(kind: str) -> tuple[Way, ...]:
    """The ways to do what the kind's name says."""
    if kind == "copy":
        return _compiled(kind, past=False), _compiled(kind, past=True), np.copyto
    if kind == "triad":
        return _compiled(kind, past=False), _compiled(kind, past=True)
    return (_compiled(kind),)


def _compiled(kind: str, *, past: bool = False) -> Way:
    """The kernel of a kind; ``past``: with stores past the caches, into lines that begin the output."""
    import numba

    from actbench.kernels.lanes import COUNT, load, splat, store, store_past, total
    from actbench.kernels.operands import flush_stream
    from actbench.kernels.vecmath.intrinsics import wide_vectors

    put = store_past if past else store
    page, pages = _PAGE_WORDS, 4 * _PAGE_WORDS

    def copy(out: Words, a: Words) -> None:
        wide_vectors()
        rest = out.size // COUNT * COUNT
        for i in range(0, rest, COUNT):
            put(out, i, load(a, i))
        for i in range(rest, out.size):
            out[i] = a[i]
        if past:
            flush_stream()

    def triad(out: Words, a: Words, b: Words) -> None:
        wide_vectors()
        rest = out.size // COUNT * COUNT
        for i in range(0, rest, COUNT):
            put(out, i, load(a, i) + load(b, i))
        for i in range(rest, out.size):
            out[i] = a[i] + b[i]
        if past:
            flush_stream()

    # Four sums, so that none waits for an addition, in four pages at a time, so that more prefetchers are at work:
    # 111 GB/s of 128 KiB where one sum that LLVM vectorises reads 81, 37 of 4 MiB for 32.
    def read(a: Words) -> Any:
        wide_vectors()
        s = t = u = v = splat(0.0)
        rest = a.size // pages * pages
        for start in range(0, rest, pages):
            for i in range(start, start + page, COUNT):
                s, t = s + load(a, i), t + load(a, i + page)
                u, v = u + load(a, i + 2 * page), v + load(a, i + 3 * page)
        whole = a.size // COUNT * COUNT
        for i in range(rest, whole, COUNT):
            s = s + load(a, i)
        result = total((s + t) + (u + v))
        for i in range(whole, a.size):
            result += a[i]
        return result

    def read2(a: Words, b: Words) -> Any:
        wide_vectors()
        s = t = u = v = splat(0.0)
        rest = a.size // (2 * page) * (2 * page)
        for start in range(0, rest, 2 * page):
            for i in range(start, start + page, COUNT):
                s, t = s + load(a, i), t + load(a, i + page)
                u, v = u + load(b, i), v + load(b, i + page)
        whole = a.size // COUNT * COUNT
        for i in range(rest, whole, COUNT):
            s, u = s + load(a, i), u + load(b, i)
        result = total((s + t) + (u + v))
        for i in range(whole, a.size):
            result += a[i] + b[i]
        return result

    loop = {"copy": copy, "triad": triad, "read": read, "read2": read2}[kind]
    result = numba.float64 if kind.startswith("read") else numba.void
    words = numba.types.Array(numba.float64, 1, "C")
    compiled: Way = numba.njit(result(*(words,) * STREAMS[kind]), nogil=True, no_cfunc_wrapper=True)(loop)
    return compiled
