"""The machine behind a run, as far as it tells: what is unknown is None; nothing here fails."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from itertools import pairwise
from pathlib import Path

from pydantic import ConfigDict

_CPU = Path("/sys/devices/system/cpu")
_CGROUPS = (  # version 2, then 1
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


@dataclass(frozen=True)
class Machine:
    """The hardware and its state when a run began."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    cpu: str | None = None
    architecture: str | None = None
    cores: int | None = None  # that this process may use
    caches: Mapping[str, int] = field(default_factory=dict)  # bytes, as in {"L1d": 49152, "L2": ..}
    memory: int | None = None  # bytes
    os: str | None = None
    hypervisor: str | None = None  # its name; "none" on bare metal
    governor: str | None = None
    turbo: bool | None = None
    load: float | None = None  # processes ready to run, mean over the last minute
    numba_threads: int | None = None
    clock_ns: float | None = None  # the timer's step

    @property
    def last_level_cache(self) -> int | None:
        """The size of the largest cache in bytes."""
        return max(self.caches.values(), default=None)

    def differences(self, other: Machine) -> tuple[str, ...]:
        """The names of the lasting fields in which `other` is not this machine."""
        lasting = ("cpu", "architecture", "cores", "caches", "memory", "hypervisor")
        return tuple(name for name in lasting if getattr(self, name) != getattr(other, name))


@cache
def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(
        cpu=_cpu_model(),
        architecture=platform.machine() or None,
        cores=_cores(),
        caches=_caches(),
        memory=_sysconf("SC_PHYS_PAGES"),
        os=platform.platform() or None,
        hypervisor=_hypervisor(),
        governor=_read(_CPU / "cpu0/cpufreq/scaling_governor"),
        turbo=_turbo(),
        load=_load(),
        numba_threads=_numba_threads(),
        clock_ns=clock_step(),
    )


def versions() -> dict[str, str | None]:
    """The versions of what decides speed; None for what is not installed. Imports none of it."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in ("actbench", "numpy", "numba", "llvmlite"):
        found[package] = None
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def available_memory() -> int | None:
    """The bytes that may still be allocated without swapping, within the control group's limit."""
    limits = []
    match = re.search(r"^MemAvailable:\s+(\d+) kB", _read(Path("/proc/meminfo")) or "", re.M)
    free = int(match[1]) * 1024 if match else _sysconf("SC_AVPHYS_PAGES")
    if free is not None:
        limits.append(free)
    for limit, usage in _CGROUPS:
        values = (_read(limit) or "", _read(usage) or "")
        if all(value.isdigit() for value in values):  # "max" is no limit
            limits.append(max(0, int(values[0]) - int(values[1])))
    return min(limits, default=None)


def clock_step() -> float:
    """The smallest step that successive readings of the timer show, in nanoseconds."""
    readings = [time.perf_counter_ns() for _ in range(2000)]
    steps = [b - a for a, b in pairwise(readings) if b > a]
    return float(min(steps, default=1000))


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def _sysconf(pages: str) -> int | None:
    try:
        count = os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    return count if count > 0 else None


def _cpu_model() -> str | None:
    info = _read(Path("/proc/cpuinfo")) or ""
    match = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", info, re.M)
    return match[1].strip() if match else platform.processor() or None


def _cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _caches() -> dict[str, int]:
    found = {}
    for index in sorted((_CPU / "cpu0/cache").glob("index*")):
        level, kind, size = (_read(index / name) for name in ("level", "type", "size"))
        match = re.fullmatch(r"(\d+)([KMG]?)", size or "")
        if level and match and kind != "Instruction":
            unit = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[match[2]]
            found[f"L{level}{'d' if kind == 'Data' else ''}"] = int(match[1]) * unit
    return found


def _hypervisor() -> str | None:
    info = _read(Path("/proc/cpuinfo"))
    if info is None:
        return None
    if not re.search(r"^flags\s*:.*\bhypervisor\b", info, re.M):
        return "none" if "flags" in info else None
    vendor = _read(Path("/sys/class/dmi/id/sys_vendor"))
    return _read(Path("/sys/hypervisor/type")) or vendor or "unknown"


def _turbo() -> bool | None:
    no_turbo = _read(_CPU / "intel_pstate/no_turbo")
    if no_turbo is not None:
        return no_turbo == "0"
    boost = _read(_CPU / "cpufreq/boost")
    return None if boost is None else boost == "1"


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def _numba_threads() -> int | None:
    numba = sys.modules.get("numba")  # never imported for this alone: it costs half a second
    return None if numba is None else int(numba.config.NUMBA_NUM_THREADS)
