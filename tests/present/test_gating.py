"""A gate's report, as a terminal, a reviewer and a CI system get it."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from actbench.bench.gating.record import Judgement, Report, Version, dumps, load
from actbench.bench.gating.selftest import Trial
from actbench.bench.machine import Machine
from actbench.bench.plan import Cell
from actbench.bench.statistics import Estimate
from actbench.catalog.errors import InputFileError
from actbench.present import gating
from actbench.present.output import plain_text

SLOW = Judgement(
    "slower",
    Cell("silu", "backward", "float32", 65536),
    reason="16 of 16 pairs slower by over 1 %",
    ratio=Estimate(1.052, 1.048, 1.057),
    detectable=0.035,
    threshold=0.03,
    screened=((0.05, 0.06), (0.05, 0.04)),
    confirmed=(0.05,) * 16,
)
SAME = Judgement(
    "same",
    Cell("relu", "forward", "float32", 65536),
    ratio=Estimate(1.001, 0.998, 1.004),
    detectable=0.031,
    threshold=0.03,
)
UNCHANGED = Judgement(
    "unchanged", Cell("mse", "forward", "float32", 65536), reason="both sides run the same code"
)
OPEN = replace(SLOW, outcome="inconclusive", reason="21 of 32 pairs slower by over 1 %")
WRONG = Judgement(
    "incorrect",
    Cell("tanh", "forward", "float32", 65536),
    reason="head's values differ from base's by 0.01 of the largest",
)
ADDED = Judgement("added", Cell("new", "forward", "float32", 65536), reason="only head has it")
FAMILY = Judgement(
    "slower", family="gated", ratio=Estimate(1.02, 1.018, 1.022), reason="16 of 16 pairs slower by over 0.5 %"
)


def report(*judgements: Judgement, **changes: object) -> Report:
    versions = {"python": "3.11.7", "actbench": "0.1.0", "numba": "0.68.1"}
    made = Report(
        command="actbench gate --base main",
        created="2026-11-22T10:00:00Z",
        seconds=61.5,
        machine=Machine(),
        base=Version("main (0123456789ab)", versions),
        head=Version("/work", versions),
        config={},
        judgements=judgements,
        pairs=19,
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("made", "verdict", "code", "sentence"),
    [
        (report(SAME, UNCHANGED), "green", 0, "green: nothing is slower in 2 cells"),
        (report(SAME, SLOW), "red", 1, "red: 1 slower of 2 cells"),
        (report(SLOW, WRONG, SAME), "red", 1, "red: 1 slower and 1 incorrect of 3 cells"),
        (report(SAME, OPEN), "inconclusive", 3, "inconclusive: 1 of 2 cells is undecided"),
        (report(SAME, ADDED), "green", 0, "green: nothing is slower in 1 cell"),
        (report(SLOW, disturbed=("stolen",)), "inconclusive", 3, "inconclusive: stolen"),
        (report(SAME, disturbed=("stolen",)), "green", 0, "green: nothing is slower in 1 cell"),
        (report(WRONG, disturbed=("stolen",)), "red", 1, "red: 1 incorrect of 1 cell"),
        (report(SAME, FAMILY), "red", 1, "red: 1 slower of 1 cell and 1 family"),
        (report(SLOW, WRONG, disturbed=("stolen",)), "red", 1, "red: 1 incorrect of 2 cells"),
        (report(OPEN, disturbed=("stolen",)), "inconclusive", 3, "inconclusive: 1 of 1 cell is undecided"),
        (report(fault="base does not build"), "inconclusive", 3, "inconclusive: base does not build"),
        (report(fault="head is broken", broken=True), "red", 2, "red: head is broken"),
        (report(ADDED), "green", 0, "green, but nothing was compared: 1 added"),
    ],
)
def test_the_verdict_on_the_whole(made, verdict, code, sentence):
    assert (made.verdict, made.exit_code) == (verdict, code)
    assert gating.sentence(made) == sentence


def test_the_terminal_shows_what_stands_out_in_80_columns():
    text = plain_text(gating.terminal(report(SAME, SLOW, UNCHANGED)))
    assert max(map(len, text.splitlines())) <= 80
    assert "silu backward" in text
    assert "float32 64Ki" in text
    assert " 3.5 " in text  # what would be found
    assert "1.052" in text
    assert "relu" not in text
    assert "1 slower, 1 same, 1 unchanged; 19 process pairs in 62 s" in text
    assert text.strip().splitlines()[-1] == "red: 1 slower of 3 cells"


def test_the_summary_leads_with_the_verdict_and_holds_every_cell():
    text = gating.markdown(report(SAME, SLOW))
    assert text.startswith("## ❌ actbench gate: red: 1 slower of 2 cells\n")
    head, _, every = text.partition("<details>")
    assert "silu/backward" in head
    assert "relu" not in head
    assert "relu/forward" in every
    assert "`actbench gate --base main`" in text


def test_versions_that_differ_are_told():
    made = report(SAME, head=Version("x", {"python": "3.11.7", "actbench": "0.1.0", "numba": "0.69.0"}))
    assert "versions differ: numba 0.68.1 -> 0.69.0  \n" in gating.markdown(made)
    more = replace(made.head, versions={**made.head.versions, "torch": "2.13.0"})  # which base does without
    assert "torch" not in gating.markdown(replace(made, head=more))


def test_annotations_are_those_of_github():
    assert list(gating.github(report(SAME))) == []
    (line,) = gating.github(report(SAME, SLOW))
    assert line == (
        "::error title=actbench%3A silu/backward/float32/64Ki is slower::"
        "1.052 (1.048..1.057): 16 of 16 pairs slower by over 1 %25"
    )
    (line,) = gating.github(report(SAME, OPEN))
    assert line.startswith("::warning ")


def test_junit_has_a_case_a_cell():
    suite = ElementTree.fromstring(gating.junit(report(SAME, SLOW, ADDED, WRONG)))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "2", "1")
    outcomes = {case.get("name"): [part.tag for part in case] for case in suite}
    assert outcomes == {
        "relu/forward/float32/64Ki": [],
        "silu/backward/float32/64Ki": ["failure"],
        "new/forward/float32/64Ki": ["skipped"],
        "tanh/forward/float32/64Ki": ["failure"],
    }
    quiet = ElementTree.fromstring(gating.junit(report(SLOW, disturbed=("stolen",))))
    assert (quiet.get("failures"), [part.tag for part in quiet[0]]) == ("0", ["skipped"])


def test_what_is_not_believed_is_no_failure_beside_what_is():
    made = report(SLOW, WRONG, OPEN, disturbed=("stolen",))
    suite = ElementTree.fromstring(gating.junit(made))
    assert [part.tag for case in suite for part in case] == ["skipped", "failure", "skipped"]
    slow, wrong, undecided = gating.github(made)
    assert slow.startswith("::warning ")
    assert slow.endswith("(not believed: stolen)")
    assert wrong.startswith("::error ")
    assert undecided.startswith("::warning ")


def test_a_gate_that_measured_nothing_says_why_everywhere():
    made = report(fault="base does not build: 50% of | it")
    suite = ElementTree.fromstring(gating.junit(made))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("1", "0", "1")
    assert list(gating.github(made)) == ["::warning title=actbench::base does not build: 50%25 of | it"]
    assert gating.markdown(made).startswith(
        "## \N{BLACK QUESTION MARK ORNAMENT} actbench gate: inconclusive: base"
    )
    assert "inconclusive: base does not build" in plain_text(gating.terminal(made))


def test_a_head_that_cannot_be_measured_is_an_error_everywhere():
    made = report(fault="head cannot be imported", broken=True)
    suite = ElementTree.fromstring(gating.junit(made))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("1", "1", "0")
    assert suite.find("testcase/failure") is not None
    assert list(gating.github(made)) == ["::error title=actbench::head cannot be imported"]
    assert "red: head cannot be imported" in gating.markdown(made)


def test_a_gate_that_compared_nothing_is_worth_a_warning():
    assert [*gating.github(report(ADDED))] == [
        "::warning title=actbench::green, but nothing was compared: 1 added"
    ]
    assert not [*gating.github(report(ADDED, SAME))]


def test_long_names_and_odd_reasons_fit():
    cell = Cell("half_squared_error", "backward", "bfloat16", 65536, 2)
    odd = "ValueError: a | b `c` <d> \N{SNOWMAN} " + "x" * 160
    made = report(Judgement("inconclusive", cell, "regression", "torch.compile", odd, SLOW.ratio, 0.0425))
    text = plain_text(gating.terminal(made))
    assert max(map(len, text.splitlines())) <= 80
    assert "bfloat16" in text
    assert "inconclusive" in text
    ElementTree.fromstring(gating.junit(made))
    rows = [line for line in gating.markdown(made).splitlines() if line.startswith("| torch")]
    assert len(rows) == 2
    assert all(row.replace("\\|", "").count("|") == 6 for row in rows)


def test_what_no_control_stands_beside_is_told():
    assert "no controls" in gating.markdown(report(SLOW, controls=0))
    assert "no controls" not in gating.markdown(report(SLOW, controls=8))
    assert "no controls" not in gating.markdown(report(SAME))


def test_a_report_survives_its_file(tmp_path):
    made = report(SAME, SLOW, FAMILY, UNCHANGED)
    path = tmp_path / "gate.json"
    path.write_text(dumps(made))
    assert load(path) == made
    path.write_text("{}")
    with pytest.raises(InputFileError, match="is no report of a gate"):
        load(path)
    with pytest.raises(InputFileError, match="cannot read"):
        load(tmp_path / "none.json")


def test_the_table_of_a_self_test():
    trials = [Trial(0.0, "green", {}, (), 8, 20.0)] * 59 + [Trial(0.0, "red", {}, ("relu",), 8, 20.0)]
    trials += [Trial(0.05, "red", {"mse": "slower"}, (), 8, 40.0)] * 20
    trials.append(Trial(0.05, "red", {"mse": "slower"}, (), 8, 40.0, detectable={"mse": 0.034, "relu": 0.05}))
    trials.append(Trial(0.05, "red", {"mse": "slower"}, (), 8, 40.0, detectable={"mse": 0.038, "relu": 0.06}))
    text = plain_text(gating.self_test(trials))
    lines = [line.split() for line in text.splitlines()]
    assert max(map(len, text.splitlines())) <= 80
    assert ["nothing", "60", "1.67", "(0.0422..8.94)", "-"] in [line[:5] for line in lines]
    assert ["5", "%", "22", "0", "(0..15.4)", "100", "(84.6..100)"] in [line[:7] for line in lines]
    assert ["mse", "3.6"] in lines  # what each cell's gates find: the median
    assert ["relu", "5.5"] in lines
