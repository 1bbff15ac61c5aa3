"""The two versions that a gate measures: where each one's code comes from, and the process that can import it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from actbench.bench.gating.record import BROKEN, EXIT
from actbench.catalog.errors import ActbenchError, InputFileError, UsageError
from actbench.kernels.compiler import cache_directory
from actbench.wording import in_one_line

INSTALLED = ""
"""The source that takes the code as the interpreter has it installed: no name of a revision or a folder."""
PACKAGE = "actbench"
_SUBMODULE = b"160000 "
"""The mode of one in git's trees."""
_RAISED = re.compile(r"[\w.]*(Error|Exception|Exit)\b(:|$)")
_BUILT = ("project", "build-system")
"""The tables of a pyproject.toml that can be built; one without them only configures tools."""


class BuildError(ActbenchError):
    """A side whose code is there, but cannot be built: of base it leaves the question open, head is to be mended."""

    def __init__(self, side: str, said: str) -> None:
        super().__init__(f"{side} {said}")
        self.exit_code = BROKEN if side == "head" else EXIT["inconclusive"]


@dataclass(frozen=True)
class Side:
    """A version of the code: what runs it, and where that looks first."""

    name: str  # "base" or "head"
    label: str  # what a reader knows it by
    python: str
    paths: tuple[str, ...]
    files: tuple[str, ...]  # that declare functions
    cache: Path  # of its kernels
    tree: Path | None = None  # of a project; none of a wheel and of what is installed
    beside: tuple[str, ...] = ()  # where it looks last: what PYTHONPATH says, as this side has it
    foreign: Path | None = None  # the working tree, whose modules are not this revision's


def working_tree(folder: Path) -> Path | None:
    """The top of the git repository that a folder lies in; None outside of one."""
    found = _git(folder, "rev-parse", "--show-toplevel")
    return Path(found.stdout.decode().strip()) if found.returncode == 0 else None


def project_folder(folder: Path) -> Path | None:
    """The nearest folder from here upwards that holds a project, within its git repository.

    The top of the repository where none does; None outside of both.
    """
    top = working_tree(folder)
    for each in (folder, *folder.parents):
        if any((each / file).is_file() for file in ("pyproject.toml", "setup.py", f"{PACKAGE}/__init__.py")):
            return each
        if each == top:
            break
    return top


def side(
    name: str, source: str, python: str, files: Sequence[Path], scratch: Path, project: Path | None = None
) -> Side:
    """A side from what the user calls its code: a git revision, a wheel, a directory, or INSTALLED.

    `files` are the user's declarations as the head has them; a side that is a tree has its own, where they lie in it
    as in the `project`, by default the one around this folder. Raises UsageError for a source that is none of these
    and for one that holds nothing that could be measured, InputFileError for a wheel that is not there, BuildError
    where it cannot be built.
    """
    folder = scratch / name
    folder.mkdir(parents=True)
    path = Path(source)
    own = tuple(str(file.resolve()) for file in files)
    if source == INSTALLED:
        label = f"as installed for {python}"
        return Side(name, label, python, (), own, _cache(name, python), beside=_searched(python))
    if path.suffix == ".whl":
        if not path.is_file():
            raise InputFileError(f"--{name}: there is no wheel {source}")
        try:
            parse_wheel_filename(path.name)
        except InvalidWheelFilename as error:
            raise InputFileError(f"--{name} {source}: {error}") from error
        if not is_zipfile(path):
            raise InputFileError(f"--{name} {source} is no wheel: not a zip file")
        paths = _installed(name, path, python, folder)
        return Side(name, path.name, python, paths, own, _cache(name, path), beside=_searched(python))
    here = Path.cwd().resolve()
    project = project or project_folder(here) or here
    top = working_tree(project)
    if path.is_dir():
        if path.name == source and top and (said := _commit(top, source)) and not said.returncode:
            raise UsageError(
                f"--{name} {source} is a revision and a folder: write refs/heads/... or ./{source}"
            )
        tree = path.resolve()
        label, cached, foreign = str(tree), tree, None
    else:
        if top is None:
            why = _last(_git(project, "rev-parse").stderr)
            raise UsageError(f"--{name} {source} is no wheel and no directory, and no revision: {why}")
        label = _check_out(name, source, top, folder / "tree")
        tree, cached, foreign = folder / "tree" / project.relative_to(top), project, top
    paths = _paths(name, tree, python, folder)
    around = working_tree(project) or project
    if not paths and not any(file.resolve().is_relative_to(around) for file in files):
        hint = (
            "; if a revision is meant, write refs/heads/..."
            if path.is_dir() and not path.is_absolute()
            else ""
        )
        raise UsageError(
            f"--{name} {source} holds neither actbench nor a project nor a --from file of it{hint}"
        )
    beside = tuple(
        str(there) for entry in _searched(python) if (there := _moved(Path(entry), project, tree)).exists()
    )
    declared = (_moved(file.resolve(), project, tree) for file in files)
    own = tuple(str(file.resolve()) for file in declared if file.is_file())
    return Side(name, label, python, paths, own, _cache(name, cached), tree, beside, foreign)


def pyproject(tree: Path) -> Mapping[str, Any]:
    """A project's own description; empty where there is none, or it cannot be read."""
    try:
        return tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def run_python(name: str, python: str, told: str, *arguments: str) -> None:
    """Run a part of building a side; ``told`` is what a reader sees of it; raises BuildError."""
    # A project may take its version from git; the files of a revision lie outside of it.
    usual = {"SETUPTOOLS_SCM_PRETEND_VERSION": "0"} | os.environ
    alone = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    try:
        done = subprocess.run(
            [python, *arguments], capture_output=True, stdin=subprocess.DEVNULL, env=usual | alone
        )
    except OSError as error:
        raise BuildError(name, f"cannot run {python}: {error.strerror or error}") from error
    if done.returncode:
        raise BuildError(name, f"does not build: {told}: {_last(done.stderr)}")


def _check_out(name: str, revision: str, top: Path, tree: Path) -> str:
    """Lay a revision's files into a new folder; the revision with its commit.

    As with ``git diff``, REV... is where this branch left that revision.
    """
    asked = revision.removesuffix("...")
    commit = _commit(top, asked)
    if commit and not commit.returncode and asked != revision:
        commit = _git(top, "merge-base", commit.stdout.decode().strip(), "HEAD")
        if commit.returncode and not _is_shallow(top):
            raise UsageError(f"--{name} {revision}: {asked} and HEAD have no commit in common")
    if commit is None or commit.returncode:
        hint = (
            ": this clone is shallow, fetch more of it (in GitHub Actions: fetch-depth: 0)"
            if _is_shallow(top)
            else ""
        )
        raise UsageError(f"--{name} {revision} is no revision of {top}, no wheel and no directory{hint}")
    sha = commit.stdout.decode().strip()
    _lay(name, top, sha, tree, tree.with_name("index"))
    return sha[:12] if sha.startswith(revision) else f"{revision} ({sha[:12]})"


def _commit(top: Path, revision: str) -> subprocess.CompletedProcess[bytes] | None:
    """What git says of the commit that a revision names; None of what would be an option."""
    if revision[:1] == "-":
        return None
    return _git(top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")


def _is_shallow(top: Path) -> bool:
    return _git(top, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"


def _lay(name: str, top: Path, sha: str, tree: Path, index: Path) -> None:
    """Lay a commit's files into a folder, and those of its submodules as far as the working tree has them."""
    # By an index of its own, which leaves the repository as it is; links and filters of files are git's to know.
    own = {"GIT_INDEX_FILE": str(index)}
    tree.mkdir(exist_ok=True)
    for step in (("read-tree", sha), ("checkout-index", "--all", f"--prefix={tree}{os.sep}")):
        done = _git(top, *step, environment=own)
        if done.returncode:
            raise BuildError(name, f"cannot be checked out: {_last(done.stderr)}")
    index.unlink(missing_ok=True)
    for entry in _git(top, "ls-tree", "-r", "-z", sha).stdout.split(b"\0"):
        about, _, path = entry.partition(b"\t")
        inner = top / os.fsdecode(path)
        if about.startswith(_SUBMODULE) and (inner / ".git").exists():
            _lay(name, inner, about.split()[2].decode(), tree / os.fsdecode(path), index)


def _paths(name: str, tree: Path, python: str, folder: Path) -> tuple[str, ...]:
    """Where a tree's code is found: in the tree where it is ours, installed beside it where it is another project."""
    if (tree / PACKAGE / "__init__.py").is_file():
        return (str(tree),)
    built = any(table in pyproject(tree) for table in _BUILT) or (tree / "setup.py").is_file()
    if not built:
        return ()
    # A build leaves its own files, and goes by those of the last one: it gets a copy without them.
    top = working_tree(tree)
    if top is not None and not tree.is_relative_to(folder):
        tree = _copied(name, top, folder / "source") / tree.relative_to(top)
    return _installed(name, tree, python, folder)


def _copied(name: str, top: Path, copy: Path) -> Path:
    """The files of a working tree as they are, but for those that git ignores, and what builds leave."""
    listed = _git(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    kept = _git(top, "ls-files", "-z", "--cached").stdout.split(b"\0")
    try:
        for file in map(os.fsdecode, filter(None, set(listed.stdout.split(b"\0")))):
            left = any(part == "build" or part.endswith(".egg-info") for part in Path(file).parts)
            if left and os.fsencode(file) not in kept:
                continue
            there = copy / file
            there.parent.mkdir(parents=True, exist_ok=True)
            if (top / file).is_dir():  # a submodule
                shutil.copytree(top / file, there, symlinks=True, ignore=shutil.ignore_patterns(".git"))
            elif (top / file).exists() or (top / file).is_symlink():  # and not removed since
                shutil.copy2(top / file, there, follow_symlinks=False)
    except OSError as error:
        raise BuildError(name, f"cannot be copied to be built: {error}") from error
    return copy


def _installed(name: str, what: Path, python: str, folder: Path) -> tuple[str, ...]:
    """Install a wheel or a project, but not what it needs, into a folder of its own."""
    target = str(folder / "site")
    options = ("--quiet", "--no-deps", "--target", target)
    run_python(name, python, f"pip install {what.name}", "-m", "pip", "install", *options, str(what))
    return (target,)


def _moved(path: Path, project: Path, tree: Path) -> Path:
    """Where a tree has what lies here in the project, or in its repository; what lies elsewhere is on both sides."""
    top = working_tree(project) or project
    return tree / os.path.relpath(path, project) if path.is_relative_to(top) else path


def _searched(python: str) -> tuple[str, ...]:
    """What this interpreter finds by PYTHONPATH, the same one finds there too; another has its own."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep) if python == sys.executable else []
    return tuple(str(Path(entry).resolve()) for entry in entries if entry)


def _cache(name: str, source: Path | str) -> Path:
    """A side's own kernels, kept for the next gate from the same place."""
    digest = hashlib.sha256(f"{source}\0{sys.version}".encode()).hexdigest()[:12]
    return cache_directory() / "gate" / f"{name}-{digest}"


def _git(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    # What it says is read, and must not wait for an answer.
    whole = os.environ | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"} | dict(environment or {})
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, env=whole)
    except FileNotFoundError:
        return subprocess.CompletedProcess(arguments, 127, b"", b"git is not installed")


def _last(said: bytes) -> str:
    """What of a program's words says why it failed: what was raised, else the last that speaks of an error."""
    lines = [line.strip(" \t|\u2502") for line in said.decode(errors="replace").splitlines()]
    # pip's own notes, which come last, say where an error is not.
    lines = [line for line in lines if line and not line.startswith(("note:", "hint:"))]
    raised = [line for line in lines if _RAISED.match(line)]
    errors = [line for line in lines if "error" in line.lower()]
    return in_one_line((raised or errors or lines or ["it did not say why"])[-1])
