"""Speed against exactness: a run's calls at one size beside the largest errors that an audit found of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actbench.bench.run import OURS, Contender, Measurement, Run
from actbench.catalog.errors import UsageError
from actbench.present import choice, quantity, sizes
from actbench.present.choice import OPEN, Choice
from actbench.present.labels import cached, distinct, processor
from actbench.present.layout import MARGIN, TICKS, Page, frame
from actbench.present.placement import NEAR, Room, nearest
from actbench.present.providers import Look, looks
from actbench.present.sizes import Entry
from actbench.present.theme import WIDTH, Theme
from actbench.verify.findings import DERIVATIVE, FORWARD, Audit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST, _BEYOND = 1e9, 2e10
"""The largest error in ULP that has a place of its own, and the place of all that are larger."""
_LINEAR = 1.6
"""Errors up to 1 ULP, among which good ones differ, take as much room as so many powers of 10 above."""
_PLOT, _FOOT = 620, 110
"""Pixels of the axes of one function, and of what stands below them."""


@dataclass(frozen=True)
class Spot:
    """How a provider's call of a function does."""

    function: str
    provider: str
    ulp: float
    wrong: bool  # NaN or infinite where it should not be, or the other way round
    elements_per_ns: float
    allocates: bool

    @property
    def place(self) -> tuple[float, float]:
        """Where it stands on the axes."""
        return self.ulp if self.ulp <= _MOST else _BEYOND, self.elements_per_ns


def tradeoff(
    run: Run, audits: Sequence[Audit], theme: Theme, names: Iterable[str] = (), asked: Choice = OPEN
) -> Figure:
    """Elements a second at the largest size that stays in the L2 cache, against the largest error in ULP.

    A function is there where both the run and the audits have ours. Raises UsageError where there is none, and for
    what the run does not hold.
    """
    wanted = choice.functions(run, names)
    cells = choice.only([m for m in run.sized if m.cell.function in wanted and m.contenders], asked)
    if not cells:
        raise UsageError("the run holds no whole calls: there is no speed to set against an error")
    chosen = choice.settle(cells, asked)
    errors = _errors(audits, chosen)
    shown = [m for m in cells if chosen.holds(m) and (m.cell.function, OURS) in errors]
    spots, size = _spots(run, shown, errors)
    functions = [s.function for s in spots if s.provider == OURS]
    if not functions:
        raise UsageError(
            f"the audits have none of these functions ({chosen.pass_}, {chosen.dtype}): name another --dtype"
        )
    left_out = [name for name in wanted if name not in functions]
    providers = distinct(c.provider for m in run.cells for c in m.contenders)
    order = looks((OURS, *providers), theme)
    spots = [s for s in spots if s.function in functions]
    with theme.applied():
        return _draw(run, theme, _Plot(chosen, size, functions, spots, order, left_out))


def _errors(audits: Sequence[Audit], chosen: Choice) -> Mapping[tuple[str, str], Audit]:
    """The audits that are about such calls, by function and provider: at default parameters, as runs are made."""
    pass_ = FORWARD if chosen.pass_ == "forward" else DERIVATIVE
    return {
        (a.case.function, a.provider): a
        for a in audits
        if not a.case.settings and (a.case.pass_, a.case.dtype) == (pass_, chosen.dtype)
    }


def _spots(
    run: Run, cells: Sequence[Measurement], errors: Mapping[tuple[str, str], Audit]
) -> tuple[list[Spot], int]:
    """Every call that was timed and audited, and the elements that it was timed with."""
    size = cached(run, cells) or min((m.cell.size for m in cells), default=0)
    found = []
    for m in cells:
        for c in _calls(m) if m.cell.size == size else ():
            audit = errors.get((m.cell.function, c.provider))
            if audit:
                speed = m.elements / c.median_ns
                wrong = audit.wrong > 0
                found.append(Spot(m.cell.function, c.provider, audit.judged, wrong, speed, c.allocates))
    return found, size


def _calls(m: Measurement) -> list[Contender]:
    """A timed call of each provider: the one that allocates, where it has one."""
    timed = [c for c in m.contenders if c.samples_ns and not c.mismatch]
    return list({c.provider: c for c in sorted(timed, key=lambda c: c.allocates)}.values())


@dataclass(frozen=True)
class _Plot:
    chosen: Choice
    size: int
    functions: Sequence[str]
    spots: Sequence[Spot]
    looks: Mapping[str, Look]
    left_out: Sequence[str]


def _draw(run: Run, theme: Theme, shown: _Plot) -> Figure:
    alone = len(shown.functions) == 1
    head = _head(Page(theme, WIDTH, 900), run, shown)
    below = _PLOT + _FOOT if alone else sizes.height_of_grid(len(shown.functions)) + 12
    page = Page(theme, WIDTH, round(head + below))
    page.cursor = _head(page, run, shown)
    if alone:
        _large(page, shown)
        return page.figure
    panels = sizes.grid(page, shown.functions, "G/s")
    for name, (axes, first) in zip(shown.functions, panels, strict=True):
        _panel(axes, shown, [s for s in shown.spots if s.function == name], theme, small=True)
        axes.tick_params(labelsize=12, pad=5, labelleft=first)
    return page.figure


def _large(page: Page, shown: _Plot) -> None:
    """One function, its providers named beside their points."""
    page.text(MARGIN, page.cursor, "G elements/s", 14)
    left, top, right = MARGIN + TICKS, page.cursor + 44, page.width - MARGIN - 2 * TICKS
    axes = page.axes(left, top, right, page.cursor + _PLOT)
    _panel(axes, shown, shown.spots, page.theme)
    axes.set_xlabel("largest error in ULP")
    arrow = page.text(left + 8, top + 4, "\N{NORTH WEST ARROW} faster and more exact", 13, weight="bold")
    width, height = page.size(arrow)
    room = Room((left, top, page.width - MARGIN, page.cursor + _PLOT))
    room.taken.append((left, top, left + width + 16, top + height + 8))
    pixels = axes.transData.transform([s.place for s in shown.spots])
    places = [(float(x), page.height - float(y)) for x, y in pixels]
    start = places[[s.provider for s in shown.spots].index(OURS)]
    for place in places:
        room.mark(place, 26)
        room.avoid([start, place], 6)
    for s, place in zip(shown.spots, places, strict=True):
        _name(page, room, place, s.provider, shown.looks[s.provider].colour)


def _panel(axes: Axes, shown: _Plot, spots: Sequence[Spot], theme: Theme, *, small: bool = False) -> None:
    """The providers of one function, ours the largest and over all others, with lines between it and them."""
    _scales(axes, theme, shown.spots, small=small)
    (ours,) = (s for s in spots if s.provider == OURS)
    for s in sorted(spots, key=lambda s: s.provider == OURS):
        look = shown.looks[s.provider]
        ends = zip(ours.place, s.place, strict=True)
        axes.plot(*ends, color=theme.muted, linewidth=0.9, alpha=0.6, zorder=2)
        axes.plot(
            *s.place, look.marker, color=look.colour, markersize=11 if s is ours else 8, markeredgewidth=1.8,
            markerfacecolor=theme.background if s.wrong else look.colour, clip_on=False, zorder=4,
        )  # fmt: skip


def _head(page: Page, run: Run, shown: _Plot) -> float:
    """Title, caption, key and what the axis above the plot is; where that begins."""
    name = shown.functions[0] if len(shown.functions) == 1 else "Speed against exactness"
    page.heading(
        name,
        f"Whole calls of {quantity.elements(shown.size)} elements and their largest error: {shown.chosen}, "
        f"on {processor(run)}, {run.created[:10]}",
    )
    held = {s.provider for s in shown.spots}
    entries = [
        Entry(provider, look.colour, "", 0.0, look.marker)
        for provider, look in shown.looks.items()
        if provider in held
    ]
    if len(shown.functions) > 1:
        sizes.key_in_rows(page, entries)
    notes = []
    if len(shown.functions) > 1:
        notes.append(
            "Up is faster, G elements/s; left is more exact, ULP. Lines lead from actbench to its peers."
        )
    given = distinct(s.provider for s in shown.spots if not s.allocates)
    if given:
        notes.append(
            f"Calls allocate, but those of {', '.join(given)} that have no such call are given out=."
        )
    if any(s.wrong for s in shown.spots):
        notes.append("Hollow: with NaN or infinities that are wrong.")
    if shown.left_out:
        notes.append(f"{len(shown.left_out)} functions that were not both timed and audited are left out.")
    if notes:
        muted: dict[str, Any] = {"color": page.theme.muted}
        text = " ".join(notes)
        page.cursor = page.paragraph(MARGIN, page.cursor, text, 12, page.width - 2 * MARGIN, **muted) + 10
    return page.cursor


def _scales(axes: Axes, theme: Theme, spots: Sequence[Spot], *, small: bool) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    errors, speeds = zip(*(s.place for s in spots), strict=True)
    top = max(1.0, *errors)
    axes.set_xscale("symlog", linthresh=1.0, linscale=_LINEAR)
    axes.set_yscale("log")
    axes.set_xlim(-0.12, top * 2.2)
    axes.set_ylim(min(speeds) / 1.5, max(speeds) * 1.6)
    frame(axes, theme)
    axes.xaxis.set_major_locator(FixedLocator(_ticks(top, small=small)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _ulp(x)))
    axes.yaxis.set_major_locator(FixedLocator(sizes.steps(*axes.get_ylim(), 5 if small else 9)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())


def _ticks(top: float, *, small: bool) -> list[float]:
    """0, a half, 1, and powers of 10 as far as there are errors, and a place for those beyond."""
    last = math.log10(min(top, _MOST))
    step = max(1, math.ceil(last / (3 if small else 6)))
    ticks = [
        0.0,
        *([] if small else [0.5]),
        1.0,
        *(10.0**k for k in range(step, 10, step) if k <= last - (top == _BEYOND)),
    ]
    return [*ticks, _BEYOND] if top == _BEYOND else ticks


def _ulp(x: float) -> str:
    if x == _BEYOND:
        return "more"
    return f"{x:g}" if x < 1e4 else f"1e{round(math.log10(x))}"


def _name(page: Page, room: Room, anchor: tuple[float, float], text: str, colour: str) -> None:
    """A provider's name beside its point."""
    width, height = page.measure(text, 14)
    box = room.put(anchor, (width + 6, height + 2), float(page.width))
    if box:
        line = nearest(anchor, box)
        if math.dist(anchor, line) > NEAR:
            page.line([anchor, line], page.theme.muted, 0.8)
        middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        page.text(*middle, text, 14, ha="center", va="center", color=colour)
