"""Throughput of a run against the bytes a call moves, under what the machine's own copies reach."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from actbench.bench.run import Measurement, Run
from actbench.catalog.errors import UsageError
from actbench.present import quantity
from actbench.present.labels import distinct, variants
from actbench.present.layout import GAP, LINE, MARGIN, TICKS, Page, frame, label_beside
from actbench.present.theme import HEIGHT, WIDTH, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = {"forward": "-", "backward": (0, (4, 2)), "derivative": (0, (1, 1.2))}
_MOST = 6
"""Series that one panel tells apart; a function with more gets a panel for each dtype and thread count."""
_COLUMNS, _TITLE, _PLOT, _FOOT = 3, 40, 250, 54
Series = Mapping[tuple[str, str], Sequence[Measurement]]
"""Measurements in the order of their bytes, by pass and variant (dtype, threads, cache)."""


def throughput(run: Run, theme: Theme, names: Iterable[str] = ()) -> Figure:
    """GB/s with 95 % bands against bytes moved: one panel, or one for each of several functions.

    Raises UsageError for a name that the run does not hold, and for a run without cells.
    """
    held = distinct(m.cell.function for m in run.cells)
    wanted = tuple(names) or held
    for name in wanted:
        if name not in held:
            raise UsageError(f"the run holds no {name}; it holds {', '.join(held) or 'no cells at all'}")
    if not wanted:
        raise UsageError("the run holds no cells: there is nothing to draw")
    label = variants(run)
    asked = [m for m in run.cells if m.cell.function in wanted]
    # A time that drowns in the call's own would stretch the axis by decades and tell nothing.
    shown = [m for m in asked if "call-bound" not in m.flags] or asked
    colours = {
        v: theme.colours[i % len(theme.colours)] for i, v in enumerate(distinct(label(m) for m in shown))
    }
    panels = {name: _series([m for m in shown if m.cell.function == name], label) for name in wanted}
    with theme.applied():
        if len(wanted) > 1:
            return _multiples(run, theme, f"{len(wanted)} functions", panels, colours)
        series = panels[wanted[0]]
        if len(series) <= _MOST:
            return _single(run, theme, wanted[0], series, colours)
        split = {v: {key: cells for key, cells in series.items() if key[1] == v} for v in colours}
        return _multiples(run, theme, wanted[0], split, colours)


def _series(cells: Sequence[Measurement], label: Callable[[Measurement], str]) -> Series:
    found: dict[tuple[str, str], list[Measurement]] = {}
    for m in sorted(cells, key=lambda m: m.bytes):
        found.setdefault((m.cell.pass_, label(m)), []).append(m)
    return found


def _single(run: Run, theme: Theme, name: str, series: Series, colours: Mapping[str, str]) -> Figure:
    page = Page(theme, WIDTH, HEIGHT)
    _title(page, run, name)
    ceiling = _ceiling(m for cells in series.values() for m in cells)
    labels = [(" ".join(reversed(key)), colours[key[1]]) for key in series]
    labels += [(f"{kind} ceiling", theme.muted) for kind in ceiling]
    ends = [(float(cells[-1].bytes), cells[-1].gb_per_s) for cells in series.values()]
    ends += [points[-1] for points in ceiling.values()]
    limits = _limits([series])
    scale = (HEIGHT - page.cursor - 150) / math.log(limits[3] / limits[2])
    heights = sorted(math.log(speed) * scale for _, speed in ends)
    apart = all(b - a > LINE / 2 for a, b in itertools.pairwise(heights))
    if not apart:
        _key(page, [series], colours)
        page.cursor += 46
    page.text(MARGIN, page.cursor, "GB/s", 14)
    widest = max(page.measure(text, 15)[0] for text, _ in labels) + 40 if apart else 0.0
    top, bottom, right = page.cursor + 46, HEIGHT - 104, WIDTH - MARGIN - widest
    axes = page.axes(MARGIN + TICKS, top, right, bottom)
    axes.set_xlabel("bytes read and written by one call")
    _draw(axes, run, series, colours, theme, limits)
    if apart:
        pixels = axes.transData.transform(ends)
        places = [(float(x), HEIGHT - float(y)) for x, y in pixels]
        label_beside(page, labels, places, right, 1, (top - LINE / 2, bottom))
    return page.figure


def _multiples(
    run: Run, theme: Theme, name: str, panels: Mapping[str, Series], colours: Mapping[str, str]
) -> Figure:
    rows = -(-len(panels) // _COLUMNS)
    page = Page(theme, WIDTH, 190 + rows * (_TITLE + _PLOT + _FOOT))
    _title(page, run, name)
    _key(page, panels.values(), colours)
    page.cursor += 56
    width = (WIDTH - 2 * MARGIN - TICKS - (_COLUMNS - 1) * GAP) / _COLUMNS
    limits = _limits(panels.values())
    for i, (title, series) in enumerate(panels.items()):
        row, column = divmod(i, _COLUMNS)
        left, above = MARGIN + TICKS + column * (width + GAP), page.cursor + row * (_TITLE + _PLOT + _FOOT)
        page.text(left, above + _TITLE - 6, title, 14, va="bottom", weight="bold")
        if column == 0:
            page.text(left - 14, above + _TITLE - 6, "GB/s", 12, va="bottom", ha="right", color=theme.muted)
        axes = page.axes(left, above + _TITLE, left + width, above + _TITLE + _PLOT)
        _draw(axes, run, series, colours, theme, limits, small=True)
        axes.tick_params(labelsize=12, pad=5, labelleft=column == 0)
    return page.figure


def _title(page: Page, run: Run, name: str) -> None:
    heading = page.text(MARGIN, page.cursor, name, 22, weight="bold")
    page.cursor += page.size(heading)[1] + 8
    machine = [run.machine.cpu or run.machine.architecture, run.created[:10]]
    text = f"Throughput on {', '.join(part for part in machine if part)}; bands are 95 % intervals"
    line = page.text(MARGIN, page.cursor, text, 14, color=page.theme.muted)
    width, height = page.size(line)
    line.set_fontsize(14 * min(1.0, (WIDTH - 2 * MARGIN) / width))
    page.cursor += height + 14


def _key(page: Page, panels: Collection[Series], colours: Mapping[str, str]) -> None:
    """What colours and line styles mean, in a row above small multiples."""
    passes = distinct(pass_ for series in panels for pass_, _ in series)
    theme = page.theme
    entries: list[tuple[str, str, Any, float]] = [
        (v, colour, "-", 3.0) for v, colour in colours.items() if len(colours) <= len(theme.colours)
    ]
    entries += [(p, theme.ink, _STYLES.get(p, "-"), 3.0) for p in passes if len(passes) > 1]
    if any(m.ceiling_ns for series in panels for cells in series.values() for m in cells):
        entries.append(("ceiling", theme.muted, "-", 6.0))
    widths = [page.measure(text, 14)[0] + 130 for text, *_ in entries]
    size = 14 * min(1.0, (WIDTH - 2 * MARGIN) / sum(widths))
    x, y = float(MARGIN), page.cursor + 14
    for text, colour, style, width in entries:
        page.line([(x, y), (x + 66 * size / 14, y)], colour, width, style)
        word = page.text(x + 78 * size / 14, y, text, size, va="center")
        x += page.size(word)[0] + 130 * size / 14


def _ceiling(cells: Iterable[Measurement]) -> dict[str, list[tuple[float, float]]]:
    """For each kind of ceiling kernel, the median of its GB/s at each number of bytes."""
    found: dict[str, dict[int, list[float]]] = {}
    for m in cells:
        if m.ceiling_gb_per_s is not None:
            found.setdefault(m.ceiling, {}).setdefault(m.bytes, []).append(m.ceiling_gb_per_s)
    return {kind: [(b, median(v)) for b, v in sorted(at.items())] for kind, at in found.items()}


def _limits(panels: Iterable[Series]) -> tuple[float, float, float, float]:
    cells = [m for series in panels for listed in series.values() for m in listed]
    speeds = [v for m in cells for v in (m.gb_per_s, m.ceiling_gb_per_s) if v]
    low, high = min(m.bytes for m in cells), max(m.bytes for m in cells)
    return low / 1.3, high * 1.3, min(speeds) / 1.4, max(speeds) * 1.4


def _draw(
    axes: Axes,
    run: Run,
    series: Series,
    colours: Mapping[str, str],
    theme: Theme,
    limits: tuple[float, float, float, float],
    *,
    small: bool = False,
) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(*limits[:2])
    axes.set_ylim(*limits[2:])
    frame(axes, theme)
    axes.xaxis.set_major_locator(FixedLocator(_powers(*limits[:2], 3 if small else 7)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _size(value)))
    axes.yaxis.set_major_locator(FixedLocator(_steps(*limits[2:], 4 if small else 8)))
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
    for points in _ceiling(m for cells in series.values() for m in cells).values():
        style: dict[str, Any] = {
            "color": theme.muted,
            "alpha": 0.45,
            "zorder": 2,
            "markersize": 24,
            "markeredgewidth": 7.0,
        }
        axes.plot(*zip(*points, strict=True), linewidth=7.0, marker="" if len(points) > 1 else "_", **style)
    for (pass_, variant), cells in series.items():
        x = [m.bytes for m in cells]
        colour = colours[variant]
        low, high = zip(
            *((m.bytes / m.interval_ns[1], m.bytes / m.interval_ns[0]) for m in cells), strict=True
        )
        axes.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0, zorder=3)
        axes.plot(
            x, [m.gb_per_s for m in cells], color=colour, linestyle=_STYLES.get(pass_, "-"),
            linewidth=2.2 if small else 3.0, marker="o", markersize=4 if small else 7, zorder=4,
        )  # fmt: skip


def _powers(low: float, high: float, most: int) -> list[float]:
    """At most so many powers of 2, evenly spread."""
    inside = [2.0**k for k in range(64) if low <= 2.0**k <= high]
    return inside[:: -(-len(inside) // most)] if inside else [low]


def _steps(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 times powers of 10, or the powers alone where those are too many."""
    for heads in ((1, 2, 5), (1, 3), (1,)):
        inside = [h * 10.0**k for k in range(-9, 9) for h in heads if low <= h * 10.0**k <= high]
        if len(inside) <= most:
            return inside or [high]
    return inside[:: -(-len(inside) // most)]


def _size(value: float) -> str:
    return quantity.memory(value).replace(".00 ", " ").replace(".0 ", " ")
