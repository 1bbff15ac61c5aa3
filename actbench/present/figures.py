"""Plots of functions: one as a teacher projects it, families and overlays, and the gallery."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import UsageError
from actbench.catalog.formula import Formula
from actbench.present import formula as notation
from actbench.present.curves import Limits, Subject, Trace, trace
from actbench.present.layout import GAP, KEY, LABEL, LINE, MARGIN, TICKS, Page, frame, label_beside
from actbench.present.theme import HEIGHT, WIDTH, Theme
from actbench.verify.properties import Line, describe
from actbench.verify.section import Array, Section

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

MOST = 7
"""Curves that one plot tells apart; more functions than that become a gallery."""
VALUE, SLOPE = 1, 2
"""Which of a trace's arrays a panel shows."""
_SMALLEST_TITLE, _SMALLEST_LINE, _SMALLEST_NAME = 14.0, 12.0, 10.0
"""Points below which a title, a line below it and the name of a small panel are not set to fit: they are shortened."""
_LABELS = 0.4
"""The share of a panel that the labels beside it take at most: names are as long as who gives them likes."""
_HIGHEST = 1e300
"""Of what an axis shows: differences and ticks of what lies beyond it overflow."""
_DASHES = {VALUE: "-", SLOPE: (0, (4, 2))}
_PATTERNS: tuple[Any, ...] = (
    "-", (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (4, 1.2, 1.2, 1.2)), (0, (2.2, 1)), (0, (8, 1.5)),
    (0, (4, 1.2, 1.2, 1.2, 1.2, 1.2)),
)  # fmt: skip
"""Of the curves of one panel, which so are told apart without their colours."""


@dataclass(frozen=True)
class Curve:
    """A trace's values or slopes in a colour, with the label that stands at its end."""

    trace: Trace
    which: int
    colour: str
    label: str
    pattern: Any = None
    """Of the line; None is what values and slopes have where each is alone."""

    @property
    def style(self) -> Any:
        return self.pattern or _DASHES[self.which]


@dataclass
class Panel:
    """What one pair of axes shows, and what stands above and below it."""

    curves: list[Curve]
    headings: list[tuple[str, Formula | None, str]] = field(default_factory=list)
    """Left-hand side, formula and colour of each formula above it."""
    axis: str = ""
    asymptotes: bool = False


def limits_of(section: Section, loss: bool) -> Limits:
    """The range that shows a section best where the user names none."""
    low, high = section.domain.low, section.domain.high
    reach = 3.0 if loss and section.axis.startswith("pred") else 6.0
    return (
        low if math.isfinite(low) else min(-reach, high - reach if math.isfinite(high) else -reach),
        high if math.isfinite(high) else max(reach, low + reach if math.isfinite(low) else reach),
    )


def traces(subjects: Sequence[Subject], limits: Limits | None) -> list[list[Trace]]:
    """The sampled sections of each subject over the same range; raises UsageError where none shows."""
    every = [s for subject in subjects for s in subject.sections]
    if limits is None:
        views = [
            limits_of(s, subject.function.kind == "loss") for subject in subjects for s in subject.sections
        ]
        limits = min(low for low, _ in views), max(high for _, high in views)
    axes = dict.fromkeys(s.axis for s in every)
    if len(axes) > 1:
        raise UsageError(
            f"these functions have no axis in common ({', '.join(axes)}): plot them apart, or with --all"
        )
    for subject in subjects:
        section = subject.sections[0]
        if max(limits[0], section.domain.low) >= min(limits[1], section.domain.high):
            raise UsageError(
                f"{subject.function.name} is defined for {section.axis} in {section.domain}: "
                f"--range {limits[0]:g}:{limits[1]:g} shows none of it"
            )
    return [[trace(s, *limits) for s in subject.sections] for subject in subjects]


def _left_sides(declaration: Declaration) -> tuple[str, str]:
    """What stands before a function's formula and its derivative's."""
    if declaration.template == "elementwise":
        return "$f(x)$", "$f\\,'(x)$"
    if declaration.template == "rowwise":
        return "$f(x)_i$", "Jacobian"
    if declaration.template == "pairwise":
        return r"$\ell$", r"$\partial\ell/\partial\,\mathrm{pred}$"
    return r"$\ell$", "gradient"


def draw(
    subjects: Sequence[Subject], theme: Theme, *, deriv: bool = False, limits: Limits | None = None
) -> Figure:
    """The subjects in one plot; with ``deriv`` one activation's slope is in the same panel, others beside.

    Raises UsageError where there are more curves than can be told apart, or no axis in common.
    """
    sampled = traces(subjects, limits)
    count = sum(map(len, sampled))
    if count > MOST:
        raise UsageError(f"{count} curves do not fit one plot: draw at most {MOST}")
    with theme.applied():
        page = Page(theme, WIDTH, HEIGHT)
        _title(page, subjects)
        panels = _panels(subjects, sampled, theme, deriv)
        width = (page.width - 2 * MARGIN - (len(panels) - 1) * GAP) / len(panels)
        lefts = [MARGIN + i * (width + GAP) for i in range(len(panels))]
        top = _headings(page, panels, lefts, page.cursor, width) + 14
        for panel, left in zip(panels, lefts, strict=True):
            _axes(page, panel, left, top, width)
        return page.figure


def _title(page: Page, subjects: Sequence[Subject]) -> None:
    functions = list(dict.fromkeys(s.function for s in subjects))
    title = ", ".join(f.name for f in functions)
    changed = subjects[0].setting(subjects[0].changed)
    widest = page.width - 2 * MARGIN
    beside = min(page.measure(changed, 18)[0] + 28, widest / 2) if changed else 0.0
    heading = page.text(MARGIN, page.cursor, title, 22, weight="bold")
    height = page.size(heading)[1]
    width, _ = page.fit(heading, widest - beside, _SMALLEST_TITLE)
    if changed:
        setting = page.text(MARGIN + width + 28, page.cursor + height, changed, 18, va="bottom")
        page.fit(setting, widest - width - 28, 1.0)
    page.cursor += height + 8
    if len(functions) == 1:
        held = {s.label for subject in subjects for s in subject.sections}
        drawn = f"Drawn: {held.pop()}" if len(held) == 1 and held != {""} else ""
        for line in filter(None, (functions[0].summary.rstrip("."), drawn)):
            text = page.text(MARGIN, page.cursor, line, 14, color=page.theme.muted)
            width, height = page.size(text)
            if width > widest * 14 / _SMALLEST_LINE:
                text.remove()
                told = page.beginning(line, 14, widest, 2)
                page.cursor = page.paragraph(MARGIN, page.cursor, told, 14, widest, color=page.theme.muted)
                continue
            if width > widest:
                text.set_fontsize(14 * widest / width)
            page.cursor += height + 6
    page.cursor += 14


def _panels(
    subjects: Sequence[Subject], sampled: Sequence[Sequence[Trace]], theme: Theme, deriv: bool
) -> list[Panel]:
    functions = list(dict.fromkeys(s.function for s in subjects))
    declaration = functions[0].declaration
    left_sides = _left_sides(declaration) if len(functions) == 1 else ("", "")
    axis = _axis_label(sampled[0][0].section)
    flat = [(subject, t) for subject, ts in zip(subjects, sampled, strict=True) for t in ts]
    headings: list[tuple[str, Formula | None, str]]
    alone = len(flat) == 1
    if alone and deriv and declaration.kind == "activation":
        curves = [
            Curve(flat[0][1], VALUE, theme.colours[0], "$f$"),
            Curve(flat[0][1], SLOPE, theme.colours[1], "$f\\,'$"),
        ]
        headings = [
            (left_sides[0], declaration.formula, theme.colours[0]),
            (left_sides[1], declaration.derivative_formula, theme.colours[1]),
        ]
        headings = [heading for heading in headings if heading[1]]
        return [Panel(curves, headings, axis, asymptotes=True)]
    panels = []
    for which, formula in ((VALUE, declaration.formula), (SLOPE, declaration.derivative_formula)):
        if which == SLOPE and not deriv:
            break
        curves = [
            Curve(
                t,
                which,
                theme.colours[i],
                "" if alone else _name(subject, t, len(functions) > 1),
                None if alone else _PATTERNS[i],
            )
            for i, (subject, t) in enumerate(flat)
        ]
        if len(functions) > 1:
            same = len({f.kind for f in functions}) == 1
            loss = same and declaration.kind == "loss"
            words = ("loss", "gradient") if loss else ("function", "derivative")
            headings = [(words[which - 1], None, theme.ink)] if deriv else []
        else:
            headings = [(left_sides[which - 1], formula, theme.ink)] if formula else []
        panels.append(Panel(curves, headings, axis, asymptotes=alone and which == VALUE))
    return panels


def _axis_label(first: Section) -> str:
    return f"${first.axis}$" if len(first.axis) == 1 else first.axis.replace(" - ", " \N{MINUS SIGN} ")


def _name(subject: Subject, drawn: Trace, several: bool) -> str:
    parts = [subject.function.name] if several else []
    parts += [subject.setting(subject.varied)] if subject.varied else []
    if len(subject.sections) > 1:
        parts.append(drawn.section.label.replace("-", "\N{MINUS SIGN}"))
    return ", ".join(parts)


_BRACE = ((1, 0), (0.4, 0), (0.5, 0.12), (0.5, 0.3), (0.5, 0.44), (0.4, 0.5), (0, 0.5))
"""The upper half of a curly brace of unit size, as points of Bezier curves."""


def _headings(page: Page, panels: Sequence[Panel], lefts: Sequence[float], top: float, width: float) -> float:
    """The formulas above the panels in one row, or a panel's below each other where it is too narrow."""
    columns = [[_Block(page, *heading) for heading in panel.headings] for panel in panels]
    for column in columns:
        for block in column:
            block.fit(width)
    if all(sum(b.width + GAP for b in column) - GAP <= width for column in columns):
        height = max((b.height for column in columns for b in column), default=0.0)
        for left, column in zip(lefts, columns, strict=True):
            end = left - GAP
            for i, block in enumerate(column):
                rest = sum(b.width + GAP for b in column[i:]) - GAP
                start = max(end + GAP, left + min(i * width / len(column), width - rest))
                block.place(start, top, height)
                end = start + block.width
        return top + height
    bottoms = []
    for left, column in zip(lefts, columns, strict=True):
        y = top
        for block in column:
            block.place(left, y, block.height)
            y += block.height + 12
        bottoms.append(y - 12)
    return max(bottoms)


class _Block:
    """A formula: its left-hand side, and its branches with their conditions behind a brace."""

    _SPACE, _BRACE_WIDTH, _LEADING = 18.0, 16.0, 10.0

    def __init__(self, page: Page, left: str, formula: Formula | None, colour: str) -> None:
        self.page, self.formula, self.colour, self.size = page, formula, colour, 16.0
        self.left = f"{left} $=$" if formula and left else left
        self.branches = notation.mathtext(formula) if formula else ()
        self._measure()

    def _measure(self) -> None:
        sizes = [[self.page.measure(t, self.size) for t in branch if t] for branch in self.branches]
        self.lead = self.page.measure(self.left, self.size)
        self.heights = [max(h for _, h in row) for row in sizes]
        self.values = max((row[0][0] for row in sizes), default=0.0)
        conditions = max((row[1][0] + 1.6 * self._SPACE for row in sizes if len(row) > 1), default=0.0)
        brace = self._SPACE + self._BRACE_WIDTH if conditions else 0.0
        self.offset = self.lead[0] + self._SPACE + brace
        self.width = self.offset + self.values + conditions if self.branches else self.lead[0]
        self.height = max(sum(self.heights) + self._LEADING * (len(self.heights) - 1), self.lead[1])

    def fit(self, width: float) -> None:
        """Set it smaller where it is wider than that."""
        if self.width > width:
            self.size *= width / self.width * 0.99
            self._measure()

    def place(self, x: float, y: float, height: float) -> None:
        """Draw it from there to the right, in the middle of a row of that height."""
        y += (height - self.height) / 2
        style = {"va": "center", "color": self.colour}
        self.page.text(x, y + self.height / 2, self.left, self.size, **style)
        row = y + (self.height - sum(self.heights) - self._LEADING * (len(self.heights) - 1)) / 2
        for (value, condition), height in zip(self.branches, self.heights, strict=True):
            self.page.text(x + self.offset, row + height / 2, value, self.size, **style)
            if condition:
                start = x + self.offset + self.values + 1.6 * self._SPACE
                self.page.text(start, row + height / 2, condition, self.size, **style)
            row += height + self._LEADING
        if len(self.branches) > 1:
            self._brace(x + self.lead[0] + self._SPACE, y)

    def _brace(self, x: float, y: float) -> None:
        from matplotlib.patches import PathPatch
        from matplotlib.path import Path

        upper = np.array(_BRACE)
        points = np.concatenate([upper, (upper * (1, -1) + (0, 1))[-2::-1]])
        scaled = points * (self._BRACE_WIDTH, self.height) + (x, y)
        places = np.column_stack([scaled[:, 0] / self.page.width, 1 - scaled[:, 1] / self.page.height])
        codes = [Path.MOVETO] + [Path.CURVE4] * 12
        patch = PathPatch(
            Path(places, codes), fill=False, edgecolor=self.colour, linewidth=1.4,
            transform=self.page.figure.transFigure,
        )  # fmt: skip
        self.page.figure.add_artist(patch)


def _axes(page: Page, panel: Panel, left: float, top: float, width: float) -> None:
    bottom = page.height - 104
    low = min(c.trace.low for c in panel.curves)
    high = max(c.trace.high for c in panel.curves)
    vertical = _vertical(panel.curves)
    names, size, labels = _names(page, panel.curves, _LABELS * width)
    side, anchors = _anchors(panel.curves, vertical, (top, bottom)) if labels else ("right", [])
    beside = {
        side: labels + (40 if panel.curves[0].pattern is None else 40 + KEY) if labels else 12,
        ("left" if side == "right" else "right"): TICKS,
    }
    axes = page.axes(left + beside["left"], top, left + width - beside["right"], bottom)
    axes.set_xlim(low, high)
    axes.set_ylim(*vertical)
    if side == "left":
        axes.yaxis.tick_right()
        axes.spines["left"].set_visible(False)
    axes.set_xlabel(panel.axis)
    frame(axes, page.theme)
    if panel.asymptotes:
        _asymptotes(axes, panel.curves[0].trace, page.theme)
    for curve in panel.curves:
        plot_curve(axes, curve, page.theme)
    if labels:
        edges = {"left": left + beside["left"], "right": left + width - beside["right"]}
        scale = (edges["right"] - edges["left"]) / (high - low)
        places = [(edges["left"] + (x - low) * scale, y) for x, y in anchors]
        keys = [curve.pattern for curve in panel.curves]
        way = -1 if side == "left" else 1
        label_beside(page, names, places, edges[side], way, (top, bottom), keys, size)


def _names(page: Page, curves: Sequence[Curve], width: float) -> tuple[list[tuple[str, str]], float, float]:
    """Labels of curves with their colours, their size in points, and how wide they are: at most ``width``."""
    names = [(page.shortened(curve.label, LABEL, width), curve.colour) for curve in curves]
    widest = max((page.measure(text, LABEL)[0] for text, _ in names if text), default=0.0)
    # What is still wider holds several parameters' values, none of which can be left out.
    share = min(1.0, width / widest) if widest else 1.0
    return names, share * LABEL, share * widest


@np.errstate(over="ignore", invalid="ignore")  # of values near the largest number, which are refused below
def _vertical(curves: Sequence[Curve]) -> Limits:
    """Vertical limits that hold all of what is drawn, but cut off what shoots up to infinity.

    Raises UsageError where they are beyond what an axis can show.
    """
    y = np.concatenate([c.trace.curve(c.which) for c in curves])
    marks = [v for c in curves for k in c.trace.kinks for v in (k.values if c.which == VALUE else k.slopes)]
    y = np.concatenate([y, [m for m in marks if math.isfinite(m)]])
    if not y.size:
        return -1.0, 1.0
    low, high = float(y.min()), float(y.max())
    inner_low, inner_high = np.quantile(y, (0.1, 0.9))
    # Three times the inner range leaves every polynomial up to x^4 whole, and cuts 1/p.
    reach = inner_high - inner_low
    if reach > 0 and high - inner_high > 3 * reach:
        high = float(inner_high + 0.6 * reach)
    if reach > 0 and inner_low - low > 3 * reach:
        low = float(inner_low - 0.6 * reach)
    # elu's slopes at 0 with alpha from 1 to 7 lie above nine tenths of all slopes, and are what such a family is for.
    dots = [m for c in curves for m in _declared(c) if math.isfinite(m)]
    low, high = min([low, *dots]), max([high, *dots])
    if not -_HIGHEST < low <= high < _HIGHEST:
        raise UsageError(
            f"what reaches {np.abs(y).max():.3g} cannot be drawn: choose other parameters, or another --range"
        )
    if high - low < 1e-9 * max(1.0, abs(high)):
        low, high = low - 1, high + 1
    pad = 0.1 * (high - low)
    return low - pad, high + pad


def _declared(curve: Curve) -> Iterator[float]:
    """The values, or the slopes, that the declaration gives a kink; not what is found beside a pole."""
    declared = {k[0] for k in curve.trace.section.kinks}
    for kink in curve.trace.kinks:
        if kink.at in declared:
            yield from kink.values[1:2] if curve.which == VALUE else kink.slopes


def _anchors(
    curves: Sequence[Curve], vertical: Limits, place: tuple[float, float]
) -> tuple[str, list[tuple[float, float]]]:
    """The side on which labels stand, and the point of each curve that its label means.

    The points are the ends on the right, or on the left where the curves are farther apart there: a line to a
    point within the axes would look like one of the curves. Abscissae are the axis', ordinates pixels of the page.
    """
    top, bottom = place
    low = max(c.trace.low for c in curves)
    high = min(c.trace.high for c in curves)
    x = np.linspace(low, high, 121)
    rows = []
    for curve in curves:
        across = np.concatenate([piece[0] for piece in curve.trace.pieces])
        y = np.interp(x, across, np.concatenate([piece[curve.which] for piece in curve.trace.pieces]))
        down = bottom - (np.clip(y, *vertical) - vertical[0]) / (vertical[1] - vertical[0]) * (bottom - top)
        rows.append(np.where(np.isnan(down), bottom, down))
    heights = np.sort(np.array(rows), axis=0)
    room = np.diff(heights, axis=0).min(axis=0) if len(curves) > 1 else np.full(x.size, math.inf)
    at = x.size - 1
    if room[at] < LINE and room[0] > room[at] + 1:
        at = 0
    points = [
        (
            curve.trace.low if at == 0 else curve.trace.high if at == x.size - 1 else float(x[at]),
            float(row[at]),
        )
        for curve, row in zip(curves, rows, strict=True)
    ]
    return "right" if at >= x.size // 2 else "left", points


def plot_curve(axes: Axes, curve: Curve, theme: Theme, *, width: float = 3.2, mark: float = 11.0) -> None:
    """A curve piece by piece, so that no line crosses a jump, with its kinks marked."""
    style: dict[str, Any] = {
        "color": curve.colour,
        "linewidth": width,
        "linestyle": curve.style,
        "zorder": 3,
    }
    for piece in curve.trace.pieces:
        axes.plot(piece[0], np.where(np.isfinite(piece[curve.which]), piece[curve.which], np.nan), **style)
    dot: dict[str, Any] = {
        "marker": "o", "markersize": mark, "markeredgewidth": 0.2 * mark, "linestyle": "none",
        "markeredgecolor": curve.colour, "zorder": 4,
    }  # fmt: skip
    for kink in curve.trace.kinks:
        left, here, right = kink.values if curve.which == VALUE else kink.slopes
        if curve.which == VALUE and not kink.jumps:
            axes.plot([kink.at], [here], **dot | {"markersize": 1.5 * mark}, markerfacecolor="none")
            continue
        if left == right == here:
            continue
        axes.plot([kink.at] * 2, [left, right], ":", color=curve.colour, linewidth=0.6 * width, zorder=2)
        for y in {left, right} - {here}:
            axes.plot([kink.at], [y], **dot, markerfacecolor=theme.background)
        axes.plot([kink.at], [here], **dot, markerfacecolor=curve.colour)


def _asymptotes(axes: Axes, drawn: Trace, theme: Theme) -> None:
    """Dotted lines that the curve visibly approaches without being one of them."""
    low, high = drawn.low, drawn.high
    bottom, top = axes.get_ylim()
    x = np.concatenate([piece[0] for piece in drawn.pieces])
    y = np.concatenate([piece[VALUE] for piece in drawn.pieces])
    if not np.isfinite(y).any():
        return
    for side, line in zip((-1, 1), describe(drawn.section).asymptotes, strict=True):
        if line is None or (line.slope and drawn.section.axis != "x"):
            continue
        half = (x - (low + high) / 2) * side >= 0
        apart = (y - line.slope * x - line.intercept)[half]
        at_edge = apart[0 if side < 0 else -1]
        span = top - bottom
        if abs(at_edge) > 0.08 * span or np.nanmax(np.abs(apart)) < 0.02 * span:
            continue
        ends = np.array([(low + high) / 2, low if side < 0 else high])
        axes.plot(
            ends,
            line.slope * ends + line.intercept,
            linestyle=(0, (1, 2)),
            color=theme.muted,
            linewidth=2.0,
            zorder=2,
        )
        # Without the infinity of a pole, which has either sign.
        below = float(np.nanmean(np.where(np.isfinite(apart), apart, np.nan))) > 0
        _label_asymptote(axes, line, ends, below, theme)


def _label_asymptote(axes: Axes, line: Line, ends: Array, below: bool, theme: Theme) -> None:
    """The equation on the side of the line where the curve is not."""
    share = 0.97 if line.slope == 0 else 0.6
    x = ends[0] + share * (ends[1] - ends[0])
    outward = "left" if ends[1] < ends[0] else "right"
    away = "left" if below == (line.slope > 0) else "right"
    align = away if line.slope else outward
    equation = str(line) if line.slope else f"y = {line.intercept:.4g}"
    axes.annotate(
        equation.replace("-", "\N{MINUS SIGN}"),
        (x, line.slope * x + line.intercept),
        (0 if line.slope == 0 else (8 if align == "left" else -8), -5 if below else 5),
        textcoords="offset points",
        ha=align,
        va="top" if below else "bottom",
        color=theme.muted,
        fontsize=13,
    )


_COLUMNS = 4
_TITLE, _PLOT, _FOOT = 40, 216, 50  # pixels: a panel's name, its axes, its tick labels and the gap below


def gallery(
    subjects: Sequence[Subject], theme: Theme, *, deriv: bool = False, limits: Limits | None = None
) -> Figure:
    """Small multiples of all subjects, those over the same axis together and with the same limits."""
    groups: dict[str, list[Subject]] = {}
    for subject in subjects:
        groups.setdefault(_group(subject), []).append(subject)
    rows = sum(-(-len(group) // _COLUMNS) for group in groups.values())
    height = 130 + 76 * len(groups) + rows * (_TITLE + _PLOT + _FOOT)
    with theme.applied():
        page = Page(theme, WIDTH, height)
        page.text(MARGIN, page.cursor, f"{len(subjects)} functions", 22, weight="bold")
        if deriv:
            key = page.text(WIDTH - MARGIN, page.cursor + 42, "derivative", 15, va="bottom", ha="right")
            _key(page, key, SLOPE)
            key = page.text(WIDTH - MARGIN - 330, page.cursor + 42, "function", 15, va="bottom", ha="right")
            _key(page, key, VALUE)
        page.cursor += 66
        for name, group in groups.items():
            page.text(MARGIN, page.cursor + 20, name, 16, color=theme.muted)
            page.cursor += 76
            _multiples(page, group, limits, (VALUE, SLOPE) if deriv else (VALUE,))
        return page.figure


def _group(subject: Subject) -> str:
    """The heading under which a gallery shows a function: those below it share their limits."""
    section = subject.sections[-1]
    if subject.function.kind == "activation":
        return "Activations"
    if section.axis == "pred - target":
        return "Losses over the error, pred \N{MINUS SIGN} target"
    bounded = math.isfinite(section.domain.low) and math.isfinite(section.domain.high)
    return "Losses over a probability" if bounded else "Losses over a prediction"


def _key(page: Page, word: Text, which: int) -> None:
    """A piece of line before a word, as the curves that it names are drawn."""
    box = word.get_window_extent(page.renderer)
    y = page.height - (box.y0 + box.y1) / 2
    colour = page.theme.colours[which - 1]
    page.line([(box.x0 - 80, y), (box.x0 - 14, y)], colour, 3.0, _DASHES[which])


def _multiples(page: Page, group: Sequence[Subject], limits: Limits | None, shown: Sequence[int]) -> None:
    drawn = _alike(group, limits)
    low, high = min(t.low for t in drawn), max(t.high for t in drawn)
    bottom, top = _middle(np.concatenate([t.curve(which) for t in drawn for which in shown]))
    pad = 0.12 * (top - bottom) or 1.0
    width = (page.width - 2 * MARGIN - TICKS - (_COLUMNS - 1) * GAP * 0.7) / _COLUMNS
    for i, (subject, t) in enumerate(zip(group, drawn, strict=True)):
        row, column = divmod(i, _COLUMNS)
        left = MARGIN + TICKS + column * (width + GAP * 0.7)
        above = page.cursor + row * (_TITLE + _PLOT + _FOOT)
        name = page.text(left, above + _TITLE - 6, subject.function.name, 14, va="bottom", weight="bold")
        page.fit(name, width, _SMALLEST_NAME)
        axes = page.axes(left, above + _TITLE, left + width, above + _TITLE + _PLOT)
        axes.set_xlim(low, high)
        axes.set_ylim(bottom - pad, top + pad)
        axes.locator_params(nbins=4)
        frame(axes, page.theme)
        axes.tick_params(labelsize=12, pad=5, labelleft=column == 0)
        note = t.section.label if len(subject.sections) > 1 else _axis_label(t.section)
        if note not in ("$x$", "pred \N{MINUS SIGN} target"):
            style: dict[str, Any] = {"ha": "right", "va": "top", "color": page.theme.muted, "fontsize": 12}
            axes.text(0.97, 0.95, note.replace("-", "\N{MINUS SIGN}"), transform=axes.transAxes, **style)
        for which in shown:
            plot_curve(
                axes, Curve(t, which, page.theme.colours[which - 1], ""), page.theme, width=2.6, mark=6.0
            )
    page.cursor += -(-len(group) // _COLUMNS) * (_TITLE + _PLOT + _FOOT)


def _alike(group: Sequence[Subject], limits: Limits | None) -> list[Trace]:
    """The last section of each (of a loss, at its largest target), over the same range where it exists there."""
    views = [limits_of(s.sections[-1], s.function.kind == "loss") for s in group]
    common = limits or (min(low for low, _ in views), max(high for _, high in views))
    drawn = []
    for subject, view in zip(group, views, strict=True):
        domain = subject.sections[-1].domain
        outside = max(common[0], domain.low) >= min(common[1], domain.high)
        drawn.append(trace(subject.sections[-1], *(view if outside else common)))
    return drawn


def _middle(y: Array) -> Limits:
    """Vertical limits that leave out the outer 3 %, so that one steep function does not flatten the others."""
    if not y.size:
        return -1.0, 1.0
    low, inner_low, inner_high, high = np.quantile(y, (0.03, 0.1, 0.9, 0.97)).tolist()
    reach = inner_high - inner_low
    return max(low, inner_low - reach), min(high, inner_high + reach)
