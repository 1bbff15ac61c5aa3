"""The two versions that a gate measures: where each one's code comes from, and the process that can import it."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actbench.catalog.errors import ActbenchError, UsageError
from actbench.kernels.compiler import cache_directory

INSTALLED = "installed"
"""The source that takes the code as the interpreter has it installed."""
_PACKAGE = "actbench"


class BuildError(ActbenchError):
    """A side whose code is there, but cannot be built."""

    exit_code = 3


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


def working_tree(folder: Path) -> Path | None:
    """The top of the git repository that a folder lies in; None outside of one."""
    found = _git(folder, "rev-parse", "--show-toplevel")
    return Path(found.stdout.decode().strip()) if found.returncode == 0 else None


def side(name: str, source: str, python: str, files: Sequence[Path], scratch: Path) -> Side:
    """A side from what the user calls its code: a git revision, a wheel, a directory, or INSTALLED.

    `files` are the user's declarations as the head has them; a side that is a tree has its own. Raises UsageError for
    a source that is none of these, BuildError where it cannot be built.
    """
    folder = scratch / name
    folder.mkdir(parents=True)
    path = Path(source)
    own = tuple(str(file.resolve()) for file in files)
    if source == INSTALLED:
        return Side(name, f"as installed for {python}", python, (), own, _cache(name, python))
    if path.suffix == ".whl":
        if not path.is_file():
            raise UsageError(f"--{name}: there is no wheel {source}")
        return Side(name, path.name, python, _installed(name, path, python, folder), own, _cache(name, path))
    top = path.resolve() if path.is_dir() else working_tree(Path.cwd())
    if top is None:
        raise UsageError(
            f"--{name} {source} is no wheel and no directory, and this folder is in no git repository"
        )
    tree, label = (top, str(top)) if path.is_dir() else _checked_out(name, source, top, folder / "tree")
    paths = _paths(name, tree, python, folder)
    return Side(name, label, python, paths, _moved(files, tree), _cache(name, top), tree)


def other_needs(base: Side, head: Side) -> str:
    """What a reader must know where the sides' projects need other packages, but one interpreter runs both."""
    if base.tree is None or head.tree is None or base.python != head.python:
        return ""
    before, after = dependencies(base.tree), dependencies(head.tree)
    changed = ", ".join(sorted(after - before) or sorted(before - after))
    return (
        f"dependencies changed ({changed}): both ran with head's, --base-python measures base's"
        if changed
        else ""
    )


def dependencies(tree: Path) -> frozenset[str]:
    """What a project says it needs, as far as its pyproject.toml tells."""
    try:
        project = tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]
        return frozenset(map(str, project.get("dependencies", ())))
    except (OSError, KeyError, AttributeError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        return frozenset()


def _checked_out(name: str, revision: str, top: Path, tree: Path) -> tuple[Path, str]:
    """Lay a revision's files into a new folder; that, and the revision with its commit."""
    commit = _git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit.returncode:
        shallow = _git(top, "rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
        hint = (
            ": this clone is shallow, fetch more of it (in GitHub Actions: fetch-depth: 0)" if shallow else ""
        )
        raise UsageError(f"--{name} {revision} is no revision of {top}, no wheel and no directory{hint}")
    sha = commit.stdout.decode().strip()
    packed = _git(top, "archive", "--format=tar", sha)
    if packed.returncode:
        raise BuildError(f"{name} cannot be checked out: {_last(packed.stderr)}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(tree, filter="data")
    return tree, sha[:12] if sha.startswith(revision) else f"{revision} ({sha[:12]})"


def _paths(name: str, tree: Path, python: str, folder: Path) -> tuple[str, ...]:
    """Where a tree's code is found: in the tree where it is ours, installed beside it where it is another project."""
    if (tree / _PACKAGE / "__init__.py").is_file():
        return (str(tree),)
    built = any((tree / file).is_file() for file in ("pyproject.toml", "setup.py"))
    return _installed(name, tree, python, folder) if built else ()


def _installed(name: str, what: Path, python: str, folder: Path) -> tuple[str, ...]:
    """Install a wheel or a project, but not what it needs, into a folder of its own."""
    target = folder / "site"
    options = ("--no-deps", "--quiet", "--disable-pip-version-check", "--target", str(target))
    done = subprocess.run([python, "-m", "pip", "install", *options, str(what)], capture_output=True)
    if done.returncode:
        raise BuildError(f"{name} does not build: pip install {what}: {_last(done.stderr)}")
    return (str(target),)


def _moved(files: Sequence[Path], tree: Path) -> tuple[str, ...]:
    """The files of a tree that lie where the user's lie in theirs; a file from elsewhere is the same on both sides."""
    top = working_tree(Path.cwd()) or Path.cwd()
    own = []
    for path in map(Path.resolve, files):
        if path.is_relative_to(top):
            there = tree / path.relative_to(top)
            if there.is_file():
                own.append(str(there))
        else:
            own.append(str(path))
    return tuple(own)


def _cache(name: str, source: Path | str) -> Path:
    """A side's own kernels, kept for the next gate from the same place."""
    digest = hashlib.sha256(f"{source}\0{sys.version}".encode()).hexdigest()[:12]
    return cache_directory() / "gate" / f"{name}-{digest}"


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True)
    except FileNotFoundError:
        return subprocess.CompletedProcess(arguments, 127, b"", b"git is not installed")


def _last(said: bytes) -> str:
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["it did not say why"])[-1]
