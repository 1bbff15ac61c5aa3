"""The machine tells what it knows, and knows how not to fail."""

from __future__ import annotations

import os
import sys
from itertools import count
from pathlib import Path

import pytest
from fakes import system

from actbench.bench import machine
from actbench.bench.machine import Machine
from actbench.bench.system import System


def test_this_machine_is_described() -> None:
    found = machine.this_machine()
    assert found.cores == len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else True
    assert found.clock_ns is not None
    assert 0 < found.clock_ns < 1e6


@pytest.mark.parametrize("setting", ["always", "madvise", "never"])
def test_who_gets_huge_pages_is_recorded(tmp_path: Path, setting: str) -> None:
    text = "always madvise never".replace(setting, f"[{setting}]")
    there = system(tmp_path, {"sys/kernel/mm/transparent_hugepage/enabled": text})
    assert machine.this_machine.__wrapped__(there).huge_pages == setting


def test_what_cannot_be_read_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("sysconf", "getloadavg", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    for name in ("platform", "machine", "processor"):
        monkeypatch.setattr(machine.platform, name, lambda: "")
    monkeypatch.setitem(sys.modules, "numba", None)
    found = machine.this_machine.__wrapped__(System(tmp_path))
    assert found == Machine(clock_ns=found.clock_ns)
    assert machine.available_memory(System(tmp_path)) is None
    assert found.last_level_cache is None


def test_versions_are_found_without_importing() -> None:
    assert set(machine.versions()) == {"python", "actbench", "numpy", "numba", "llvmlite"}


@pytest.mark.parametrize(
    ("step", "cost", "expected"),
    [(25, 25, (25.0, 25.0)), (1000, 40, (1000.0, 40.0)), (0, 0, (1000.0, 0.0))],
    ids=["fine", "coarse", "stopped"],
)
def test_the_timer_tells_its_step_and_its_cost(step: int, cost: int, expected: tuple[float, float]) -> None:
    elapsed = count(0, cost)

    def timer() -> int:
        now = next(elapsed)
        return now - now % step if step else now

    assert machine.clock_step(timer) == expected[0]
    assert machine.clock_cost(timer) == pytest.approx(
        expected[1], rel=0.02
    )  # a step of 2000 readings of 40 ns


def test_machines_differ_by_what_lasts_not_by_what_passes() -> None:
    base = Machine(cpu="a", load=0.1, clock_ns=20, governor="powersave")
    assert base.differences(Machine(cpu="a", load=3.0, clock_ns=40, governor="performance")) == ()
    assert base.differences(Machine(cpu="b", cores=2)) == ("cpu", "cores")
