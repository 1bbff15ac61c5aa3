"""Two runs from files, cell by cell: for display, because hours and neighbours lie between them; a gate decides."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from actbench.bench.plan import Cell
from actbench.bench.run import JOURNAL_FILE, RUN_FILE, Measurement, Run, load_run, run_folders, settings_apart
from actbench.bench.statistics import CONFIDENCE, Estimate, median_ranks
from actbench.catalog.errors import ActbenchError, InputFileError, UsageError

Verdict = Literal["slower", "inconclusive", "faster", "same", "added", "removed"]
VERDICTS: tuple[Verdict, ...] = ("slower", "inconclusive", "faster", "same", "added", "removed")
"""What a reader must know first comes first."""
BASELINES = Path("results/baselines")
_FILES = (".json", ".jsonl", ".gz")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_OF_CELLS = ("function", "pass", "dtype", "size", "threads", "cache")
"""What a configuration says of which cells there are, and not of how they are measured."""
_ELSEWHERE = ("preset", "output", "seed", "budget", "timeout", "roofline")


class IncomparableError(ActbenchError):
    """Two runs whose difference says nothing about the code."""

    exit_code = 3


@dataclass(frozen=True)
class Change:
    """A cell in two runs."""

    cell: Cell
    verdict: Verdict
    ratio: Estimate | None = None  # head's time by base's
    base: Measurement | None = None
    head: Measurement | None = None


@dataclass(frozen=True)
class Origin:
    """What tells a run from others."""

    created: str
    version: str | None  # of actbench


@dataclass(frozen=True)
class Comparison:
    """Two runs, cell by cell."""

    base: Origin
    head: Origin
    obstacles: tuple[str, ...]  # why they say nothing about the code, and are for display alone
    changes: tuple[Change, ...]

    @property
    def verdict(self) -> Literal["slower", "inconclusive", "not slower", "none"]:
        """Of the whole; none where it was not asked for, of runs that cannot be compared."""
        found = {change.verdict for change in self.changes}
        if self.obstacles:
            return "none"
        if "slower" in found:
            return "slower"
        return "inconclusive" if "inconclusive" in found or not found & {"faster", "same"} else "not slower"

    @property
    def exit_code(self) -> int:
        """What the command ends with."""
        return {"slower": 1, "inconclusive": 3}.get(self.verdict, 0)


def obstacles(base: Run, head: Run) -> tuple[str, ...]:
    """Why the times of two runs cannot be compared: another machine, other settings, other data."""
    found = [f"another machine ({name})" for name in base.machine.differences(head.machine)]
    free = (*_OF_CELLS, *_ELSEWHERE)
    found += [
        f"another configuration ({key} {was}, now {is_now})"
        for key, was, is_now in settings_apart(base, head, free)
    ]
    if base.data != head.data:
        found.append("other data (--input)")
    return tuple(found)


def comparison(base: Run, head: Run, threshold: Callable[[str], float]) -> Comparison:
    """Two runs, whether or not they can be compared; ``threshold`` as in ``changes``."""
    before, after = (Origin(run.created, run.versions.get("actbench")) for run in (base, head))
    itself = ("they are the very same run",) if base == head else ()
    return Comparison(before, after, itself + obstacles(base, head), changes(base, head, threshold))


def changes(base: Run, head: Run, threshold: Callable[[str], float]) -> tuple[Change, ...]:
    """Every cell of either run; ``threshold`` gives the slowdown that matters in a function, as a part.

    Slower is a cell whose ratio reaches it and whose interval lies above 1; one that reaches it and may yet be the
    same is inconclusive. The interval is of medians that were not taken in turns: it does not hold what the machine
    did between the runs.
    """
    before = {m.cell.key: m for m in base.cells}
    after = {m.cell.key: m for m in head.cells}
    found = []
    for key, m in after.items():
        if key not in before:
            found.append(Change(m.cell, "added", head=m))
            continue
        ratio = quotient(m, before[key])
        part = threshold(m.cell.function)
        found.append(Change(m.cell, _verdict(ratio, part), ratio, before[key], m))
    found += [Change(m.cell, "removed", base=m) for key, m in before.items() if key not in after]
    return tuple(found)


def quotient(head: Measurement, base: Measurement) -> Estimate:
    """Head's median by base's, between ends that cover it with 95 % at least: both medians' of 97.5 %."""
    (low, high), (least, most) = (_ends(m.samples_ns) for m in (head, base))
    return Estimate(head.median_ns / base.median_ns, low / most, high / least)


def _ends(samples: tuple[float, ...]) -> tuple[float, float]:
    ordered = np.sort(samples)
    low, high = median_ranks(len(ordered), (1 + CONFIDENCE) / 2)
    return float(ordered[low]), float(ordered[high])


def _verdict(ratio: Estimate, part: float) -> Verdict:
    if ratio.value >= 1 + part:
        return "slower" if ratio.low > 1 else "inconclusive"
    if ratio.value <= 1 / (1 + part) and ratio.high < 1:
        return "faster"
    return "same"


def baseline(name: str, folder: Path = BASELINES) -> Path:
    """The file of the baseline of that name; raises UsageError for a name that is no plain word."""
    if not _NAME.fullmatch(name) or Path(name).suffix in _FILES:
        raise UsageError(
            f"a baseline cannot be called {name!r}: use letters, digits, '-', '_' and '.', and no file's ending"
        )
    return folder / f"{name}.json"


def find(text: str, folder: Path = BASELINES) -> Run:
    """The run that `text` names: a file, a run's folder or a baseline; raises InputFileError where there is none."""
    path, named = Path(text), folder / f"{text}.json"
    if _NAME.fullmatch(text) and named.is_file():  # a file or folder of that name is ./name
        return load_run(named)
    if path.exists() or path.suffix in _FILES:
        return load_run(path)
    known = sorted(p.stem for p in folder.glob("*.json"))
    hint = f"there are {', '.join(known)}" if known else f"'actbench bench --save {text}' makes one"
    raise InputFileError(f"there is no file and no baseline {text!r}: {hint}")


def newest(parent: str | os.PathLike[str]) -> Run:
    """The newest run in a folder of runs; raises InputFileError where there is none."""
    for folder in run_folders(parent):
        if any((folder / name).is_file() for name in (RUN_FILE, JOURNAL_FILE)):
            return load_run(folder)
    raise InputFileError(f"there is no run in {parent}: name one after the baseline")
