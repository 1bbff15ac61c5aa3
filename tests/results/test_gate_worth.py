"""The published worth of the gate: what its script calculates from trials."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from actbench.bench.gating.selftest import Trial

NAMES = ("relu", "silu", "tanh", "gelu", "softmax", "mse", "cross_entropy", "huber")
SCRIPT = Path(__file__).parents[2] / "results" / "gate" / "measure.py"


@pytest.fixture(scope="module")
def measure():
    spec = importlib.util.spec_from_file_location("measure_gate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def trials(deviation, count=20, cells=16):
    random = Random(3)
    return [
        Trial(
            0.0,
            "green",
            {},
            (),
            cells,
            20.0,
            pairs={
                f"{name}/{pass_}/float32/1000/1t/warm": (
                    random.gauss(0, deviation),
                    random.gauss(0, deviation),
                )
                for name in NAMES
                for pass_ in ("forward", "backward")
            },
        )
        for _ in range(count)
    ]


def test_gates_of_noise_are_not_red(measure):
    """At any noise the chance of a red gate is 5 % at most; at 1 % of noise hardly a cell is suspected."""
    assert measure.simulated({"idle": trials(0.01), "loaded": trials(0.02)}, None, 200).found <= 2
    assert measure.simulated({"idle": trials(0.05)}, None, 200).found <= 10


def test_gates_of_what_is_slower_are_red(measure, monkeypatch):
    slow = [
        replace(t, pairs={key: tuple(v + 0.1 for v in medians) for key, medians in t.pairs.items()})
        for t in trials(0.005)
    ]
    monkeypatch.setattr(measure.Replayed, "signs", (1,))
    assert measure.simulated({"idle": slow}, None, 20).found == 20


def test_a_slowed_cell_is_caught_but_by_noise_that_hides_it(measure):
    quiet, loud = ({"idle": trials(deviation)} for deviation in (0.003, 0.2))
    assert measure.simulated(quiet, None, 40, 0.10).found == 40
    assert measure.simulated(quiet, None, 40, 0.01).found == 0
    assert measure.simulated(loud, None, 40, 0.10).found < 20


def test_the_table_counts_each_phase(measure):
    found = [{"state": "idle", "trial": vars(t)} for t in trials(0.01, count=3)]
    red = Trial(0.05, "red", {"relu": "slower"}, (), 16, 30.0)
    document = {
        "trials": [*found, {"state": "idle", "trial": vars(red)}],
        "machine": {"cpu": "Test CPU", "cores": 2},
        "simulated": {"gates": 100, "red": 0, "caught": {"0.05": 97, "0.1": 100}},
        "quick": {"cells": 606, "seconds": 332.1, "verdict": "green"},
    }
    text = measure.table(document)
    lines = [line for line in text.splitlines() if line.startswith("| idle")]
    assert len(lines) == 2
    assert "nothing" in lines[0]
    assert "| 0 (0..70.8) |" in " ".join(lines[0].split())
    assert "100 (2.5..100)" in lines[1]
    assert "606 cells" in text
    assert "one cell 5 % slower: caught in 97.00 % and 10 % slower: caught in 100.00 % of them" in text
