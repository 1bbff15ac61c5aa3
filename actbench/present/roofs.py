"""What the machine does at most, and what bounds how many of the kernels, as tables."""

from __future__ import annotations

from collections import Counter

from actbench.bench.roofline import BEYOND, Bound, bounds
from actbench.bench.run import Roof, Run
from actbench.present import quantity
from actbench.present.labels import distinct, dtypes, threads
from actbench.present.table import Column, Table

_BOUNDS: tuple[Bound, ...] = ("memory", "compute", "neither", "call")


def roofs(run: Run) -> Table:
    """A line for each level of memory, and one for arithmetic, in each number of threads."""
    kinds = distinct((r.kind, r.dtype) for r in run.roofs)
    found: dict[tuple[str, int], dict[tuple[str, str], str]] = {}
    for roof in run.roofs:
        found.setdefault((roof.level or "registers", roof.threads), {})[roof.kind, roof.dtype] = rate(roof)
    columns = (
        Column("data in", align="left"),
        Column("threads"),
        *(Column(f"{kind} {dtype}".strip(), "GFLOP/s" if dtype else "GB/s") for kind, dtype in kinds),
    )
    rows = ((level, str(n), *(rates.get(kind, "-") for kind in kinds)) for (level, n), rates in found.items())
    caption = f"caches are filled by two thirds, memory is {BEYOND} times the last of them"
    return Table("", columns, tuple(rows), caption)


def rate(roof: Roof) -> str:
    """GB/s, or GFLOP/s, to the digits that are known."""
    return quantity.known(roof.rate.value, roof.rate.low, roof.rate.high)


def bounded(run: Run) -> Table:
    """How many cells of each size are bounded by what."""
    found = bounds(run)
    rows = []
    for pass_ in distinct(m.cell.pass_ for m in run.sized):
        for size in distinct(m.cell.size for m in run.sized):
            cells = [m for m in run.sized if (m.cell.pass_, m.cell.size) == (pass_, size)]
            counted = Counter(found[m.cell.key] for m in cells if m.cell.key in found)
            rows.append((pass_, quantity.elements(size), *(str(counted[bound]) for bound in _BOUNDS)))
    columns = (
        Column("pass", align="left"),
        Column("size"),
        *(Column(bound if bound == "neither" else f"{bound}-bound", "cells") for bound in _BOUNDS),
    )
    caption = f"{dtypes(run.sized)}, {threads(run.sized)}: counted together" if run.sized else ""
    return Table("", columns, tuple(rows), caption)
