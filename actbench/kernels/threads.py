"""Threads: contiguous chunks on a pool; the kernels release the GIL, so nothing is shared but the arrays.

Numba's own parallel loops abort the process when two Python threads enter them at once, and tie a reduction's
bits to the number of threads. Chunks on a pool do neither.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from actbench.catalog.errors import UsageError

GRAIN = 1 << 12
"""Chunks begin at multiples of this many elements: 16 KiB of float32, so that threads share no cache line."""
_default = 1
_pool: ThreadPoolExecutor | None = None
_owner: int | None = None
_lock = threading.Lock()


def set_threads(count: int) -> None:
    """Use ``count`` threads where a call does not say otherwise; at first 1."""
    global _default
    _default = _checked(count)


def get_threads() -> int:
    """The number of threads that a call without ``threads=`` uses."""
    return _default


def _checked(count: int) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 1024:
        raise UsageError(f"threads={count!r}: give an integer from 1 to 1024")
    return count


def _executor() -> ThreadPoolExecutor:
    """The process's pool, made anew after a fork, because threads do not survive one."""
    global _pool, _owner
    with _lock:
        if _pool is None or _owner != os.getpid():
            _pool, _owner = ThreadPoolExecutor(max(8, os.cpu_count() or 1), "actbench"), os.getpid()
        return _pool


def run(work: Callable[[int, int], object], size: int, threads: int | None, grain: int = GRAIN) -> None:
    """Call work(start, stop) over ``range(size)``, in one chunk a thread, and wait for all of them."""
    count = _default if threads is None else _checked(threads)
    if count == 1 or size <= grain:
        work(0, size)
        return
    step = -(-size // count)
    step = -(-step // grain) * grain
    starts = range(0, size, step)
    futures = [_executor().submit(work, a, min(a + step, size)) for a in starts[1:]]
    try:
        work(0, min(step, size))
    finally:
        for future in futures:
            future.result()
