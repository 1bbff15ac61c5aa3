"""The scheduler over fake functions: order, budget, interrupts, resuming, failing cells."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import Bench

from actbench.bench import runner
from actbench.bench.config import Config
from actbench.bench.run import Run, load_run
from actbench.bench.statistics import MINIMUM_ROUNDS
from actbench.catalog.errors import InfeasibleError, UsageError


def keys(run: Run) -> list[str]:
    return [m.cell.key for m in run.cells]


def test_every_cell_is_measured_and_reported_in_the_order_of_the_plan(bench: Bench) -> None:
    run = bench.run()
    assert keys(run) == [cell.key for cell in bench.plan().cells]
    assert run.complete
    assert load_run(bench.folder) == run
    assert [e.text for e in bench.events if e.stage == "note"] == []


def test_a_cell_is_timed_beside_its_ceiling_without_the_call(bench: Bench) -> None:
    cell = bench.run().cells[0]
    # The fake costs 1 ns an element on top of the call, the fake ceiling half of it; the timer ticks in 10 ns.
    assert cell.median_ns == pytest.approx(1000, abs=0.1)
    assert cell.overhead_ns == pytest.approx(100, abs=0.1)
    assert cell.share is not None
    assert cell.share.value == pytest.approx(0.5, abs=1e-3)
    assert (cell.ceiling, cell.compile_s, len(cell.samples_ns)) == ("copy", 0.25, 12)
    assert set(cell.offsets) == {"x", "out"}
    assert cell.command == cell.cell.command + " --rounds 12 --slice 1ms --seed 0"


def test_a_cell_of_long_calls_is_measured_in_fewer_rounds(bench: Bench) -> None:
    bench.config = Config.model_validate({"size": (1000, 10**8), "dtype": "float32", "rounds": 20})
    rounds = {m.elements: len(m.samples_ns) for m in bench.run().cells}
    assert rounds == {1000: 20, 10**8: MINIMUM_ROUNDS}


def test_small_cells_come_first(bench: Bench) -> None:
    bench.run()
    assert bench.functions["g"].measured == [1000, 1000, 2000, 2000]


def test_each_kernel_is_compiled_before_anything_is_timed(bench: Bench) -> None:
    bench.run()
    stages = [event.stage for event in bench.events]
    assert stages == sorted(stages), "compile comes before measure"
    assert bench.functions["f"].compiled[:2] == [("forward", "float32"), ("backward", "float32")]


def budgeted(bench: Bench, budget: float, **more: object) -> Run:
    given = {"size": (1000, 2000), "dtype": "float32", "rounds": 200, "budget": budget, **more}
    bench.config = Config.model_validate(given)
    return bench.run()


def test_a_budget_cuts_the_rounds_and_is_kept(bench: Bench) -> None:
    run = budgeted(bench, 2.0)
    rounds = [len(m.samples_ns) for m in run.cells]
    assert all(MINIMUM_ROUNDS < n < 200 for n in rounds)
    # Every cell costs the same here, so each gets its eighth; a round of two slices is 2 ms.
    assert max(rounds) - min(rounds) <= 0.1 * max(rounds)  # calibrations differ by a few slices
    assert 1.8e9 < bench.clock.now <= 2e9


def test_a_budget_that_is_too_small_keeps_the_floor_and_says_so(bench: Bench) -> None:
    run = budgeted(bench, 0.001)
    assert {len(m.samples_ns) for m in run.cells} == {MINIMUM_ROUNDS}
    (note,) = [event.text for event in bench.events if event.stage == "note"]
    assert note.startswith("the budget of 0.001 s was too small: 8 cells at 6 rounds or more took")


def test_what_small_cells_leave_of_a_budget_goes_to_large_ones(bench: Bench) -> None:
    # A call of 1e7 elements takes 10 ms, five slices: it needs more than an even share.
    run = budgeted(bench, 8.0, rounds=60, size=(1000, 10**7))
    by_size = {m.elements: len(m.samples_ns) for m in run.cells}
    assert by_size[1000] == 60
    assert by_size[10**7] * 4 * 0.03 > 4  # seconds: beyond the even half
    assert bench.clock.now <= 8e9


@pytest.mark.parametrize("count", [0, 1, 5])
def test_an_interrupt_keeps_the_cells_measured_so_far(bench: Bench, count: int) -> None:
    interrupt_in_cell(bench, count)
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    kept = load_run(bench.folder)
    assert len(kept.cells) == count
    assert not kept.complete


def interrupt_in_cell(bench: Bench, count: int) -> None:
    def interrupt() -> None:
        started = [e for e in bench.events if e.stage == "measure"]
        if started and started[-1].done == count:
            raise KeyboardInterrupt

    for function in bench.functions.values():
        function.on_call = interrupt


def test_a_killed_process_loses_only_the_cell_it_was_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_in_cell(bench, 3)
    monkeypatch.setattr(runner.Store, "close", lambda self, run: self._journal.close())
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    assert len(load_run(bench.folder).cells) == 3


def test_a_resumed_run_measures_only_what_is_missing(bench: Bench) -> None:
    interrupt_in_cell(bench, 5)
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    for function in bench.functions.values():
        function.on_call = lambda: None
        function.measured.clear()
    earlier, folder = runner.resume(bench.folder.parent, bench.start())
    assert folder == bench.folder
    run = bench.run(earlier)
    assert sum(len(function.measured) for function in bench.functions.values()) == 3
    assert run.complete
    assert keys(run) == [cell.key for cell in bench.plan().cells]
    assert all(m in run.cells for m in earlier.cells)


def test_there_is_nothing_to_resume_after_a_complete_run(bench: Bench) -> None:
    bench.run()
    with pytest.raises(UsageError, match="no unfinished run"):
        runner.resume(bench.folder.parent, bench.start())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"rounds": 99}}, "its rounds was 12, now it is 99"),
        ({"config": {"function": ["f"]}}, "its function was f,g, now it is f"),
        ({"machine": {"cpu": "another"}}, r"another machine \(cpu\)"),
        ({"versions": {"numpy": "0.1"}}, "numpy was .*, now it is 0.1"),
    ],
    ids=["configuration", "functions", "machine", "versions"],
)
def test_a_run_of_other_circumstances_is_not_resumed(
    bench: Bench, changes: dict[str, dict[str, object]], message: str
) -> None:
    interrupt_in_cell(bench, 1)
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    start = bench.start()
    given = {
        "config": {**start.config, **changes.get("config", {})},
        "versions": {**start.versions, **changes.get("versions", {})},
        "machine": replace(start.machine, **changes.get("machine", {})),
    }
    with pytest.raises(UsageError, match=message):
        runner.resume(bench.folder.parent, replace(start, **given))


def test_another_budget_or_load_does_not_hinder_resuming(bench: Bench) -> None:
    interrupt_in_cell(bench, 1)
    with pytest.raises(KeyboardInterrupt):
        bench.run()
    start = bench.start()
    now = replace(start, config={**start.config, "budget": 9.0}, machine=replace(start.machine, load=5.0))
    assert len(runner.resume(bench.folder.parent, now)[0].cells) == 1


def test_a_failing_cell_is_recorded_and_the_run_goes_on(bench: Bench) -> None:
    bench.functions["f"].broken = ZeroDivisionError("by\nzero")
    run = bench.run()
    assert {m.cell.function for m in run.cells} == {"g"}
    assert [s.reason for s in run.skipped] == ["ZeroDivisionError: by zero"] * 4
    assert all(s.failed for s in run.skipped)
    assert run.complete
    assert load_run(bench.folder) == run


def test_data_that_do_not_fit_skip_the_cell_without_failing(bench: Bench) -> None:
    bench.functions["f"].broken = InfeasibleError("the data has no classes")
    assert [(s.reason, s.failed) for s in bench.run().skipped] == [("the data has no classes", False)] * 4


def test_a_kernel_that_does_not_compile_is_its_cells_reason(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile(pass_: str, dtype: str) -> None:
        raise TypeError("cannot lower")

    monkeypatch.setattr(bench.functions["f"], "compile", compile)
    run = bench.run()
    assert {s.reason for s in run.skipped} == {"TypeError: cannot lower"}
    assert len(run.cells) == 4


def test_what_does_not_fit_in_memory_is_refused_before_it_is_allocated(bench: Bench) -> None:
    # Two float32 buffers of 2000 elements, and as many for the ceiling: 32 000 bytes.
    with pytest.raises(InfeasibleError, match=r"f/forward/float32/2000/1t/warm needs .* available"):
        bench.run(memory=31_999)
    assert not bench.functions["f"].measured
    assert not bench.folder.exists()
    assert bench.run(memory=32_000).complete


def test_cold_cells_rotate_through_twice_the_last_level_cache(bench: Bench) -> None:
    bench.config = Config.model_validate(
        {"size": 2**14, "dtype": "float32", "pass": "forward", "cache": "cold"}
    )
    bench.run()
    touched = len(bench.functions["f"].measured) * 2 * 4 * 2**14
    assert touched >= 2 * 2**20  # the fake's L3 is 1 MiB


def test_a_cold_cell_that_would_need_too_many_buffers_says_which_size_works(bench: Bench) -> None:
    bench.config = Config.model_validate({"size": 2, "dtype": "float32", "cache": "cold"})
    reason = bench.run().skipped[0].reason
    size = int(reason.partition("--size of ")[2].split()[0])
    bench.config = Config.model_validate({"size": size, "dtype": "float32", "cache": "cold"})
    assert not bench.run().skipped


def test_new_folders_do_not_collide(bench: Bench) -> None:
    start = replace(bench.start(), created="2026-01-02T03:04:05Z")
    first = runner.new_folder(bench.folder, start)
    assert first.name == "20260102-030405-quick"
    first.mkdir(parents=True)
    assert runner.new_folder(bench.folder, start).name == "20260102-030405-quick-2"
