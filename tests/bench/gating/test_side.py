"""Where the two versions' code comes from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actbench.bench.gating.side import BuildError, dependencies, side, working_tree
from actbench.catalog.errors import UsageError

PY = sys.executable


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Two commits of a project that holds a file of functions; the working tree is a third version."""
    top = tmp_path / "project"
    (top / "functions").mkdir(parents=True)
    git(tmp_path, "init", "-q", "-b", "main", str(top))
    for number in (1, 2):
        (top / "functions" / "mine.py").write_text(f"VERSION = {number}\n")
        git(top, "add", ".")
        git(top, "commit", "-q", "-m", f"version {number}")
    (top / "functions" / "mine.py").write_text("VERSION = 3\n")
    monkeypatch.chdir(top)
    return top


def test_a_revision_has_the_files_of_its_time(repository, tmp_path):
    mine = Path("functions/mine.py")
    base = side("base", "HEAD~1", PY, [mine], tmp_path / "scratch")
    head = side("head", str(repository), PY, [mine], tmp_path / "scratch")
    assert Path(base.files[0]).read_text() == "VERSION = 1\n"
    assert Path(head.files[0]).read_text() == "VERSION = 3\n"
    assert base.label == f"HEAD~1 ({git(repository, 'rev-parse', 'HEAD~1')[:12]})"
    assert base.paths == head.paths == ()  # nothing to build: actbench is as installed
    assert base.cache != head.cache
    assert Path(base.files[0]).is_relative_to(tmp_path / "scratch")  # and the repository is as it was
    assert git(repository, "status", "--porcelain") == "M functions/mine.py"


def test_a_file_from_elsewhere_is_on_both_sides(repository, tmp_path):
    elsewhere = tmp_path / "other.py"
    elsewhere.write_text("")
    assert side("base", "HEAD", PY, [elsewhere], tmp_path / "scratch").files == (str(elsewhere),)


def test_a_file_that_was_not_there_yet(repository, tmp_path):
    new = repository / "functions" / "new.py"
    new.write_text("")
    assert side("base", "HEAD", PY, [new], tmp_path / "scratch").files == ()


def test_a_tree_of_ours_is_its_own_code(repository, tmp_path):
    (repository / "actbench").mkdir()
    (repository / "actbench" / "__init__.py").write_text("")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "a package")
    base = side("base", "main", PY, [], tmp_path / "scratch")
    (path,) = base.paths
    assert (Path(path) / "actbench" / "__init__.py").is_file()
    assert not Path(path).is_relative_to(repository)


@pytest.mark.parametrize("source", ["no-such-branch", "--upload-pack=x", "-h", "HEAD~99"])
def test_what_is_no_revision(repository, tmp_path, source):
    with pytest.raises(UsageError, match=r"is no revision of .*, no wheel and no directory$"):
        side("base", source, PY, [], tmp_path / "scratch")


def test_a_shallow_clone_is_told_how_to_fetch_more(repository, tmp_path, monkeypatch):
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository}", str(tmp_path / "shallow"))
    monkeypatch.chdir(tmp_path / "shallow")
    with pytest.raises(UsageError, match="this clone is shallow, fetch more of it"):
        side("base", "HEAD~1", PY, [], tmp_path / "scratch")


def test_outside_of_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert working_tree(tmp_path) is None
    with pytest.raises(UsageError, match="this folder is in no git repository"):
        side("base", "main", PY, [], tmp_path / "scratch")
    with pytest.raises(UsageError, match=r"--base: there is no wheel old\.whl"):
        side("base", "old.whl", PY, [], tmp_path / "other")


def test_a_wheel_that_does_not_install(tmp_path):
    wheel = tmp_path / "broken-1.0-py3-none-any.whl"
    wheel.write_bytes(b"no archive")
    with pytest.raises(BuildError, match=r"^base does not build: pip install .*: ERROR: ") as raised:
        side("base", str(wheel), PY, [], tmp_path / "scratch")
    assert raised.value.exit_code == 3


def test_what_a_project_needs(tmp_path):
    assert dependencies(tmp_path) == frozenset()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["numpy>=2", "numba"]\n')
    assert dependencies(tmp_path) == {"numpy>=2", "numba"}
    (tmp_path / "pyproject.toml").write_text("not TOML")
    assert dependencies(tmp_path) == frozenset()
