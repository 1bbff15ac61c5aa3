"""What Linux tells about itself in files: what is not told is None; nothing here fails."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CPU = "sys/devices/system/cpu"
HUGE_PAGES = "sys/kernel/mm/transparent_hugepage"
_GROUPS = "sys/fs/cgroup"
_MEMORY_GROUPS = (  # version 2, then 1: limit, use, and what of that is the cache of files not read of late
    (_GROUPS, "memory.max", "memory.current", "inactive_file"),
    (f"{_GROUPS}/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


@dataclass(frozen=True)
class Quota:
    """The CPUs that a control group may use, the file that says so, and what to write there for no limit."""

    cpus: float
    file: str
    none: str


@dataclass(frozen=True)
class System:
    """The files below a folder: `/`, or one that stands for it. Paths are relative to it."""

    root: Path = Path("/")

    def read(self, path: str) -> str | None:
        """The text of a file without the white space around it."""
        try:
            return (self.root / path).read_text().strip() or None
        except (OSError, UnicodeDecodeError):
            return None

    def number(self, path: str) -> int | None:
        """The integer in a file."""
        text = self.read(path) or ""
        return int(text) if re.fullmatch(r"-?\d{1,19}", text) else None

    def field(self, path: str, name: str) -> int | None:
        """The integer behind a name that begins a line."""
        match = re.search(rf"^{re.escape(name)}:?\s+(\d{{1,19}})\b", self.read(path) or "", re.M)
        return int(match[1]) if match else None

    def numbers(self, path: str) -> frozenset[int]:
        """The integers of a list such as 0-3,8 in a file; none where there is none."""
        text = self.read(path) or ""
        if not re.fullmatch(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*", text):
            return frozenset()
        ends = (part.partition("-") for part in text.split(","))
        return frozenset(n for low, _, high in ends for n in range(int(low), int(high or low) + 1))

    def paths(self, pattern: str) -> tuple[str, ...]:
        """The files and folders of a pattern, in order."""
        try:
            found = sorted(self.root.glob(pattern))
        except OSError:
            return ()
        return tuple(path.relative_to(self.root).as_posix() for path in found)

    def cpu_model(self) -> str | None:
        """The processor's name."""
        info = self.read("proc/cpuinfo") or ""
        match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", info, re.M)
        return match[1].strip() if match else None

    def caches(self) -> dict[str, int]:
        """The caches of the first core in bytes, as in {"L1d": 49152, "L2": ..}."""
        found = {}
        for index in self.paths(f"{CPU}/cpu0/cache/index*"):
            level, kind, size = (self.read(f"{index}/{name}") for name in ("level", "type", "size"))
            match = re.fullmatch(r"(\d+)([KMG]?)", size or "")
            if level and match and kind != "Instruction":
                unit = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[match[2]]
                found[f"L{level}{'d' if kind == 'Data' else ''}"] = int(match[1]) * unit
        return found

    def hypervisor(self) -> str | None:
        """The name of what the machine runs on, "unknown" where it has none; "none" on bare metal."""
        info = self.read("proc/cpuinfo")
        if info is None:
            return None
        if not re.search(r"^flags\s*:.*\bhypervisor\b", info, re.M):
            return "none" if "flags" in info else None
        vendor = self.read("sys/class/dmi/id/sys_vendor")
        return self.read("sys/hypervisor/type") or vendor or "unknown"

    def governor(self, cpu: int = 0) -> str | None:
        """What decides on a CPU's clock."""
        return self.read(f"{CPU}/cpu{cpu}/cpufreq/scaling_governor")

    def turbo(self) -> bool | None:
        """Whether the clock may rise above its nominal rate."""
        no_turbo = self.read(f"{CPU}/intel_pstate/no_turbo")
        if no_turbo is not None:
            return no_turbo == "0"
        boost = self.read(f"{CPU}/cpufreq/boost")
        return None if boost is None else boost == "1"

    def total_memory(self) -> int | None:
        """The bytes that there are, within the control group's limit."""
        kilobytes = self.field("proc/meminfo", "MemTotal")
        limits = [] if kilobytes is None else [1024 * kilobytes]
        limits += [most for most, _ in self._memory_groups()]
        return min(limits, default=None)

    def available_memory(self) -> int | None:
        """The bytes that may still be allocated without swapping, within the control group's limit."""
        kilobytes = self.field("proc/meminfo", "MemAvailable")
        limits = [] if kilobytes is None else [1024 * kilobytes]
        limits += [max(0, most - used) for most, used in self._memory_groups()]
        return min(limits, default=None)

    def _memory_groups(self) -> Iterator[tuple[int, int]]:
        """The limits of control groups for memory, and the bytes in use that are not to be had for the asking."""
        for folder, limit, usage, cache in _MEMORY_GROUPS:
            # Where there is no limit, "max" stands.
            most, used = self.number(f"{folder}/{limit}"), self.number(f"{folder}/{usage}")
            if most is not None and used is not None:
                # Every file that was read counts as used until something else needs the room.
                cached = self.field(f"{folder}/memory.stat", cache) or 0
                yield most, max(0, used - cached)

    def huge_pages(self) -> str | None:
        """Who gets huge pages: "always", "madvise" (who asks), "never"."""
        return self._bracketed("enabled")

    def huge_pages_wait(self) -> str | None:
        """Who waits until memory is put in order for them, as the kernel names it."""
        return self._bracketed("defrag")

    def _bracketed(self, name: str) -> str | None:
        match = re.search(r"\[(\S+)\]", self.read(f"{HUGE_PAGES}/{name}") or "")
        return match[1] if match else None

    def quota(self) -> Quota | None:
        """The narrowest limit on the CPUs of this process's control groups; None where there is none."""
        found = []
        for folder in self._groups():
            told = re.fullmatch(r"([1-9]\d{0,17}) ([1-9]\d{0,17})", self.read(f"{folder}/cpu.max") or "")
            if told:
                found.append(Quota(int(told[1]) / int(told[2]), f"{folder}/cpu.max", "max"))
            file = f"{folder}/cpu.cfs_quota_us"
            allowed, every = self.number(file), self.number(f"{folder}/cpu.cfs_period_us")
            if allowed and every and min(allowed, every) > 0:
                found.append(Quota(allowed / every, file, "-1"))
        return min(found, key=lambda quota: quota.cpus, default=None)

    def throttled(self) -> int | None:
        """How often control groups of this process have been stopped because their quota was used up."""
        counts = (self.field(f"{folder}/cpu.stat", "nr_throttled") for folder in self._groups())
        known = [count for count in counts if count is not None]
        return sum(known) if known else None

    def _groups(self) -> list[str]:
        """The folders of this process's control groups for CPUs, from its own up to the root of each hierarchy."""
        folders = []
        for line in (self.read("proc/self/cgroup") or "").splitlines():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                mounts = [_GROUPS, f"{_GROUPS}/unified"]
            elif "cpu" in controllers.split(","):
                mounts = [f"{_GROUPS}/cpu", f"{_GROUPS}/{controllers}"]
            else:
                continue
            # In a container, the path may be the host's: what is not there is passed over.
            own = PurePosixPath(path.strip("/"))
            folders += [str(mount / p) for mount in map(PurePosixPath, mounts) for p in (own, *own.parents)]
        return list({os.path.realpath(self.root / folder): folder for folder in folders}.values())


SYSTEM = System()


def usable_cpus() -> tuple[int, ...]:
    """The CPUs that this process may run on; none where that is unknown."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 0))
