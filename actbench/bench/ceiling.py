"""What the machine itself can do: kernels that only move bytes, as many as the cell beside them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.bench.clock import Arm, Call
from actbench.kernels import threads as pool
from actbench.kernels.workload import Workload

Words = NDArray[np.uint64]

STREAMS = {"copy": 2, "triad": 3, "read": 1, "read2": 2}
_WORD = 8
# Words between the beginnings of two streams modulo a page: at the same place, every load would
# wait for a store that only looks like its own.
_APART = 168
_PAGE_WORDS = 512


def kind_of(workload: Workload) -> str:
    """The kernel of `STREAMS` whose reads and writes are nearest to those of `workload`."""
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
        self._arena: Words = np.empty(0, np.uint64)

    def __call__(self, workload: Workload, threads: int = 1, copies: int = 1) -> Arm:
        """An arm that moves the bytes of `workload`, over `copies` sets of buffers in turn."""
        kind, words = kind_of(workload), words_of(workload)
        kernel, streams = _kernel(kind), STREAMS[kind]
        stride = -(-words // _PAGE_WORDS) * _PAGE_WORDS + _APART
        need = stride * streams * copies + _PAGE_WORDS
        if self._arena.size < need:
            self._arena = np.empty(0, np.uint64)  # the old one goes before the new one comes
            self._arena = np.ones(need, np.uint64)
        # Cache lines are 8 words: aligned, as the kernels' own buffers are.
        begin = 8 * int(self._random.integers(_PAGE_WORDS // 8))
        buffers = [
            self._arena[at : at + words] for at in range(begin, begin + stride * streams * copies, stride)
        ]
        sets = [tuple(buffers[i : i + streams]) for i in range(0, len(buffers), streams)]
        return Arm(
            kind,
            [_call(kernel, arrays, threads) for arrays in sets],
            partial(kernel, *(a[:0] for a in sets[0])),
        )


def _call(kernel: Callable[..., Any], arrays: tuple[Words, ...], threads: int) -> Call:
    if threads == 1:
        return partial(kernel, *arrays)
    return partial(pool.run, lambda a, b: partial(kernel, *(x[a:b] for x in arrays)), arrays[0].size, threads)


@cache
def _kernel(kind: str) -> Callable[..., Any]:
    # Words, not floats: integer sums vectorise unasked, and bandwidth knows no dtype.
    import numba

    def copy(out: Words, a: Words) -> None:
        for i in range(out.size):
            out[i] = a[i]

    def triad(out: Words, a: Words, b: Words) -> None:
        for i in range(out.size):
            out[i] = a[i] + b[i]

    def read(a: Words) -> Any:
        total = np.uint64(0)
        for i in range(a.size):
            total += a[i]
        return total

    def read2(a: Words, b: Words) -> Any:
        total = np.uint64(0)
        for i in range(a.size):
            total += a[i] ^ b[i]
        return total

    loop = {"copy": copy, "triad": triad, "read": read, "read2": read2}[kind]
    result = numba.uint64 if kind.startswith("read") else numba.void
    words = numba.types.Array(numba.uint64, 1, "C")
    compiled: Callable[..., Any] = numba.njit(result(*(words,) * STREAMS[kind]), nogil=True)(loop)
    return compiled
