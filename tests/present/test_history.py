"""Runs over time: what is kept, where a level changes, and how it is drawn."""

from __future__ import annotations

import itertools
import random
import re
from dataclasses import replace

import pytest

from actbench.bench import history
from actbench.bench.history import FEWEST, Point, Series, add, changes, here, runs, series
from actbench.bench.plan import Cell
from actbench.bench.run import Input, save_run
from actbench.bench.statistics import Estimate
from actbench.catalog.errors import InputFileError, UsageError
from actbench.present import output, trend
from actbench.present.theme import DARK, LIGHT


def levels(*parts, noise=0.01, seed=1):
    """So many values about each level."""
    draw = random.Random(seed)
    return [level * (1 + noise * draw.gauss(0, 1)) for level, count in parts for _ in range(count)]


@pytest.mark.parametrize(
    ("parts", "places"),
    [
        ([(1.0, 30)], ()),
        ([(1.0, 12), (1.05, 12)], (12,)),
        ([(1.0, 10), (1.2, 10), (0.9, 10)], (10, 20)),
        ([(1.0, 5)], ()),
    ],
)
def test_a_level_that_changes_is_found_where_it_does(parts, places):
    for seed in range(10):
        found = changes(levels(*parts, seed=seed))
        assert len(found) == len(places)
        assert all(abs(a - b) <= 1 for a, b in zip(found, places, strict=True))


def test_noise_alone_has_few_changes():
    wrong = sum(bool(changes(levels((1.0, 40), noise=0.03, seed=seed))) for seed in range(200))
    assert wrong <= 10  # of 200


def test_one_bad_day_is_no_change():
    values = levels((1.0, 20))
    values[10] *= 1.5
    assert changes(values) == ()


def test_a_history_only_grows(make_run, tmp_path):
    run = make_run()
    save_run(run, tmp_path / "run.json")
    folder = tmp_path / "history"
    kept = add(tmp_path / "run.json", folder)
    assert re.fullmatch(r"20250102-030405-run-[0-9a-f]{8}\.json\.gz", kept.name)
    assert add(tmp_path / "run.json", folder) == kept  # and is there once
    other = replace(run, versions={"actbench": "9"})  # of the same second, as from two machines of a job
    save_run(other, tmp_path / "run.json")
    assert add(tmp_path / "run.json", folder) != kept
    save_run(replace(run, complete=False, created="2025-01-03T00:00:00Z"), tmp_path / "run.json")
    with pytest.raises(UsageError, match="is unfinished"):
        add(tmp_path / "run.json", folder)
    assert len(runs(folder)) == 2
    assert all(each in runs(folder) for each in (run, other))
    with pytest.raises(InputFileError, match="there are no runs in"):
        runs(tmp_path / "nowhere")


def test_what_a_run_says_leads_out_of_no_folder(make_run, tmp_path):
    made = make_run()
    save_run(replace(made, config={**made.config, "preset": "../../out"}), tmp_path / "run.json")
    kept = history.add(tmp_path / "run.json", tmp_path / "kept")
    assert kept.parent.resolve() == tmp_path / "kept"
    assert len(history.runs(tmp_path / "kept")) == 1


def test_how_many_runs_tell_a_change():
    few, enough = (levels((1.0, n // 2), (2.0, n // 2)) for n in (FEWEST - 2, FEWEST))
    assert (changes(few), changes(enough)) == ((), (FEWEST // 2,))
    points = tuple(Point("2025-01-02", "1", Estimate(v, v, v)) for v in few)
    shown = trend.table([Series(Cell("relu", "forward", "float32", 1), points, ())], 0)
    assert f"a change can be told from {FEWEST} runs on" in shown.caption
    assert shown.caption.startswith("0 of 1 cell changed")


def test_other_machines_are_left_out(make_run):
    run = make_run()
    other = replace(run, machine=replace(run.machine, cpu="Other"))
    same, count = here([other, run, run])
    assert (len(same), count) == (2, 1)


def test_runs_of_other_settings_or_data_are_left_out(make_run):
    """They would show a step where nothing but the measurement changed."""
    run = replace(make_run(), config={"slice": 0.001, "preset": "quick"})
    longer = replace(run, config={"slice": 0.005, "preset": "full"})
    named = replace(run, config={"slice": 0.001, "preset": "full"})
    of_a_file = replace(run, input=Input("x.npy", (3,), "float32", "a"))
    assert here([longer, of_a_file, named, run]) == ((named, run), 2)


def test_a_series_has_a_point_a_run(make_run):
    found = series([make_run(), make_run()], ["relu"])
    assert {s.cell.function for s in found} == {"relu"}
    assert all(len(s.points) == 2 for s in found)
    (first, *_) = found
    m = make_run().cells[0]
    assert first.points[0].ns.value == m.ns_per_element


def moved(*parts, function="relu"):
    values = levels(*parts)
    points = tuple(
        Point(f"2026-01-{i + 1:02}T00:00:00Z", "0.1.0", Estimate(v, 0.99 * v, 1.01 * v))
        for i, v in enumerate(values)
    )
    return Series(Cell(function, "forward", "float32", 65536), points, changes(values))


def test_the_table_shows_what_changed_and_when():
    found = trend.table([moved((1.0, 20)), moved((1.0, 12), (1.1, 8), function="gelu")], 2)
    (row,) = found.rows
    assert row[0].startswith("gelu/forward")
    assert float(row[3]) == pytest.approx(10, abs=1)
    assert row[4] == "2026-01-13"
    assert (
        found.caption
        == "1 of 2 cells changed for good in 20 runs; 2 runs of other machines or settings left out"
    )


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_the_picture_has_a_panel_a_cell(theme):
    found = [moved((1.0, 20)), moved((1.0, 12), (1.1, 8), function="gelu"), moved((1.0, 1), function="mse")]
    figure = trend.figure(found, theme)
    assert len(figure.axes) == 3
    words = [text.get_text() for text in figure.texts]
    assert words.index("gelu forward") < words.index("relu forward")  # what changed comes first
    assert any(text.endswith("%") and "+" in text for text in words)
    assert output.figure_bytes(figure, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 24])
def test_dates_do_not_overlap(count):
    found = [moved((1.0, count), function=name) for name in ("relu", "gelu", "mse", "a" * 80)]
    figure = trend.figure(found, LIGHT)
    output.figure_bytes(figure, "png")
    shown = list(figure.texts)
    for axes in figure.axes:
        low, high = axes.get_ylim()
        ticks = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
        shown += [label for at, label in ticks if low <= at <= high]
    # Shrunk by two pixels, because lines of text may touch.
    boxes = [(t.get_text(), t.get_window_extent().padded(-2)) for t in shown]
    for (a, box), (b, other) in itertools.combinations(boxes, 2):
        assert not box.overlaps(other), (a, b)
    dates = [t.get_text() for t in figure.texts if t.get_text().startswith("2026-")]
    assert dates == ["2026-01-01", f"2026-01-{count:02}"][: min(count, 2)] * 4


def test_without_ruptures_it_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ruptures", None)
    with pytest.raises(UsageError, match=r"pip install 'actbench\[history\]'"):
        changes(levels((1.0, 20)))
    assert history.changes([1.0, 1.0]) == ()  # too few to ask
