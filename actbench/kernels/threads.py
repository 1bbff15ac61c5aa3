"""Threads: a team that shares the loop of a kernel, and a pool for calls that Python prepares one by one.

Numba's own parallel loops abort the process when two Python threads enter them at once, and tie a reduction's bits to
the number of threads; neither of these does. The team (see ``team.py``) costs a call less than 1 us where its threads
are awake: elementwise passes, sums and rows are shared so. The pool hands out contiguous chunks, which release the GIL:
classes and sequences. It is a queue, since a future of concurrent.futures costs 90 us from call to result; still 60 us
pass before the chunks begin, and as much until they are known to have ended. In both, a thread that has ended its work
looks out for more for a while before it sleeps, as those of OpenMP do.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from actbench.catalog.errors import UsageError

GRAIN = 1 << 10
"""Chunks begin at multiples of this many elements: a page of float32, so that threads share no cache line."""
ELEMENTS = 1 << 18
"""Elements a thread from which a second one of the pool pays where an element takes 0.3 ns."""
SHARED = 1 << 15 if os.name == "posix" else sys.maxsize
"""Elements from which a team shares an elementwise pass, a sum or rows: relu over 2^15 of float32 takes 2.9 us in two
threads and 3.9 in one, over 2^14 2.4 and 2.5, over 2^20 144 and 287; what takes longer gains more. None elsewhere: the
threads of a team sleep by calls of POSIX."""
LINGER = 40_000
"""Looks of 13 to 28 ns: how long a thread without work looks out for more before it sleeps, up to 1.1 ms. One that is
awake when the next job comes made sigmoid over 2^20 elements 0.31 ms in two threads, not 0.39."""
SETTLES_S = 0.005
"""Seconds after which they sleep, also where a look takes five times as long: what is measured beside them waits."""
PARTS = 4
"""Parts a thread of what a team shares: one that wakes late, or is slower, leaves the others little to wait for."""
default = 1


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


class _Job:
    """Calls that do not depend on each other, each made by whoever comes first."""

    def __init__(self, calls: Sequence[Callable[[], object]]) -> None:
        self.calls, self.left = iter(calls), np.full(1, len(calls))
        self.lock, self.pending = threading.Lock(), threading.Lock()
        self.pending.acquire()
        self.error: BaseException | None = None

    def help(self) -> None:
        """Make the calls that no other thread has begun."""
        while call := self._next():
            try:
                call()
            except BaseException as error:
                self.error = error
            finally:
                self._end_one()

    def _next(self) -> Callable[[], object] | None:
        with self.lock:
            return next(self.calls, None)

    def _end_one(self) -> None:
        with self.lock:
            self.left[0] -= 1
            if self.left[0] == 0:
                self.pending.release()

    def wait(self) -> None:
        """Return when all have ended; raise what one of them raised."""
        while (left := int(self.left[0])) and _changes(self.left, left):
            pass
        self.pending.acquire()
        if self.error is not None:
            raise self.error


class _Pool:
    """Threads that take jobs from a queue, as many as a job has asked for."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[_Job] = SimpleQueue()
        self.posted = np.zeros(1, np.int64)
        self.lock = threading.Lock()
        self.size = 0

    def post(self, job: _Job, helpers: int) -> None:
        """Let so many threads help with a job."""
        with self.lock:
            for i in range(self.size, helpers):
                threading.Thread(target=self._serve, name=f"actbench-{i}", daemon=True).start()
            self.size = max(self.size, helpers)
            for _ in range(helpers):
                self.jobs.put(job)
            self.posted[0] += helpers

    def _serve(self) -> None:
        while True:
            seen = int(self.posted[0])
            try:
                job = self.jobs.get_nowait()
            except Empty:
                if _changes(self.posted, seen):
                    continue
                job = self.jobs.get()
            job.help()
            del job  # and with it the arrays


class _Team:
    """Threads that take parts of a kernel's loop in machine code; see ``team.py``."""

    def __init__(self) -> None:
        from actbench.kernels import team

        self.attend = _attend()
        memory = np.zeros(team.WORDS + team.LINE // 8, np.int64)
        first = -memory.ctypes.data % team.LINE // 8
        self.words = memory[first : first + team.WORDS]
        self.mailbox = self.words.ctypes.data
        self.looks = self.words[team.LOOKS : team.LOOKS + 1]
        self.words[[team.BED, team.BELL]] = self.pipe = os.pipe()
        self.busy = threading.Lock()
        self.size = 0

    def muster(self, count: int) -> None:
        """Have at least so many threads."""
        while self.size < count:
            self.size += 1
            # Where the threads are more than the cores, others should have this one.
            self.looks[0] = LINGER if self.size < _cores() else 0
            name = f"actbench-team-{self.size}"
            threading.Thread(target=self.attend, args=(self.mailbox,), name=name, daemon=True).start()


_pool = _Pool()
_team: _Team | None = None
_lock = threading.Lock()


def together(
    entry: Callable[..., bool],
    out: np.ndarray[Any, Any],
    params: tuple[Any, ...],
    inputs: tuple[Any, ...],
    units: int,
    grain: int,
    threads: int,
) -> bool:
    """Run a kernel that was made for a team over so many units, in parts of multiples of ``grain``; what it returns.

    A team works for one caller at a time: the others' threads make all of their parts themselves.
    """
    global _team
    if _team is None:
        with _lock:
            _team = _team or _Team()
    team = _team
    seats = min(_checked(threads), 256, -(-units // grain)) - 1
    length = -(-units // (PARTS * (seats + 1) * grain)) * grain
    if not seats or not team.busy.acquire(blocking=False):
        return entry(out, params, inputs, team.mailbox, 0, length)
    try:
        if team.size < seats:
            team.muster(seats)
        return entry(out, params, inputs, team.mailbox, seats, length)
    finally:
        team.busy.release()


def _forget() -> None:
    """Threads do not survive a fork; a lock that one of them held would stay locked."""
    global _lock, _pool, _team
    _lock, _pool = threading.Lock(), _Pool()
    if _team is not None:
        for end in _team.pipe:
            os.close(end)
        _team = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@cache
def _attend() -> Callable[..., int]:
    from numba import types

    from actbench.kernels.compiler import compile_kernel
    from actbench.kernels.team import attend

    return compile_kernel(attend, (), np.dtype(np.int64), (types.int64,), scalars=0).entry


def _changes(number: np.ndarray[Any, Any], seen: int) -> bool:
    """Look at a number until it is not ``seen``, which is True, or for LINGER: without the GIL, which others need.

    False at once where the threads are more than the cores: others should have this one.
    """
    return _pool.size < _cores() and _watch()(number, seen, LINGER)


@cache
def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@cache
def _watch() -> Callable[..., bool]:
    from numba import types

    from actbench.kernels.compiler import compile_kernel
    from actbench.kernels.waiting import watch

    signature = (types.int64[::1], types.int64, types.int64)
    return compile_kernel(watch, (), np.dtype(np.int64), signature, scalars=0).entry


def run(
    prepare: Callable[[int, int], Callable[[], object]],
    size: int,
    threads: int | None,
    grain: int = GRAIN,
    least: int = 1,
) -> None:
    """Make the calls that prepare(start, stop) returns for chunks of ``range(size)``, one a thread, and wait for all.

    Chunks begin at multiples of ``grain`` and are at least ``least`` long; where that leaves one, no thread is used.
    What can be prepared is, before the first call: threads would wait for each other, since Python runs one at a time.
    """
    count = min(default if threads is None else _checked(threads), size // max(grain, least))
    if count <= 1:
        prepare(0, size)()
        return
    bounds = [size * i // count // grain * grain for i in range(count)] + [size]
    job = _Job([prepare(start, stop) for start, stop in itertools.pairwise(bounds)])
    _pool.post(job, count - 1)
    # What none has begun by the time its thread has woken, this one does itself.
    job.help()
    job.wait()
