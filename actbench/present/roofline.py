"""The roofline of a run: what kernels reach, under what the machine's memory and arithmetic allow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actbench.bench.roofline import Bound, bounds
from actbench.bench.run import Measurement, Roof, Run
from actbench.catalog.errors import UsageError
from actbench.present import choice
from actbench.present.choice import OPEN, Choice
from actbench.present.labels import cached, distinct, processor
from actbench.present.layout import LINE, MARGIN, TICKS, Page, frame, label_beside, spread
from actbench.present.placement import NEAR, Box, Place, Room, nearest
from actbench.present.roofs import rate
from actbench.present.sizes import steps
from actbench.present.theme import WIDTH, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ARITHMETIC, TRAFFIC = "fma", "copy"
"""The kinds of roof that are drawn in full: level and slanted; thin lines are other kinds of traffic."""
_PLOT, _FOOT = 900, 110
_NAMED, _NUMBERED = 64.0, 420.0
"""Pixels from its point up to which a name stands, and beyond which not even a number does."""
_BOUNDS = {"memory": (0, "o"), "compute": (1, "^"), "neither": (2, "v"), "call": (3, "D"), "": (6, "s")}
"""The number of the colour and the marker of what bounds a kernel; "" where that is not known."""
_WORDS = {
    "memory": "bound by memory",
    "compute": "bound by its arithmetic",
    "neither": "by neither of them",
    "call": "bound by the call",
    "": "without a ceiling",
}


@dataclass(frozen=True)
class Point:
    """A kernel where its data stay in the cache and where they are the largest; the same cell where none stay there."""

    name: str
    cached: Measurement
    largest: Measurement


def drawable(run: Run) -> bool:
    """Whether a run has roofs, and kernels whose operations were counted."""
    return bool(run.roofs) and any(_known(m) for m in run.sized)


def roofline(run: Run, theme: Theme, names: Iterable[str] = (), asked: Choice = OPEN) -> Figure:
    """GFLOP/s of our kernels against operations a byte, in one pass, dtype and thread count.

    Raises UsageError for what the run does not hold, and for one without roofs or without counted operations.
    """
    wanted = choice.functions(run, names)
    if not run.roofs:
        raise UsageError("the run has no roofs: measure again with 'actbench bench --roofline'")
    cells = choice.only([m for m in run.sized if m.cell.function in wanted], asked)
    counted = [m for m in cells if _known(m)]
    if not counted:
        raise UsageError("the run does not tell the operations of these kernels: there is nothing to draw")
    chosen = choice.settle(counted, asked)
    roofs = [r for r in run.roofs if r.threads == chosen.threads]
    if not roofs:
        held = ", ".join(map(str, distinct(r.threads for r in run.roofs)))
        raise UsageError(f"--threads {chosen.threads}: the run has roofs for {held}")
    # Another dtype's arithmetic limits none of these; 16-bit formats have none of their own.
    own = [r for r in roofs if r.kind != ARITHMETIC or r.dtype == chosen.dtype]
    roofs = own if any(r.kind == ARITHMETIC for r in own) else roofs
    points = [_point(run, [m for m in cells if chosen.holds(m)]) for cells in _kernels(counted)]
    drawn = [p for p in points if p]
    left = [name for name in wanted if all(p.name != name for p in drawn)]
    there = {m.cell.function for m in cells if chosen.holds(m)}
    missing = {
        "Without arithmetic that was counted, so not drawn": [name for name in left if name in there],
        "Without such cells, so not drawn": [name for name in left if name not in there],
    }
    with theme.applied():
        return _draw(run, theme, chosen, roofs, drawn, missing)


def _known(m: Measurement) -> bool:
    return bool(m.intensity)  # no logarithm tells of a kernel that does no arithmetic


def _kernels(cells: Sequence[Measurement]) -> list[list[Measurement]]:
    return [[m for m in cells if m.cell.function == f] for f in distinct(m.cell.function for m in cells)]


def _point(run: Run, cells: Sequence[Measurement]) -> Point | None:
    if not cells:
        return None
    largest, size = max(cells, key=lambda m: m.bytes), cached(run, cells)
    return Point(cells[0].cell.function, next((m for m in cells if m.cell.size == size), largest), largest)


def _draw(
    run: Run,
    theme: Theme,
    chosen: Choice,
    roofs: Sequence[Roof],
    points: Sequence[Point],
    missing: Mapping[str, Sequence[str]],
) -> Figure:
    # How many names are left for the key is known only after the others are placed, and decides on the height.
    found, rows = bounds(run), 0
    head = _head(Page(theme, WIDTH, 1), run, chosen, points, missing, found)
    for _ in range(2):
        page = Page(theme, WIDTH, round(head + _PLOT + _FOOT + rows * LINE))
        _head(page, run, chosen, points, missing, found)
        axes, panel, lines = _axes(page, head, roofs, points)
        numbers = _points(page, axes, panel, lines, roofs, points, found)
        rows = _key(page, head + _PLOT + _FOOT, numbers)
        if not rows:
            break
    return page.figure


def _head(
    page: Page,
    run: Run,
    chosen: Choice,
    points: Sequence[Point],
    missing: Mapping[str, Sequence[str]],
    found: Mapping[str, Bound],
) -> float:
    """Title, caption and what colours mean; where the axes begin."""
    name = points[0].name if len(points) == 1 else f"Roofline of {len(points)} functions"
    page.heading(name, f"{chosen}, on {processor(run)}, {run.created[:10]}")
    x, y = float(MARGIN), page.cursor + 14
    held = {found.get(m.cell.key, "") for p in points for m in (p.cached, p.largest)}
    for bound, (colour, marker) in _BOUNDS.items():
        if bound in held:
            page.dot(x + 10, y, marker, page.theme.colours[colour], 10)
            word = page.text(x + 32, y, _WORDS[bound], 13, va="center")
            x += 32 + page.size(word)[0] + 48
    caption = "Filled: the largest size"
    if any(p.cached is not p.largest for p in points):
        caption += "; open: the largest that stays in the L2 cache, where one does"
    caption += ". Thin roofs: triad and read."
    caption += "".join(f" {why}: {', '.join(names)}." for why, names in missing.items() if names)
    muted = {"color": page.theme.muted}
    page.cursor = page.paragraph(MARGIN, y + 26, caption, 12, page.width - 2 * MARGIN, **muted) + 10
    page.text(page.width - MARGIN, page.cursor, "GFLOP/s", 14, ha="right")
    return page.cursor + 44


def _axes(
    page: Page, top: float, roofs: Sequence[Roof], points: Sequence[Point]
) -> tuple[Axes, Box, list[tuple[Place, Place]]]:
    """Axes with the roofs, slanted ones with their names; where they are in pixels, and the ends of full roofs."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    theme = page.theme
    slanted = [r for r in roofs if r.kind == TRAFFIC] or [r for r in roofs if r.kind != ARITHMETIC]
    level = [r for r in roofs if r.kind == ARITHMETIC]
    named = [f"{r.level or r.kind} {rate(r)} GB/s" for r in slanted]
    left = MARGIN + max((page.measure(text, 15)[0] for text in named), default=0.0) + 34
    right, bottom = page.width - MARGIN - TICKS, top + _PLOT
    axes = page.axes(left, top, right, bottom)
    shown = [m for p in points for m in (p.cached, p.largest)]
    low, high = (pick(m.intensity or 0.0 for m in shown) for pick in (min, max))
    highest = max((r.rate.value for r in level), default=max(m.gflop_per_s or 0.0 for m in shown))
    slowest = min((r.rate.value for r in slanted), default=math.inf)
    low, high = low / 1.8, max(high, min(highest / slowest, 64 * high)) * 1.8
    speeds = [m.gflop_per_s or 0.0 for m in shown]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(min(*speeds, slowest * low) / 1.5, max(*speeds, highest) * 1.6)
    frame(axes, theme)
    for axis, limits, most in ((axes.xaxis, (low, high), 9), (axes.yaxis, axes.get_ylim(), 11)):
        axis.set_major_locator(FixedLocator(steps(*limits, most)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    axes.yaxis.tick_right()
    axes.tick_params(length=0, pad=8)
    axes.set_xlabel("floating-point operations a byte")
    lines: list[tuple[Place, Place]] = []
    for roof in [r for r in roofs if r.kind != ARITHMETIC]:
        full = roof in slanted
        ends = [low, highest / roof.rate.value]
        style: dict[str, Any] = {"color": theme.muted, "linewidth": 2.4 if full else 1.0, "zorder": 2}
        speeds = [roof.rate.value * x for x in ends]
        axes.plot(ends, speeds, linestyle="-" if full else (0, (1, 2)), **style)
        lines += [((ends[0], speeds[0]), (ends[1], speeds[1]))] if full else []
    for roof in level:
        start = min((roof.rate.value / s.rate.value for s in slanted), default=low)
        axes.plot([max(start, low), high], [roof.rate.value] * 2, color=theme.ink, linewidth=3.2, zorder=2)
        lines.append(((max(start, low), roof.rate.value), (high, roof.rate.value)))
    starts = [_pixel(page, axes, low, r.rate.value * low) for r in slanted]
    label_beside(page, [(t, theme.muted) for t in named], starts, left, -1, (top, bottom))
    return axes, (left, top, right, bottom), lines


def _pixel(page: Page, axes: Axes, x: float, y: float) -> Place:
    across, up = axes.transData.transform((x, y))
    return float(across), page.height - float(up)


def _points(
    page: Page,
    axes: Axes,
    panel: Box,
    lines: Sequence[tuple[Place, Place]],
    roofs: Sequence[Roof],
    points: Sequence[Point],
    found: Mapping[str, Bound],
) -> Mapping[int, str]:
    """The kernels with their names where there is room, else with numbers: what those mean."""
    theme, room = page.theme, Room(panel)
    _level_names(page, axes, room, roofs)
    for start, end in lines:
        room.avoid([_pixel(page, axes, *start), _pixel(page, axes, *end)], 12)
    places: dict[str, tuple[Place, Place]] = {}
    for p in points:
        spots = [(m.intensity or 1.0, m.gflop_per_s or 1.0) for m in (p.cached, p.largest)]
        ends = [_pixel(page, axes, *spot) for spot in spots]
        places[p.name] = ends[0], ends[1]
        axes.plot(*zip(*spots, strict=True), color=theme.muted, linewidth=1.2, zorder=3)
        for m, spot, filled in zip((p.cached, p.largest), spots, (p.cached is p.largest, True), strict=True):
            colour, marker = _BOUNDS[found.get(m.cell.key, "")]
            ground = theme.colours[colour] if filled else theme.background
            axes.plot(
                *spot, marker, color=theme.colours[colour], markersize=10, markerfacecolor=ground,
                markeredgewidth=2.0, zorder=5,
            )  # fmt: skip
        for end in ends:
            room.mark(end, 24)
        room.avoid(ends, 8)
    return _names(page, room, places)


def _level_names(page: Page, axes: Axes, room: Room, roofs: Sequence[Roof]) -> None:
    """The names of level roofs above their right ends, where no kernel's name goes: its line would cross a roof."""
    level = [r for r in roofs if r.kind == ARITHMETIC]
    heights = [_pixel(page, axes, 1.0, r.rate.value)[1] - 22 for r in level]
    for roof, y in zip(level, spread(heights, 34, room.bounds[1] + 16, room.bounds[3]), strict=True):
        ground = {"facecolor": page.theme.background, "edgecolor": "none", "pad": 1.0}
        style: dict[str, Any] = {"ha": "right", "va": "center", "bbox": ground}  # slanted roofs end behind it
        text = f"{roof.dtype} multiply-add {rate(roof)} GFLOP/s"
        word = page.text(room.bounds[2] - 8, y, text, 13, **style)
        width, height = page.size(word)
        room.taken.append((room.bounds[2] - 8 - width, y - height / 2, room.bounds[2], y + height / 2))
    if level:
        highest = max(r.rate.value for r in level)
        room.taken.append((*room.bounds[:3], _pixel(page, axes, 1.0, highest)[1]))


def _names(page: Page, room: Room, places: Mapping[str, tuple[Place, Place]]) -> Mapping[int, str]:
    """Names beside points, the outermost first, and numbers where a name has no room."""
    middle = [sum(end[axis] for end, _ in places.values()) / len(places) for axis in (0, 1)]
    outermost = sorted(places, key=lambda name: -math.dist(places[name][0], middle))
    left = [name for name in outermost if not _label(page, room, places[name], name, _NAMED)]
    numbers = dict(enumerate((name for name in places if name in left), start=1))
    for number, name in numbers.items():
        if not _label(page, room, places[name], str(number), _NUMBERED):
            raise UsageError(f"there is no room for {len(places)} functions in one roofline: name fewer")
    return numbers


def _label(page: Page, room: Room, ends: tuple[Place, Place], text: str, reach: float) -> bool:
    width, height = page.measure(text, 12)
    for end in ends:
        box = room.put(end, (width + 6, height + 2), reach)
        if box:
            line = nearest(end, box)
            if math.dist(end, line) > NEAR:
                page.line([end, line], page.theme.muted, 0.8)
            page.text((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, text, 12, ha="center", va="center")
            return True
    return False


def _key(page: Page, top: float, numbers: Mapping[int, str]) -> int:
    """What the numbers mean, in columns below the axes; how many rows that takes."""
    if not numbers:
        return 0
    texts = [f"{number}  {name}" for number, name in numbers.items()]
    width = max(page.measure(text, 12)[0] for text in texts) + 36
    columns = int((page.width - 2 * MARGIN + 36) // width)
    rows = -(-len(texts) // columns)
    for i, text in enumerate(texts):
        column, row = divmod(i, rows)
        page.text(MARGIN + column * width, top + row * LINE, text, 12)
    return rows
