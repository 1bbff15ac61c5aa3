"""Threads: contiguous chunks on a pool; the kernels release the GIL, so nothing is shared but the arrays.

Numba's own parallel loops abort the process when two Python threads enter them at once, and tie a reduction's
bits to the number of threads. Chunks on a pool do neither. The pool is a queue and a lock a chunk: a future of
concurrent.futures costs 90 us from call to result, this 30, of which 25 are the operating system's.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue

from actbench.catalog.errors import UsageError

GRAIN = 1 << 10
"""Chunks begin at multiples of this many elements: a page of float32, so that threads share no cache line."""
ELEMENTS = 1 << 18
"""Elements a thread from which a second one pays in an elementwise pass: at 2 x 2^18 it made sigmoid 1.3 times as fast
and relu 0.8, at 2 x 2^19 relu as fast as one thread, at 2 x 2^23 both 1.7 and the backward pass of mish 2.0."""
default = 1
_queue: SimpleQueue[_Chunk] | None = None
_owner: int | None = None
_lock = threading.Lock()


def set_threads(count: int) -> None:
    """Use ``count`` threads where a call does not say otherwise; at first 1."""
    global default
    default = _checked(count)


def get_threads() -> int:
    """The number of threads that a call without ``threads=`` uses."""
    return default


def _checked(count: int) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 1024:
        raise UsageError(f"threads={count!r}: give an integer from 1 to 1024")
    return count


class _Chunk:
    """A part of the work, done by whoever comes first."""

    def __init__(self, work: Callable[[int, int], object], start: int, stop: int) -> None:
        self.work, self.start, self.stop = work, start, stop
        self.claim, self.pending = threading.Lock(), threading.Lock()
        self.pending.acquire()
        self.error: BaseException | None = None

    def attempt(self) -> None:
        """Do it, unless another thread has begun it."""
        if self.claim.acquire(blocking=False):
            try:
                self.work(self.start, self.stop)
            except BaseException as error:
                self.error = error
            finally:
                self.pending.release()

    def wait(self) -> None:
        """Return when it is done; raise what it raised."""
        self.pending.acquire()
        if self.error is not None:
            raise self.error


def _workers() -> SimpleQueue[_Chunk]:
    """The queue of the process's pool, made anew after a fork, because threads do not survive one."""
    global _queue, _owner
    with _lock:
        if _queue is None or _owner != os.getpid():
            _queue, _owner = SimpleQueue(), os.getpid()
            for i in range(max(8, os.cpu_count() or 1)):
                threading.Thread(target=_serve, args=(_queue,), name=f"actbench-{i}", daemon=True).start()
        return _queue


def _serve(queue: SimpleQueue[_Chunk]) -> None:
    while True:
        queue.get().attempt()


def run(
    work: Callable[[int, int], object], size: int, threads: int | None, grain: int = GRAIN, least: int = 1
) -> None:
    """Call work(start, stop) over ``range(size)``, in one chunk a thread, and wait for all of them.

    Chunks begin at multiples of ``grain`` and are at least ``least`` long; where that leaves one, no thread is used.
    """
    count = min(default if threads is None else _checked(threads), size // max(grain, least))
    if count <= 1:
        work(0, size)
        return
    bounds = [size * i // count // grain * grain for i in range(count)] + [size]
    chunks = [_Chunk(work, start, stop) for start, stop in itertools.pairwise(bounds)]
    queue = _workers()
    for chunk in chunks[1:]:
        queue.put(chunk)
    # A thread takes 25 us to wake: what none has begun by then, this one does itself.
    for chunk in chunks:
        chunk.attempt()
    for chunk in chunks:
        chunk.wait()
