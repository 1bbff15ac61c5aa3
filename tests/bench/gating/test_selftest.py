"""The arithmetic of a gate's own test."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

from actbench.bench.config import Config
from actbench.bench.gating.record import Judgement, Report, Version
from actbench.bench.gating.selftest import Rate, Trial, trials
from actbench.bench.gating.side import Side
from actbench.bench.machine import Machine
from actbench.bench.plan import Cell


@pytest.mark.parametrize(("found", "of"), [(0, 60), (1, 60), (19, 20), (20, 20), (7, 13)])
def test_a_rate_has_the_exact_interval(found, of):
    exact = stats.binomtest(found, of).proportion_ci(method="exact")
    estimate = Rate(found, of).estimate
    assert estimate.value == found / of
    assert (estimate.low, estimate.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize(
    ("verdict", "outcome", "false", "caught"),
    [
        ("red", "slower", (), True),
        ("red", "slower", ("relu",), False),
        ("red", "slower", ("@regression",), False),
        ("inconclusive", "slower", (), False),
        ("green", "same", (), False),
        ("red", "inconclusive", ("relu",), False),
    ],
)
def test_caught_is_red_for_the_right_cell_alone(verdict, outcome, false, caught):
    assert Trial(0.05, verdict, {"mse": outcome}, false, 9, 1.0).caught is caught


CELLS = [Cell(name, "forward", "float32", 65536) for name in ("relu", "silu", "gelu")]


def gates(*outcomes):
    """What runs a gate, with these outcomes; what it was asked."""
    asked = []

    def run(base, head, config, names, *, inject, everything, **more):
        injection = inject(CELLS)
        asked.append((base.name, head.name, config.seed, everything, injection))
        return Report(
            command="",
            created="2026-11-22T10:00:00Z",
            seconds=20.0,
            machine=Machine(),
            base=Version("x", {}),
            head=Version("x", {}),
            config={},
            judgements=tuple(outcomes),
            injected=tuple(injection.cells),
        )

    return run, asked


def side():
    return Side("head", "x", "python", (), (), Path())


def found_by(*outcomes, parts):
    run, asked = gates(*outcomes)
    config = Config(seed=7)
    return list(trials(side(), config, [], parts, run=run)), asked


def test_a_trial_is_a_gate_of_a_version_against_itself():
    same = [
        Judgement("same", cell, "gated", detectable=0.03, screened=((0.0,) * 7 + (1.0,) * 5,))
        for cell in CELLS
    ]
    found, asked = found_by(*same, parts=(0.0, 0.05, 0.1))
    assert [(base, head, seed, everything) for base, head, seed, everything, _ in asked] == [
        ("base", "head", 7, True),
        ("base", "head", 8, True),
        ("base", "head", 9, True),
    ]
    assert [len(injection.cells) for *_, injection in asked] == [0, 1, 1]
    assert [injection.part for *_, injection in asked] == [0.0, 0.05, 0.1]
    nothing, five, _ = found
    assert not nothing.slowed
    assert set(five.slowed.values()) == {"same"}
    assert (nothing.caught, five.caught, nothing.false_alarm) == (False, False, False)
    assert len(nothing.pairs) == 3
    assert len(five.pairs) == 2  # a slowed cell's are no sample of what is the same
    assert nothing.pairs[CELLS[0].key] == (0.0,)  # of as many rounds as confirm: not of all
    assert nothing.detectable == dict.fromkeys((cell.key for cell in CELLS), 0.03)


def test_a_family_is_slower_with_its_own_cell_alone():
    slow = [
        Judgement("slower", cell, family)
        for cell, family in zip(CELLS, ("rectifier", "gated", "gated"), strict=True)
    ]
    own = [Judgement("slower", family=family) for family in ("rectifier", "gated")]
    (trial,), ((*_, injection),) = found_by(*slow, *own, parts=(0.05,))
    (slowed,) = injection.cells
    mine = next(j.family for j in slow if j.key == slowed)
    assert set(trial.false) == {j.key for j in (*slow, *own) if j.key not in (slowed, f"@{mine}")}
    assert trial.false_alarm
