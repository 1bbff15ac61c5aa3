"""A run beside its peers as tables: like calls compared, "same" where nothing else is known."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from actbench.bench import statistics
from actbench.bench.run import OURS, Contender, Run, save_run
from actbench.peers.base import Description
from actbench.present import output, published, quantity, runs, versus

# A peer's time by ours, and whether it allocates; "c" is as fast as ours, give or take.
PEERS = {"a": (2.0, True), "b": (1.5, False), "c": (1.0, True)}


def beside_peers(run: Run) -> Run:
    """`run` with our two calls at its cells' times, the peers of PEERS, one that mismatches and one that refuses."""

    def contenders(samples: tuple[float, ...]) -> tuple[Contender, ...]:
        turned = (*samples[1:], samples[0])
        return (
            Contender(OURS, True, samples, 10),
            Contender(OURS, False, samples, 10),
            *(
                Contender(
                    name, allocates, tuple(factor * s for s in (turned if factor == 1 else samples)), 10
                )
                for name, (factor, allocates) in PEERS.items()
            ),
            Contender(
                "wrong", True, error=0.5, mismatch=True, note="its values differ by 0.5 of the largest one"
            ),
            Contender("unable", True, note="unable has no float64"),
        )

    return replace(
        run,
        cells=tuple(replace(m, contenders=contenders(m.samples_ns)) for m in run.cells),
        peers={name: Description("1.0", "-", "-", "-") for name in (*PEERS, "wrong", "unable")},
    )


@pytest.fixture
def few(make_run) -> Run:
    return beside_peers(make_run(["relu"], sizes=(1000,)))


def without_c(run: Run) -> Run:
    return replace(
        run,
        cells=tuple(
            replace(m, contenders=tuple(c for c in m.contenders if c.provider != "c")) for m in run.cells
        ),
    )


def test_a_peer_is_ahead_behind_or_the_same(few: Run) -> None:
    rows = {row[:2]: row[2:] for row in versus.standings(few).rows}
    assert rows["a", "forward"] == ("2", "2", "0", "0", "2.00")
    assert rows["b", "backward"] == ("2", "2", "0", "0", "1.50")
    assert rows["c", "forward"][:4] == ("2", "0", "2", "0")
    assert rows["best of them", "forward"][:4] == ("2", "0", "2", "0")
    assert {peer for peer, _ in rows} == {*PEERS, "best of them"}, "what was not timed has no line"


def test_a_cell_shows_the_peer_that_is_hardest_on_us(few: Run) -> None:
    forward, backward = versus.duels(without_c(few))
    assert (forward.title, backward.title) == ("forward", "backward")
    function, dtype, size, _, peer, ratio = forward.rows[0]
    assert (function, dtype, size, ratio) == ("relu", "float32", "1000", "1.50 (1.5..1.5)")
    assert peer.endswith("b out=")
    assert {row[-1] for row in versus.duels(few)[0].rows} == {"same"}


def test_a_peers_time_that_is_not_known_well_has_a_mark_and_advice(few: Run) -> None:
    def shaken(c: Contender) -> Contender:
        return replace(c, samples_ns=tuple(ns * (1 + i % 2) for i, ns in enumerate(c.samples_ns)))

    cells = [
        replace(m, contenders=tuple(shaken(c) if c.provider == "b" else c for c in m.contenders))
        for m in few.cells
    ]
    table = versus.everything(replace(few, cells=tuple(cells)))
    titles = [column.title for column in table.columns]
    marked = {title for title, text in zip(titles, table.rows[0], strict=True) if text.startswith("~")}
    assert marked
    assert all(title.startswith("b") for title in marked)
    assert "unstable (" in table.caption
    assert "~" not in "".join(map("".join, versus.everything(few).rows))


def test_a_function_has_its_mean_and_its_least_ratio(make_run) -> None:
    run = without_c(beside_peers(make_run(["relu", "tanh"])))
    table = versus.by_function(run)
    assert [c.title for c in table.columns[2:]] == [
        "forward\nmean",
        "forward\nleast",
        "backward\nmean",
        "backward\nleast",
        "sizes",
    ]
    assert {row[:2] for row in table.rows} == {
        (f, d) for f in ("relu", "tanh") for d in ("float32", "float64")
    }
    assert {row[2:] for row in table.rows} == {(*["1.50"] * 4, "3")}


def test_everything_has_a_column_for_each_call(few: Run) -> None:
    table = versus.everything(few)
    assert [c.title for c in table.columns[4:-1]] == [OURS, "actbench out=", "a", "b out=", "c"]
    assert all("-" not in row for row in table.rows)


def test_what_was_not_timed_is_said_with_its_reason(few: Run) -> None:
    assert ("unable", "not timed", "unable has no float64", "relu", "4") in versus.notes(few).rows
    shown = output.plain_text(runs.terminal(few))
    assert "mismatch wrong relu/forward/float32/1000/1t/warm: its values differ by 0.5" in " ".join(
        shown.split()
    )


@pytest.mark.parametrize("functions", [["relu"], ["half_squared_error", "ctc_with_logits", "sigmoid"]])
def test_the_comparison_fits_the_terminal(functions, make_run) -> None:
    shown = output.plain_text(runs.terminal(beside_peers(make_run(functions))))
    assert "geometric mean" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "GB/s" not in shown


def test_markdown_leads_with_the_comparison(few: Run) -> None:
    text = runs.markdown(few)
    assert (
        text.index("best of them") < text.index("Every call") < text.index("not timed") < text.index("GB/s")
    )


def test_csv_has_a_row_for_each_call(few: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(runs.csv(few))))
    first = rows[: 1 + len(few.cells[0].contenders)]
    assert [row["provider"] for row in first] == ["kernel", OURS, OURS, *PEERS, "wrong", "unable"]
    assert {row["ratio"] for row in (*first[:3], *first[-2:])} == {""}
    assert float(first[3]["ratio"]) == pytest.approx(2)
    assert float(first[3]["median_ns"]) == few.cells[0].contenders[2].median_ns
    assert (first[-2]["mismatch"], first[-2]["median_ns"], first[-1]["note"]) == (
        "True",
        "",
        "unable has no float64",
    )
    assert {row["function"] for row in rows} == {"relu"}


def test_the_readme_shows_how_we_stand(few: Run, tmp_path) -> None:
    save_run(few, tmp_path / "run.json")
    text = published.comparison(tmp_path / "run.json")
    assert "best of them" in text
    assert few.command in text


def test_a_run_without_peers_is_shown_as_before(make_run) -> None:
    text = runs.markdown(make_run())
    assert "best of them" not in text
    assert "Every call" not in text


def test_what_a_call_costs_is_a_line_for_each_kind_of_call(make_run) -> None:
    run = beside_peers(make_run(["relu", "tanh"], sizes=(1, 1000)))
    table = versus.calls(run)
    assert [row[0] for row in table.rows] == ["actbench", "actbench out=", "a", "b out=", "c"]
    forward = [m for m in run.calls if m.cell.pass_ == "forward"]
    times = sorted(m.contenders[0].median_ns for m in forward)
    middle, low, high = (
        quantity.number(t / 1000) for t in (statistics.median(times).value, times[0], times[-1])
    )
    assert table.rows[0][1:3] == (middle, f"{low}..{high}")
    assert {row[-1] for row in table.rows} == {str(len(forward))}


def test_cells_of_one_element_are_in_no_ranking(make_run) -> None:
    with_calls = beside_peers(make_run(["relu"], sizes=(1, 1000)))
    without = replace(with_calls, cells=with_calls.sized)
    assert len(with_calls.cells) > len(without.cells)
    for table in (versus.standings, versus.by_function, versus.everything, runs.details, runs.summary):
        assert table(with_calls) == table(without)


def test_flags_of_calls_on_one_element_raise_no_advice(make_run) -> None:
    run = make_run(["relu"], sizes=(1, 1000))
    flagged = tuple(replace(m, flags=("call-bound",)) if m.cell.size == 1 else m for m in run.cells)
    assert "call-bound" not in output.plain_text(runs.terminal(replace(run, cells=flagged)))


def test_calls_on_one_element_alone_have_their_tables(make_run) -> None:
    run = make_run(["relu"], sizes=(1,), dtypes=("float32",), passes=("forward",))
    run = replace(run, cells=tuple(replace(m, elements=4) for m in run.cells))
    (row,) = runs.details(run).rows
    assert runs.details(run).columns[4].heading == "time (ns/call)"
    assert float(row[4]) == pytest.approx(run.cells[0].median_ns, rel=0.01)
    assert row[5:] == ("-", "-")
    for shown in (run, beside_peers(run)):
        text = output.plain_text(runs.terminal(shown))
        assert "against" not in text
        assert "| relu " in runs.markdown(shown)
    assert "a call on one element" in output.plain_text(runs.terminal(beside_peers(run)))


def test_threads_and_caches_have_standings_of_their_own(make_run) -> None:
    run = beside_peers(make_run(["relu"], sizes=(1000, 2000), threads=(1, 2), caches=("warm", "cold")))

    def hurried(m):
        factor = 0.25 if (m.cell.threads, m.cell.cache) == (2, "cold") else 1.0
        calls = (
            replace(c, samples_ns=tuple(factor * s for s in c.samples_ns)) if c.provider == "a" else c
            for c in m.contenders
        )
        return replace(m, contenders=tuple(calls))

    run = replace(run, cells=tuple(map(hurried, run.cells)))
    found = {(s.threads, s.cache): s for s in versus.standing(run) if (s.peer, s.pass_) == ("a", "forward")}
    assert {at: (s.cells, s.ahead, s.behind) for at, s in found.items()} == {
        (1, "warm"): (4, 4, 0),
        (1, "cold"): (4, 4, 0),
        (2, "warm"): (4, 4, 0),
        (2, "cold"): (4, 0, 4),
    }
    assert found[2, "cold"].mean == pytest.approx(0.5)
    table = versus.standings(run)
    assert {row[:2]: row[-1] for row in table.rows}["a", "forward 2t cold"] == "0.500"
    assert "float32, float64 at 2 sizes, 1000 to 2000 elements" in table.caption
    assert max(map(len, output.plain_text(runs.terminal(run)).splitlines())) <= 80


def test_a_function_says_over_how_many_sizes_its_mean_is(make_run) -> None:
    run = beside_peers(make_run(["relu"], dtypes=("float32",)))
    alone = next(m for m in run.cells if m.cell.pass_ == "backward")
    cells = tuple(replace(m, contenders=m.contenders[:2]) if m is alone else m for m in run.cells)
    (row,) = versus.by_function(replace(run, cells=cells)).rows
    assert row[-1] == "3/2"


def test_a_mismatch_costs_no_call_and_passes_are_counted_apart(make_run) -> None:
    run = beside_peers(make_run(["relu", "tanh"], sizes=(1,), dtypes=("float32",)))

    def changed(m):
        kept = [
            c for c in m.contenders if (m.cell.key, c.provider) != ("tanh/backward/float32/1/1t/warm", "a")
        ]
        return replace(
            m,
            contenders=tuple(replace(c, samples_ns=m.samples_ns) if c.mismatch else c for c in kept),
        )

    table = versus.calls(replace(run, cells=tuple(map(changed, run.cells))))
    counts = {row[0]: row[-1] for row in table.rows}
    assert counts == {"actbench": "2", "actbench out=": "2", "a": "2/1", "b out=": "2", "c": "2"}
    assert table.caption == "median: over the functions, of each call's median; float32, 1 thread"


def test_a_library_that_takes_no_part_is_not_claimed(few: Run) -> None:
    shown = replace(few, peers={**few.peers, "broken": replace(few.peers["a"], fault="was ended by SIGSEGV")})
    assert "a 1.0" in runs.machine(shown)
    assert "broken" not in runs.machine(shown)


def test_every_library_says_its_build_and_one_that_takes_no_part_says_why(few: Run) -> None:
    peers = {**few.peers, "d": Description.of_fault("was ended by SIGSEGV")}
    rows = {row[0]: row for row in versus.libraries(replace(few, peers=peers)).rows}
    assert rows["a"][1:] == ("1.0", "-", "-", "-", "unknown")
    assert rows["d"][2] == "left out: was ended by SIGSEGV"
    assert "numba" in rows
