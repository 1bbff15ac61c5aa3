"""``actbench plot``, ``list`` and ``show`` as they are called: files, names and what is printed."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from actbench.bench.run import save_run
from actbench.catalog import registry
from actbench.catalog.errors import UsageError
from actbench.catalog.registry import declarations
from actbench.cli import run
from tests.present.conftest import PUBLISHED

AUDIT = PUBLISHED.parents[2] / "accuracy" / "peers" / "audit.json.gz"


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run a command line in an empty folder: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (["relu"], "relu.png"),
        (["swish", "lrelu"], "swish-leaky_relu.png"),
        (["elu", "--param", "alpha=0.1,0.3,1", "--deriv"], "elu.png"),
        (["silu", "mis*"], "silu-mish.png"),
        (["--all", "--deriv"], "gallery.png"),
        (["*"], "gallery.png"),
        (["mse", "--range", "-1:1", "--theme", "dark"], "mse.png"),
        (["bce", "--output", "b.svg"], "b.svg"),
        (["bce", "--output", "b.pdf"], "b.pdf"),
        (["bce", "--output", "new/"], "new/bce.png"),
        (["run.json"], "throughput.png"),
        (["run.json", "gelu"], "throughput-gelu.png"),
        (["run.json", "*elu"], "throughput-relu-gelu.png"),
        (["run.json", "@rectifier", "--threads", "1"], "throughput-1t-relu.png"),
    ],
    ids=" ".join,
)
def test_the_path_of_the_picture_is_printed(arguments, file, call, tmp_path, make_run):
    save_run(make_run(), tmp_path / "run.json")
    assert call("plot", *arguments) == (0, f"{file}\n", "")
    assert (tmp_path / file).stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        ([], "throughput.png"),
        (
            ["--pass", "backward", "--dtype", "float64", "--threads", "1", "gelu"],
            "throughput-backward-float64-1t-gelu.png",
        ),
        (["--kind", "heatmap", "--output", "map.svg"], "map.svg"),
        (["--kind", "roofline", "--theme", "dark"], "roofline.png"),
        (["--audit", str(AUDIT), "tanh"], "accuracy-tanh.png"),
        (["--kind", "accuracy", "--audit", str(AUDIT)], "accuracy.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_every_kind_of_picture_of_a_run(arguments, file, call, tmp_path, published):
    names = ("gelu", "tanh", "mse")
    few = replace(published, cells=tuple(m for m in published.cells if m.cell.function in names))
    save_run(few, tmp_path / "peers.json")
    assert call("plot", "peers.json", *arguments) == (0, f"{file}\n", "")
    assert (tmp_path / file).stat().st_size > 1000


def test_a_report_holds_the_pictures_that_the_run_has_data_for(call, tmp_path, published, make_run):
    few = replace(published, cells=tuple(m for m in published.cells if m.cell.function == "gelu"))
    for record, pictures in ((few, {"heatmap", "throughput", "roofline"}), (make_run(), {"throughput"})):
        save_run(record, tmp_path / "some.json")
        folder = tmp_path / f"{len(pictures)}"
        assert call("report", "some.json", "--output", str(folder), "--quiet")[0] == 0
        assert {p.stem for p in folder.glob("*.png")} == pictures


def test_a_picture_that_cannot_be_drawn_is_said_and_costs_no_table(call, tmp_path, make_run, monkeypatch):
    def refuse(*_):
        raise UsageError("there is no room")

    save_run(make_run(), tmp_path / "run.json")
    monkeypatch.setattr("actbench.present.pictures.throughput", refuse)
    code, _, err = call("report", "run.json", "--output", "told")
    assert (code, err) == (0, "no throughput: there is no room\nwrote run.csv, run.md to told\n")
    monkeypatch.setattr("actbench.present.pictures.pictures", refuse)
    assert call("report", "run.json", "--output", "texts")[0] == 2
    assert {p.name for p in (tmp_path / "texts").iterdir()} == {"run.csv", "run.md"}


def test_threads_do_not_overwrite_each_other(call, tmp_path, make_run):
    save_run(make_run(threads=(1, 2)), tmp_path / "run.json")
    names = [call("plot", "run.json", "--threads", n)[1] for n in ("1", "2")]
    assert names == ["throughput-1t.png\n", "throughput-2t.png\n"]


@pytest.mark.parametrize("name", ["run", "./relu", "deep/run"])
def test_a_folder_of_a_run_is_drawn_as_its_file(name, call, tmp_path, make_run):
    save_run(make_run(), tmp_path / name / "run.json")
    assert call("plot", name, "--output", "a.png") == (0, "a.png\n", "")
    assert call("plot", f"{name}/run.json", "--output", "b.png") == (0, "b.png\n", "")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_folder_without_a_run_is_no_run_if_it_is_called_as_a_function(call, tmp_path):
    (tmp_path / "relu").mkdir()
    assert call("plot", "relu", "--output", "a.png") == (0, "a.png\n", "")
    assert call("plot", "./relu") == (4, "", "error: relu holds no run.json\n")


def test_plot_json(call):
    code, out, _ = call("plot", "relu", "--json")
    assert (code, json.loads(out)) == (0, {"path": "relu.png"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["relu", "mse"], "no axis in common"),
        (["--all", "--param", "alpha=1"], "leave out --param"),
        (["relu", "--theme", "blue"], "choose light or dark"),
        (["relu", "--output", "-", "--json"], "both want stdout"),
        (["run.json", "--deriv"], "run.json is a run"),
        (["run.json", "--kind", "pie"], "unknown kind 'pie'"),
        (["run.json", "--kind", "heatmap"], "the run holds no peers"),
        (["run.json", "--kind", "roofline"], "the run has no roofs"),
        (["run.json", "--kind", "accuracy"], "--audit AUDIT.json go together"),
        (["run.json", "--kind", "heatmap", "--audit", str(AUDIT)], "--audit AUDIT.json go together"),
        (["run.json", "--dtype", "float16"], "there is float32, float64"),
        (["relu", "--kind", "heatmap"], "--kind is for pictures of a run"),
        (["relu", "--pass", "forward"], "--pass is for pictures of a run"),
        (["run.json", "mish"], "holds no mish"),
        (["run.json", "*ish"], "holds no *ish"),
        (["bce", "--range", "2:3"], "shows none of it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_draws_nothing(arguments, message, call, tmp_path, make_run):
    save_run(make_run(), tmp_path / "run.json")
    code, out, err = call("plot", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_list_filters(call):
    _, everything, _ = call("list")
    _, losses, _ = call("list", "--kind", "loss")
    _, family, _ = call("list", "--family", "gated")
    assert "Activations" in everything
    assert "Activations" not in losses
    assert "mse" in losses
    assert len(family.splitlines()) < len(everything.splitlines()) / 3
    assert "mish" in family


def test_list_json(call):
    _, out, _ = call("list", "--family", "gated", "--json")
    assert [f["name"] for f in json.loads(out)] == [d.name for d in declarations() if d.family == "gated"]


def test_show_takes_an_alias(call):
    code, out, _ = call("show", "lrelu")
    assert code == 0
    assert out.splitlines()[0].startswith("leaky_relu")


def test_a_file_is_called_after_no_more_letters_than_a_file_system_takes(call, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))
    names = [f"{'very_' * 25}long_{i}" for i in range(3)]
    declared = (
        f"@actbench.activation(formula='x', derivative='symbolic')\n"
        f"def {name}(x):\n    '''Mine.'''\n    return x\n"
        for name in names
    )
    (tmp_path / "mine.py").write_text("import actbench\n" + "".join(declared))
    assert call("plot", *names, "--from", "mine.py") == (0, "3-functions.png\n", "")
    assert call("plot", names[0], "--from", "mine.py") == (0, f"{names[0]}.png\n", "")
