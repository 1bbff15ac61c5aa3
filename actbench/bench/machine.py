"""The machine behind a run, as far as it tells: what is unknown is None; nothing here fails."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from itertools import pairwise

from pydantic import ConfigDict

from actbench.bench.system import SYSTEM, System, usable_cpus

UNKNOWN_CACHE = 64 * 2**20
"""Bytes that the last-level cache of a machine that tells nothing of it is taken to hold."""
_READINGS = 2000  # of the timer


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
    huge_pages: str | None = None  # who gets them: "always", "madvise" (who asks), "never"

    @property
    def last_level_cache(self) -> int | None:
        """The size of the largest cache in bytes."""
        return max(self.caches.values(), default=None)

    def differences(self, other: Machine) -> tuple[str, ...]:
        """The names of the lasting fields in which `other` is not this machine."""
        lasting = ("cpu", "architecture", "cores", "caches", "memory", "hypervisor")
        return tuple(name for name in lasting if getattr(self, name) != getattr(other, name))


def now() -> str:
    """The time as files have it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@cache
def this_machine(system: System = SYSTEM) -> Machine:
    """The machine that this process runs on."""
    return Machine(
        cpu=system.cpu_model() or platform.processor() or None,
        architecture=platform.machine() or None,
        cores=len(usable_cpus()) or None,
        caches=system.caches(),
        memory=_sysconf("SC_PHYS_PAGES"),
        os=platform.platform() or None,
        hypervisor=system.hypervisor(),
        governor=system.governor(),
        turbo=system.turbo(),
        load=_load(),
        numba_threads=_numba_threads(),
        clock_ns=clock_step(),
        huge_pages=system.huge_pages(),
    )


def versions() -> dict[str, str | None]:
    """The versions of what decides speed; None for what is not installed. Imports none of it."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in ("actbench", "numpy", "numba", "llvmlite"):
        found[package] = None
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def available_memory(system: System = SYSTEM) -> int | None:
    """The bytes that may still be allocated without swapping, within the control group's limit."""
    told = system.available_memory()
    return _sysconf("SC_AVPHYS_PAGES") if told is None else told


def clock_step(timer: Callable[[], int] = time.perf_counter_ns) -> float:
    """The smallest step that successive readings of the timer show, in nanoseconds."""
    readings = [timer() for _ in range(_READINGS)]
    steps = [b - a for a, b in pairwise(readings) if b > a]
    return float(min(steps, default=1000))


def clock_cost(timer: Callable[[], int] = time.perf_counter_ns) -> float:
    """What a reading of the timer costs, in nanoseconds: the least mean of ten series."""
    return min(_series(timer) for _ in range(10))


def _series(timer: Callable[[], int]) -> float:
    begun = timer()
    for _ in range(_READINGS - 1):
        timer()
    return (timer() - begun) / _READINGS


def _sysconf(pages: str) -> int | None:
    try:
        count = os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    return count if count > 0 else None


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def _numba_threads() -> int | None:
    numba = sys.modules.get("numba")  # never imported for this alone: it costs half a second
    return None if numba is None else int(numba.config.NUMBA_NUM_THREADS)
