"""The table of limits: which cells a row takes, and when a target is met."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from actbench.bench.plan import Cell
from actbench.bench.run import OURS, Contender, Measurement

SCRIPT = Path(__file__).parents[2] / "results" / "limits" / "measure.py"
TIMES = tuple(100.0 + i for i in range(12))


@pytest.fixture(scope="module")
def limits() -> ModuleType:
    spec = importlib.util.spec_from_file_location("limits_measure", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def cell(
    function: str, size: int, *, share: float = 1.0, torch: float = 2.0, dtype: str = "float32"
) -> Measurement:
    """A forward cell at a share of its ceiling, and torch's time by ours."""
    return Measurement(
        Cell(function, "forward", dtype, size),
        elements=size,
        bytes=8 * size,
        samples_ns=TIMES,
        loops=1,
        overhead_ns=1.0,
        ceiling_ns=tuple(share * t for t in TIMES),
        ceiling="copy",
        compile_s=0.0,
        contenders=(
            Contender(OURS, True, TIMES),
            Contender("torch", True, tuple(torch * t for t in TIMES)),
            Contender("jax", True, tuple(9 * t for t in TIMES)),
        ),
    )


def test_the_worst_figure_decides(limits: ModuleType) -> None:
    row = limits.worst("speed", "here", {"a": 2.0, "b": 0.5}, 1.0)
    assert (row.figure, row.verdict, row.worst) == (0.5, "short", "b; 1 of 2 short")
    row = limits.worst("time", "here", {"a": 2.0, "b": 0.5}, 2.0, sense="at most")
    assert (row.figure, row.verdict, row.worst) == (2.0, "met", "a; 0 of 2 short")
    assert limits.worst("speed", "here", {}, 1.0).verdict == "not measured"


def test_every_cell_beside_the_best_peer(limits: ModuleType) -> None:
    cells = [cell("relu", 1024, torch=0.9), cell("tanh", 1024), cell("tanh", 2**15, torch=4)]
    rows = {row.where: row for row in limits.against_peers(cells)}
    assert rows["forward float32 1Ki 1t"].worst == "relu; 1 of 2 short"
    assert rows["forward float32 32Ki 1t"].figure == pytest.approx(4)
    mean = rows["forward float32 32Ki, 1 cells"]
    assert (mean.figure, mean.verdict) == (pytest.approx(4), "met")
    assert rows["backward float32 32Ki, 0 cells"].verdict == "not measured"


def test_what_cannot_be_told_apart_is_not_short(limits: ModuleType) -> None:
    m = cell("relu", 1024)
    wavering = tuple(t * factor for t, factor in zip(TIMES, (1.1, 0.8) * 6, strict=True))
    m = replace(m, contenders=(m.contenders[0], Contender("torch", True, wavering)))
    assert limits.hardest([m]) == {"relu": 1.0}


def test_shares_of_the_ceiling_by_family_and_size(limits: ModuleType) -> None:
    large, small = 2**24, 2**15
    cells = [
        *(
            cell("relu", large, share=0.97),
            cell("tanh", large, share=0.90),
            cell("softmax", large, share=0.1),
        ),
        *(cell("relu", small, share=0.95), cell("tanh", small, share=0.3), cell("relu", 2**20, share=0.1)),
        *(cell("mse", large, share=0.92), cell("mse", large, share=0.5, dtype="float64")),
    ]
    found = {row.where: (row.figure, row.verdict) for row in limits.of_the_ceiling(cells)}
    assert found == {
        "elementwise float32 16Mi": (pytest.approx(0.90), "short"),
        "relu and its kin float32 32Ki": (pytest.approx(0.95), "met"),
        "sigmoid and its kin float32 32Ki": (pytest.approx(0.3), "short"),
        "losses float32 16Mi": (pytest.approx(0.92), "met"),
        "losses float64 16Mi": (pytest.approx(0.5), "short"),
    }


def test_a_measured_row_names_function_shape_and_peer(
    limits: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SHAPES", ((20, 10),))
    monkeypatch.setattr(limits, "CTC", (8, 2, 4))
    rows = list(limits.rows_and_sequences(limits.chosen(["numpy"]), rounds=6, slice="10us"))
    assert {row.target for row in rows} == {"ahead of numpy"}
    assert {"softmax forward, rows of 10 float32", "cross_entropy forward, rows of 10 float64"} <= {
        row.where for row in rows
    }


def test_the_table_counts_what_is_met(limits: ModuleType) -> None:
    rows = [limits.Row("a", "b", 1.0, 1.0), limits.Row("a", "c", 0.5, 0.4, "at most", unit="s")]
    table = limits.table(rows)
    assert table.title == "1 of 2 targets met"
    assert table.rows[1] == ("a", "c", "0.500 s", "at most 0.4 s", "short", "")


def test_the_largest_error_decides_and_a_wrong_nan_is_infinite(limits: ModuleType) -> None:
    audit = {"pass": "forward", "dtype": "float32", "largest": 0.9, "inputs": 8, "wrong": 0}
    rows = [{**audit, "name": "relu"}, {**audit, "name": "tanh", "largest": 0.95}]
    found = {row.where: row for row in limits.accuracy(rows)}
    row = found["forward float32, 8 inputs each"]
    assert (row.figure, row.verdict, row.worst) == (0.95, "met", "tanh; 0 of 2 short")
    rows.append({**audit, "name": "elu", "wrong": 1})
    row = next(iter(limits.accuracy(rows)))
    assert (row.verdict, row.worst) == ("short", "elu; 1 of 3 short")
