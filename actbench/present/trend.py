"""A history as a table and a plot: each cell's speed over the runs, and where it changed for good."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from actbench.bench.history import FEWEST, Series
from actbench.present import quantity
from actbench.present.layout import GAP, MARGIN, TICKS, Page
from actbench.present.table import Column, Table
from actbench.present.theme import WIDTH, Theme
from actbench.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS, _TITLE, _PLOT, _FOOT = 3, 76, 190, 56
_DATES, _DATE = 14, 13.0
"""Pixels from the axis down to the dates below it, and their size in points."""
MOST = 24
"""Panels that a picture holds: the cells whose last change was the largest."""


def ranked(found: Sequence[Series]) -> list[Series]:
    """The cells with the largest last change first, then as they came."""
    return sorted(found, key=lambda s: -abs(s.moved))


def table(found: Sequence[Series], left_out: int) -> Table:
    """A line for each cell that changed; where none did, that is the caption."""
    changed = [s for s in ranked(found) if s.changes]
    rows = tuple(
        (
            s.cell.key,
            quantity.number(s.levels[-2]),
            quantity.number(s.levels[-1]),
            f"{100 * s.moved:+.1f}",
            s.points[s.changes[-1]].created[:10],
            str(len(s.changes)),
        )
        for s in changed
    )
    columns = (
        Column("cell", align="left"),
        Column("before", "ns/el."),
        Column("now", "ns/el."),
        Column("change", "%"),
        Column("since", align="left"),
        Column("changes"),
    )
    runs = max((len(s.points) for s in found), default=0)
    parts = [f"{len(changed)} of {counted(len(found), 'cell')} changed for good in {counted(runs, 'run')}"]
    if runs < FEWEST:
        parts.append(f"a change can be told from {FEWEST} runs on")
    if left_out:
        parts.append(f"{counted(left_out, 'run')} of other machines or settings left out")
    return Table("", columns, rows, "; ".join(parts))


def figure(found: Sequence[Series], theme: Theme) -> Figure:
    """A panel a cell: its medians with their intervals over the runs, its levels, and a line where one ends."""
    shown = ranked(found)[:MOST]
    rows = -(-len(shown) // _COLUMNS)
    row = _TITLE + _PLOT + _FOOT
    with theme.applied():
        page = Page(theme, WIDTH, 190 + rows * row)
        subtitle = "ns an element over the runs, oldest first; bars are 95 % intervals, a line a level"
        if len(found) > len(shown):
            subtitle += f"; the {len(shown)} of {len(found)} cells that changed most"
        page.heading("History", subtitle)
        width = (WIDTH - 2 * MARGIN - (_COLUMNS - 1) * GAP) / _COLUMNS
        for i, series in enumerate(shown):
            left = MARGIN + i % _COLUMNS * (width + GAP)
            _panel(page, series, left, page.cursor + i // _COLUMNS * row, width)
    return page.figure


def _panel(page: Page, series: Series, left: float, top: float, width: float) -> None:
    theme, cell = page.theme, series.cell
    setting = "" if (cell.threads, cell.cache) == (1, "warm") else f", {cell.threads}t {cell.cache}"
    page.fit(page.text(left, top, f"{cell.function} {cell.pass_}", 14, weight="bold"), width, 10)
    about = f"{cell.dtype}, {quantity.elements(cell.size)}{setting}"
    moved = f", {100 * series.moved:+.1f} %" if series.changes else ""
    page.fit(page.text(left, top + 30, about + moved, 12, color=theme.muted), width, 10)
    axes = page.axes(left + TICKS, top + _TITLE, left + width, top + _TITLE + _PLOT)
    values = [p.ns.value for p in series.points]
    below = [p.ns.value - p.ns.low for p in series.points]
    above = [p.ns.high - p.ns.value for p in series.points]
    axes.errorbar(
        range(len(values)),
        values,
        yerr=[below, above],
        fmt="o",
        color=theme.muted,
        markersize=4,
        linewidth=1.2,
    )
    ends = (0, *series.changes, len(values))
    for level, (begin, end) in zip(series.levels, pairwise(ends), strict=True):
        axes.plot([begin - 0.4, end - 0.6], [level, level], color=theme.colours[0], linewidth=3)
    for place in series.changes:
        axes.axvline(place - 0.5, color=theme.colours[1], linewidth=2, linestyle=(0, (3, 2)))
    highest = max(v + a for v, a in zip(values, above, strict=True))
    lowest = min(v - b for v, b in zip(values, below, strict=True))
    room = max(0.15 * (highest - lowest), 0.02 * highest)
    axes.set_ylim(lowest - room, highest + room)
    axes.set_xlim(-0.7, len(values) - 0.3)
    axes.tick_params(length=0, pad=6, labelsize=12)
    axes.locator_params(axis="y", nbins=4)
    axes.set_xticks(sorted({0, len(values) - 1}), [])
    # At the panel's ends, not at the ticks: below those of three runs two dates lie on each other.
    dates = [series.points[p].created[:10] for p in (0, -1)]
    bottom = top + _TITLE + _PLOT + _DATES
    if len(values) == 1:
        page.text(left + (TICKS + width) / 2, bottom, dates[0], _DATE, ha="center")
        return
    page.text(left + TICKS, bottom, dates[0], _DATE)
    page.text(left + width, bottom, dates[-1], _DATE, ha="right")
