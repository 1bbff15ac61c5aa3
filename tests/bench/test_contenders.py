"""A cell beside its peers: compared first, timed in the same rounds, and never stopped by one of them."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from fakes import EMPTY_NS, Bench, Clock, FakeFunction, FakePeer

import actbench.kernels
from actbench.bench import runner
from actbench.bench.agreement import at_kinks, difference
from actbench.bench.comparison import closest
from actbench.bench.config import Config
from actbench.bench.contenders import enter
from actbench.bench.plan import Cell
from actbench.bench.run import Contender, Run, load_run
from actbench.bench.session import LostError, no_watch
from actbench.catalog.errors import UsageError
from actbench.kernels import threads as pool
from actbench.kernels.workload import Workload
from actbench.peers.base import Description, DifferentFunctionError


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.config = Config.model_validate({"size": (1000,), "dtype": "float32", "pass": "forward"})
    return bench


def raced(bench: Bench, *peers: FakePeer) -> Run:
    bench.peers = list(peers)
    run = bench.run()
    assert load_run(bench.folder) == run
    return run


def theirs(run: Run) -> tuple[Contender, ...]:
    return tuple(c for c in run.cells[0].contenders if c.provider != "actbench")


def test_whole_calls_are_timed_in_every_round_ours_first(bench: Bench) -> None:
    cell, without = raced(bench, FakePeer(bench.clock, ns=3.0, writes=True)).cells
    assert [c.label for c in cell.contenders] == ["actbench", "actbench out=", "fake", "fake out="]
    assert {len(c.samples_ns) for c in cell.contenders} == {len(cell.samples_ns)}
    # Nothing is subtracted: the call's own time is the user's too.
    assert [c.median_ns for c in cell.contenders] == pytest.approx(
        [2000 + EMPTY_NS] * 2 + [3000] * 2, rel=1e-3
    )
    assert cell.median_ns == pytest.approx(1000, abs=0.1)
    theirs_ = cell.contenders[2]
    assert (theirs_.note, theirs_.error, theirs_.mismatch) == ("a note", 0, False)
    assert without.contenders == ()  # the fake has no g


def test_the_ratio_is_that_of_calls_of_one_kind(bench: Bench) -> None:
    found = closest(raced(bench, FakePeer(bench.clock, ns=4.2)).cells[0])
    assert found is not None
    assert found.ours.allocates
    assert found.ratio.value == pytest.approx(2, rel=1e-3)
    assert found.verdict == "ahead"


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"value": 1.01}, "its values differ by 0.01 of the largest one"),
        ({"value": np.nan}, "its values differ by nan of the largest one"),
        ({"dtype": "float64"}, "gives float64 for float32"),
        ({"threads": 2}, "uses 2 threads"),
        ({"refuses": DifferentFunctionError("it has no slope")}, "it has no slope"),
        ({"refuses": ZeroDivisionError("by\nzero")}, "ZeroDivisionError: by zero"),
        ({"fails_after": 20}, "MemoryError: no more"),
        ({"refuses": SystemExit(3)}, "SystemExit: 3"),
        ({"fails_after": 20, "failure": KeyboardInterrupt()}, "KeyboardInterrupt:"),
        ({"fails_after": 20, "failure": SystemExit("bye")}, "SystemExit: bye"),
        ({"spoilt": slice(1, None, 2)}, "its values differ by 0.1 of the largest one"),
        ({"spoilt": slice(-1, None)}, "its values differ by 0.1 of the largest one"),
        (
            {"spoilt": slice(-1, None), "spoils_after": 5},
            "after its rounds: its values differ by 0.1 of the largest one",
        ),
    ],
    ids=[
        *("other values", "nan", "other dtype", "other threads", "other function", "raises", "raises later"),
        *("leaves", "is interrupted later", "leaves later", "odd elements", "tail", "tail later"),
    ],
)
def test_what_cannot_be_compared_is_not_timed_and_says_why(bench: Bench, changes: dict, note: str) -> None:
    good, bad = FakePeer(bench.clock), FakePeer(bench.clock, **changes)
    bad.name = "bad"
    run = raced(bench, bad, good)
    failed, timed = theirs(run)
    assert (failed.provider, failed.note, failed.samples_ns) == ("bad", note, ())
    assert failed.mismatch is ("differ" in note)
    assert timed.samples_ns
    assert run.complete
    assert not run.skipped


def test_a_difference_that_rounding_explains_is_recorded(bench: Bench) -> None:
    (peer,) = theirs(raced(bench, FakePeer(bench.clock, value=1.000002)))
    assert peer.samples_ns
    assert peer.error == pytest.approx(2e-6, rel=5e-2)


@pytest.mark.parametrize(
    ("dtype", "apart"),
    [
        ("float32", 5e-5),  # gelu_tanh in the place of gelu
        ("float32", 2.0**-12),  # float16 arithmetic
        ("float64", 2.0**-25),  # float32 arithmetic
    ],
)
def test_another_function_and_another_arithmetic_are_a_mismatch(
    bench: Bench, dtype: str, apart: float
) -> None:
    bench.config = bench.config.model_copy(update={"dtypes": (dtype,)})
    (peer,) = theirs(raced(bench, FakePeer(bench.clock, value=1 + apart)))
    assert (peer.mismatch, peer.samples_ns) == (True, ())


def test_a_peer_that_says_why_it_errs_is_timed_and_the_error_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.config = bench.config.model_copy(update={"dtypes": ("float64",)})
    monkeypatch.setattr(FakePeer, "coarse", {("f", "float64"): "holds a constant in float32"})
    (peer,) = theirs(raced(bench, FakePeer(bench.clock, value=1 + 1e-8)))
    assert peer.samples_ns
    assert peer.note == "a note; holds a constant in float32: its values differ by 1e-08 of the largest one"
    (peer,) = theirs(raced(bench, FakePeer(bench.clock, value=1 + 1e-6)))
    assert peer.mismatch


@pytest.mark.parametrize("after", [0, 5], ids=["at once", "later"])
def test_a_peer_that_writes_to_its_input_is_refused_and_costs_no_other(bench: Bench, after: int) -> None:
    seen: list[np.ndarray] = []
    bad, good = FakePeer(bench.clock, writes_input_after=after), FakePeer(bench.clock)
    bad.name = "bad"
    make = bench.functions["f"].workload

    def workload(*given: object, **more: object) -> Workload:
        seen.append((made := make(*given, **more)).arrays["x"])  # type: ignore[arg-type]
        return made

    bench.functions["f"].workload = workload  # type: ignore[method-assign,assignment]
    refused, timed = theirs(raced(bench, bad, good))
    assert (refused.mismatch, refused.note, refused.samples_ns) == (True, "changes its input", ())
    assert timed.samples_ns
    assert not any(x.any() for x in seen), "the inputs are as they were"


@pytest.mark.parametrize("name", ["hardtanh", "mae", "hinge", "maxout"])
def test_where_slopes_are_a_convention_any_of_them_will_do(name: str) -> None:
    f = actbench.kernels.function(name)
    cell = Cell(name, "backward", "float32", 2000)
    arrays = dict(f.workload("backward", "float32", 2000).arrays)
    x, target = arrays.get("x", arrays.get("pred")), arrays.get("target", np.ones(1))
    assert at_kinks(f, cell, arrays) is None
    x.reshape(-1)[:2] = {"hardtanh": 1, "mae": target[:2], "hinge": 1 / target[:2], "maxout": x.flat[0]}[name]
    found = at_kinks(f, cell, arrays)
    assert found is not None
    assert np.flatnonzero(found).tolist() == [0, 1]
    reference = np.ones(x.shape)
    assert difference(np.where(found, 0, reference), reference, found) == 0
    assert difference(np.where(found, np.nan, reference), reference, found) != 0
    assert at_kinks(f, replace(cell, pass_="forward"), arrays) is None


def test_values_that_are_compared_in_parts_are_compared_as_one() -> None:
    reference = np.ones(2**20 + 3, np.float32)
    for place in (0, 2**20 - 1, 2**20, -1):
        values = reference.copy()
        values[place] = 3
        assert difference(values, reference) == 2
        values[place] = np.nan
        assert np.isnan(difference(values, reference))


def test_without_a_peer_that_has_the_function_ours_is_not_timed_either(bench: Bench) -> None:
    bench.functions = {"g": bench.functions["g"]}
    assert [m.contenders for m in raced(bench, FakePeer(bench.clock)).cells] == [()]


def test_a_derivative_has_no_peers(clock: Clock) -> None:
    function = FakeFunction("f", clock)
    workload = function.workload("derivative", "float32", 10)
    cell = Cell("f", "derivative", "float32", 10)
    assert enter(function, cell, [workload], [FakePeer(clock)], {}, no_watch) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_a_contender_begins_when_the_threads_of_the_last_one_sleep(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    function = FakeFunction("f", clock)
    cell = Cell("f", "forward", "float32", 10, threads)
    workload = function.workload("forward", "float32", 10)
    peer = FakePeer(clock, threads=threads)
    entries = enter(function, cell, [workload], [peer], {}, no_watch)
    for entry in entries:
        assert entry.arm is not None
        entry.arm.settle()
    ours = sum(e.contender.provider == "actbench" for e in entries)
    assert waits.count(pool.SETTLES_S) == ours * (threads - 1)


def test_cells_of_one_thread_count_follow_each_other(bench: Bench) -> None:
    bench.config = Config.model_validate(
        {"size": (1000, 2000), "dtype": "float32", "pass": "forward", "threads": (1, 2)}
    )
    bench.run()
    cells = [e.text.split("/") for e in bench.events if e.stage == "measure" and e.text]
    order = [(threads, int(size)) for *_, size, threads, _ in cells]
    assert order == sorted(order)


def test_the_command_of_a_cell_names_the_peers(bench: Bench) -> None:
    bench.config = bench.config.model_copy(update={"against": ("auto",)})
    run = raced(bench, FakePeer(bench.clock))
    assert run.cells[0].command.partition(" --against ")[2].startswith("fake ")
    assert (run.config["against"], run.peers["fake"].version) == (["auto"], "1")


def test_a_run_against_another_version_of_a_peer_is_not_resumed(bench: Bench) -> None:
    raced(bench, FakePeer(bench.clock))
    start = replace(bench.start(), complete=False)
    (bench.folder / "run.json").write_text(
        (bench.folder / "run.json").read_text().replace('"complete":true', '"complete":false')
    )
    assert runner.resume(bench.folder.parent, start)[0].peers == start.peers
    bench.peers = [FakePeer(bench.clock, version="2")]
    with pytest.raises(UsageError, match="fake was 1, now it is 2"):
        runner.resume(bench.folder.parent, bench.start())


def test_a_peer_that_cannot_describe_itself_is_described_by_that(bench: Bench) -> None:
    peer = FakePeer(bench.clock)
    peer.describe = lambda threads: 1 / 0  # type: ignore[method-assign,return-value,assignment]
    bench.peers = [peer]
    assert bench.start().peers["fake"].fault == "it does not work: ZeroDivisionError: division by zero"


def test_a_peer_that_is_left_out_is_entered_with_the_reason(clock: Clock) -> None:
    function, told = FakeFunction("f", clock), list[str]()
    workload = function.workload("forward", "float32", 10)
    peers = [FakePeer(clock), FakePeer(clock)]
    peers[1].name = "other"  # type: ignore[misc]
    cell = Cell("f", "forward", "float32", 10)
    entries = enter(function, cell, [workload], peers, {"fake": "hung"}, told.append)
    found = {
        e.contender.label: (e.contender.note, e.arm is None)
        for e in entries
        if e.contender.provider != "actbench"
    }
    assert found == {"fake": ("hung", True), "other": ("a note", False)}
    assert told == ["other", ""], "whose code runs is told, and its end"


def test_whose_turn_it_is_is_told(bench: Bench) -> None:
    told: list[str] = []
    bench.peers = [FakePeer(bench.clock)]
    session = replace(bench.session(), watch=told.append)
    session.measure(bench.plan().cells[0], inf)
    assert told[:2] == ["fake", ""], "compared first"
    assert set(told) == {"fake", ""}
    assert told.count("fake") == 1 + 1 + 12 + 1, "comparison, warm-up, rounds, comparison"
    assert told[-1] == ""


@pytest.mark.parametrize(
    ("values", "reference", "expected"),
    [
        ([1, 2], [1, 2], 0),
        ([1, 2.5], [1, -2], 2.25),
        ([0, 0], [0, 0], 0),
        ([1e-9], [0], 1e-9),
        ([np.inf, 1], [np.inf, 1], 0),
        ([np.nan, 1], [np.nan, 2], 0.5),
        ([np.inf, 1], [-np.inf, 1], np.inf),
        ([1, 1], [np.nan, 1], np.inf),
        ([np.inf, 1], [1, 1], np.inf),
        ([[1]], [1], np.inf),
    ],
)
def test_difference(values: list, reference: list, expected: float) -> None:
    assert difference(np.array(values, float), np.array(reference, float)) == expected


def test_waiting_for_threads_takes_no_rounds_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # 20 ms after each slice of 1: without room for that, every cell would have the fewest rounds.
    monkeypatch.setattr("time.sleep", lambda seconds: bench.clock.work(1e9 * seconds))
    monkeypatch.setattr(FakePeer, "settles_s", 0.02)
    bench.config = bench.config.model_copy(update={"threads": (2,), "rounds": 30})
    run = raced(bench, FakePeer(bench.clock, threads=2))
    assert len(run.cells[0].samples_ns) == 30


def test_a_process_that_was_lost_is_a_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(self: object, cell: Cell, allowance_ns: float) -> None:
        raise LostError("", "was ended by SIGSEGV")

    monkeypatch.setattr("actbench.bench.session.Session.measure", lost)
    assert {(s.reason, s.failed) for s in bench.run().skipped} == {
        ("the process that measures was ended by SIGSEGV", True)
    }


def test_a_peer_that_was_left_out_is_not_resumed_without_a_word(bench: Bench) -> None:
    raced(bench, FakePeer(bench.clock))
    path = bench.folder / "run.json"
    path.write_text(path.read_text().replace('"complete":true', '"complete":false'))
    start = bench.start()
    out = replace(start, peers={"fake": Description.of_fault("was ended by SIGSEGV")})
    with pytest.raises(UsageError, match="fake was 1, now it is left out"):
        runner.resume(bench.folder.parent, out)
