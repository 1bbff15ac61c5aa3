"""A run as tables, Markdown, CSV and plots."""

from __future__ import annotations

import csv
import io
import subprocess
import sys

import pytest
from matplotlib.collections import PolyCollection

from actbench.bench.run import save_run
from actbench.catalog.errors import UsageError
from actbench.catalog.registry import declarations
from actbench.present import output, runs, table
from actbench.present.theme import DARK, LIGHT
from actbench.present.throughput import throughput

ALL = [d.name for d in declarations()]


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"functions": ALL},
        {"functions": ALL, "passes": ("forward", "derivative", "backward")},
        {"threads": (1, 2), "caches": ("warm", "cold")},
        {"sizes": (1000,), "dtypes": ("float32",), "passes": ("derivative",)},
        {"ceiling": False, "skipped": 9},
        {"flags": ("unstable", "multimodal", "clock-tied", "call-bound")},
        {"functions": ()},
    ],
    ids=str,
)
def test_every_table_fits_80_columns_and_seven(shape, make_run):
    run = make_run(**shape)
    for made in (runs.summary(run), runs.details(run)):
        assert len(made.columns) <= 7
    shown = output.plain_text(runs.terminal(run))
    assert max(map(len, shown.splitlines())) <= table.WIDTH


def test_few_cells_are_all_shown(make_run):
    run = make_run()
    assert len(run.cells) == runs.FEW
    assert len(runs.summary(run).rows) == runs.FEW


def test_many_cells_become_a_line_a_function_and_dtype(make_run):
    run = make_run(ALL)
    summary = runs.summary(run)
    assert len(summary.rows) == 2 * len(ALL)
    assert len(runs.details(run).rows) == len(run.cells) == 12 * len(ALL)
    # 2^16 elements of float64, read twice and written once, are 1.5 MiB: the largest that the 2 MiB L2 holds.
    titles = [c.title for c in summary.columns]
    assert titles[2:6] == ["forward\n64Ki", "forward\n1Mi", "backward\n64Ki", "backward\n1Mi"]


def test_figures_are_those_of_the_cells(make_run):
    run = make_run(["relu"], sizes=(2**20,), dtypes=("float32",), passes=("forward",))
    (row,) = runs.details(run).rows
    # 8 bytes an element at 0.1 ns a byte, 1.01 times that at most, and half of the ceiling's speed.
    assert row[:4] == ("relu", "forward", "float32", "1Mi")
    assert float(row[4]) == pytest.approx(0.804, abs=0.005)
    assert float(row[5]) == pytest.approx(9.95, abs=0.06)
    assert row[6] == "50"


def test_a_flag_is_a_mark_and_a_line_of_advice(make_run):
    shown = output.plain_text(runs.terminal(make_run(["relu"], flags=("unstable",))))
    assert "~0.8" in shown
    assert "~ unstable (12 cells): the median is known to no better than 5 %: raise --rounds" in " ".join(
        shown.split()
    )


def test_what_was_skipped_is_said(make_run):
    shown = output.plain_text(runs.terminal(make_run(["relu"], skipped=2)))
    assert "2 skipped" in shown
    assert "needs 1 PiB" in shown


def test_csv_holds_every_metric_in_full(make_run):
    run = make_run()
    rows = list(csv.DictReader(io.StringIO(runs.csv(run))))
    assert len(rows) == len(run.cells)
    for row, m in zip(rows, run.cells, strict=True):
        assert float(row["median_ns"]) == m.median_ns
        assert float(row["share"]) == m.share.value
        assert (float(row["low_ns"]), float(row["high_ns"])) == m.interval_ns
        assert row["function"] == m.cell.function


def test_csv_leaves_empty_what_was_not_measured(make_run):
    row = next(csv.DictReader(io.StringIO(runs.csv(make_run(ceiling=False)))))
    assert row["share"] == row["ceiling_gb_per_s"] == ""


def test_markdown_folds_the_full_table_away(make_run):
    text = runs.markdown(make_run(ALL))
    assert text.index("| function") < text.index("<details>") < text.index("</details>")
    assert text.count("\n| relu ") == 2 + 12
    assert "<details>" not in runs.markdown(make_run())


def panels(figure):
    return [axes for axes in figure.axes if axes.lines]


def test_throughput_of_one_function(make_run):
    figure = throughput(make_run(["relu"]), LIGHT)
    (axes,) = panels(figure)
    # Four series of three sizes; the ceilings join the sizes of both dtypes.
    assert sorted(len(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) > 2) == [
        3,
        3,
        3,
        3,
        6,
        6,
    ]
    assert len([c for c in axes.collections if isinstance(c, PolyCollection)]) == 4


def test_throughput_draws_the_numbers(make_run):
    run = make_run(["relu"], dtypes=("float32",), passes=("forward",))
    (axes,) = panels(throughput(run, LIGHT))
    drawn = axes.lines[-1].get_xydata().tolist()
    assert drawn == [[m.bytes, m.gb_per_s] for m in run.cells]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda t: t.name)
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"functions": ALL},
        {"functions": ("relu",), "threads": (1, 2), "caches": ("warm", "cold")},
        {"functions": ("relu",), "sizes": (1000,), "dtypes": ("float32",), "passes": ("forward",)},
        {"ceiling": False},
    ],
    ids=str,
)
def test_throughput_of_any_run(shape, theme, make_run):
    run = make_run(**shape)
    content = output.figure_bytes(throughput(run, theme), "png")
    assert len(content) < 400_000


def test_throughput_of_chosen_functions(make_run):
    assert len(panels(throughput(make_run(ALL), LIGHT, ["relu", "mse", "tanh"]))) == 3


@pytest.mark.parametrize(
    ("functions", "names", "message"),
    [(["relu"], ["tanh"], "holds no tanh; it holds relu"), ([], [], "no cells")],
)
def test_throughput_of_what_is_not_there(functions, names, message, make_run):
    with pytest.raises(UsageError, match=message):
        throughput(make_run(functions), LIGHT, names)


def test_a_run_needs_neither_numba_nor_the_catalogue(tmp_path, make_run):
    save_run(make_run(["of_another_machine"]), tmp_path / "run.json")
    code = (
        "import sys; sys.modules['numba'] = sys.modules['llvmlite'] = None\n"
        "from actbench.bench.run import load_run\n"
        "from actbench.present import output, runs, theme, throughput\n"
        "run = load_run('run.json')\n"
        "output.display(runs.terminal(run)); runs.markdown(run); runs.csv(run)\n"
        "output.write_figure(throughput.throughput(run, theme.LIGHT), 'run.png')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "of_another_machine" in done.stdout
    assert (tmp_path / "run.png").is_file()


def test_one_cell_is_one(make_run):
    one = make_run(["relu"], sizes=(1000,), dtypes=("float32",), passes=("forward",))
    assert runs.details(one).caption.startswith("1 cell, 1 thread")
