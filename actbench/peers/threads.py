"""The threads that a library has started: how many there are, not how many it was asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

_TASKS = Path("/proc/self/task")
_READINGS = 20  # others may come and go at any time


def started(work: Callable[[], object]) -> tuple[str, ...] | None:
    """The names of the threads that run since ``work`` was called; None where the system does not tell.

    What it returns is kept so long, for threads may end with it. One that was given no name of its own, or one of
    more than 15 bytes, has the name of the thread that made it.
    """
    before = _running()
    owner = work()
    after = _settled()
    del owner
    if before is None or after is None:
        return None
    return tuple(name for task, name in after.items() if task not in before)


def _settled() -> dict[str, str] | None:
    """What runs once two readings agree: a thread that names itself has its maker's name for microseconds."""
    found = _running()
    for _ in range(_READINGS):
        time.sleep(0.001)
        before, found = found, _running()
        if found == before:
            break
    return found


def _running() -> dict[str, str] | None:
    return {task.name: _name(task) for task in _TASKS.iterdir()} if _TASKS.is_dir() else None


def _name(task: Path) -> str:
    try:
        return (task / "comm").read_text().strip()
    except OSError:  # it has ended since the folder was listed
        return ""
