"""Two runs from files: what changed, and what cannot be compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actbench.bench import regression
from actbench.bench.regression import changes, find, newest, obstacles, quotient
from actbench.bench.run import Input, save_run
from actbench.catalog.errors import InputFileError, UsageError
from actbench.present import regression as shown
from actbench.present.output import plain_text


def slowed(run, function, part):
    """The run with one function slower by a part."""

    def cell(m):
        if m.cell.function != function:
            return m
        return replace(m, samples_ns=tuple(ns * (1 + part) for ns in m.samples_ns))

    return replace(run, cells=tuple(map(cell, run.cells)))


def five_per_cent(_):
    return 0.05


@pytest.mark.parametrize(
    ("part", "verdict"), [(0.0, "same"), (0.04, "same"), (0.06, "slower"), (-0.04, "same"), (-0.06, "faster")]
)
def test_a_change_is_what_reaches_the_threshold(make_run, part, verdict):
    run = make_run()
    found = changes(run, slowed(run, "gelu", part), five_per_cent)
    assert {c.verdict for c in found if c.cell.function == "relu"} == {"same"}
    assert {c.verdict for c in found if c.cell.function == "gelu"} == {verdict}
    assert all(c.ratio.value == pytest.approx(1 + part) for c in found if c.cell.function == "gelu")


def test_what_may_be_noise_is_inconclusive(make_run):
    run = make_run(["relu"])

    def noisy(m):
        return replace(
            m, samples_ns=tuple(ns * (1.08 if i % 2 else 1.04) for i, ns in enumerate(m.samples_ns))
        )

    def noisier(m):
        return replace(m, samples_ns=tuple(ns * (1.3 if i % 2 else 0.9) for i, ns in enumerate(m.samples_ns)))

    sure = replace(run, cells=tuple(map(noisy, run.cells)))
    unsure = replace(run, cells=tuple(map(noisier, run.cells)))
    assert {c.verdict for c in changes(run, sure, five_per_cent)} == {"slower"}
    assert {c.verdict for c in changes(run, unsure, five_per_cent)} == {"inconclusive"}


def test_the_interval_holds_both_medians(make_run):
    first, second = make_run(["relu"]).cells[:2]
    ratio = quotient(first, second)
    assert ratio.low < first.interval_ns[0] / second.interval_ns[1]
    assert ratio.high > first.interval_ns[1] / second.interval_ns[0]
    back = quotient(second, first)
    assert (back.low, back.high) == pytest.approx((1 / ratio.high, 1 / ratio.low))


def test_cells_of_one_run_alone(make_run):
    found = changes(make_run(["relu"]), make_run(["gelu"]), five_per_cent)
    assert {(c.cell.function, c.verdict) for c in found} == {("gelu", "added"), ("relu", "removed")}


def test_a_threshold_may_be_a_functions_own(make_run):
    run = make_run()
    found = changes(run, slowed(run, "gelu", 0.06), lambda name: 0.10 if name == "gelu" else 0.05)
    assert {c.verdict for c in found} == {"same"}


def test_what_cannot_be_compared_says_why(make_run):
    run = replace(make_run(), config={"slice": 0.001, "rounds": 12, "preset": "quick", "size": [1, 2]})
    assert obstacles(run, run) == ()
    elsewhere = replace(run, machine=replace(run.machine, cpu="Other CPU"))
    assert obstacles(run, elsewhere) == ("another machine (cpu)",)
    otherwise = replace(run, config={"slice": 0.002, "rounds": 12, "preset": "ci", "size": [3]})
    assert obstacles(run, otherwise) == ("another configuration (slice 0.001, now 0.002)",)
    against = (replace(run, config={"against": value}) for value in ([], ["auto", "numpy"]))
    assert obstacles(*against) == ("another configuration (against none, now auto,numpy)",)
    measured = [replace(run, input=Input("x.npy", (3,), "float32", sha)) for sha in ("a", "b")]
    assert obstacles(*measured) == ("other data (--input)",)


def test_a_baseline_is_found_by_its_name(make_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_run()
    with pytest.raises(
        InputFileError, match=r"no file and no baseline 'before': 'actbench bench --save before'"
    ):
        find("before")
    save_run(run, regression.baseline("before"))
    assert find("before") == run
    assert find("results/baselines/before.json") == run
    with pytest.raises(InputFileError, match="no file and no baseline 'after': there are before"):
        find("after")
    (tmp_path / "before").mkdir()  # a folder of its name is ./before
    assert find("before") == run
    for name in ("", "../up", "a/b", ".hidden", "v1.json", "v1.gz"):
        with pytest.raises(UsageError, match="a baseline cannot be called"):
            regression.baseline(name)


def test_the_newest_run_is_the_head(make_run, tmp_path):
    with pytest.raises(InputFileError, match="there is no run in"):
        newest(tmp_path)
    for name, functions in (("20250101-000000-quick", ["relu"]), ("20250102-000000-quick", ["gelu"])):
        save_run(make_run(functions), tmp_path / name / "run.json")
    assert newest(tmp_path).cells[0].cell.function == "gelu"


def test_the_table_leads_with_the_worst(make_run):
    run = make_run(["relu", "gelu", "mse"])
    found = changes(run, slowed(slowed(run, "gelu", 0.2), "mse", 0.1), five_per_cent)
    rows = shown.changes(found).rows
    assert [row[0].split("/")[0] for row in rows] == ["gelu"] * 12 + ["mse"] * 12
    whole = regression.comparison(run, slowed(slowed(run, "gelu", 0.2), "mse", 0.1), five_per_cent)
    text = plain_text(shown.terminal(whole))
    assert "slower: 24 of 36 cells of both runs" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "24 slower, 12 same" in text
    assert "for display" in text
    assert shown.markdown(whole).count("relu/forward") == 6  # among every cell, and not among what changed
