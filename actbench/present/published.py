"""The generated parts of the README: from published files and the catalogue, never typed by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from actbench.bench.run import Run, load_run
from actbench.catalog.declaration import KINDS
from actbench.catalog.registry import declarations
from actbench.present import quantity, runs, versus
from actbench.present.table import Column, Table, markdown


def speed(path: Path) -> str:
    """The float32 summary of a published run, in one thread, with its machine and the command that repeats it."""
    run = load_run(path)
    cells = tuple(m for m in run.cells if (m.cell.dtype, m.cell.threads) == ("float32", 1))
    return f"{_origin(run)}{markdown(runs.summary(dataclasses.replace(run, cells=cells)))}\n"


def comparison(path: Path) -> str:
    """How a published run stands beside its peers: how often ahead of each, and the mean ratio."""
    run = load_run(path)
    return f"{_origin(run)}{markdown(versus.standings(run))}\n"


def limits(path: Path) -> str:
    """What became of every target of ``results/limits``: how many of its rows are met, and the furthest from it."""
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    met = sum(row["verdict"] == "met" for row in rows)
    columns = (
        *(Column(title, align="left") for title in ("target", "wanted")),
        *(Column(title) for title in ("rows", "met")),
        *(Column(title, align="left") for title in ("furthest from it", "where")),
    )
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        wanted = f"{row['sense']} {row['wanted']:g} {row['unit']}".rstrip()
        groups.setdefault((row["target"], wanted), []).append(row)
    lines = []
    for (target, wanted), group in groups.items():
        counts = str(len(group)), str(sum(row["verdict"] == "met" for row in group))
        known = [row for row in group if row["figure"] is not None]
        pick = max if group[0]["sense"] == "at most" else min
        furthest = pick(known, key=lambda row: row["figure"], default=group[0])
        figure = f"{quantity.number(furthest['figure'])} {furthest['unit']}".rstrip()
        lines.append((target, wanted, *counts, figure, furthest["where"]))
    return f"{met} of {len(rows)} targets met:\n\n{markdown(Table('', columns, tuple(lines)))}"


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
