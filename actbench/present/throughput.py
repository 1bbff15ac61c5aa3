"""Throughput of a run against the bytes a call moves, under what the machine's own copies reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from actbench.bench.comparison import providers
from actbench.bench.run import Measurement, Run
from actbench.bench.statistics import Estimate
from actbench.catalog.errors import UsageError
from actbench.present import choice, rivals, sizes
from actbench.present.choice import OPEN, Choice
from actbench.present.labels import distinct, variants
from actbench.present.sizes import Curve, Entry, Panel
from actbench.present.theme import Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLES = {"forward": "-", "backward": (0, (4, 2)), "derivative": (0, (1, 1.2))}
_MOST = 6
"""Series that one panel tells apart; a function with more gets a panel for each dtype and thread count."""
Series = Mapping[tuple[str, str], Sequence[Measurement]]
"""Measurements in the order of their bytes, by pass and variant (dtype, threads, cache)."""


def throughput(run: Run, theme: Theme, names: Iterable[str] = (), asked: Choice = OPEN) -> Figure:
    """GB/s with 95 % bands against bytes moved: one panel, or one for each of several functions.

    Of a run against peers, the whole calls of all providers in one pass, dtype and thread count; of any other the
    kernels' own, in all that is asked for. Raises UsageError for what the run does not hold.
    """
    wanted = choice.functions(run, names)
    cells = choice.only([m for m in run.sized if m.cell.function in wanted], asked)
    if not cells:
        raise UsageError(
            "the run holds only calls on one element, which tell of no throughput: measure --size 1e6"
        )
    if providers(cells):
        return rivals.rivals(run, theme, cells, asked)
    return _kernels(run, theme, wanted, cells)


def _kernels(run: Run, theme: Theme, wanted: Sequence[str], asked: Sequence[Measurement]) -> Figure:
    label = variants(run)
    # A time that drowns in the call's own would stretch the axis by decades and tell nothing: tables have "-" there.
    shown = [m for m in asked if m.gb_per_s is not None]
    if not shown:
        raise UsageError(
            "every call costs more than its kernel, so none tells of throughput: measure --size 1e6"
        )
    wanted = [name for name in wanted if any(m.cell.function == name for m in shown)]
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
    page = sizes.page_of_one(theme)
    sizes.title(page, run, name, "Throughput")
    panel = _panel(name, series, colours, _cells([series]))
    sizes.large(page, run, panel, _entries([panel], [series], theme, colours))
    return page.figure


def _multiples(
    run: Run, theme: Theme, name: str, panels: Mapping[str, Series], colours: Mapping[str, str]
) -> Figure:
    page = sizes.page_of_panels(theme, len(panels))
    sizes.title(page, run, name, "Throughput")
    shown = _cells(panels.values())
    drawn = [_panel(title, series, colours, shown) for title, series in panels.items()]
    sizes.key(page, _entries(drawn, panels.values(), theme, colours))
    page.cursor += 56
    sizes.small(page, run, drawn)
    return page.figure


def _cells(series: Iterable[Series]) -> list[Measurement]:
    return [m for held in series for cells in held.values() for m in cells]


def _panel(title: str, series: Series, colours: Mapping[str, str], among: Sequence[Measurement]) -> Panel:
    curves = tuple(
        Curve(f"{variant} {pass_}", _points(cells), colours[variant], _STYLES.get(pass_, "-"))
        for (pass_, variant), cells in series.items()
    )
    return Panel(title, curves, sizes.ceilings(_cells([series]), among))


def _points(cells: Iterable[Measurement]) -> list[tuple[int, Estimate]]:
    speeds = [
        (m.bytes, Estimate(m.bytes / m.median_ns, m.bytes / m.interval_ns[1], m.bytes / m.interval_ns[0]))
        for m in cells
    ]
    return speeds


def _entries(
    panels: Iterable[Panel], series: Iterable[Series], theme: Theme, colours: Mapping[str, str]
) -> list[Entry]:
    """What colours and line styles mean."""
    passes = distinct(pass_ for held in series for pass_, _ in held)
    entries = [Entry(v, colour) for v, colour in colours.items() if len(colours) <= len(theme.colours)]
    entries += [Entry(p, theme.ink, _STYLES.get(p, "-")) for p in passes if len(passes) > 1]
    return entries + sizes.ceiling_entries(panels, theme)
