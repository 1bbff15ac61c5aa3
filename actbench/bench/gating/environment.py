"""Both sides, built: where they come from, and the packages that base runs with."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from actbench.bench.gating.side import INSTALLED, PACKAGE, BuildError, Side, pyproject, run_python, side
from actbench.catalog.errors import UsageError

_CODE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Project:
    """What a project says of itself."""

    name: str
    needs: frozenset[str]  # requirements that are no extra's, each written in one way


def sources(
    base: str | None, head: str | None, base_python: str | None, project: Path | None
) -> tuple[str, str]:
    """What base and head are taken from: of what the user did not say, the most likely."""
    for option, given in (("--base", base), ("--head", head), ("--base-python", base_python)):
        if given is not None and not given.strip():
            raise UsageError(f"{option} is empty: is a variable not set? Leave it out, or say what is meant")
    if base_python is not None and shutil.which(base_python) is None:
        raise UsageError(f"--base-python {base_python}: there is no such interpreter")
    if base is None and base_python is None:
        raise UsageError("--base REV, WHEEL or DIR, or --base-python PYTHON: what is the head compared with?")
    return base or INSTALLED, head or (str(project) if project and base else INSTALLED)


def built(
    sources: tuple[str, str],
    base_python: str | None,
    files: Sequence[Path],
    scratch: Path,
    project: Path | None,
    *,
    fit: bool,
) -> tuple[Side, Side]:
    """Base and head from where they come from; with ``fit``, base with the packages that it declares.

    Raises as ``side`` does.
    """
    head = side("head", sources[1], sys.executable, files, scratch, project)
    base = side("base", sources[0], base_python or sys.executable, files, scratch, project)
    return (fitted(base, head, scratch) if fit else base), head


def fitted(base: Side, head: Side, scratch: Path) -> Side:
    """Base in an environment of its own where its project needs other packages than head's; else base as it is.

    A side that was given an interpreter has its environment with it. Raises BuildError where one cannot be made.
    """
    before = declared(base)
    after = declared(head) or (_installed(before.name) if before else None)
    if before is None or after is None or base.python != head.python or before.name != after.name:
        return base
    # What head needs in addition does not move base, nor does another wish that what is installed fulfils.
    other = {need for need in before.needs - after.needs if not _fulfilled(need)}
    if not other:
        return base
    folder = scratch / base.name / "environment"
    needs, paths = before.needs, base.paths
    if PACKAGE not in {before.name, *(Requirement(need).name for need in needs)}:
        # A project may leave it to whoever tests it to have actbench: then it has this one.
        ours = _installed(PACKAGE)
        needs |= ours.needs if ours else frozenset()
        shutil.copytree(_CODE, folder / PACKAGE / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
        paths = (*paths, str(folder / PACKAGE))
    run_python(base.name, base.python, "an environment", "-m", "venv", "--without-pip", str(folder))
    python = str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    told, install = f"pip install {' '.join(sorted(other))}", ("-m", "pip", "--python", python, "install")
    # The rest as head has it, so that only what was changed differs; where that cannot be, as pip finds it.
    changed = {Requirement(need).name for need in other}
    rest = {Requirement(need).name for need in needs if _fulfilled(need)} - changed
    same = [f"{name}=={metadata.version(name)}" for name in sorted(rest)]
    try:
        run_python(base.name, base.python, told, *install, *sorted(needs), *same)
    except BuildError:
        run_python(base.name, base.python, told, *install, *sorted(needs))
    return replace(
        base,
        python=python,
        paths=paths,
        beside=(),
        label=f"{base.label}, with its own {', '.join(sorted(other))}",
    )


def declared(of: Side) -> Project | None:
    """What the project that a side is built from declares; None of what is no project, or does not tell."""
    for path in of.paths:
        for distribution in metadata.distributions(path=[path]):
            return _of(distribution)
    table = pyproject(of.tree).get("project") if of.tree else None
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        return None
    return Project(canonicalize_name(table["name"]), _written(table.get("dependencies", ())))


def _fulfilled(need: str) -> bool:
    """Whether what the gate's own interpreter has fulfils a requirement."""
    requirement = Requirement(need)
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    return requirement.url is None and requirement.specifier.contains(installed, prereleases=True)


def _installed(name: str) -> Project | None:
    """A project as the gate's own interpreter has it."""
    try:
        return _of(metadata.distribution(name))
    except metadata.PackageNotFoundError:
        return None


def _of(distribution: metadata.Distribution) -> Project:
    return Project(canonicalize_name(distribution.name), _written(distribution.requires or ()))


def _written(needs: Iterable[str]) -> frozenset[str]:
    """Requirements in one way of writing, without those of extras and of other machines."""
    written = set()
    for need in needs:
        # What cannot be read is pip's to refuse.
        with suppress(InvalidRequirement):
            requirement = Requirement(need)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                requirement.name, requirement.marker = canonicalize_name(requirement.name), None
                written.add(str(requirement))
    return frozenset(written)
