"""Whose packages a side runs with."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from actbench.bench.gating import environment
from actbench.bench.gating.environment import Project, declared, fitted, sources
from actbench.bench.gating.side import INSTALLED, BuildError, Side, side
from actbench.catalog.errors import UsageError

PY = sys.executable


def wheel(folder: Path, name: str, version: str, *needs: str) -> Path:
    """A package of one module that knows its version."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    about = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", "\n".join(["Metadata-Version: 2.1", *about, ""]))
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def tree(folder: Path, which: str, *needs: str, name: str = "project") -> Side:
    """A side that is a project's folder, not built."""
    top = folder / which
    top.mkdir()
    listed = ", ".join(f'"{need}"' for need in needs)
    (top / "pyproject.toml").write_text(f'[project]\nname = "{name}"\ndependencies = [{listed}]\n')
    return Side(which, which, PY, (), (), folder, top)


@pytest.fixture
def commands(monkeypatch):
    """What would be run to make an environment."""
    ran: list[tuple[str, ...]] = []
    monkeypatch.setattr(
        environment, "run_python", lambda name, python, told, *arguments: ran.append(arguments)
    )
    return ran


def test_base_gets_the_packages_that_it_declares(tmp_path):
    older, newer = (wheel(tmp_path, "needed", version).as_uri() for version in ("1.0", "2.0"))
    ours = wheel(tmp_path, "actbench", "0.0").as_uri()
    base = tree(tmp_path, "base", f"needed @ {older}", f"actbench @ {ours}")
    head = tree(tmp_path, "head", f"needed @ {newer}", f"actbench @ {ours}")
    made = fitted(base, head, tmp_path / "scratch")
    said = subprocess.run([made.python, "-c", "import needed; print(needed.VERSION)"], capture_output=True)
    assert said.stdout.split() == [b"1.0"], said.stderr
    assert made.label == f"base, with its own needed @ {older}"


def test_what_pip_refuses_is_a_base_that_does_not_build(tmp_path):
    base = tree(tmp_path, "base", "actbench", f"gone @ {(tmp_path / 'gone-1.0-py3-none-any.whl').as_uri()}")
    with pytest.raises(BuildError, match=r"^base does not build: pip install gone @ .*: ERROR: "):
        fitted(base, tree(tmp_path, "head", "actbench"), tmp_path / "scratch")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["numpy>=2", "numba"], ["numba", "numpy>=2"]),
        (["ML_dtypes >=0.4,<1"], ["ml-dtypes<1,>=0.4"]),
        (["numpy"], ["numpy", "rich"]),
        (["rich>=13.7"], ["rich>=13.8"]),  # what is installed is good for both
        ([], []),
    ],
)
def test_the_same_needs_take_no_environment(tmp_path, commands, before, after):
    base, head = tree(tmp_path, "base", *before), tree(tmp_path, "head", *after)
    assert fitted(base, head, tmp_path / "scratch") is base
    assert not commands


def test_a_project_that_does_not_ask_for_us_has_us_all_the_same(tmp_path, commands):
    base, head = tree(tmp_path, "base", "numba<0.60"), tree(tmp_path, "head", "numba>=0.60")
    made = fitted(base, head, tmp_path / "scratch")
    (copied,) = made.paths
    assert (Path(copied) / "actbench" / "__init__.py").is_file()
    asked = commands[-1]
    assert f"numpy=={metadata.version('numpy')}" in asked  # as head has it
    assert "numba<0.60" in asked
    assert any(need.startswith("pydantic") for need in asked)  # ours
    assert not any("extra" in need or need.startswith("torch") for need in asked)


def test_an_interpreter_that_was_given_has_its_packages(tmp_path, commands):
    base = Side("base", "base", "/other/python", (), (), tmp_path, tree(tmp_path, "x", "numpy<2").tree)
    assert fitted(base, tree(tmp_path, "head", "numpy>=2"), tmp_path / "scratch") is base
    other = tree(tmp_path, "other", "numpy<2", name="another")
    assert fitted(other, tree(tmp_path, "head2", "numpy>=2"), tmp_path / "scratch") is other
    assert not commands


def test_an_older_wheel_of_ours_against_what_is_installed(tmp_path, commands):
    old = wheel(tmp_path, "actbench", "0.0", "numba==0.50", 'scipy; extra == "history"')
    base = side("base", str(old), PY, [], tmp_path / "scratch")
    assert declared(base) == Project("actbench", frozenset({"numba==0.50"}))
    head = side("head", INSTALLED, PY, [], tmp_path / "scratch")
    made = fitted(base, head, tmp_path / "scratch")
    assert commands[-1][-1] == "numba==0.50"
    assert made.paths == base.paths  # the wheel's own code
    assert metadata.version("actbench") != "0.0"


@pytest.mark.parametrize("text", ["", "not TOML", "[tool.ruff]\n", '[project]\ndynamic = ["dependencies"]\n'])
def test_what_does_not_tell(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    assert declared(Side("base", "base", PY, (), (), tmp_path, tmp_path)) is None


def test_where_sides_come_from(tmp_path):
    assert sources("main", None, None, tmp_path) == ("main", str(tmp_path))
    assert sources("main", "v2", None, tmp_path) == ("main", "v2")
    assert sources(None, None, PY, tmp_path) == (INSTALLED, INSTALLED)
    assert sources("old.whl", None, None, None) == ("old.whl", INSTALLED)
    with pytest.raises(UsageError, match="--base-python old/python: there is no such interpreter"):
        sources(None, None, "old/python", tmp_path)
    for given in (("", None, None), ("main", " ", None), (None, None, "")):
        with pytest.raises(UsageError, match="is empty: is a variable not set"):
            sources(*given, tmp_path)
    with pytest.raises(UsageError, match="what is the head compared with"):
        sources(None, None, None, tmp_path)
