"""A gate's report, for a terminal, a reviewer and a CI system."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from actbench.bench.gating.record import OUTCOMES, Judgement, Report
from actbench.bench.gating.selftest import Rate, Trial
from actbench.present import quantity, table
from actbench.present.table import Column, Table

if TYPE_CHECKING:
    from rich.console import RenderableType

_TOLD = ("slower", "incorrect", "inconclusive", "faster", "added", "removed")
"""Outcomes whose cells are all listed; the others are counted."""
_SIGN: Mapping[str, str] = {
    "red": "\N{CROSS MARK}",
    "inconclusive": "\N{BLACK QUESTION MARK ORNAMENT}",
    "green": "\N{WHITE HEAVY CHECK MARK}",
}
_OPEN = ("slower", "incorrect", "inconclusive", "added", "removed")
"""Outcomes that are no success: of these JUnit knows failures, and cases that were not tested."""
_ROWS = 50
"""So many cells a summary lists: a page that GitHub shows holds no more than 1 MiB."""


def sentence(report: Report) -> str:
    """The verdict on the whole, in one line."""
    counted = Counter(j.outcome for j in report.judgements)
    cells = sum(j.cell is not None for j in report.judgements)
    whole = f"{cells} cell{'s' if cells != 1 else ''}"
    families = len(report.judgements) - cells
    if families:
        whole += f" and {families} famil{'ies' if families > 1 else 'y'}"
    bad = [f"{counted[name]} {name}" for name in ("slower", "incorrect") if counted[name]]
    if report.verdict == "red":
        return f"red: {' and '.join(bad)} of {whole}"
    if report.verdict == "inconclusive":
        n = counted["inconclusive"]
        why = (
            report.disturbed[0]
            if report.disturbed
            else f"{n} of {whole} {'are' if n > 1 else 'is'} undecided"
        )
        return f"inconclusive: {why}"
    return f"green: nothing is slower in {whole}"


def counts(report: Report) -> str:
    """How many cells came to what."""
    counted = Counter(j.outcome for j in report.judgements)
    return ", ".join(f"{counted[name]} {name}" for name in OUTCOMES if counted[name])


def terminal(report: Report) -> RenderableType:
    """What stands out, then the counts and the verdict."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    listed = _listed(report)
    if listed.rows:
        parts.append(table.terminal(listed))
    parts += [Text(line) for line in _lines(report)]
    style = {"red": "bold red", "inconclusive": "bold yellow", "green": "bold green"}[report.verdict]
    return Group(*parts, Text(sentence(report), style=style))


def markdown(report: Report) -> str:
    """A summary that a reviewer understands at a glance: the verdict, what stands out, and how it was found."""
    listed = _listed(report)
    parts = [f"## {_SIGN[report.verdict]} actbench gate: {sentence(report)}"]
    if listed.rows:
        parts.append(table.markdown(listed))
    parts += [f"{line}  " for line in _lines(report)]
    parts.append(f"<details>\n<summary>Every cell</summary>\n\n{table.markdown(_every(report))}\n</details>")
    parts.append(f"Repeat it: `{report.command}`")
    return "\n".join(f"{part}\n" for part in parts)


def github(report: Report) -> Iterator[str]:
    """Workflow commands that GitHub Actions shows beside the change."""
    level = {"red": "error", "inconclusive": "warning"}.get(report.verdict)
    if level is None:
        return
    for j in report.judgements:
        if j.outcome in ("slower", "incorrect", "inconclusive"):
            # The characters that end a property, or a line, are written as GitHub reads them.
            title = _escaped(f"actbench: {name(j)} is {j.outcome}").replace(":", "%3A").replace(",", "%2C")
            yield f"::{level} title={title}::{_escaped(_said(j))}"


def junit(report: Report) -> str:
    """JUnit XML: a test case a cell."""

    def bad(j: Judgement) -> bool:
        return j.outcome in ("slower", "incorrect") and report.verdict == "red"

    suite = ElementTree.Element(
        "testsuite",
        name="actbench gate",
        tests=str(len(report.judgements)),
        failures=str(sum(map(bad, report.judgements))),
        skipped=str(sum(j.outcome in _OPEN and not bad(j) for j in report.judgements)),
        time=str(report.seconds),
        timestamp=report.created,
    )
    for j in report.judgements:
        case = ElementTree.SubElement(
            suite, "testcase", classname=j.cell.function if j.cell else f"@{j.family}", name=name(j)
        )
        message = _said(j)
        if j.outcome in _OPEN:
            ElementTree.SubElement(
                case, "failure" if bad(j) else "skipped", message=f"{j.outcome}: {message}"
            )
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def self_test(trials: Sequence[Trial]) -> Table:
    """What a gate is worth: of how many gates of a version against itself it went red, and for what."""
    rows = []
    for part in sorted({t.injected for t in trials}):
        of = [t for t in trials if t.injected == part]
        rows.append(worth(part, of))
    caption = "injected: extra calls in one cell of head's; in brackets the exact 95 % interval"
    return Table("", WORTH, tuple(rows), caption)


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
    e = Rate(found, of).estimate
    return f"{100 * e.value:.3g} ({100 * e.low:.3g}..{100 * e.high:.3g})"


def _lines(report: Report) -> Iterator[str]:
    known = sorted(j.detectable for j in report.judgements if j.detectable is not None)
    yield f"base {report.base.label}, head {report.head.label}"
    yield f"{counts(report)}; {report.pairs} process pairs in {report.seconds:.0f} s"
    if known:
        middle = known[len(known) // 2]
        yield (
            f"a slowdown of {quantity.percent(middle)} % would be found in half of the cells that were measured, "
            f"of {quantity.percent(known[-1])} % in each, four times in five"
        )
    changed = [
        f"{name} {report.base.versions.get(name)} -> {version}"
        for name, version in report.head.versions.items()
        if report.base.versions.get(name) != version
    ]
    if changed:
        yield f"versions differ: {', '.join(changed)}"
    yield from report.disturbed
    yield from report.notes


def _listed(report: Report) -> Table:
    found = [j for name in _TOLD for j in report.judgements if j.outcome == name]
    caption = f"and {len(found) - _ROWS} more" if len(found) > _ROWS else ""
    return _table(found[:_ROWS], caption)


def _every(report: Report) -> Table:
    return _table([j for name in OUTCOMES for j in report.judgements if j.outcome == name][:1000], "")


def _table(found: list[Judgement], caption: str) -> Table:
    columns = (
        Column("cell", align="left", wrap=False),
        Column("", align="left", wrap=False),
        Column("head by base", "ratio, 95 %"),
        Column("why", align="left"),
    )
    rows = tuple((name(j), j.outcome, _ratio(j) or "-", j.reason) for j in found)
    return Table("", columns, rows, caption)


def name(j: Judgement) -> str:
    """What is judged, without what is as usual: one thread, and a warm cache."""
    if j.cell is None:
        return j.key
    cell = j.cell
    parts = [cell.function, cell.pass_, cell.dtype, quantity.elements(cell.size)]
    parts += [f"{cell.threads}t"] if cell.threads > 1 else []
    parts += [cell.cache] if cell.cache != "warm" else []
    return f"{j.peer}: {'/'.join(parts)}" if j.peer else "/".join(parts)


def _said(j: Judgement) -> str:
    return ": ".join(filter(None, (_ratio(j), j.reason)))


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _ratio(j: Judgement) -> str:
    if j.ratio is None:
        return ""
    r = j.ratio
    return f"{r.value:.3f} ({r.low:.3f}..{r.high:.3f})"
