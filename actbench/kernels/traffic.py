"""Loops that only move bytes, or only compute, as fast as the machine can: what the others are measured beside.

Arrays are contiguous, of float64 words but for arithmetic; ``past``: with stores past the caches, into lines that begin
the output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numba
import numpy as np

from actbench.kernels import loops
from actbench.kernels import threads as pool
from actbench.kernels.compiler import Kernel, array, compile_kernel
from actbench.kernels.lanes import COUNT, fma, load, splat, store, store_past, total
from actbench.kernels.linking import inline
from actbench.kernels.loops import Loop
from actbench.kernels.operands import flush_stream
from actbench.kernels.sharable import Sharable, elements
from actbench.kernels.vecmath.intrinsics import wide_vectors

PAGE = 512
"""Words of a page."""


@inline
def _words(out: Any, params: Any, inputs: Any) -> Any:
    return inputs[0].size


@inline
def _arrays(out: Any, params: Any, inputs: Any, words: Any) -> Any:
    return out, inputs


def copy(past: bool) -> Loop:
    """out = a."""
    put = store_past if past else store

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        out, (a,) = work
        rest = first + (stop - first) // COUNT * COUNT
        for i in range(first, rest, COUNT):
            put(out, i, load(a, i))
        for i in range(rest, stop):
            out[i] = a[i]
        if past:
            flush_stream()

    return Loop(_words, _arrays, run)


def triad(past: bool) -> Loop:
    """out = a + b."""
    put = store_past if past else store

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        out, (a, b) = work
        rest = first + (stop - first) // COUNT * COUNT
        for i in range(first, rest, COUNT):
            put(out, i, load(a, i) + load(b, i))
        for i in range(rest, stop):
            out[i] = a[i] + b[i]
        if past:
            flush_stream()

    return Loop(_words, _arrays, run)


# Four sums, so that none waits for an addition, in four pages at a time, so that more prefetchers are at work:
# 111 GB/s of 128 KiB where one sum that LLVM vectorises reads 81, 37 of 4 MiB for 32.
def read() -> Loop:
    """The sum of a, in pieces: that of a part is in the element of out that belongs to its first grain."""
    pages = 4 * PAGE

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        out, (a,) = work
        s = t = u = v = splat(0.0)
        rest = first + (stop - first) // pages * pages
        for start in range(first, rest, pages):
            for i in range(start, start + PAGE, COUNT):
                s, t = s + load(a, i), t + load(a, i + PAGE)
                u, v = u + load(a, i + 2 * PAGE), v + load(a, i + 3 * PAGE)
        whole = first + (stop - first) // COUNT * COUNT
        for i in range(rest, whole, COUNT):
            s = s + load(a, i)
        result = total((s + t) + (u + v))
        for i in range(whole, stop):
            result += a[i]
        out[first // pool.GRAIN] = result

    return Loop(_words, _arrays, run)


def read2() -> Loop:
    """The sum of a + b, in the same pieces."""
    pages = 2 * PAGE

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        out, (a, b) = work
        s = t = u = v = splat(0.0)
        rest = first + (stop - first) // pages * pages
        for start in range(first, rest, pages):
            for i in range(start, start + PAGE, COUNT):
                s, t = s + load(a, i), t + load(a, i + PAGE)
                u, v = u + load(b, i), v + load(b, i + PAGE)
        whole = first + (stop - first) // COUNT * COUNT
        for i in range(rest, whole, COUNT):
            s, u = s + load(a, i), u + load(b, i)
        result = total((s + t) + (u + v))
        for i in range(whole, stop):
            result += a[i] + b[i]
        out[first // pool.GRAIN] = result

    return Loop(_words, _arrays, run)


CHAINS = 12
"""Multiply-adds that do not wait for each other: two a cycle of four cycles each need 8, registers for 13 are there."""


def arithmetic() -> Loop:
    """A step for each element of a: ``CHAINS`` fused multiply-adds of ``COUNT`` lanes, by its first two elements."""

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        out, (a,) = work
        x, y = splat(a[0]), splat(a[1])
        c0 = c1 = c2 = c3 = c4 = c5 = c6 = c7 = c8 = c9 = c10 = c11 = y
        for _ in range(first, stop):
            c0, c1, c2 = fma(c0, x, y), fma(c1, x, y), fma(c2, x, y)
            c3, c4, c5 = fma(c3, x, y), fma(c4, x, y), fma(c5, x, y)
            c6, c7, c8 = fma(c6, x, y), fma(c7, x, y), fma(c8, x, y)
            c9, c10, c11 = fma(c9, x, y), fma(c10, x, y), fma(c11, x, y)
        result = (((c0 + c1) + (c2 + c3)) + ((c4 + c5) + (c6 + c7))) + ((c8 + c9) + (c10 + c11))
        out[first // pool.GRAIN] = total(result)

    return Loop(_words, _arrays, run)


_LOOPS: Mapping[str, tuple[Callable[..., Loop], int]] = {
    "copy": (copy, 1),
    "triad": (triad, 2),
    "read": (read, 1),
    "read2": (read2, 2),
    "arithmetic": (arithmetic, 1),
}
"""Each with its inputs."""


def _again(template: Callable[..., Loop]) -> Callable[..., Loop]:
    """The same loop several times over: how many is the last of its options."""

    def make(*options: Any) -> Loop:
        *own, times = options
        measure, gather, once = template(*own)

        @inline
        def run(work: Any, first: Any, stop: Any) -> None:
            for _ in range(times):
                once(work, first, stop)

        return Loop(measure, gather, run)

    make.__qualname__ = f"{template.__qualname__} again"
    return make


def kernel(kind: str, *options: bool, times: int = 1, dtype: str = "float64") -> Sharable:
    """The kernel of a loop by its name, with its options; one call runs it so many times over."""
    loop, inputs = _LOOPS[kind]
    given: tuple[Any, ...] = options
    if times > 1:
        loop, given = _again(loop), (*options, times)
    words = np.dtype(dtype)
    operands = numba.types.UniTuple(array(words), inputs)

    def compiled(together: bool) -> Kernel:
        return compile_kernel(
            loops.together(loop) if together else loops.alone(loop),
            (),
            words,
            (
                array(words, output=True),
                numba.types.Tuple([]),
                operands,
                *(numba.types.int64,) * (3 * together),
            ),
            scalars=0,
            options=given,
        )

    return Sharable(compiled, lambda out, inputs: elements(inputs[0], inputs))
