"""The report of a check: as JSON values, as tables, and on a terminal with what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from actbench.present import table
from actbench.present.fitting import Words
from actbench.present.table import Column, Table
from actbench.verify.report import Evidence, Report
from actbench.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

_CAPTION = "worst: the largest error, as a multiple of what the judge may err by; above 1 is wrong"


def document(report: Report) -> dict[str, Any]:
    """The report as JSON values: evidence, verdicts, and counter-examples in decimal and hex."""
    evidence = []
    for e in report.evidence:
        entry = asdict(e) | {"verdict": e.verdict}
        if e.counterexample is not None:
            entry["counterexample"]["place"] = [
                {"name": name, "value": value, "hex": float(value).hex()}
                for name, value in e.counterexample.place
            ]
        evidence.append(entry)
    return {"verdict": "wrong" if report.wrong else "right", "evidence": evidence}


def details(report: Report) -> Table:
    """A row a check."""
    rows, previous = [], ""
    for e in report.evidence:
        name = e.function if e.function != previous else ""
        rows.append((name, e.check, e.judge, f"{e.points:,}", f"{e.undecided:,}", _worst([e]), e.verdict))
        previous = e.function
    texts = (Column(title, align="left") for title in ("function", "check", "judged by"))
    columns = (
        *texts,
        Column("points"),
        Column("undecided"),
        Column("worst"),
        Column("verdict", align="left"),
    )
    return Table("", columns, tuple(rows), _CAPTION)


def summary(report: Report) -> Table:
    """A row a function."""
    rows = []
    for name in dict.fromkeys(e.function for e in report.evidence):
        own = [e for e in report.evidence if e.function == name]
        points, undecided = sum(e.points for e in own), sum(e.undecided for e in own)
        verdict = "wrong" if any(e.verdict == "wrong" for e in own) else "right"
        rows.append((name, str(len(own)), f"{points:,}", f"{undecided:,}", _worst(own), verdict))
    columns = (
        Column("function", align="left"),
        *(Column(title) for title in ("checks", "points", "undecided", "worst")),
        Column("verdict", align="left"),
    )
    return Table("", columns, tuple(rows), _CAPTION)


def _worst(evidence: Sequence[Evidence]) -> str:
    decided = [e.worst for e in evidence if e.points > e.undecided]
    return f"{max(decided):.2g}" if decided else "-"


def terminal(report: Report, quiet: bool = False) -> RenderableType:
    """The tables for a rich console, and every counter-example; ``quiet`` leaves out what is right."""
    from rich.console import Group

    functions = {e.function for e in report.evidence}
    shown = Report(report.wrong) if quiet else report
    parts: list[RenderableType] = []
    if shown.evidence:
        whole = summary(shown) if len(functions) > 1 and not quiet else details(shown)
        parts.append(table.terminal(whole))
    parts += (
        Words(f"\n{e.function}: {e.check} is undecided by the {e.judge}: {e.reason}")
        for e in shown.evidence
        if e.verdict == "undecided" and e.reason
    )
    parts += (
        Words(f"\n{e.function}: {e.check} is wrong, says the judge ({e.judge})\n  at {e.counterexample}")
        for e in report.wrong
    )
    if not quiet:
        wrong = len({e.function for e in report.wrong})
        unknown = f", {len(report.unknown)} undecided" if report.unknown else ""
        parts.append(Words(f"\n{counted(len(functions), 'function')} checked, {wrong} wrong{unknown}"))
    return Group(*parts)
