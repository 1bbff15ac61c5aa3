"""Throughput of whole calls, ours and the peers', against the bytes that they move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from actbench.bench import statistics
from actbench.bench.comparison import providers
from actbench.bench.run import OURS, Contender, Measurement, Run
from actbench.bench.statistics import Estimate
from actbench.present import choice, sizes
from actbench.present.choice import Choice
from actbench.present.labels import distinct
from actbench.present.providers import DOTTED, Look, looks
from actbench.present.sizes import Curve, Entry, Panel
from actbench.present.theme import Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rivals(run: Run, theme: Theme, cells: Sequence[Measurement], asked: Choice) -> Figure:
    """GB/s of every provider's call in one pass, dtype and thread count: a panel, or one for each function.

    Calls that allocate are drawn beside each other. Dotted are those that write to a buffer they are given: ours,
    and those of peers that have no other. A call whose values are not ours is left out.
    """
    # Among the cells that peers have: of a pass that none has there is nothing to draw.
    chosen = choice.settle([m for m in cells if providers([m])], asked)
    shown = sorted(filter(chosen.holds, cells), key=lambda m: m.bytes)
    drawn = looks((OURS, *providers(run.cells)), theme)
    found = [
        _panel(name, [m for m in shown if m.cell.function == name], drawn)
        for name in distinct(m.cell.function for m in shown)
    ]
    panels = [panel for panel in found if panel.curves]
    what = f"Whole calls: {chosen},"
    with theme.applied():
        if len(panels) == 1:
            page = sizes.page_of_one(theme)
            sizes.title(page, run, panels[0].title, what)
            sizes.large(page, run, panels[0], ())
            return page.figure
        entries = _entries(panels, list(drawn), theme) + sizes.caches(run, panels, theme)
        page = sizes.page_of_panels(theme, len(panels), entries)
        sizes.title(page, run, f"{len(panels)} functions", what)
        sizes.key_in_rows(page, entries)
        sizes.small(page, run, panels)
        return page.figure


def _panel(name: str, cells: Sequence[Measurement], drawn: Mapping[str, Look]) -> Panel:
    calls: dict[tuple[str, bool], list[tuple[Measurement, Contender]]] = {}
    for m in cells:
        for c in m.contenders:
            if c.samples_ns and not c.mismatch:
                calls.setdefault((c.provider, c.allocates), []).append((m, c))
    curves = []
    for (provider, allocates), timed in calls.items():
        if allocates or provider == OURS or (provider, True) not in calls:
            look = drawn[provider]
            points = [(m.bytes, _speed(m, c)) for m, c in timed]
            style, width = (look.dash, look.width) if allocates else (DOTTED, 2.4)
            curves.append(Curve(timed[0][1].label, points, look.colour, style, look.marker, width))
    curves.sort(
        key=lambda curve: (curve.label.startswith(OURS), curve.style != DOTTED)
    )  # ours over all others
    return Panel(name, tuple(curves), sizes.ceilings(cells))


def _speed(m: Measurement, call: Contender) -> Estimate:
    time = statistics.median(call.samples_ns)
    return Estimate(m.bytes / time.value, m.bytes / time.high, m.bytes / time.low)


def _entries(panels: Sequence[Panel], order: Sequence[str], theme: Theme) -> list[Entry]:
    curves = {curve.label: curve for panel in panels for curve in panel.curves}
    ranked = sorted(curves.values(), key=lambda c: (order.index(c.label.removesuffix(" out=")), c.label))
    entries = [Entry(c.label, c.colour, c.style, c.width, c.marker) for c in ranked]
    return entries + sizes.ceiling_entries(panels, theme)
