"""What the doctor found, on a terminal of 80 columns: the noise, what disturbs and how to mend it, and the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING

from actbench.bench.disturbances.evidence import Finding
from actbench.bench.doctor import Diagnosis
from actbench.bench.noise import ROUNDS, Noise
from actbench.present import quantity, table
from actbench.present.fitting import Indented, Words
from actbench.present.table import WIDTH, Column, Table

if TYPE_CHECKING:
    from rich.console import RenderableType

_COMMAND = WIDTH - 8  # an indentation of 4 to 6, and a backslash
_WORK = "arithmetic: tanh in the first-level cache; memory traffic: a copy that no cache holds"
_MEANING = (
    "parts of the median of slices of 1 ms. spread: the interquartile range; drift: of the second half; "
    "worst: the slowest slice; slowed: how many took 5 % longer; "
    f"shows from: the least difference between two kernels that {ROUNDS} rounds tell, nine times in ten"
)


def noise(diagnosis: Diagnosis) -> Table:
    """A line for each kind of work."""
    columns = (
        Column("noise of", align="left"),
        Column("slices"),
        *(Column(title, "%") for title in ("spread", "drift", "worst", "slowed", "shows from")),
    )
    return Table("", columns, tuple(map(_row, diagnosis.noise)), f"{_WORK}\n{_MEANING}")


def _row(n: Noise) -> tuple[str, ...]:
    drift = f"{'+' if n.drift > 0 else ''}{quantity.percent(n.drift)}"
    parts = (quantity.percent(part) for part in (n.worst, n.slowed, n.smallest_difference))
    return n.kind, str(n.slices), quantity.percent(n.spread), drift, *parts


def value(finding: Finding) -> str:
    """What was read, with its unit and what else was read."""
    if finding.value is None:
        return finding.advice or "not told here"
    unit = f" {finding.unit}" if finding.unit else ""
    match finding.unit, finding.value:
        case "B", int() | float() as size:
            shown = quantity.memory(size)
        case "ns", int() | float() as time:
            shown = quantity.duration(time)
        case _, int() as count:
            shown = f"{count}{unit}"
        case _, float() as part:
            shown = f"{float(f'{part:.3g}'):g}{unit}"
        case _, text:
            shown = f"{text}{unit}"
    return f"{shown} ({finding.detail})" if finding.detail else shown


def fine(diagnosis: Diagnosis) -> Table:
    """What is as it should be, a line each."""
    columns = Column("fine", align="left", wrap=False), Column("what was read", align="left")
    return Table("", columns, tuple((finding.name, value(finding)) for finding in diagnosis.of("fine")))


def unknown(diagnosis: Diagnosis) -> Table:
    """What nothing was read of, by why."""
    found: dict[str, list[str]] = {}
    for finding in diagnosis.of("unknown"):
        found.setdefault(value(finding), []).append(finding.name)
    columns = Column("unknown", align="left"), Column("why", align="left")
    return Table("", columns, tuple((", ".join(names), why) for why, names in found.items()))


def terminal(diagnosis: Diagnosis) -> RenderableType:
    """All of it for a rich console: what disturbs with the command that mends it, and the rest in lists."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(headline(diagnosis), "bold"), Text()]
    for finding in diagnosis.of("disturbs"):
        parts.append(Text.assemble(("disturbs ", "yellow"), (finding.name, "bold"), f": {value(finding)}"))
        parts += [
            Indented(Words(text, style), 4 if style else 2) for text, style in _remarks(finding) if text
        ]
        parts.append(Text())
    for shown in (noise(diagnosis), unknown(diagnosis), fine(diagnosis)):
        parts += [table.terminal(shown), Text()] if shown.rows else []
    return Group(*parts[:-1])


def headline(diagnosis: Diagnosis) -> str:
    """How many findings there are of each state."""
    counted = Counter(finding.state for finding in diagnosis.findings)
    disturbing = f"{counted['disturbs']} of {counted.total()} findings disturb timing here"
    return f"{disturbing}, {counted['unknown']} are unknown, {counted['fine']} fine"


def _remarks(finding: Finding) -> Iterator[tuple[str, str]]:
    """What a finding means and what mends it, with the style of commands."""
    yield finding.effect, ""
    if finding.command:
        yield "Mend it:", ""
        yield _broken(finding.command), "cyan"
        yield finding.advice, ""
    elif finding.advice:
        yield f"Mend it: {finding.advice}.", ""


def _broken(command: str) -> str:
    """A command in lines that a shell takes for one."""
    return " \\\n  ".join(wrap(command, _COMMAND, break_long_words=False, break_on_hyphens=False))
