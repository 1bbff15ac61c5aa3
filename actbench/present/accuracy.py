"""Plots of audits: errors against the input, from the largest negative number to the largest positive one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from actbench.present import quantity
from actbench.present.audits import share, subject
from actbench.present.labels import distinct
from actbench.present.layout import MARGIN, TICKS, Page
from actbench.present.providers import SOLID, Look, looks
from actbench.present.theme import HEIGHT, WIDTH, Theme
from actbench.verify.findings import DERIVATIVE, FORWARD, OURS, Audit
from actbench.verify.rounding import FORMATS, Format

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAIN = ("float32", "float64", "float16", "bfloat16")
"""The dtype that is drawn: the first of these that was audited."""
_BEND = 10.0
"""Exponents up to here take the same room, larger ones less and less: in between most functions do something."""
_DECADES = (0, -3, 3, -10, 10, -30, 30, -100, 100, -300, 300, -1, 1, -5, 5)
"""Powers of 10 that are marked, the more important first, as far as there is room."""
_LINEAR = 0.4
"""How much room errors up to twice the bound take beside those above, of which each power of 10 takes as much."""


def figures(audits: Iterable[Audit], theme: Theme) -> dict[str, Figure]:
    """A figure for each function (and setting of its parameters) that maps elements, by the name of its file."""
    shown = [
        a
        for a in audits
        if a.case.pass_ in (FORWARD, DERIVATIVE) and a.where and a.where[0].name != "element"
    ]
    found = {}
    for name in distinct(map(subject, shown)):
        own = [a for a in shown if subject(a) == name]
        dtype = next(d for d in MAIN if any(a.case.dtype == d for a in own))
        found[name.replace(", ", "-")] = errors([a for a in own if a.case.dtype == dtype], theme)
    return found


def errors(audits: Sequence[Audit], theme: Theme) -> Figure:
    """The errors of one function in one dtype by the input's exponent: a panel a pass, peers over ours."""
    drawn = looks(distinct(a.provider for a in audits), theme)
    passes = distinct(a.case.pass_ for a in audits)
    with theme.applied():
        page = Page(theme, WIDTH, HEIGHT)
        _title(page, audits)
        bottom = page.height - 112.0
        height = (bottom - page.cursor) / len(passes)
        for i, pass_ in enumerate(passes):
            panel = [a for a in audits if a.case.pass_ == pass_]
            top = page.cursor + i * height
            below = _key(page, panel, drawn, top + 12)
            axes = page.axes(MARGIN + TICKS, below + 8, page.width - MARGIN - 8, top + height - 22)
            _panel(axes, panel, drawn, theme, FORMATS[audits[0].case.dtype], last=i == len(passes) - 1)
        name = audits[0].where[0].name
        name = f"${name}$" if len(name) == 1 else name
        for text, share in (("negative", 0.25), ("positive", 0.75)):
            middle = MARGIN + TICKS + share * (page.width - 2 * MARGIN - TICKS - 8)
            page.text(middle, page.height - 62, f"{text} {name}", 14, ha="center")
        return page.figure


def _title(page: Page, audits: Sequence[Audit]) -> None:
    first = audits[0]
    name = page.text(MARGIN, page.cursor, first.case.function, 22, weight="bold")
    width, height = page.size(name)
    given = ", ".join(f"{name} = {value}" for name, value in first.case.settings)
    page.text(MARGIN + width + 28, page.cursor + height, f"{first.case.dtype}  {given}", 18, va="bottom")
    page.cursor += height + 8
    text = f"Error in ULP of each binary exponent, at {first.inputs:,} inputs: largest filled, mean a line"
    if any(a.provider != OURS for a in audits):
        text = f"Largest error in ULP of each binary exponent, at {first.inputs:,} inputs; ours filled, with the mean"
    page.text(MARGIN, page.cursor, text, 14, color=page.theme.muted)
    page.cursor += 40


def _key(page: Page, audits: Sequence[Audit], drawn: Mapping[str, Look], top: float) -> float:
    """The pass, and who erred by how much, in the colour of the curve, in lines; the height where they end."""
    words = [(audits[0].case.pass_, page.theme.ink)]
    for a in audits:
        look = drawn[a.provider]
        text = f"{a.provider if len(audits) > 1 else 'largest'}  {quantity.number(a.judged)}"
        text += f" ULP, {share(a)} % correctly rounded" if len(audits) < 3 else ""
        text += f", {quantity.count(a.wrong)} NaN or infinite" if a.wrong and len(audits) < 5 else ""
        words.append((text if look.dash == SOLID else f"- - {text}", look.colour))
    gap, size, line = (32.0, 14.0, 34.0) if len(audits) < 5 else (24.0, 12.0, 28.0)
    x = float(MARGIN)
    for i, (text, colour) in enumerate(words):
        if x + page.measure(text, size)[0] > page.width - MARGIN:
            x, top = MARGIN + 24.0, top + line
        placed = page.text(x, top, text, size, color=colour, weight="normal" if i else "bold")
        x += page.size(placed)[0] + gap
    return top + line


def _panel(
    axes: Axes,
    audits: Sequence[Audit],
    drawn: Mapping[str, Look],
    theme: Theme,
    format: Format,
    *,
    last: bool,
) -> None:
    declared, highest = math.isfinite(audits[0].bound), max(a.judged for a in audits)
    bound = audits[0].bound if declared else 1.0
    far = _place(format.largest + 1, format)
    axes.set_xlim(-far, far)
    if highest > 4 * bound:
        top = 4 * highest
        decades = math.log10(top / (2 * bound))
        axes.set_yscale("symlog", linthresh=2 * bound, linscale=_LINEAR * decades)
        every = math.ceil(decades / 4)
        powers = np.arange(every, math.log10(top), every)
        axes.set_yticks([0, bound, *(10**powers)])
    else:
        top = max(1.25 * bound, 1.15 * highest)
        axes.set_yticks(np.arange(0, top, 0.5 if top > 0.6 else 0.1))
    axes.set_ylim(0, top)
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}" if y < 1e3 else f"$10^{{{math.log10(y):g}}}$")
    axes.yaxis.set_minor_locator(_no_ticks())
    ticks = _ticks(format)
    axes.set_xticks([0.0, *(side * x for side in (-1, 1) for x in ticks)])
    axes.set_xticklabels(["0", *ticks.values(), *ticks.values()] if last else [])
    axes.tick_params(length=0, pad=8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.axhline(0, color=theme.muted, linewidth=1.0, zorder=2)
    axes.axvline(0, color=theme.muted, linewidth=1.0, zorder=2)
    if declared:
        axes.axhline(bound, color=theme.ink, linewidth=1.4, linestyle=(0, (6, 3)), zorder=2)
    note: dict[str, Any] = {
        "xytext": (-4, 4),
        "textcoords": "offset points",
        "ha": "right",
        "color": theme.ink,
    }
    if declared:
        axes.annotate(f"bound {bound:g}", (far, bound), fontsize=12, **note)
    for a in sorted(audits, key=lambda a: a.provider != OURS):
        _curves(axes, a, drawn[a.provider], top, format)


def _curves(axes: Axes, audit: Audit, look: Look, top: float, format: Format) -> None:
    """The largest errors as steps, filled where they are ours, the mean, and crosses where results are wrong."""
    ours, colour = audit.provider == OURS, look.colour
    for negative in (True, False):
        bins = [b for b in audit.profile if b.negative == negative and format.contains(b.exponent)]
        if not bins:
            continue
        bins.sort(key=lambda b: -b.exponent if negative else b.exponent)
        side = -1 if negative else 1
        edges = [side * _place(b.exponent + negative, format) for b in bins]
        edges.append(side * _place(bins[-1].exponent + (not negative), format))
        middles = (np.array(edges[1:]) + np.array(edges[:-1])) / 2
        largest = [b.largest for b in bins]
        if ours:
            axes.stairs(largest, edges, fill=True, color=colour, alpha=0.35, linewidth=0, zorder=3)
            axes.plot(middles, [b.mean for b in bins], color=colour, linewidth=1.8, zorder=4)
        else:
            axes.stairs(
                largest, edges, baseline=None, color=colour, linestyle=look.dash, linewidth=1.8, zorder=3
            )
        wrong = [x for x, b in zip(middles, bins, strict=True) if b.wrong]
        axes.plot(wrong, [top] * len(wrong), "x", color=colour, markersize=8, clip_on=False, zorder=5)


def _place(exponent: float, format: Format) -> float:
    """Where numbers of a binary exponent begin on the positive half of the axis; 0 is where the least one does."""
    least = format.least - format.places + 1
    return math.asinh(exponent / _BEND) - math.asinh(least / _BEND)


def _ticks(format: Format) -> Mapping[float, str]:
    """Places on the positive half of the axis, and the powers of 10 that they are."""
    far, found = _place(format.largest + 1, format), dict[float, str]()
    for decade in _DECADES:
        x = _place(decade / math.log10(2), format)
        if 0.07 * far < x <= far and all(abs(x - other) > 0.08 * far for other in found):
            found[x] = f"$10^{{{decade}}}$" if decade else "$1$"
    return found


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()
