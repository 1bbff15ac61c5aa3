"""The generated parts of the README: from published files and the catalogue, never typed by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from actbench.bench.run import Run, load_run
from actbench.catalog.declaration import KINDS
from actbench.catalog.registry import declarations
from actbench.present import audits, quantity, runs, versus
from actbench.present.labels import distinct
from actbench.present.table import Column, Table, markdown
from actbench.verify.findings import DERIVATIVE, FORWARD, OURS


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


def exactness(every: Path, beside: Path) -> str:
    """The largest errors of published audits: ours at every float32 there is, and peers' on a sample."""
    ours, peers = audits.load(every), audits.load(beside)
    parts = []
    for pass_ in (FORWARD, DERIVATIVE):
        others = distinct(a.provider for a in peers.audits if a.provider != OURS and a.case.pass_ == pass_)
        columns = (
            Column("function", align="left"),
            Column(OURS, "ULP"),
            Column("correct", "%"),
            *(Column(name, "ULP") for name in others),
        )
        found = {
            (a.provider, a.case.function): a
            for a in peers.audits
            if (a.case.pass_, a.case.dtype) == (pass_, "float32")
        }
        rows = tuple(
            (
                a.case.function,
                audits.worst([a]),
                audits.share(a),
                *(audits.worst([b] if (b := found.get((name, a.case.function))) else []) for name in others),
            )
            for a in ours.audits
            if a.case.pass_ == pass_
        )
        parts.append(f"{pass_.capitalize()}:\n\n{markdown(Table('', columns, rows))}")
    sample = max(a.inputs for a in peers.audits)
    others = distinct(a.provider for a in peers.audits if a.provider != OURS)
    version = ", ".join(f"{name} {peers.versions.get(name) or ''}".rstrip() for name in others)
    note = (
        f"By `{ours.command}` at {ours.audits[0].inputs:,} inputs, and `{peers.command}` at {sample:,} "
        f"({version}). !: with NaN, or an infinity, where there should be none, or the other way round.\n"
    )
    return "\n".join([*parts, note])


def formats(path: Path) -> str:
    """The largest errors of a published audit of all functions in all formats, a line a function."""
    session = audits.load(path)
    return f"`{session.command}`:\n\n{markdown(audits.summary(session))}"


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
