"""Two runs from files, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actbench.bench.regression import VERDICTS, Change, Comparison
from actbench.bench.run import Measurement
from actbench.present import output, quantity, table
from actbench.present.fitting import Words
from actbench.present.table import Column, Table
from actbench.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

_LISTED = ("slower", "inconclusive", "faster", "added", "removed")
DISPLAY = (
    "for display: the runs were not measured in turns, so that what the machine did between them is in here"
)


def changes(found: Sequence[Change], *, everything: bool = False) -> Table:
    """The cells that changed, or all of them: what is slower first, the worst at the top."""
    shown = [c for c in found if everything or c.verdict in _LISTED]
    shown.sort(key=lambda c: (VERDICTS.index(c.verdict), -abs(c.ratio.value - 1) if c.ratio else 0))
    rows = tuple((c.cell.key, c.verdict, _time(c.base), _time(c.head), _ratio(c)) for c in shown)
    columns = (
        Column("cell", align="left"),
        Column("", align="left"),
        Column("base", "ns/el."),
        Column("head", "ns/el."),
        Column("head by base", "ratio, 95 %"),
    )
    counted = Counter(c.verdict for c in found)
    counts = ", ".join(f"{counted[v]} {v}" for v in VERDICTS if counted[v])
    return Table("", columns, rows, f"{counts}\n{DISPLAY}")


def lines(found: Comparison) -> list[str]:
    """Which runs these are, why they cannot be compared, and what they came to."""
    runs = " and ".join(
        f"{name} of {side.created}" + (f" (actbench {side.version})" if side.version else "")
        for name, side in (("base", found.base), ("head", found.head))
    )
    told = [runs, *(f"not comparable, for display alone: {why}" for why in found.obstacles)]
    if found.verdict != "none":
        common = sum(c.ratio is not None for c in found.changes)
        such = sum(c.verdict == found.verdict for c in found.changes)
        of = f": {such} of" if such else ", by"
        told.append(
            f"{found.verdict}{of} {counted(common, 'cell')} of both runs"
            if common
            else "no cell is in both runs"
        )
    return told


def terminal(found: Comparison) -> RenderableType:
    """The cells that changed."""
    from rich.console import Group

    return Group(table.terminal(changes(found.changes)), *map(Words, lines(found)))


def json(comparison: Comparison) -> str:
    """All of it, and the verdict, which follows from it."""
    return output.json_text({"verdict": comparison.verdict} | vars(comparison))


def markdown(found: Comparison) -> str:
    """The cells that changed, then all of them."""
    every = table.markdown(changes(found.changes, everything=True))
    told = "".join(f"{line}  \n" for line in lines(found))
    return (
        f"{told}\n{table.markdown(changes(found.changes))}\n"
        f"<details>\n<summary>Every cell</summary>\n\n{every}\n</details>\n"
    )


def _time(m: Measurement | None) -> str:
    if m is None:
        return "-"
    part = 1 if m.cell.size == 1 else m.elements
    low, high = (end / part for end in m.interval_ns)
    return quantity.known(m.median_ns / part, low, high)


def _ratio(c: Change) -> str:
    if c.ratio is None:
        return "-"
    r = c.ratio
    return f"{quantity.known(r.value, r.low, r.high)} ({quantity.interval(r.low, r.high, 3)})"
