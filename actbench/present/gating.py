"""A gate's report, for a terminal, a reviewer and a CI system."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from actbench.bench.gating.record import OUTCOMES, Judgement, Report
from actbench.present import quantity, table
from actbench.present.fitting import Words
from actbench.present.table import Column, Table
from actbench.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

    from actbench.bench.gating.selftest import Trial

_TOLD = ("slower", "incorrect", "inconclusive", "faster", "added", "removed")
"""Outcomes whose cells are all listed; the others are counted."""
_SIGN: Mapping[str, str] = {
    "red": "\N{CROSS MARK}",
    "inconclusive": "\N{BLACK QUESTION MARK ORNAMENT}",
    "green": "\N{WHITE HEAVY CHECK MARK}",
}
_OPEN = ("slower", "incorrect", "inconclusive", "added", "removed", "absent")
"""Outcomes that are no success: of these JUnit knows failures, and cases that were not tested."""
_ROWS, _MOST = 50, 1000
"""So many cells a summary lists, of what stands out and of all: a page that GitHub shows holds no more than 1 MiB."""


def sentence(report: Report) -> str:
    """The verdict on the whole, in one line."""
    outcomes = Counter(j.outcome for j in report.judgements)
    compared = [j for j in report.judgements if j.outcome not in ("added", "removed", "absent")]
    cells = sum(j.cell is not None for j in compared)
    whole = counted(cells, "cell")
    families = len(compared) - cells
    if families:
        whole += f" and {counted(families, 'family')}"
    if report.broken:
        return f"red: {report.fault}"
    if report.verdict == "red":
        failed = Counter(j.outcome for j in report.judgements if report.failed(j))
        return f"red: {' and '.join(f'{n} {name}' for name, n in failed.items())} of {whole}"
    if report.verdict == "inconclusive":
        n = outcomes["inconclusive"]
        disturbed = report.disturbed[0] if report.disturbed and outcomes["slower"] else ""
        why = report.fault or disturbed or f"{n} of {whole} {'are' if n > 1 else 'is'} undecided"
        return f"inconclusive: {why}"
    if not _compared(report):
        return f"green, but nothing was compared: {counts(report)}"
    return f"green: nothing is slower in {whole}"


def _compared(report: Report) -> bool:
    return any(j.outcome not in ("added", "removed", "absent") for j in report.judgements)


def counts(report: Report) -> str:
    """How many cells came to what."""
    outcomes = Counter(j.outcome for j in report.judgements)
    return ", ".join(f"{outcomes[name]} {name}" for name in OUTCOMES if outcomes[name])


def terminal(report: Report) -> RenderableType:
    """What stands out, then the counts and the verdict."""
    from rich.console import Group

    parts: list[RenderableType] = []
    # Words, which a narrow column wraps.
    listed = _listed(report, " ")
    if listed.rows:
        parts.append(table.terminal(listed))
    parts += [Words(line) for line in _lines(report)]
    style = {"red": "bold red", "inconclusive": "bold yellow", "green": "bold green"}[report.verdict]
    return Group(*parts, Words(sentence(report), style))


def markdown(report: Report) -> str:
    """A summary that a reviewer understands at a glance: the verdict, what stands out, and how it was found."""
    listed = _listed(report)
    parts = [f"## {_SIGN[report.verdict]} actbench gate: {table.defused(sentence(report))}"]
    if listed.rows:
        parts.append(table.markdown(listed))
    parts += [f"{table.defused(line)}  " for line in _lines(report)]
    if report.judgements:
        every = table.markdown(_every(report))
        parts.append(f"<details>\n<summary>Every cell</summary>\n\n{every}\n</details>")
    fence = "`" * (1 + max(map(len, re.findall("`+", report.command)), default=0))
    parts.append(f"Repeat it: {fence}{report.command}{fence}")
    return "\n".join(f"{part}\n" for part in parts)


def github(report: Report) -> Iterator[str]:
    """Workflow commands that GitHub Actions shows beside the change."""
    if report.fault:
        yield f"::{'error' if report.broken else 'warning'} title=actbench::{_escaped(report.fault)}"
    elif not _compared(report):
        yield f"::warning title=actbench::{_escaped(sentence(report))}"
    for j in report.judgements:
        if j.outcome in ("slower", "incorrect", "inconclusive"):
            level = "error" if report.failed(j) else "warning"
            # The characters that end a property, or a line, are written as GitHub reads them.
            title, file = (
                _escaped(text).replace(":", "%3A").replace(",", "%2C")
                for text in (f"actbench: {name(j)} is {j.outcome}", j.origin)
            )
            where = f"file={file}," if file else ""
            doubt = (
                f" (not believed: {report.disturbed[0]})"
                if j.outcome == "slower" and report.disturbed
                else ""
            )
            yield f"::{level} {where}title={title}::{_escaped(_said(j) + doubt)}"


def junit(report: Report) -> str:
    """JUnit XML: a test case a cell; a case of its own for why nothing was measured."""
    suite = ElementTree.Element(
        "testsuite",
        name="actbench gate",
        tests=str(len(report.judgements) + bool(report.fault)),
        failures=str(sum(map(report.failed, report.judgements)) + report.broken),
        skipped=str(
            sum(j.outcome in _OPEN and not report.failed(j) for j in report.judgements)
            + bool(report.fault and not report.broken)
        ),
        time=str(report.seconds),
        timestamp=report.created,
    )
    if report.fault:
        case = ElementTree.SubElement(suite, "testcase", classname="gate", name="both sides can be measured")
        ElementTree.SubElement(case, "failure" if report.broken else "skipped", message=report.fault)
    for j in report.judgements:
        case = ElementTree.SubElement(
            suite, "testcase", classname=j.cell.function if j.cell else f"@{j.family}", name=name(j)
        )
        message = _said(j)
        if j.outcome in _OPEN:
            kind = "failure" if report.failed(j) else "skipped"
            ElementTree.SubElement(case, kind, message=f"{j.outcome}: {message}")
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def self_test(trials: Sequence[Trial]) -> RenderableType:
    """What a gate is worth: of how many gates of a version against itself it went red, for what, and what it sees."""
    from rich.console import Group

    rows = []
    for part in sorted({t.injected for t in trials}):
        of = [t for t in trials if t.injected == part]
        rows.append(worth(part, of))
    caption = "injected: extra calls in one cell of head's; in brackets the exact 95 % interval\n"
    return Group(table.terminal(least(trials)), "", table.terminal(Table("", WORTH, tuple(rows), caption)))


def least(trials: Sequence[Trial]) -> Table:
    """The slowdown of each cell that is found four times in five: the median over the gates."""
    found: dict[str, list[float]] = {}
    for trial in trials:
        for key, part in trial.detectable.items():
            found.setdefault(key, []).append(part)
    rows = tuple((key, quantity.percent(median(parts))) for key, parts in found.items())
    columns = (Column("cell", align="left"), Column("found 4 times in 5", "slower by %"))
    return Table("", columns, rows)


WORTH = (
    Column("injected", align="left"),
    Column("gates"),
    *(Column(title, "%") for title in ("false alarms", "caught", "inconclusive")),
    Column("a gate", "s"),
)
"""The columns of ``worth``."""


def worth(part: float, of: Sequence[Trial]) -> tuple[str, ...]:
    """What gates came to that had so much extra work in a cell."""
    return (
        f"{100 * part:g} %" if part else "nothing",
        str(len(of)),
        rate(sum(t.false_alarm for t in of), len(of)),
        rate(sum(t.caught for t in of), len(of)) if part else "-",
        rate(sum(t.verdict == "inconclusive" for t in of), len(of)),
        quantity.number(median([t.seconds for t in of]), 2),
    )


def rate(found: int, of: int) -> str:
    """So many of so many in per cent, with the exact 95 % interval."""
    from actbench.bench.gating.selftest import Rate  # with Numba, which a report from a file is made without

    e = Rate(found, of).estimate
    return f"{100 * e.value:.3g} ({100 * e.low:.3g}..{100 * e.high:.3g})"


def _lines(report: Report) -> Iterator[str]:
    known = sorted(j.detectable for j in report.judgements if j.detectable is not None)
    yield f"base {report.base.label}, head {report.head.label}"
    if report.judgements:
        yield f"{counts(report)}; {counted(report.pairs, 'process pair')} in {report.seconds:.0f} s"
    if known:
        middle = known[len(known) // 2]
        yield (
            f"a slowdown of {quantity.percent(middle)} % would be found in half of the cells that were measured, "
            f"of {quantity.percent(known[-1])} % in each, four times in five"
        )
    if report.controls == 0:
        yield "no controls: no cell runs the same code on both sides, so nothing tells the machine from the change"
    before = report.base.versions
    changed = [
        f"{name} {before[name]} -> {version}"
        for name, version in report.head.versions.items()
        if before.get(name, version) != version
    ]
    if changed:
        yield f"versions differ: {', '.join(changed)}"
    yield from report.disturbed


def _listed(report: Report, between: str = "/") -> Table:
    found = [j for name in _TOLD for j in report.judgements if j.outcome == name]
    caption = f"and {len(found) - _ROWS} more" if len(found) > _ROWS else ""
    return _table(found[:_ROWS], caption, between)


def _every(report: Report) -> Table:
    found = [j for name in OUTCOMES for j in report.judgements if j.outcome == name]
    return _table(found[:_MOST], f"and {len(found) - _MOST} more" if len(found) > _MOST else "")


def _table(found: list[Judgement], caption: str, between: str = "/") -> Table:
    columns = (
        Column("cell", align="left"),
        Column("", align="left", wrap=False),
        Column("head by base", "ratio, 95 %"),
        Column("finds", "%"),
        Column("why", align="left"),
    )
    rows = tuple(
        (
            name(j, between),
            j.outcome,
            _ratio(j) or "-",
            quantity.percent(j.detectable) if j.detectable is not None else "-",
            j.reason,
        )
        for j in found
    )
    finds = any(j.detectable is not None for j in found)
    told = "finds: the slowdown that would be found four times in five" if finds else ""
    return Table("", columns, rows, "\n".join(filter(None, [caption, told])))


def name(j: Judgement, between: str = "/") -> str:
    """What is judged, without what is as usual: one thread, and a warm cache."""
    if j.cell is None:
        return j.key
    cell = j.cell
    parts = [cell.function, cell.pass_, cell.dtype, quantity.elements(cell.size)]
    parts += [f"{cell.threads}t"] if cell.threads > 1 else []
    parts += [cell.cache] if cell.cache != "warm" else []
    return f"{j.peer}: {between.join(parts)}" if j.peer else between.join(parts)


def _said(j: Judgement) -> str:
    return ": ".join(filter(None, (_ratio(j), j.reason)))


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _ratio(j: Judgement) -> str:
    if j.ratio is None:
        return ""
    r = j.ratio
    return f"{r.value:.3f} ({r.low:.3f}..{r.high:.3f})"
