"""Roofs that are the machine's, and what bounds a kernel under them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes import MACHINE, Bench, measurement

from actbench.bench import roofline
from actbench.bench.config import Config
from actbench.bench.plan import Cell
from actbench.bench.roofline import bounds, roofs
from actbench.bench.run import Measurement, Roof, load_run
from actbench.kernels.lanes import COUNT
from actbench.kernels.traffic import CHAINS, kernel

QUICK = Config.model_validate({"rounds": 6, "slice": 1e-5})


def cell(size: int, ns: float, ceiling_ns: float, **changes: Any) -> Measurement:
    """relu at a size, in ns an element, beside a ceiling of so many."""
    given = {"cell": Cell("relu", "forward", "float32", size), "overhead_ns": 1.0, "flags": ()}
    times = {"samples_ns": (ns * size,) * 6, "ceiling_ns": (ceiling_ns * size,) * 6}
    return measurement(size, **{**given, **times, **changes})


@pytest.mark.parametrize(
    ("ns", "ceiling_ns", "bound"),
    [
        (1.0, 0.9, "memory"),  # 90 % of the ceiling
        (1.0, 0.1, "compute"),
        (3.0, 1.5, "memory"),  # half of the ceiling, but the arithmetic takes less than the traffic
        (1.5, 0.9, "compute"),  # 60 %, and the arithmetic takes more
    ],
)
def test_what_bounds_a_cell(bench: Bench, ns: float, ceiling_ns: float, bound: str) -> None:
    in_cache = cell(1000, 1.0, 0.2)
    run = replace(bench.start(), cells=(in_cache, cell(10**6, ns, ceiling_ns)))
    found = bounds(run)
    assert found[run.cells[1].cell.key] == bound
    assert found[in_cache.cell.key] == "compute"


@pytest.mark.parametrize(
    ("flops", "ceiling_ns", "bound"),
    [
        (40.0, 0.2, "compute"),  # at 100 GFLOP/s 0.4 of 1 ns
        (2.0, 0.2, "neither"),  # 0.02 of it, and the bytes take a fifth
        (2.0, 0.6, "memory"),
        (0.0, 0.2, "neither"),  # without operations it cannot be them
        (0.0, 0.6, "memory"),
        (None, 0.2, "compute"),  # they were not counted
    ],
)
def test_what_has_next_to_no_operations_is_not_bound_by_them(
    bench: Bench, flops: float | None, ceiling_ns: float, bound: str
) -> None:
    given = cell(1000, 1.0, ceiling_ns, flops=flops)
    other = replace(given, cell=replace(given.cell, function="other", dtype="float16"))
    roof = Roof("fma", 1, 1000, (10.0,), dtype="float32")
    run = replace(bench.start(), cells=(given, other), roofs=(roof,))
    assert set(bounds(run).values()) == {bound}
    if not flops:  # what there is none of takes no time, whatever the roof
        assert set(bounds(replace(run, roofs=())).values()) == {bound}


def test_a_call_that_costs_more_than_its_kernel_bounds_it(bench: Bench) -> None:
    run = replace(bench.start(), cells=(cell(1000, 1.0, 0.9, flags=("call-bound",)),))
    assert list(bounds(run).values()) == ["call"]


def test_cells_of_one_element_tell_nothing_of_bounds(bench: Bench) -> None:
    run = replace(bench.start(), cells=(cell(1, 0.01, 0.9), cell(1000, 1.0, 0.2)))
    assert bounds(run) == {run.cells[1].cell.key: "compute"}


@pytest.mark.parametrize("threads", [1, 2])
def test_roofs_of_every_level_and_dtype(threads: int) -> None:
    found = roofs(MACHINE, QUICK, threads, memory=2**30)
    assert {(r.kind, r.level or r.dtype) for r in found} == {
        *((kind, level) for kind in ("copy", "triad", "read") for level in ("L1d", "L3", "memory")),
        ("fma", "float32"),
        ("fma", "float64"),
    }
    assert all(r.threads == threads and r.rate.low <= r.rate.value <= r.rate.high for r in found)


def test_a_level_that_does_not_fit_in_memory_is_left_out() -> None:
    found = roofs(MACHINE, QUICK, 1, memory=2**20)
    assert {r.level for r in found if r.level} == {"L1d"}


def test_a_roof_is_work_by_time() -> None:
    roof = Roof("copy", 1, 1000, (10.0, 20.0, 40.0), "L2")
    assert (roof.rate.value, roof.rate.low, roof.rate.high) == (50, 25, 100)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_arithmetic_is_done(dtype: str) -> None:
    # c -> c/2 + 1/2 goes from 1/2 to 1 - 2^-n in n - 1 steps; all chains and lanes are added up.
    steps = np.full(5, 0.5, dtype)
    out = np.zeros(1, dtype)
    kernel("arithmetic", dtype=dtype).alone(out, (), (steps,))
    assert out[0] == CHAINS * COUNT * (1 - 0.5**6)


@pytest.mark.parametrize("kind", ["copy", "triad", "read", "read2"])
def test_traffic_several_times_over_is_the_same_traffic(kind: str) -> None:
    inputs = tuple(np.arange(5000.0) for _ in range(2 if kind in ("triad", "read2") else 1))
    once, again = np.zeros(5000), np.zeros(5000)
    options = (False,) if kind in ("copy", "triad") else ()
    kernel(kind, *options).alone(once, (), inputs)
    kernel(kind, *options, times=3).alone(again, (), inputs)
    assert np.array_equal(once, again)


def test_a_run_has_the_roofs_of_its_threads_and_keeps_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def fake(machine: object, config: object, threads: int, *_: object) -> tuple[Roof, ...]:
        asked.append(threads)
        return (Roof("fma", threads, 10, (1.0,), dtype="float32"),)

    monkeypatch.setattr("actbench.bench.session.roofs", fake)
    bench.config = Config.model_validate(
        {"size": (1000,), "dtype": "float32", "threads": (2, 1), "roofline": True}
    )
    run = bench.run()
    assert [r.threads for r in run.roofs] == asked == [1, 2]
    assert {m.flops for m in run.cells} == {7.0}
    assert load_run(bench.folder) == run
    assert run.cells[0].intensity == pytest.approx(7 * 1000 / run.cells[0].bytes)


def test_no_roofs_unless_asked(bench: Bench) -> None:
    run = bench.run()
    assert run.roofs == ()
    assert {m.flops for m in run.cells} == {None}


def test_second_levels_are_a_cores_own_and_the_last_is_shared() -> None:
    assert roofline._levels(MACHINE, 2)["L1d"] == 2 * roofline._levels(MACHINE, 1)["L1d"]
    assert roofline._levels(MACHINE, 2)["L3"] == roofline._levels(MACHINE, 1)["L3"]


def test_cells_that_are_mostly_call_tell_nothing_of_the_arithmetic(bench: Bench) -> None:
    noise = cell(16, 0.001, 0.9, flags=("call-bound",))
    run = replace(bench.start(), cells=(noise, cell(1000, 1.0, 0.2)))
    assert bounds(run) == {noise.cell.key: "call", run.cells[1].cell.key: "compute"}


def test_roofs_and_counts_that_fail_cost_no_cell(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("actbench.bench.session.roofs", fail)
    for function in bench.functions.values():
        monkeypatch.setattr(function, "flops", fail)
    bench.config = Config.model_validate({"size": (1000,), "dtype": "float32", "roofline": True})
    run = bench.run()
    assert (len(run.cells), run.roofs, {m.flops for m in run.cells}) == (4, (), {None})
    assert [e.text for e in bench.events if e.stage == "note"] == [
        "no roofs in 1 thread: MemoryError: no room"
    ]
