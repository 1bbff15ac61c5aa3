"""The generated parts of the README: from published files and the catalogue, never typed by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from actbench.bench.run import Run, load_run
from actbench.catalog.declaration import KINDS
from actbench.catalog.registry import declarations
from actbench.present import runs, versus
from actbench.present.table import Column, Table, markdown


def speed(path: Path) -> str:
    """The float32 summary of a published run, with its machine and the command that repeats it."""
    run = load_run(path)
    run = dataclasses.replace(run, cells=tuple(m for m in run.cells if m.cell.dtype == "float32"))
    return f"{_origin(run)}{markdown(runs.summary(run))}\n"


def comparison(path: Path) -> str:
    """How a published run stands beside its peers: the count of verdicts, and each function's ratio."""
    run = load_run(path)
    return f"{_origin(run)}{markdown(versus.standings(run))}\n{markdown(versus.by_function(run))}\n"


def _origin(run: Run) -> str:
    return f"`{run.command}` on {runs.machine(run)}:\n\n"


def catalogue() -> str:
    """Every function, a table for activations and one for losses."""
    columns = tuple(Column(title, align="left") for title in ("function", "also", "family", "what it is"))
    parts = []
    for kind in KINDS:
        rows = tuple((d.name, ", ".join(d.aliases), d.family, d.summary) for d in declarations(kind))
        title = {"activation": "Activations", "loss": "Losses"}[kind]
        parts.append(f"{len(rows)} {title.lower()}:\n\n{markdown(Table('', columns, rows))}")
    return "\n".join(parts)


def accuracy() -> str:
    """The bounds of the vector mathematics in ULP."""
    from actbench.kernels.vecmath import float32, float64

    columns = (Column("function", align="left"), Column("float32", "ULP"), Column("float64", "ULP"))
    rows = tuple(
        (name, f"{bound:.2f}", f"{float64.MAX_ULP[name]:.2f}")
        for name, bound in float32.MAX_ULP.items()
        if bound
    )
    return markdown(Table("", columns, rows))
