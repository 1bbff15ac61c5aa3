"""Threads: a team that shares the loop of a kernel.

Numba's own parallel loops abort the process when two Python threads enter them at once, and tie a reduction's bits to
the number of threads; the team (see ``team.py``) does neither, and costs a call less than 1 us where its threads are
awake. A pool of Python threads would cost 60 us until the parts of a call begin, and as much until they are known to
have ended. A thread that has ended its work looks out for more for a while before it sleeps, as those of OpenMP do.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from actbench.catalog import numeric
from actbench.catalog.errors import UsageError
from actbench.wording import in_one_line

GRAIN = 1 << 10
"""Parts begin at multiples of this many elements: a page of float32, so that threads share no cache line."""
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
    default = checked(count)


def get_threads() -> int:
    """The number of threads that a call without ``threads=`` uses."""
    return default


def checked(count: int) -> int:
    """A number of threads; UsageError for what is none."""
    number = count if type(count) is int else numeric.integer(count)
    if number is None or not 1 <= number <= 1024:
        raise UsageError(f"threads={in_one_line(repr(count))}: give an integer from 1 to 1024")
    return number


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
    seats = min(checked(threads), 256, -(-units // grain)) - 1
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
    global _lock, _team
    _lock = threading.Lock()
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


@cache
def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
