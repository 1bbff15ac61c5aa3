"""Runs collected over time, and where a cell's speed changed for good."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from math import comb, log
from pathlib import Path

import numpy as np

from actbench.bench.plan import Cell
from actbench.bench.regression import obstacles
from actbench.bench.run import Run, dump_run, load_run
from actbench.bench.statistics import Estimate
from actbench.catalog.errors import InputFileError, UsageError
from actbench.files import write_whole

FOLDER = Path("results/history")
_LEAST = 3
"""Runs on either side of a change: fewer are a day's weather."""
_CHANCE = 0.001
"""Of two neighbouring levels being one, by their ranks, from which on they are."""
FEWEST = next(n for n in count(2) if 2 / comb(n, n // 2) <= _CHANCE)
"""Runs from which on any change can be so sure: of fewer no order of ranks is as rare."""


@dataclass(frozen=True)
class Point:
    """A cell in one run."""

    created: str
    version: str  # of actbench
    ns: Estimate  # an element


@dataclass(frozen=True)
class Series:
    """A cell over all runs of one machine, oldest first."""

    cell: Cell
    points: tuple[Point, ...]
    changes: tuple[int, ...]  # places of the points that begin another level

    @property
    def levels(self) -> tuple[float, ...]:
        """The medians between the changes, in ns an element."""
        ends = (0, *self.changes, len(self.points))
        values = [p.ns.value for p in self.points]
        return tuple(float(np.median(values[a:b])) for a, b in pairwise(ends))

    @property
    def moved(self) -> float:
        """The last change, as a part: 0.05 is slower by 5 %; 0 where there was none."""
        levels = self.levels
        return levels[-1] / levels[-2] - 1 if len(levels) > 1 else 0.0


def add(path: Path, folder: Path = FOLDER) -> Path:
    """Keep a run, in a file of its own that nothing ever replaces; one that is there already stays as it is.

    Its name tells when it was measured, and what it holds. Raises UsageError for a run that is unfinished.
    """
    run = load_run(path)
    if not run.complete:
        raise UsageError(f"{path} is unfinished: 'actbench bench --resume' goes on with it")
    document = dump_run(run).encode()
    digest = hashlib.sha256(document).hexdigest()[:8]
    # What a file says is not to lead out of the folder.
    name = re.sub(r"[^\w-]+", "-", f"{run.stamp}-{run.config.get('preset', 'run')}-{digest}")
    kept = folder / f"{name}.json.gz"
    if not kept.exists():
        write_whole(gzip.compress(document, mtime=0), kept)
    return kept


def runs(folder: Path = FOLDER) -> tuple[Run, ...]:
    """The runs that were kept, oldest first; raises InputFileError where there is none."""
    found = [load_run(path) for path in sorted(folder.glob("*.json.gz"))]
    if not found:
        raise InputFileError(f"there are no runs in {folder}: 'actbench history --add RUN.json' begins one")
    return tuple(sorted(found, key=lambda run: run.created))


def here(found: Sequence[Run]) -> tuple[tuple[Run, ...], int]:
    """Those that were measured as the newest one was, on its machine and its data, and how many were not."""
    newest = found[-1]
    same = tuple(run for run in found if run is newest or not obstacles(newest, run))
    return same, len(found) - len(same)


def series(found: Iterable[Run], functions: Sequence[str] = ()) -> tuple[Series, ...]:
    """Every cell of the functions, or of all, over runs of one machine."""
    points: dict[Cell, list[Point]] = {}
    for run in found:
        for m in run.cells:
            if not functions or m.cell.function in functions:
                low, high = (end / m.elements for end in m.interval_ns)
                ns = Estimate(m.ns_per_element, low, high)
                points.setdefault(m.cell, []).append(
                    Point(run.created, run.versions.get("actbench") or "", ns)
                )
    return tuple(
        Series(cell, tuple(held), changes([p.ns.value for p in held])) for cell, held in points.items()
    )


def changes(values: Sequence[float]) -> tuple[int, ...]:
    """Where the level of a series of positive values changes: the places at which the new ones begin.

    Candidates are the ends of the optimal segmentation of the logarithms into parts about a median, by PELT (Killick,
    Fearnhead and Eckley 2012) as ``ruptures`` has it; of those the least sure is dropped, by the exact rank test of
    Mann and Whitney, until all that are left are sure. Of 400 series of 40 values with nothing in them 10 had one; a
    change by three deviations after 12 of 24 values was found at its place in 97 %. Raises UsageError without
    ``ruptures``.
    """
    if len(values) < 2 * _LEAST:
        return ()
    try:
        import ruptures
        from scipy.stats import mannwhitneyu
    except ImportError:
        raise UsageError("change points need ruptures: pip install 'actbench[history]'") from None
    signal = np.log(np.asarray(values, np.float64))
    # A change of level is in one difference of many: their median does not see it.
    deviation = float(np.median(np.abs(np.diff(signal)))) / (0.6745 * np.sqrt(2))
    penalty = log(len(signal)) * max(deviation, 1e-4)
    found = ruptures.Pelt(model="l1", min_size=_LEAST, jump=1).fit_predict(signal[:, np.newaxis], pen=penalty)
    ends = [0, *map(int, found)]
    while len(ends) > 2:
        parts = [signal[a:b] for a, b in pairwise(ends)]
        chances = [mannwhitneyu(a, b, method="exact").pvalue for a, b in pairwise(parts)]
        worst = int(np.argmax(chances))
        if chances[worst] <= _CHANCE:
            break
        del ends[worst + 1]
    return tuple(ends[1:-1])
