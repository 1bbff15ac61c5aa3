"""The machine tells what it knows, and knows how not to fail."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from actbench.bench import machine
from actbench.bench.machine import Machine


def test_this_machine_is_described() -> None:
    found = machine.this_machine()
    assert found.cores == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else True
    assert found.clock_ns is not None
    assert 0 < found.clock_ns < 1e6


def test_what_cannot_be_read_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none(*args: object) -> None:
        raise OSError

    monkeypatch.setattr(Path, "read_text", none)
    monkeypatch.setattr(machine, "_CPU", tmp_path)
    for name in ("sysconf", "getloadavg", "sched_getaffinity", "cpu_count"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None, raising=False)
    for name in ("platform", "machine", "processor"):
        monkeypatch.setattr(machine.platform, name, lambda: "")
    monkeypatch.setitem(sys.modules, "numba", None)
    found = machine.this_machine.__wrapped__()
    assert found == Machine(clock_ns=found.clock_ns)
    assert machine.available_memory() is None
    assert found.last_level_cache is None


def test_versions_are_found_without_importing() -> None:
    assert set(machine.versions()) == {"python", "actbench", "numpy", "numba", "llvmlite"}


@pytest.mark.parametrize(
    ("limit", "used", "expected"),
    [
        ("max", "5", 8 * 2**20),
        ("1048576", "1000", 2**20 - 1000),
        ("1000", "2000", 0),
        (None, None, 8 * 2**20),
    ],
    ids=["no limit", "limit", "beyond it", "no group"],
)
def test_available_memory_is_within_the_control_group(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str | None, used: str | None, expected: int
) -> None:
    if limit and used:
        (tmp_path / "max").write_text(limit)
        (tmp_path / "current").write_text(used)
    texts = {Path("/proc/meminfo"): "MemTotal: 9 kB\nMemAvailable:    8192 kB"}
    read = machine._read
    monkeypatch.setattr(machine, "_read", lambda path: texts.get(path) or read(path))
    monkeypatch.setattr(machine, "_CGROUPS", [(tmp_path / "max", tmp_path / "current")])
    assert machine.available_memory() == expected


def test_machines_differ_by_what_lasts_not_by_what_passes() -> None:
    base = Machine(cpu="a", load=0.1, clock_ns=20, governor="powersave")
    assert base.differences(Machine(cpu="a", load=3.0, clock_ns=40, governor="performance")) == ()
    assert base.differences(Machine(cpu="b", cores=2)) == ("cpu", "cores")
