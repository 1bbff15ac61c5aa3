"""What becomes of a command whose stdout is full, closed, read by nobody, or of a poor encoding."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = [["list"], ["show", "relu", "--json"], ["plot", "relu", "--output", "-"], ["--help"]]
WRONG = """
import actbench
@actbench.activation(formula="x**2", derivative=lambda x: 3 * x)
def wrong(x):
    '''A fault.'''
    return x * x
"""
posix = pytest.mark.skipif(os.name != "posix", reason="descriptors are POSIX's")


def actbench(*arguments: str, cwd: Path, code: str = "", **more: object) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "actbench"]
    more["env"] = os.environ | dict(more.get("env", {}))  # type: ignore[call-overload]
    given = {"stderr": subprocess.PIPE} | more
    return subprocess.run([sys.executable, *start, *arguments], cwd=cwd, text=True, check=False, **given)  # type: ignore[call-overload, no-any-return]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_stdout_is_one_line(command: list[str], tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = actbench(*command, cwd=tmp_path, stdout=full)
    assert done.returncode == 2
    assert done.stderr == "error: cannot write to stdout: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_run_that_cannot_be_exported_is_kept_whole(tmp_path: Path) -> None:
    given = ("relu", "--size", "1000", "--rounds", "6", "--pass", "forward", "--export", "csv=/dev/full")
    done = actbench("bench", *given, "--output", "kept", cwd=tmp_path, stdout=subprocess.DEVNULL)
    told, error = done.stderr.splitlines()[-2:]
    assert (done.returncode, error) == (2, "error: cannot write /dev/full: No space left on device")
    folder = tmp_path / told.rpartition(" to ")[2]
    assert {"run.json", "run.csv", "run.md"} <= {file.name for file in folder.iterdir()}


@posix
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_closed_stdout_is_one_line(command: list[str], tmp_path: Path) -> None:
    done = actbench(*command, cwd=tmp_path, preexec_fn=lambda: os.close(1))
    assert done.returncode == 2
    assert done.stderr == "error: cannot write to stdout: it is closed\n"


@posix
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("command", "code"), [*((c, 0) for c in COMMANDS), (["check", "--from", "wrong.py"], 1)]
)
def test_a_reader_that_has_gone_changes_no_exit_code(
    command: list[str], code: int, unbuffered: str, tmp_path: Path
) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    read, write = os.pipe()
    os.close(read)
    try:
        done = actbench(*command, cwd=tmp_path, stdout=write, env={"PYTHONUNBUFFERED": unbuffered})
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("command", [["list"], ["show", "softplus"], ["list", "--json"], ["list", "--help"]])
def test_an_encoding_without_boxes_gets_plain_ones(command: list[str], encoding: str, tmp_path: Path) -> None:
    env = {"PYTHONIOENCODING": encoding}
    done = actbench(*command, cwd=tmp_path, stdout=subprocess.PIPE, encoding=encoding, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert command[-1] != "list" or "-----+--" in done.stdout
    assert done.stdout.count("?") < 5


@posix
def test_ctrl_c_is_told(tmp_path: Path) -> None:
    code = (
        "import sys; from actbench.catalog import registry; from actbench.cli import run\n"
        "def stop(*_): raise KeyboardInterrupt\n"
        "registry.declarations = stop; sys.exit(run(['list']))"
    )
    done = actbench(cwd=tmp_path, code=code)
    assert done.returncode == 130
    assert done.stderr.split() == ["error:", "interrupted"]


def test_without_arguments_the_help_stands_alone(tmp_path: Path) -> None:
    done = actbench(cwd=tmp_path, stdout=subprocess.PIPE)
    assert "Usage: actbench" in done.stdout
    assert done.stderr == ""


def test_a_misspelt_command_is_told_once(tmp_path: Path) -> None:
    done = actbench("lst", cwd=tmp_path)
    assert done.stderr == "error: no such command 'lst': did you mean 'list'?\n"
