"""Where the two versions' code comes from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from actbench.bench.gating.side import BuildError, _last, project_folder, side, working_tree
from actbench.catalog.errors import InputFileError, UsageError
from actbench.wording import in_one_line

PY = sys.executable
EMPTY = b"PK\x05\x06" + bytes(18)  # a zip file of nothing


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
    own = repository / "functions" / "mine.py"
    base = side("base", "HEAD", PY, [own, elsewhere], tmp_path / "scratch")
    assert base.files[1:] == (str(elsewhere),)


def test_what_holds_nothing_of_ours_is_refused(repository, tmp_path):
    """Else both sides would be what is installed, and the same."""
    elsewhere = tmp_path / "other.py"
    elsewhere.write_text("")
    (repository / "release").mkdir()
    for i, (source, files) in enumerate([("HEAD", []), ("HEAD", [elsewhere]), ("release", [])]):
        with pytest.raises(UsageError, match="holds neither actbench nor a project nor a --from file of it"):
            side("base", source, PY, files, tmp_path / str(i))
    with pytest.raises(UsageError, match=r"if a revision is meant, write refs/heads/\.\.\.$"):
        side("base", "release", PY, [], tmp_path / "named")


def test_where_a_branch_left_another(repository, tmp_path):
    git(repository, "stash", "-q")
    git(repository, "checkout", "-q", "-b", "branch", "HEAD~1")
    git(repository, "commit", "-q", "--allow-empty", "-m", "on the branch")
    mine = Path("functions/mine.py")
    assert Path(side("base", "main", PY, [mine], tmp_path / "1").files[0]).read_text() == "VERSION = 2\n"
    base = side("base", "main...", PY, [mine], tmp_path / "2")
    assert Path(base.files[0]).read_text() == "VERSION = 1\n"
    assert base.label == f"main... ({git(repository, 'rev-parse', 'main~1')[:12]})"


def test_links_of_a_revision_are_links(repository, tmp_path):
    """Also one that leads out of the repository, which no archive of Python's would unpack."""
    (repository / "outside").symlink_to("/etc/hostname")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "a link")
    side("base", "HEAD", PY, [Path("functions/mine.py")], tmp_path / "scratch")
    assert (tmp_path / "scratch" / "base" / "tree" / "outside").readlink() == Path("/etc/hostname")
    assert git(repository, "status", "--porcelain") == ""


def test_foreign_words_become_a_line():
    said = "\x1b[31mError:\x1b[0m\n  it\tbroke \udc80\x00" + "x" * 300
    line = in_one_line(said)
    assert line.startswith("Error: it broke ??xxx")
    assert len(line) == 200
    line.encode()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("      RuntimeError: foo.h is missing\n  \u2570\u2500> [end of output]\nnote: This error originates from\n",
         "RuntimeError: foo.h is missing"),
        ("ERROR: no matching distribution\nhint: an error of yours\n", "ERROR: no matching distribution"),
        ("fatal: not a git repository\n", "fatal: not a git repository"),
        ("", "it did not say why"),
    ],
)  # fmt: skip
def test_why_a_program_failed(said, why):
    assert _last(said.encode()) == why


def test_submodules_of_a_revision_are_laid_out(repository, tmp_path):
    library = tmp_path / "library"
    git(tmp_path, "init", "-q", "-b", "main", str(library))
    for number in (1, 2):
        (library / "helper.py").write_text(f"VERSION = {number}\n")
        git(library, "add", ".")
        git(library, "commit", "-q", "-m", f"version {number}")
    git(
        repository,
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "add",
        "-q",
        str(library),
        "functions/lib",
    )
    git(repository / "functions" / "lib", "checkout", "-q", "HEAD~1")
    git(repository, "commit", "-q", "-a", "-m", "a library")
    git(repository / "functions" / "lib", "checkout", "-q", "main")
    base = side("base", "HEAD", PY, [Path("functions/mine.py")], tmp_path / "scratch")
    assert (Path(base.files[0]).parent / "lib" / "helper.py").read_text() == "VERSION = 1\n"


def test_a_name_of_a_revision_and_of_a_folder_is_refused(repository, tmp_path):
    (repository / "main").mkdir()
    with pytest.raises(UsageError, match=r"main is a revision and a folder: write refs/heads/... or \./main"):
        side("base", "main", PY, [Path("functions/mine.py")], tmp_path / "one")
    for number, source in enumerate(("refs/heads/main", "./main")):
        side("base", source, PY, [Path("functions/mine.py")], tmp_path / str(number))


def test_branches_that_share_no_commit(repository, tmp_path):
    git(repository, "checkout", "-q", "--orphan", "other")
    git(repository, "commit", "-q", "-m", "anew")
    with pytest.raises(UsageError, match=r"main\.\.\.: main and HEAD have no commit in common"):
        side("base", "main...", PY, [], tmp_path / "scratch")


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
    assert working_tree(tmp_path) is project_folder(tmp_path) is None
    with pytest.raises(
        UsageError, match="no wheel and no directory, and no revision: fatal: not a git repository"
    ):
        side("base", "main", PY, [], tmp_path / "scratch")
    with pytest.raises(InputFileError, match=r"--base: there is no wheel old\.whl"):
        side("base", "old.whl", PY, [], tmp_path / "other")


def test_a_wheel_that_does_not_install(tmp_path):
    wheel = tmp_path / "broken-1.0-py3-none-any.whl"
    wheel.write_bytes(EMPTY)
    with pytest.raises(BuildError, match=r"^base does not build: pip install .*: ERROR: ") as raised:
        side("base", str(wheel), PY, [], tmp_path / "scratch")
    assert raised.value.exit_code == 3


def test_what_is_no_wheel(tmp_path):
    for name in ("bad.whl", "broken-1.0-py3-none-any.whl"):
        (tmp_path / name).write_bytes(b"no archive")
        with pytest.raises(InputFileError, match=f"^--base.*{name}"):
            side("base", str(tmp_path / name), PY, [], tmp_path / "scratch" / name)


BUILT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "kern"
version = "1"
[tool.setuptools]
packages = ["kern"]
"""


def test_a_build_leaves_the_users_tree_alone_and_does_not_go_by_the_last_one(
    repository, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        "actbench.bench.gating.side._installed",
        lambda name, what, python, folder: (str(shutil.copytree(what, folder / "site")),),
    )
    (repository / "pyproject.toml").write_text(BUILT)
    (repository / ".gitignore").write_text("ignored/\n")
    for folder in ("kern", "build/lib/kern", "kern.egg-info", "ignored"):
        (repository / folder).mkdir(parents=True)
        (repository / folder / "__init__.py").write_text("")
    git(repository, "add", "kern")
    (repository / "kern" / "new.py").write_text("")
    (path,) = side("head", str(repository), PY, [], tmp_path / "scratch").paths
    found = {str(file.relative_to(path)) for file in Path(path).rglob("*.py")}
    assert found == {"functions/mine.py", "kern/__init__.py", "kern/new.py"}


def test_what_pythonpath_finds_in_the_project_is_each_sides_own(repository, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    new = repository / "new"
    new.mkdir()
    searched = os.pathsep.join(map(str, (repository / "functions", new, elsewhere)))
    monkeypatch.setenv("PYTHONPATH", searched)
    base, head = (
        side(name, source, PY, [Path("functions/mine.py")], tmp_path / "scratch")
        for name, source in (("base", "HEAD"), ("head", str(repository)))
    )
    assert base.beside == (str(tmp_path / "scratch/base/tree/functions"), str(elsewhere))
    assert head.beside == (str(repository / "functions"), str(new), str(elsewhere))
    assert (base.foreign, head.foreign) == (repository, None)


def test_a_project_in_a_folder_of_the_repository(repository, tmp_path, monkeypatch):
    """A side is the project that the user stands in, as it was, and not the whole repository."""
    package = repository / "part" / "actbench"
    (package / "kernels").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "a project in a folder")
    monkeypatch.chdir(package / "kernels")
    base = side("base", "HEAD", PY, [repository / "functions" / "mine.py"], tmp_path / "scratch")
    (path,) = base.paths
    assert Path(path) == tmp_path / "scratch" / "base" / "tree" / "part"
    assert Path(base.files[0]) == tmp_path / "scratch" / "base" / "tree" / "functions" / "mine.py"
    assert project_folder(Path.cwd()) == repository / "part"
    assert project_folder(repository / "functions") == repository


def test_a_pyproject_that_only_configures_tools_is_not_built(repository, tmp_path):
    (repository / "pyproject.toml").write_text("[tool.ruff]\nline-length = 99\n")
    base = side("base", str(repository), PY, [Path("functions/mine.py")], tmp_path / "scratch")
    assert base.paths == ()


def test_a_project_elsewhere(repository, tmp_path, monkeypatch):
    """Its revisions are those of its own repository, wherever the user stands."""
    git(repository, "worktree", "add", "-q", str(tmp_path / "feature"), "HEAD~1")
    for i, folder in enumerate((tmp_path, repository)):
        monkeypatch.chdir(folder)
        mine = tmp_path / "feature" / "functions" / "mine.py"
        base = side("base", "main", PY, [mine], tmp_path / str(i), tmp_path / "feature")
        assert Path(base.files[0]).read_text() == "VERSION = 2\n"


def test_no_interpreter_to_build_with(tmp_path):
    wheel = tmp_path / "old-1.0-py3-none-any.whl"
    wheel.write_bytes(EMPTY)
    with pytest.raises(BuildError, match=r"^base cannot run none/python: No such file"):
        side("base", str(wheel), "none/python", [], tmp_path / "scratch")
