"""What happened on a machine between two moments, from the counters of its kernel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from actbench.bench.clock import Timer
from actbench.bench.system import CPU, System

Ticks = tuple[int, ...]
_IDLE, _WAITING, _STOLEN = 3, 4, 7  # places in a line of /proc/stat
_TIMES = 8  # behind them: what of this went to guests


@dataclass(frozen=True)
class Moment:
    """Counters at one time."""

    ns: int
    own_ns: int
    """The CPU time of this process."""
    ticks: Mapping[int, Ticks]
    """What each CPU spent its time on."""
    runnable: int | None
    """Processes that run or could run, beside this one."""
    throttled: int | None
    hot: Mapping[str, int]
    """How often it has been too hot, by counter: each CPU has one for its core and one for its package."""
    swapped: int | None


def moment(system: System, clock: Timer, own: Timer) -> Moment:
    """The counters now."""
    pages = [system.field("proc/vmstat", name) for name in ("pswpin", "pswpout")]
    running = re.search(r"\b(\d{1,9})/\d+", system.read("proc/loadavg") or "")
    hot = {
        path: system.number(path) for path in system.paths(f"{CPU}/cpu*/thermal_throttle/*_throttle_count")
    }
    return Moment(
        ns=clock(),
        own_ns=own(),
        ticks=_ticks(system.read("proc/stat") or ""),
        runnable=max(0, int(running[1]) - 1) if running else None,
        throttled=system.throttled(),
        hot={path: count for path, count in hot.items() if count is not None},
        swapped=sum(p for p in pages if p is not None) if any(p is not None for p in pages) else None,
    )


def _ticks(stat: str) -> dict[int, Ticks]:
    lines = re.findall(r"^cpu(\d{1,5})((?: \d{1,19}){8,})", stat, re.M)
    return {int(cpu): tuple(map(int, counts.split()))[:_TIMES] for cpu, counts in lines}


@dataclass(frozen=True)
class Interval:
    """Two moments, for the CPUs that a process may use."""

    before: Moment
    after: Moment
    cpus: tuple[int, ...]

    @property
    def stolen(self) -> float | None:
        """The part of the CPUs' time that a hypervisor gave to others."""
        return _part([ticks[_STOLEN] for ticks in self._spent], [sum(ticks) for ticks in self._spent])

    @property
    def stolen_ever(self) -> float | None:
        """The same since the machine was started."""
        known = [self.after.ticks[cpu] for cpu in self.cpus if cpu in self.after.ticks]
        return _part([ticks[_STOLEN] for ticks in known], [sum(ticks) for ticks in known])

    @property
    def others(self) -> float | None:
        """How many of the CPUs other processes, and the kernel, kept busy."""
        elapsed = self.after.ns - self.before.ns
        spent = [ticks for ticks in self._spent if sum(ticks)]
        if not spent or elapsed <= 0:
            return None
        idle = (ticks[_IDLE] + ticks[_WAITING] + ticks[_STOLEN] for ticks in spent)
        busy = sum(1 - apart / sum(ticks) for apart, ticks in zip(idle, spent, strict=True))
        return max(0.0, busy - (self.after.own_ns - self.before.own_ns) / elapsed)

    @property
    def hot(self) -> int | None:
        """How often a core or package was too hot: of the one that was so most often.

        Every CPU of a package counts the same event, and what heats a core may heat its package too: a sum over all
        would count it many times.
        """
        before, after = self.before.hot, self.after.hot
        return max((max(0, after[path] - before[path]) for path in before if path in after), default=None)

    @property
    def hot_ever(self) -> int | None:
        """The same since the machine was started."""
        return max(self.after.hot.values(), default=None)

    @property
    def runnable(self) -> int | None:
        """The processes beside this one that ran or could run: the lesser count of the two moments."""
        return _least(self.before.runnable, self.after.runnable)

    @property
    def _spent(self) -> list[Ticks]:
        """What each of the CPUs spent its time on, where both moments know it."""
        before, after = self.before.ticks, self.after.ticks
        # Idle and waiting times may go backwards by a tick.
        return [
            tuple(max(0, b - a) for a, b in zip(before[cpu], after[cpu], strict=True))
            for cpu in self.cpus
            if cpu in before and cpu in after
        ]


def grown(before: int | None, after: int | None) -> int | None:
    """By how much a counter has grown."""
    return None if before is None or after is None else max(0, after - before)


def _least(*counts: int | None) -> int | None:
    return min((count for count in counts if count is not None), default=None)


def _part(some: list[int], all_: list[int]) -> float | None:
    return sum(some) / sum(all_) if sum(all_) else None
