"""Panels of speed against size: curves with their 95 % bands, the machine's caches and the ceiling."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from actbench.bench.run import Measurement, Run
from actbench.bench.statistics import Estimate
from actbench.present import quantity
from actbench.present.labels import distinct, processor, settings
from actbench.present.layout import GAP, LINE, MARGIN, TICKS, Page, frame, label_beside
from actbench.present.theme import HEIGHT, WIDTH, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS, _TITLE, _PLOT, _FOOT = 3, 40, 250, 54
_CEILINGS = ("-", (0, (1.6, 0.8)), (0, (0.6, 0.6)), (0, (2.6, 0.6, 0.6, 0.6)))
"""Dashes of the ceilings in different threads and caches, in widths of the broad line."""
Limits = tuple[float, float, float, float]


@dataclass(frozen=True)
class Curve:
    """GB/s at numbers of bytes, in their order, and how they are drawn."""

    label: str
    points: Sequence[tuple[int, Estimate]]
    colour: str
    style: Any = "-"
    marker: str = "o"
    width: float = 3.0
    size: float = 7.0  # of the marker


@dataclass(frozen=True)
class Ceiling:
    """GB/s of a ceiling kernel at numbers of bytes, in one number of threads and one state of the cache."""

    kind: str
    setting: str
    """Threads and cache, where the picture shows several."""
    points: Sequence[tuple[int, float]]
    style: Any

    @property
    def label(self) -> str:
        """What it is called beside its line."""
        return f"{self.kind} ceiling {self.setting}".rstrip()


@dataclass(frozen=True)
class Panel:
    """What one pair of axes shows."""

    title: str
    curves: tuple[Curve, ...]
    """Later ones lie over earlier ones."""
    ceilings: tuple[Ceiling, ...]


@dataclass(frozen=True)
class Entry:
    """A line of a key: what a curve of that look is."""

    text: str
    colour: str
    style: Any = "-"
    width: float = 3.0  # 0 for a marker alone
    marker: str = ""


def ceilings(cells: Sequence[Measurement], among: Sequence[Measurement] = ()) -> tuple[Ceiling, ...]:
    """The ceilings of the cells of one panel, as they are told apart in a picture of ``among``, or of those cells.

    At each number of bytes the median of the measured speeds: passes and dtypes move the same bytes at the same
    speed, threads and caches do not.
    """
    every = among or cells
    setting = settings(every)
    order = sorted({(m.cell.threads, m.cell.cache) for m in every}, key=lambda at: (at[0], at[1] != "warm"))
    found: dict[tuple[str, int, str], dict[int, list[float]]] = {}
    for m in cells:
        if m.ceiling_gb_per_s is not None:
            at = found.setdefault((m.ceiling, m.cell.threads, m.cell.cache), {})
            at.setdefault(m.bytes, []).append(m.ceiling_gb_per_s)
    return tuple(
        Ceiling(
            kind,
            setting(threads, cache),
            [(b, median(v)) for b, v in sorted(at.items())],
            _CEILINGS[order.index((threads, cache)) % len(_CEILINGS)],
        )
        for (kind, threads, cache), at in found.items()
    )


def ceiling_entries(panels: Iterable[Panel], theme: Theme) -> list[Entry]:
    """What the broad lines of panels mean, where there are any."""
    held = distinct((c.setting, c.style) for panel in panels for c in panel.ceilings)
    return [Entry(f"ceiling {setting}".rstrip(), theme.muted, style, 6.0) for setting, style in held]


def title(page: Page, run: Run, name: str, what: str) -> None:
    """The name, and in one line what is drawn, the machine and the day."""
    heading = page.text(MARGIN, page.cursor, name, 22, weight="bold")
    page.cursor += page.size(heading)[1] + 8
    page.fit(heading, WIDTH - 2 * MARGIN, 14)
    text = f"{what} on {processor(run)}, {run.created[:10]}; bands are 95 % intervals"
    line = page.text(MARGIN, page.cursor, text, 14, color=page.theme.muted)
    width, height = page.size(line)
    line.set_fontsize(14 * min(1.0, (WIDTH - 2 * MARGIN) / width))
    page.cursor += height + 14


def large(page: Page, run: Run, panel: Panel, entries: Sequence[Entry]) -> None:
    """One panel on the rest of a page, its curves labelled beside it.

    With entries they stand in a key above it instead where the curves' ends are too near to each other.
    """
    theme = page.theme
    labels = [(curve.label, curve.colour) for curve in panel.curves]
    labels += [(c.label, theme.muted) for c in panel.ceilings]
    ends = [(float(curve.points[-1][0]), curve.points[-1][1].value) for curve in panel.curves]
    ends += [c.points[-1] for c in panel.ceilings]
    limits = _limits([panel])
    scale = (page.height - page.cursor - 150) / math.log(limits[3] / limits[2])
    heights = sorted(math.log(speed) * scale for _, speed in ends)
    apart = not entries or all(b - a > LINE / 2 for a, b in itertools.pairwise(heights))
    if not apart:
        key(page, entries)
        page.cursor += 46
    page.text(MARGIN, page.cursor, "GB/s", 14)
    widest = max(page.measure(text, 15)[0] for text, _ in labels) + 40 if apart else 0.0
    top, bottom, right = page.cursor + 46, page.height - 104, WIDTH - MARGIN - widest
    axes = page.axes(MARGIN + TICKS, top, right, bottom)
    axes.set_xlabel("bytes read and written by one call")
    _draw(axes, run, panel, theme, limits)
    if apart:
        pixels = axes.transData.transform(ends)
        places = [(float(x), page.height - float(y)) for x, y in pixels]
        label_beside(page, labels, places, right, 1, (top - LINE / 2, bottom))


def page_of_panels(theme: Theme, count: int, entries: Sequence[Entry] = ()) -> Page:
    """A page that is high enough for so many small panels below a title and a key, which may take several rows."""
    probe = Page(theme, WIDTH, HEIGHT)
    extra = (_rows(probe, entries)[1] - 1) * LINE + 24 if entries else 0
    return Page(theme, WIDTH, 190 + extra + height_of_grid(count))


def page_of_one(theme: Theme) -> Page:
    """A page for a large panel."""
    return Page(theme, WIDTH, HEIGHT)


def small(page: Page, run: Run, panels: Sequence[Panel]) -> None:
    """Small multiples with the same limits below what the page holds."""
    limits = _limits(panels)
    for panel, (axes, first) in zip(panels, grid(page, [p.title for p in panels], "GB/s"), strict=True):
        _draw(axes, run, panel, page.theme, limits, small=True)
        axes.tick_params(labelsize=12, pad=5, labelleft=first)


def grid(page: Page, titles: Sequence[str], unit: str) -> Iterator[tuple[Axes, bool]]:
    """Axes below their titles, in rows, and whether each is the first of its row, which names the unit."""
    width = (WIDTH - 2 * MARGIN - TICKS - (COLUMNS - 1) * GAP) / COLUMNS
    for i, name in enumerate(titles):
        row, column = divmod(i, COLUMNS)
        left, above = MARGIN + TICKS + column * (width + GAP), page.cursor + row * (_TITLE + _PLOT + _FOOT)
        page.fit(page.text(left, above + _TITLE - 6, name, 14, va="bottom", weight="bold"), width, 10)
        if column == 0:
            place: dict[str, Any] = {"va": "bottom", "ha": "right", "color": page.theme.muted}
            page.text(left - 14, above + _TITLE - 6, unit, 12, **place)
        yield page.axes(left, above + _TITLE, left + width, above + _TITLE + _PLOT), column == 0


def height_of_grid(count: int) -> int:
    """Pixels of so many panels."""
    return -(-count // COLUMNS) * (_TITLE + _PLOT + _FOOT)


def key(page: Page, entries: Sequence[Entry]) -> None:
    """What colours, markers and line styles mean, in a row."""
    widths = [page.measure(entry.text, 14)[0] + 130 for entry in entries]
    size = 14 * min(1.0, (WIDTH - 2 * MARGIN) / sum(widths))
    x, y = float(MARGIN), page.cursor + 14
    for entry in entries:
        x = _entry(page, entry, x, y, size) + 52 * size / 14


def key_in_rows(page: Page, entries: Sequence[Entry]) -> None:
    """A key whose entries stand in as many rows of equal columns as they take; the page is full down to its end."""
    columns, rows = _rows(page, entries)
    width = (WIDTH - 2 * MARGIN) / columns
    for i, entry in enumerate(entries):
        row, column = divmod(i, columns)
        _entry(page, entry, MARGIN + column * width, page.cursor + 14 + row * LINE, 13)
    page.cursor += rows * LINE + 16


def _rows(page: Page, entries: Sequence[Entry]) -> tuple[int, int]:
    """Columns and rows of a key."""
    width = max(page.measure(entry.text, 13)[0] for entry in entries)
    width += 130 if any(entry.width for entry in entries) else 72
    rows = -(-len(entries) // max(1, int((WIDTH - 2 * MARGIN) // width)))
    return -(-len(entries) // rows), rows


def _entry(page: Page, entry: Entry, x: float, y: float, size: float) -> float:
    """One entry of a key; where it ends."""
    length = (96 if entry.marker else 66) * size / 14  # room for a dash on either side of the marker
    if entry.width:
        page.line([(x, y), (x + length, y)], entry.colour, entry.width, entry.style)
    else:
        length = 24.0
    if entry.marker:
        page.dot(x + length / 2, y, entry.marker, entry.colour, 8)
    word = page.text(x + length + 12 * size / 14, y, entry.text, size, va="center")
    return x + length + 12 * size / 14 + page.size(word)[0]


def caches(run: Run, panels: Iterable[Panel], theme: Theme) -> list[Entry]:
    """What the upright lines of panels mean, where there are any."""
    low, high, *_ = _limits(panels)
    inside = [level for level, size in run.machine.caches.items() if low < size < high]
    return [Entry(f"end of {', '.join(inside)}", theme.muted, (0, (2, 3)), 1.6)] if inside else []


def _limits(panels: Iterable[Panel]) -> Limits:
    """Of bytes and of GB/s, as much as all of the panels show."""
    shown = list(panels)
    curves = [curve for panel in shown for curve in panel.curves]
    speeds = [found.value for curve in curves for _, found in curve.points]
    speeds += [v for panel in shown for c in panel.ceilings for _, v in c.points]
    moved = [b for curve in curves for b, _ in curve.points]
    # A factor of 4 holds two powers of 2, however few sizes there are: the axis has ticks at nothing else.
    wider = max(1.3, math.sqrt(4 * min(moved) / max(moved)))
    return min(moved) / wider, max(moved) * wider, min(speeds) / 1.4, max(speeds) * 1.4


def _draw(axes: Axes, run: Run, panel: Panel, theme: Theme, limits: Limits, *, small: bool = False) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(*limits[:2])
    axes.set_ylim(*limits[2:])
    frame(axes, theme)
    axes.xaxis.set_major_locator(FixedLocator(_powers(*limits[:2], 3 if small else 7)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _size(value)))
    axes.yaxis.set_major_locator(FixedLocator(steps(*limits[2:], 4 if small else 8)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    for level, size in run.machine.caches.items():
        if limits[0] < size < limits[1]:
            axes.axvline(size, color=theme.muted, linewidth=1.0, linestyle=(0, (2, 3)), zorder=1)
            if not small:
                place: dict[str, Any] = {
                    "xytext": (-5, 4),
                    "textcoords": "offset points",
                    "va": "bottom",
                    "ha": "right",
                }
                axes.annotate(level, (size, limits[2]), color=theme.muted, fontsize=12, **place)
    for ceiling in panel.ceilings:
        style: dict[str, Any] = {
            "color": theme.muted,
            "alpha": 0.45,
            "zorder": 2,
            "markersize": 24,
            "markeredgewidth": 7.0,
            "linestyle": ceiling.style,
            "marker": "" if len(ceiling.points) > 1 else "_",
        }
        axes.plot(*zip(*ceiling.points, strict=True), linewidth=7.0, **style)
    scale = (2.2 / 3, 4 / 7) if small else (1.0, 1.0)
    for curve in panel.curves:
        x = [b for b, _ in curve.points]
        low, high = zip(*((found.low, found.high) for _, found in curve.points), strict=True)
        axes.fill_between(x, low, high, color=curve.colour, alpha=0.25, linewidth=0, zorder=3)
        axes.plot(
            x, [found.value for _, found in curve.points], color=curve.colour, linestyle=curve.style,
            linewidth=curve.width * scale[0], marker=curve.marker, markersize=curve.size * scale[1],
            zorder=4,
        )  # fmt: skip


def _powers(low: float, high: float, most: int) -> list[float]:
    """At most so many powers of 2, evenly spread."""
    inside = [2.0**k for k in range(64) if low <= 2.0**k <= high]
    return inside[:: -(-len(inside) // most)] if inside else [low]


def steps(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 times powers of 10, or the powers alone where those are too many; evenly spread where too few."""
    for heads in ((1, 2, 5), (1, 3), (1,)):
        inside = [h * 10.0**k for k in range(-12, 13) for h in heads if low <= h * 10.0**k <= high]
        if len(inside) <= most:
            return inside if len(inside) > 1 else _even(low, high)
    return inside[:: -(-len(inside) // most)]


def _even(low: float, high: float) -> list[float]:
    """At least two multiples of 1, 2 or 5 times a power of 10, of the largest that has so many."""
    power = math.ceil(math.log10(high - low))
    for step in (h * 10.0**k for k in (power, power - 1, power - 2) for h in (5, 2, 1)):
        inside = [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if len(inside) > 1:
            return inside
    return [low, high]


def _size(value: float) -> str:
    return quantity.memory(value).replace(".00 ", " ").replace(".0 ", " ")
