"""The packages that base runs with: its interpreter's, or its own where its project needs others than head's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from actbench.bench.gating.side import PACKAGE, Side, pyproject, run_python

_CODE = Path(__file__).parents[2]


@dataclass(frozen=True)
class Project:
    """What a project says of itself."""

    name: str
    needs: frozenset[str]  # requirements that are no extra's, each written in one way


def fitted(base: Side, head: Side, scratch: Path) -> Side:
    """Base in an environment of its own where its project needs other packages than head's; else base as it is.

    A side that was given an interpreter has its environment with it. Raises BuildError where one cannot be made.
    """
    before = declared(base)
    after = declared(head) or (_installed(before.name) if before else None)
    if before is None or after is None or base.python != head.python or before.name != after.name:
        return base
    other = before.needs - after.needs
    if not other:  # what head needs in addition does not move base
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
    told = f"pip install {' '.join(sorted(other))}"
    run_python(base.name, base.python, told, "-m", "pip", "--python", python, "install", *sorted(needs))
    return replace(
        base, python=python, paths=paths, label=f"{base.label}, with its own {', '.join(sorted(other))}"
    )


def declared(side: Side) -> Project | None:
    """What the project that a side is built from declares; None of what is no project, or does not tell."""
    for path in side.paths:
        for distribution in metadata.distributions(path=[path]):
            return _of(distribution)
    table = pyproject(side.tree).get("project") if side.tree else None
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        return None
    return Project(canonicalize_name(table["name"]), _written(table.get("dependencies", ())))


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
