"""The command line through its real process: what a user types, sees and gets back."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

from actbench.bench.system import usable_cpus
from actbench.cli import app

COMMANDS = get_command(app).commands

MINE = '''
import math

import actbench

@actbench.activation(
    formula="tanh(x) + x / 10",
    derivative=lambda x: 1.1 - math.tanh(x) ** 2,
    family="mine",
)
def leaky_tanh(x):
    """A tanh that never saturates."""
    return math.tanh(x) + 0.1 * x
'''


def actbench(*arguments: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, as a user at a terminal 80 columns wide would."""
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    return subprocess.run(
        [sys.executable, "-m", "actbench", *map(str, arguments)],
        cwd=cwd,
        env=environment | {"COLUMNS": "80"} | env,
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return file


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["list"],
        ["list", "--json"],
        ["plot", "--help"],
        ["audit", "--help"],
        ["doctor", "--help"],
        ["gate", "--help"],
    ],
)
def test_light_commands_import_neither_numba_nor_matplotlib(command, tmp_path):
    code = (
        "import sys; from actbench.cli import run; code = run(sys.argv[1:]);"
        "heavy = {'numba', 'matplotlib', 'llvmlite', 'scipy', 'flint'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=tmp_path, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr


ERRORS = [
    (["check", "relu", "--bitwise", "--param", "a=1"], 2, "--bitwise takes no --param"),
    (["plot", "rulu"], 2, "did you mean 'relu'"),
    (["plot", "relu", "--rang", "1:2"], 2, "--range"),
    (["plot", "relu", "--range", "6:-6"], 2, "range"),
    (["plot", "elu", "--param", "alpha=-1"], 2, "outside its valid range [0, inf)"),
    (["plot", "elu", "--param", "beta=1"], 2, "no parameter 'beta'"),
    (["plot", "maxout", "--param", "k=1e12"], 2, "not enough memory"),
    (["plot", "maxout", "--param", "k=1e20"], 2, "no integer of 64 bits"),
    (["check", "ctc", "--param", "blank=1e30"], 2, "no integer of 64 bits"),
    (["plot", "relu", "--output", "relu.xyz"], 2, ".png"),
    (["plot", "relu", "--output", "no/such/folder/relu.png"], 2, "no/such/folder"),
    (["plot"], 2, "--all"),
    (["plot", "none.json"], 4, "none.json"),
    (["plot", "relu", "--all"], 2, "error: --all excludes names"),
    (["bench", "relu", "--kind", "loss"], 2, "error: --kind excludes names"),
    (["bench", "relu", "--size", "0"], 2, "size '0' is not a whole number of elements from 1 up"),
    (["bench", "relu", "--input", "x.npy", "--dtype", "float32"], 2, "leave out --dtype"),
    (["bench", "relu", "--input", "x.npy", "--size", "1e3"], 2, "leave out --size"),
    (
        ["audit", "relu", "--dtype", "float16", "--exhaustive", "--output", "bad.json"],
        2,
        "bad.json is a file: name a folder",
    ),
    (
        ["audit", "relu", "--dtype", "float16", "--output", "bad.json/x"],
        2,
        "bad.json is a file: name a folder",
    ),
    *(
        ([*command, "--from", "."], 4, ". is a folder: name a file in it")
        for command in (["show", "relu"], ["list"], ["check"], ["gate", "--base", "."])
    ),
    (["show", "rulu"], 2, "did you mean 'relu'"),
    (["list", "--kind", "lost"], 2, "did you mean 'loss'"),
    (["list", "--kind", "x"], 2, "unknown kind 'x': choose from activation, loss"),
    (["list", "--family", "nope"], 2, "unknown family 'nope'"),
    (["bench", "relu", "--dtype", "float31"], 2, "float32"),
    (["bench", "relu", "--size", "ten"], 2, "ten"),
    (["bench", "relu", "--size", "1e13"], 2, "memory"),
    (["bench", "relu", "--pass", "sideways"], 2, "sideways"),
    (["bench", "relu", "--preset", "quik"], 2, "quick"),
    (["bench", "relu", "--against", "pytorch"], 2, "did you mean 'torch'"),
    (["bench", "relu", "--input", "none.npy"], 4, "none.npy"),
    (["bench", "relu", "--input", "bad.npy"], 4, "bad.npy"),
    (["bench", "relu", "--input", "objects.npy"], 4, "objects.npy"),
    (["bench"], 2, "--all"),
    (["bench", "zzz*"], 2, "no function matches"),
    (["bench", "relu", "--export", "csv=none/x.csv"], 2, "no such folder: none: make it first"),
    (["bench", "relu", "--export", "csv=."], 2, ". is a folder: name a file in it"),
    (["report", "none.json", "--html", "none/x.html"], 2, "no such folder: none"),
    (["report", "none.json", "--html", "/"], 2, "/ is a folder: name a file in it"),
    (["report", "none.json"], 4, "none.json"),
    (["report", "bad.json"], 4, "bad.json"),
    (["check", "rulu"], 2, "did you mean 'relu'"),
    (["check", "--from", "none.py"], 4, "none.py"),
    (["check", "--from", "syntax.py"], 2, "syntax.py:1"),
    (["check", "--from", "empty.py"], 2, "declares no function"),
    (["check", "--from", "slopeless.py"], 2, "derivative=lambda x"),
    (["check", "--from", "taken.py"], 2, "belongs to relu"),
    (["show", "f", "--from", "nothing.py"], 2, "f: its forward has no finite value at any of"),
    *(
        ([command, "f", "--from", "foreign.py"], 2, "Numba cannot compile f in")
        for command in ("show", "check")
    ),
    (["audit"], 2, "--all"),
    (["audit", "rulu"], 2, "did you mean 'relu'"),
    (["audit", "relu", "--dtype", "float31"], 2, "float32"),
    (["audit", "relu", "--pass", "backward"], 2, "forward or derivative"),
    (["audit", "relu", "--resume"], 2, "--exhaustive"),
    (["audit", "relu", "--exhaustive", "--against", "numpy"], 2, "leave out --against"),
    (["audit", "relu", "--against", "pytorch"], 2, "did you mean 'torch'"),
    (["audit", "elu", "--param", "alpha=-1"], 2, "outside its valid range"),
    (["audit", "relu", "--export", "xls=a.xls"], 2, "csv=FILE"),
    (["doctor", "--loud"], 2, "--loud"),
    (["gate"], 2, "--base REV, WHEEL or DIR"),
    (["gate", "--base", "main"], 2, "not a git repository"),
    (["gate", "rulu", "--base-python", sys.executable], 2, "did you mean 'relu'"),
    (["gate", "relu", "--base", ""], 2, "--base is empty"),
    (["gate", "--base", ".", "--from", "none.py"], 4, "no such file: none.py"),
    (["gate", "--base", "."], 2, "holds neither actbench nor a project"),
    (["gate", "relu", "--base-python", sys.executable, "--threads", "1000"], 2, "CPUs to use"),
    (["gate", "relu", "--base-python", sys.executable, "--config", "cold.toml"], 2, "warm caches alone"),
    (
        ["gate", "relu", "--base-python", sys.executable, "--config", "odd.toml"],
        2,
        "there is no function of '@gatd'",
    ),
    (["gate", "relu", "--base", ".", "--threshold", "0.03"], 2, "write 5%"),
    (["gate", "relu", "--self-test", "--base", "main"], 2, "leave out the other options"),
    (["gate", "relu", "--all", "--base", "main"], 2, "--all excludes names"),
    (["gate", "relu", "--base", ".", "--json", "--export", "md=-"], 2, "only one document goes to stdout"),
    (["bench", "relu", "--json", "--export", "md=-"], 2, "only one document goes to stdout"),
    (["compare", "a", "--fail-over", "5"], 2, "--fail-over: '5' is not a percentage"),
    (["bench", "relu", "--save", "v1.json"], 2, "and no file's ending"),
    (["gate", "relu", "--base", "none.whl"], 4, "there is no wheel none.whl"),
    (["gate", "relu", "--base-python", "none/python"], 2, "there is no such interpreter"),
    (["gate", "relu", "--base", ".", "--threshold", "much"], 2, "write 5%"),
    (["gate", "relu", "--base", ".", "--export", "csv=a.csv"], 2, "junit=FILE"),
    (["gate", "relu", "--base", ".", "--peer", "pytorch"], 2, "did you mean 'torch'"),
    (["compare"], 2, "BASE"),
    (["compare", "none.json"], 4, "none.json"),
    (["compare", "before"], 4, "bench --save before"),
    (["compare", "bad.json", "bad.json"], 4, "bad.json"),
    (["bench", "relu", "--save", "../up"], 2, "a baseline cannot be called"),
    (["history"], 4, "history --add RUN.json"),
    (["history", "--add", "none.json"], 4, "none.json"),
    (["history", "--add"], 2, "which runs?"),
    (["chek", "relu"], 2, "chek"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), ERRORS, ids=[" ".join(e[0]) for e in ERRORS])
def test_a_mistake_is_one_clear_line(arguments, code, message, tmp_path):
    (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY not really")
    (tmp_path / "bad.json").write_text('{"schema": 1, "cells": ')
    (tmp_path / "syntax.py").write_text("def f(:")
    (tmp_path / "empty.py").write_text("x = 1")
    (tmp_path / "cold.toml").write_text('cache = ["cold"]')
    (tmp_path / "odd.toml").write_text('[threshold]\n"@gatd" = "5%"')
    head = "import actbench\n@actbench.activation(formula='x'"
    (tmp_path / "slopeless.py").write_text(f"{head})\ndef f(x):\n    return x\n")
    (tmp_path / "taken.py").write_text(f"{head}, derivative=lambda x: 1.0)\ndef relu(x):\n    return x\n")
    slope = ", derivative=lambda x: 1.0)\ndef f(x):\n    \n    return "
    (tmp_path / "nothing.py").write_text(f"{head}{slope}float('nan')\n")
    (tmp_path / "foreign.py").write_text(f"import json\n{head}{slope}float(len(json.dumps([x])))\n")
    np.save(tmp_path / "objects.npy", np.array([None, {}]), allow_pickle=True)
    before = sorted(tmp_path.iterdir())
    done = actbench(*arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stdout == ""
    left = [p for p in tmp_path.iterdir() if p not in before and p.name != "__pycache__"]
    assert left == []


def test_a_function_of_ones_own_is_everywhere(mine, tmp_path):
    """One declaration in one file reaches every output: list, show, plot, check and bench."""
    listed = actbench("list", "--from", mine, cwd=tmp_path)
    assert "leaky_tanh" in listed.stdout
    assert "never saturates" in listed.stdout
    shown = actbench("show", "leaky_tanh", "--from", mine, cwd=tmp_path)
    assert "tanh(x) + x / 10" in shown.stdout
    assert "odd" in shown.stdout
    plotted = actbench("plot", "leaky_tanh", "--deriv", "--from", mine, cwd=tmp_path)
    assert (tmp_path / "leaky_tanh.png").read_bytes().startswith(b"\x89PNG"), plotted.stderr
    checked = actbench("check", "--from", mine, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "leaky_tanh" in checked.stdout
    timed = actbench("bench", "--from", mine, "--size", "1e3", "--rounds", "6", "--json", cwd=tmp_path)
    cells = json.loads(timed.stdout)["cells"]
    assert {c["cell"]["function"] for c in cells} == {"leaky_tanh"}


def test_a_wrong_derivative_is_red_with_its_counter_example(mine, tmp_path):
    mine.write_text(MINE.replace("1.1 -", "1.0 -"))
    done = actbench("check", "--from", mine, cwd=tmp_path)
    assert done.returncode == 1
    assert "0x" in done.stdout
    assert "leaky_tanh" in done.stdout


def test_bench_writes_a_run_that_report_and_plot_read(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((64, 50)).astype("f4"))
    done = actbench("bench", "relu", "softmax", "mse", "--input", "x.npy", "--rounds", "6", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    (run,) = (tmp_path / "results" / "runs").glob("*/run.json")
    names = {p.suffix for p in run.parent.iterdir()}
    assert {".json", ".csv", ".md", ".png"} <= names
    code = (
        "import sys; sys.modules['numba'] = None; from actbench.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    again = subprocess.run(
        [sys.executable, "-c", code, "report", str(run)], cwd=tmp_path, text=True, capture_output=True
    )
    assert again.returncode == 0, again.stderr
    assert "softmax" in again.stdout
    packed = tmp_path / "packed.json.gz"
    packed.write_bytes(gzip.compress(run.read_bytes()))
    drawn = actbench("plot", packed, "--output", "run.png", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "run.png").is_file()


def test_bench_against_a_peer_compares_and_reports(tmp_path):
    given = ("--size", "1000", "--dtype", "float32", "--rounds", "6", "--against", "numpy")
    done = actbench("bench", "relu", "mse", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    (run,) = (tmp_path / "results" / "runs").glob("*/run.json")
    contenders = {c["provider"] for m in json.loads(run.read_text())["cells"] for c in m["contenders"]}
    assert contenders == {"actbench", "numpy"}
    again = actbench("report", run, cwd=tmp_path)
    assert again.stdout == done.stdout
    assert "best of them" in again.stdout


def test_audit_prints_a_table_and_writes_a_folder(tmp_path):
    given = ("--dtype", "float16,bfloat16", "--output", "found")
    done = actbench("audit", "sigmoid", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "within" in done.stdout
    assert {p.name for p in (tmp_path / "found").iterdir()} == {
        "audit.json", "audit.md", "audit.csv", "sigmoid.png",
    }  # fmt: skip
    document = json.loads((tmp_path / "found" / "audit.json").read_text())
    assert {a["inputs"] for a in document["audits"]} == {1 << 16}
    assert len(document["audits"]) == 4
    assert all(a["where"][0]["hex"].startswith(("0x", "-0x")) for a in document["audits"])
    again = actbench("report", "found/audit.json", "--output", "again", cwd=tmp_path)
    assert again.stdout == done.stdout
    assert (tmp_path / "again" / "sigmoid.png").read_bytes() == (
        tmp_path / "found" / "sigmoid.png"
    ).read_bytes()


def test_audit_beyond_its_bound_is_red(mine, tmp_path):
    off = MINE.replace("return math.tanh(x) + 0.1 * x", "return math.tanh(x) + 0.1001 * x")
    mine.write_text(off)
    command = "audit", "--from", mine, "--dtype", "float32,float64", "--pass", "forward"
    free = actbench(*command, cwd=tmp_path)
    assert "unbounded" in free.stdout  # what is promised by nobody is measured
    mine.write_text(off.replace("@actbench.activation(", "@actbench.activation(error_bounds=(1.0, 2.0),"))
    done = actbench(*command, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "beyond" in done.stdout
    assert "undecided" in done.stdout  # what is held against the float64 kernel


def test_audit_of_a_function_whose_formula_is_unknown_says_so(mine, tmp_path):
    mine.write_text(MINE.replace('"tanh(x) + x / 10"', '"mystery(x)"'))
    done = actbench("audit", "--from", mine, "--dtype", "float64,float16", "--pass", "forward", cwd=tmp_path)
    assert done.returncode == 3, done.stderr  # float64 has no judge
    notes = done.stderr.strip().splitlines()
    assert len(notes) == 2
    assert all("its formula calls mystery, which is unknown" in note for note in notes)
    assert list(tmp_path.iterdir()) == [mine]
    alone = actbench("audit", "--from", mine, "--dtype", "float64", "--json", "--quiet", cwd=tmp_path)
    assert alone.returncode == 3
    assert alone.stderr == ""
    assert json.loads(alone.stdout)["verdict"] == "undecided"


def test_audit_without_flint_is_one_line(tmp_path):
    code = (
        "import sys; sys.modules['flint'] = None; from actbench.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "audit", "relu"], cwd=tmp_path, text=True, capture_output=True
    )
    assert done.returncode == 2
    assert done.stderr == "error: python-flint is not installed: pip install 'actbench[audit]'\n"


def test_audit_against_a_peer_stands_beside_it(tmp_path):
    given = ("--against", "numpy", "--pass", "forward", "--export", "md=-")
    done = actbench("audit", "sigmoid", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| function | actbench (ULP) | numpy (ULP) |" in done.stdout
    assert "float32" in done.stdout


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True)


def test_gate_holds_a_function_against_its_past(tmp_path):
    """What it calculates, not how fast: nothing here depends on time."""
    top = tmp_path / "project"
    top.mkdir()
    git(tmp_path, "init", "-q", str(top))
    (top / "mine.py").write_text(MINE)
    git(top, "add", ".")
    git(top, "commit", "-q", "-m", "mine")
    options = ("leaky_tanh", "--from", "mine.py", "--base", "HEAD", "--size", "1e3")
    same = actbench("gate", *options, cwd=top)
    assert same.returncode == 0, same.stderr
    assert "2 unchanged" in same.stdout
    assert same.stdout.splitlines()[-1] == "green: nothing is slower in 2 cells"
    (top / "mine.py").write_text(MINE.replace("0.1 * x", "0.101 * x"))
    summary = tmp_path / "summary.md"
    in_ci = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_ACTIONS": "true"}
    exports = ("--export", "junit=gate.xml", "--export", "json=gate.json")
    changed = actbench("gate", *options, *exports, cwd=top, **in_ci)
    assert changed.returncode == 1
    assert max(map(len, changed.stdout.splitlines())) <= 80
    assert "leaky_tanh forward" in changed.stdout
    assert " incorrect " in changed.stdout
    assert changed.stdout.splitlines()[-1] == "red: 1 incorrect of 2 cells"
    assert summary.read_text().startswith("## \N{CROSS MARK} actbench gate: red: 1 incorrect of 2 cells")
    assert (
        "::error file=mine.py,title=actbench%3A leaky_tanh/forward/float32/1000 is incorrect::"
        in changed.stderr
    )
    assert '<failure message="incorrect' in (top / "gate.xml").read_text()
    assert not list(top.glob("actbench*"))  # the scratch folder is elsewhere, and gone
    again = actbench("report", "gate.json", "--output", "again", cwd=top)
    assert (again.returncode, again.stdout) == (0, changed.stdout)
    assert (top / "again" / "gate.xml").read_text() == (top / "gate.xml").read_text()
    assert (top / "again" / "gate.md").read_text() == summary.read_text()
    refused = actbench("report", "gate.json", "--html", "gate.html", "--output", "more", cwd=top)
    assert refused.returncode == 2
    assert refused.stderr == ("error: gate.json holds a gate: written as md, json or junit, not as html\n")
    assert not (top / "more").exists()


def test_a_baseline_is_compared_with_the_newest_run(tmp_path):
    options = ("bench", "relu", "--size", "1e3", "--rounds", "6", "--slice", "0.1ms", "--pass", "forward")
    for more in (("--save", "before"), ()):
        done = actbench(*options, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    code = (
        "import sys; sys.modules['numba'] = None; from actbench.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    found = subprocess.run(  # from the files alone
        [sys.executable, "-c", code, "compare", "before", "--fail-over", "900%"],
        cwd=tmp_path,
        text=True,
        capture_output=True,
    )
    assert found.returncode == 0, found.stderr
    assert "2 same" in found.stdout
    (run,) = sorted((tmp_path / "results" / "runs").glob("*/run.json"))[:1]
    other = run.read_text().replace('"rounds":6', '"rounds":7')
    (tmp_path / "other.json").write_text(other)
    refused = actbench("compare", "before", "other.json", cwd=tmp_path)
    assert refused.returncode == 3
    assert "another configuration (rounds 6, now 7): --force" in refused.stderr
    forced = actbench("compare", "before", "other.json", "--force", "--json", cwd=tmp_path)
    assert forced.returncode == 0
    assert "not comparable, for display alone: another configuration" in forced.stderr
    told = json.loads(forced.stdout)
    assert told["obstacles"]
    assert (told["verdict"], told["changes"][0]["cell"]["pass"]) == ("none", "forward")
    itself = actbench("compare", "before", "before", cwd=tmp_path)
    assert itself.returncode == 3
    assert "they are the very same run" in itself.stderr
    both = sorted((tmp_path / "results" / "runs").glob("*/run.json"))
    kept = actbench("history", "--add", *both, "--output", "trend.png", cwd=tmp_path)
    assert kept.returncode == 0, kept.stderr
    assert (tmp_path / "trend.png").is_file()
    assert "0 of 2 cells changed for good in 2 runs" in kept.stdout


def test_compare_ends_with_what_it_found(tmp_path):
    """1 for slower, 3 for what may be, and where nothing can be said: of files that are edited, so that no time decides."""
    options = (
        "--size",
        "1e3",
        "--rounds",
        "6",
        "--slice",
        "0.1ms",
        "--pass",
        "forward",
        "--dtype",
        "float32",
    )
    done = actbench("bench", "relu", *options, "--save", "before", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kept = tmp_path / "results" / "baselines" / "before.json"
    run = json.loads(kept.read_text())
    (cell,) = run["cells"]
    count = len(cell["samples_ns"])
    before, slow = [100.0] * count, [300.0] * count

    def written(path, samples, function):
        cell["samples_ns"], cell["cell"]["function"] = samples, function
        path.write_text(json.dumps(run))

    written(kept, before, "relu")
    run["created"] = "2030-01-01T00:00:00Z"

    def against(samples, *more, function="relu"):
        written(tmp_path / "after.json", samples, function)
        return actbench("compare", "before", "after.json", *more, cwd=tmp_path)

    assert against(before).returncode == 0
    found = against(slow)
    assert found.returncode == 1
    assert "slower: 1 of 1 cell of both runs" in found.stdout
    undecided = against([300.0] * (count // 2 + 1) + [50.0] * (count - count // 2 - 1))
    assert undecided.returncode == 3
    assert "inconclusive: 1 of 1 cell of both runs" in undecided.stdout
    assert against(slow, "--fail-over", "900%").returncode == 0
    (tmp_path / "own.toml").write_text('[threshold]\n"@rectifier" = "900%"\n')
    assert against(slow, "--config", "own.toml").returncode == 0
    (tmp_path / "own.toml").write_text('[threshold]\n"re*" = "900%"\n"relu" = "5%"\n')
    assert against(slow, "--config", "own.toml").returncode == 1
    apart = against(slow, function="relu6")
    assert apart.returncode == 3
    assert "no cell is in both runs" in apart.stdout


def test_a_base_that_does_not_build_is_news_for_a_reviewer(tmp_path):
    (tmp_path / "broken-1.0-py3-none-any.whl").write_bytes(b"PK\x05\x06" + bytes(18))  # of nothing
    in_ci = {"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"), "GITHUB_ACTIONS": "true"}
    exports = ("--export", "junit=gate.xml", "--export", "json=gate.json")
    done = actbench("gate", "relu", "--base", "broken-1.0-py3-none-any.whl", *exports, cwd=tmp_path, **in_ci)
    assert done.returncode == 3
    message = "base does not build: pip install broken-1.0-py3-none-any.whl: ERROR"
    assert f"error: {message}" in done.stderr
    assert f"inconclusive: {message}" in (tmp_path / "summary.md").read_text()
    assert f"::warning title=actbench::{message}" in done.stderr
    assert message in (tmp_path / "gate.xml").read_text()
    told = json.loads((tmp_path / "gate.json").read_text())
    assert message in told["fault"]
    assert told["verdict"] == "inconclusive"


def test_a_summary_that_cannot_be_written_takes_no_verdict_away(tmp_path):
    nowhere = str(tmp_path / "none" / "summary.md")
    options = ("--base-python", sys.executable, "--size", "1e3", "--pass", "forward")
    done = actbench("gate", "relu", *options, cwd=tmp_path, GITHUB_STEP_SUMMARY=nowhere)
    assert done.returncode == 0, done.stderr
    assert "green: nothing is slower in 1 cell" in done.stdout
    assert f"no summary: GITHUB_STEP_SUMMARY={nowhere}: No such file" in done.stderr
    assert "no controls" not in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_a_gate_that_is_ended_leaves_nothing(tmp_path):
    folders = (Path("/dev/shm"), tmp_path)
    command = [sys.executable, "-m", "actbench", "gate", "--base-python", sys.executable, "--unchanged"]
    gate = subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"TMPDIR": str(tmp_path)})

    def left():
        return [path for folder in folders for path in folder.glob(f"actbench-{gate.pid}-*")]

    try:
        deadline = time.monotonic() + 120
        while not left() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left()
        gate.terminate()
        assert gate.wait(60) == 128 + signal.SIGTERM
    finally:
        gate.kill()
    assert not left()
    assert not list(tmp_path.glob("actbench-gate-*"))


def test_doctor_names_what_it_was_given(tmp_path):
    """What disturbs is told with its remedy, and is no failure: the environment here is one that does."""
    wanted = {"OMP_NUM_THREADS": "4096", "NO_COLOR": "1"}
    done = actbench("doctor", cwd=tmp_path, **wanted)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    assert "disturbs threads: 4096 threads" in done.stdout
    assert "    export OMP_NUM_THREADS=" in done.stdout
    assert "noise of" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_doctor_prints_one_document(tmp_path):
    done = actbench("doctor", "--json", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["machine"]["cores"] == len(usable_cpus())
    assert {f["state"] for f in document["findings"]} <= {"fine", "disturbs", "unknown"}
    assert all(f["effect"] for f in document["findings"])
    arithmetic = document["noise"][0]
    assert arithmetic["slices"] >= 6  # rounds that the clock always makes, however slow the machine
    assert {"median_ns", "spread", "drift", "worst", "slowed", "smallest_difference"} <= set(arithmetic)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_plot_writes_what_the_suffix_says(suffix, theme, tmp_path):
    done = actbench("plot", "relu", "--deriv", "--theme", theme, "--output", f"r.{suffix}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(f"r.{suffix}")
    head = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert (tmp_path / f"r.{suffix}").read_bytes().startswith(head)


def test_json_is_one_document(tmp_path):
    for command in (["list"], ["show", "elu"], ["check", "relu"]):
        done = actbench(*command, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)


@pytest.mark.parametrize("command", [["list"], ["show", "gelu"], ["check", "relu", "--bitwise"], ["--help"]])
def test_a_width_of_0_is_none(command, tmp_path):
    assert (
        actbench(*command, cwd=tmp_path, COLUMNS="0").stdout == actbench(*command, cwd=tmp_path).stdout != ""
    )


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {}], ids=["NO_COLOR", "piped"])
def test_no_escape_codes_where_they_are_not_wanted(setting, tmp_path):
    for command in (["list"], ["show", "relu"], ["--help"]):
        done = actbench(*command, cwd=tmp_path, **setting)
        assert "\x1b" not in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_help_tells_all_of_every_argument_and_option_in_80_columns(command, tmp_path):
    done = actbench(command, "--help", cwd=tmp_path)
    told = " ".join(done.stdout.replace("│", " ").split())
    described = COMMANDS[command]
    for text in [described.help, *(p.help for p in described.params)]:
        assert " ".join(text.split()) in told


def test_version(tmp_path):
    assert actbench("--version", cwd=tmp_path).stdout.startswith("actbench ")


def test_a_package_offers_functions_by_entry_point(tmp_path):
    """A plug-in's functions are in the catalogue of every user who installs it; a broken one is one line, and takes nothing else away."""
    (tmp_path / "offering.py").write_text(MINE)
    info = tmp_path / "offering-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offering\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[actbench.functions]\nmine = offering\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    listed = actbench("list", cwd=tmp_path, PYTHONPATH=path)
    assert "leaky_tanh" in listed.stdout, listed.stderr
    (info / "entry_points.txt").write_text("[actbench.functions]\nmine = missing\n")
    for command in (["list"], ["show", "relu"], ["list", "--json"]):
        broken = actbench(*command, cwd=tmp_path, PYTHONPATH=path)
        assert broken.returncode == 0
        assert "relu" in broken.stdout
        (line,) = broken.stderr.splitlines()
        assert line.startswith("warning: the plug-in 'mine' (missing) cannot be loaded")
    (tmp_path / "missing.py").write_text("raise SystemExit('gone')")
    left = actbench("list", cwd=tmp_path, PYTHONPATH=path)
    assert left.returncode == 0
    assert "SystemExit: gone" in left.stderr


def test_what_a_file_prints_is_no_part_of_the_document(mine, tmp_path):
    mine.write_text("print('hello')\n" + MINE)
    done = actbench("list", "--from", mine, "--json", cwd=tmp_path)
    assert any(d["name"] == "leaky_tanh" for d in json.loads(done.stdout))
    assert done.stderr == "hello\n"


def test_kind_and_family_that_share_nothing_are_told(tmp_path):
    done = actbench("list", "--kind", "loss", "--family", "sigmoid", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "no loss is of the family 'sigmoid'\n"
