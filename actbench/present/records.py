"""What is kept in files and shown again from them: runs, audits and gates, each with the formats it is written in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.bench.gating import record as gates
from actbench.bench.gating.record import Report
from actbench.bench.run import Run, dump_run, load_run
from actbench.catalog.errors import InputFileError
from actbench.files import text_of
from actbench.present import audits, exchange, gating, report_page, runs
from actbench.present.audits import Session

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

Record = Run | Session | Report


@dataclass(frozen=True)
class Kind:
    """One kind of record: how it is recognised, read, and shown."""

    name: str
    type: type
    field: str  # that none of the others has
    load: Callable[[str | os.PathLike[str]], Record]
    texts: Mapping[str, Callable[[Any], str]]  # what it can be written as, by --export's names
    terminal: Callable[[Any], RenderableType]
    folder: Mapping[str, str]  # the files that its folder holds, and what each is written as
    figures: Callable[[Any, Callable[[str], None]], Mapping[str, Figure]]  # told what cannot be drawn


def _pictures(run: Run, tell: Callable[[str], None]) -> Mapping[str, Figure]:
    from actbench.present import theme
    from actbench.present.pictures import pictures

    return pictures(run, theme.theme("light"), tell)


def _errors(session: Session, tell: Callable[[str], None]) -> Mapping[str, Figure]:
    from actbench.present import accuracy, theme

    return accuracy.figures(session.audits, theme.theme("light"))


KINDS = (
    Kind(
        "a benchmark run",
        Run,
        "cells",
        load_run,
        {
            "csv": runs.csv,
            "md": runs.markdown,
            "json": dump_run,
            "html": report_page.page,
            "pyperf": exchange.pyperf,
            "action": exchange.action,
        },
        runs.terminal,
        {"run.csv": "csv", "run.md": "md"},
        _pictures,
    ),
    Kind(
        "audits",
        Session,
        "audits",
        audits.load,
        {"csv": audits.csv, "md": audits.markdown, "json": audits.dump},
        audits.terminal,
        {"audit.csv": "csv", "audit.md": "md"},
        _errors,
    ),
    Kind(
        "a gate",
        Report,
        "judgements",
        gates.load,
        {"md": gating.markdown, "json": gates.dumps, "junit": gating.junit},
        gating.terminal,
        {"gate.md": "md", "gate.xml": "junit"},
        lambda report, tell: {},
    ),
)


def kind_of(record: Record) -> Kind:
    """The kind that a record is of."""
    return next(kind for kind in KINDS if isinstance(record, kind.type))


def load(path: str | os.PathLike[str]) -> Record:
    """The record in a file, also gzipped, or in the folder of a run; raises InputFileError where there is none."""
    try:
        text = text_of(Path(path))
    except InputFileError:
        text = ""  # a folder, or what load_run has more to say about
    return next((kind for kind in KINDS if f'"{kind.field}":' in text), KINDS[0]).load(path)
