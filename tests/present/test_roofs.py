"""Roofs and bounds as tables."""

from __future__ import annotations

from dataclasses import replace

from actbench.bench.run import Roof
from actbench.present import roofs, runs

STEADY = (10.0,) * 6
ROOFS = (
    Roof("copy", 1, 1000, STEADY, "L1d"),
    Roof("read", 1, 500, STEADY, "L1d"),
    Roof("copy", 1, 200, STEADY, "memory"),
    Roof("fma", 1, 1500, STEADY, dtype="float32"),
    Roof("copy", 2, 2000, STEADY, "L1d"),
)


def test_a_line_for_each_level_and_number_of_threads(make_run) -> None:
    table = roofs.roofs(replace(make_run(), roofs=ROOFS))
    assert [c.heading for c in table.columns] == [
        *("data in", "threads", "copy (GB/s)", "read (GB/s)", "fma float32 (GFLOP/s)"),
    ]
    assert table.rows == (
        ("L1d", "1", "100", "50.0", "-"),
        ("memory", "1", "20.0", "-", "-"),
        ("registers", "1", "-", "-", "150"),
        ("L1d", "2", "200", "-", "-"),
    )


def test_cells_are_counted_by_what_bounds_them(make_run) -> None:
    run = make_run(["relu"], sizes=(1000, 2000))
    assert roofs.bounded(run).caption == "float32, float64, 1 thread: counted together"
    for row in roofs.bounded(run).rows:
        cells = [m for m in run.sized if m.cell.pass_ == row[0] and m.ceiling_ns]
        assert sum(map(int, row[2:])) == len(cells) / 2


def test_roofs_are_in_the_terminal_and_in_markdown(make_run) -> None:
    with_roofs = replace(make_run(), roofs=ROOFS)
    assert "fma float32 (GFLOP/s)" in runs.markdown(with_roofs)
    assert "fma" not in runs.markdown(make_run())
