"""Functions by providers: how many times as long as ours a peer's call takes, as numbers on colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log2
from typing import TYPE_CHECKING

from actbench.bench.comparison import Comparison, closest, geometric_mean, providers
from actbench.bench.run import Measurement, Run
from actbench.catalog.errors import UsageError
from actbench.catalog.registry import declarations
from actbench.present import choice, quantity
from actbench.present.choice import OPEN, Choice
from actbench.present.labels import distinct, processor, span
from actbench.present.layout import MARGIN, Page
from actbench.present.theme import WIDTH, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW, _HEADING, _GAP, _BETWEEN, _WIDEST = 38, 54, 3, 32, 168
"""Pixels of a row, of a group's heading, between two cells, between two passes, and of the widest column."""
_FULL = 3.0
"""Powers of two that a ratio is from 1 where its colour is at its strongest."""
_SHADES = 0.15, 0.55
"""How much of that strongest colour there is in the weakest and in the next but strongest one."""
_NO_CALL, _OTHER_VALUES, _SAME = "-", "\N{NOT EQUAL TO}", "same"
# Neither is an ink of a theme: where a page exchanges those, text keeps its contrast with the colour under it.
_BLACK, _WHITE = "#0c0c0c", "#fcfcfc"


@dataclass(frozen=True)
class Square:
    """What a map shows of one peer's calls of one function, or of all of them."""

    text: str
    ratio: float | None = None  # None where nothing was compared
    compared: int = 0
    """Sizes, or cells, that the ratio is the mean of."""
    mixed: bool = False
    """Whether the peer is the faster one at some of them and the slower one at others."""

    @property
    def lost(self) -> bool:
        """Whether the peer is the faster one."""
        return not self.mixed and self.text != _SAME and self.ratio is not None and self.ratio < 1


def heatmap(run: Run, theme: Theme, names: Iterable[str] = (), asked: Choice = OPEN) -> Figure:
    """The geometric mean over sizes of the peers' times by ours, like calls compared: a row for each function.

    Of one dtype and thread count; every pass that peers have is there unless one is asked for. Raises UsageError for
    what the run does not hold, and where no peer was compared.
    """
    wanted = choice.functions(run, names)
    cells = choice.only([m for m in run.sized if m.cell.function in wanted], asked)
    if not providers(cells):
        raise UsageError("the run holds no peers to compare with: measure with --against auto")
    chosen = choice.settle([m for m in cells if providers([m])], asked, every_pass=True)
    shown = tuple(filter(chosen.holds, cells))
    columns = [
        (pass_, peer)
        for pass_ in distinct(m.cell.pass_ for m in shown)
        for peer in providers(m for m in shown if m.cell.pass_ == pass_)
    ]
    groups = _groups(distinct(m.cell.function for m in shown))
    found = {
        (function, *column): square(
            [m for m in shown if (m.cell.function, m.cell.pass_) == (function, column[0])], column[1]
        )
        for rows in groups.values()
        for function in rows
        for column in columns
    }
    means = {
        column: _mean(_compared([m for m in shown if m.cell.pass_ == column[0]], column[1]))
        for column in columns
    }
    with theme.applied():
        return _draw(run, theme, _Map(chosen, columns, groups, found, means, shown))


def square(cells: Sequence[Measurement], peer: str) -> Square:
    """What the calls of a peer in the cells of one function come to.

    "same" where at more than half of the sizes the interval of the ratio holds 1. A mean of sizes that disagree keeps
    its number, and ranks nobody.
    """
    found = _compared(cells, peer)
    if not found and any(c.mismatch for m in cells for c in m.contenders if c.provider == peer):
        return Square(_OTHER_VALUES)
    mean, verdicts = _mean(found), Counter(c.verdict for c in found)
    if 2 * verdicts["same"] > len(found):
        return replace(mean, text=_SAME)
    return replace(mean, mixed=bool(verdicts["ahead"] and verdicts["behind"]))


def _mean(found: Sequence[Comparison]) -> Square:
    if not found:
        return Square(_NO_CALL)
    mean = geometric_mean([c.ratio.value for c in found])
    return Square(_number(mean), mean, len(found))


def _compared(cells: Iterable[Measurement], peer: str) -> list[Comparison]:
    return [c for m in cells if (c := closest(m, peer))]


def _number(ratio: float) -> str:
    return quantity.number(ratio) if ratio < 1e5 else f"{ratio:.0e}".replace("e+0", "e")


def _groups(functions: Sequence[str]) -> Mapping[str, list[str]]:
    """The functions by kind, in their order; those that the catalogue does not know come last."""
    kinds = {d.name: d.kind for d in declarations()}
    titles = {"activation": "Activations", "loss": "Losses", "": "Others"}
    groups = {title: [f for f in functions if kinds.get(f, "") == kind] for kind, title in titles.items()}
    return {title: members for title, members in groups.items() if members}


@dataclass(frozen=True)
class _Map:
    chosen: Choice
    columns: Sequence[tuple[str, str]]
    """Pass and provider."""
    groups: Mapping[str, Sequence[str]]
    squares: Mapping[tuple[str, str, str], Square]
    means: Mapping[tuple[str, str], Square]
    cells: Sequence[Measurement]

    @cached_property
    def _most(self) -> Mapping[str, int]:
        """The most sizes that a square of each pass is the mean of."""
        passes = distinct(pass_ for pass_, _ in self.columns)
        return {p: max(s.compared for (_, held, _), s in self.squares.items() if held == p) for p in passes}

    def fewer(self, function: str, pass_: str, peer: str) -> bool:
        """Whether a square is the mean of fewer sizes than another one of its pass."""
        return 0 < self.squares[function, pass_, peer].compared < self._most[pass_]


def _draw(run: Run, theme: Theme, shown: _Map) -> Figure:
    rows = sum(map(len, shown.groups.values()))
    # The height is known only when the texts above the map are laid out: they are, once, on a page that is thrown away.
    head, foot = _head(Page(theme, WIDTH, 900), run, shown), 34
    height = head + (rows + 3) * _ROW + len(shown.groups) * _HEADING + foot
    page = Page(theme, WIDTH, round(height))
    top = _head(page, run, shown)
    places = _places(page, shown)
    for title, functions in shown.groups.items():
        page.text(MARGIN, top + _HEADING - 8, title, 13, weight="bold", va="bottom")
        top += _HEADING
        for function in functions:
            page.text(MARGIN, top + _ROW / 2, function, 12, va="center_baseline")
            for column, (left, right) in places.items():
                square = shown.squares[function, *column]
                ink = _square(page, square, left, top, right)
                if shown.fewer(function, *column):
                    page.dot(right - 10, top + 10, "o", ink, 3)
            top += _ROW
    top += _ROW / 2
    page.line(
        [(MARGIN, top - _ROW / 4), (max(right for _, right in places.values()), top - _ROW / 4)], theme.muted
    )
    page.text(MARGIN, top + _ROW / 2, "geometric mean", 12, weight="bold", va="center_baseline")
    for column, (left, right) in places.items():
        _square(page, shown.means[column], left, top, right)
        count, style = shown.means[column].compared, {"ha": "center", "color": theme.muted}
        page.text((left + right) / 2, top + 1.5 * _ROW, f"{count}", 12, va="center_baseline", **style)
    style = {"color": theme.muted}
    page.text(MARGIN, top + 1.5 * _ROW, "cells compared", 12, va="center_baseline", **style)
    return page.figure


def _head(page: Page, run: Run, shown: _Map) -> float:
    """Title, caption, key and the names of the columns; where the rows begin."""
    page.heading(
        "The peers' time by actbench's",
        f"{shown.chosen}: geometric mean over the sizes that were compared, of {span(shown.cells)}, "
        f"on {processor(run)}, {run.created[:10]}",
    )
    page.cursor = _key(page) + 14
    compared = [c for m in shown.cells for peer in providers(shown.cells) if (c := closest(m, peer))]
    verdicts = Counter(c.verdict for c in compared)
    text = (
        "Both calls allocate, or both are given out=: what is the better for the peer. Same: at more than half of "
        f"the sizes the 95 % interval holds 1. {_NO_CALL}: the peer has no such call. {_OTHER_VALUES}: its values are "
        f"not ours. Of {len(compared):,} comparisons in {len(shown.cells):,} cells actbench is ahead in "
        f"{verdicts['ahead']:,}, the same in {verdicts['same']:,}, behind in {verdicts['behind']:,}."
    )
    if any(square.mixed for square in shown.squares.values()):
        text += " A number in grey: the peer is faster at some sizes and slower at others."
    if any(shown.fewer(*place) for place in shown.squares):
        text += " A dot in the corner: compared at fewer sizes than others of its pass."
    muted = {"color": page.theme.muted}
    y = page.paragraph(MARGIN, page.cursor, text, 12, page.width - 2 * MARGIN, **muted) + 16
    return _titles(page, shown, y)


def _titles(page: Page, shown: _Map, y: float) -> float:
    """The passes and, below each, its providers: upright where a column is narrower than a name."""
    places = _places(page, shown)
    widest = max(page.measure(peer, 12)[0] for _, peer in shown.columns)
    narrow = min(right - left for left, right in places.values())
    for pass_ in distinct(pass_ for pass_, _ in shown.columns):
        own = [place for column, place in places.items() if column[0] == pass_]
        page.text(own[0][0], y, pass_, 14, weight="bold")
    y += 40
    upright = widest > narrow
    bottom = y + (widest + 6 if upright else 30)
    for (_, peer), (left, right) in places.items():
        page.text(
            (left + right) / 2, bottom, peer, 12, ha="center", va="bottom", rotation=90 if upright else 0
        )
    return bottom - 8


def _places(page: Page, shown: _Map) -> Mapping[tuple[str, str], tuple[float, float]]:
    """Left and right of each column."""
    names = [function for members in shown.groups.values() for function in members]
    words = [page.measure(name, 12)[0] for name in names]
    words.append(page.measure("geometric mean", 12.7)[0])
    start = MARGIN + max(words) + 20
    passes = distinct(pass_ for pass_, _ in shown.columns)
    room = page.width - MARGIN - start - _BETWEEN * (len(passes) - 1)
    width = min(room / len(shown.columns), _WIDEST)
    return {
        column: (
            start + i * width + passes.index(column[0]) * _BETWEEN,
            start + (i + 1) * width + passes.index(column[0]) * _BETWEEN,
        )
        for i, column in enumerate(shown.columns)
    }


def _key(page: Page) -> float:
    """Some ratios in their colours, between words that say whose they are; where that ends."""
    y, middle = page.cursor, page.cursor + _ROW / 2
    word = page.text(MARGIN, middle, "peer faster", 12, va="center_baseline")
    x = MARGIN + page.size(word)[0] + 14
    for power in (-2, -1, 0, 1, 2, 3):
        text = f"{2.0**power:g}{'+' if power == _FULL else ''}" if power else _SAME
        _square(page, Square(text, 2.0**power), x, y, x + 82)
        x += 88
    word = page.text(x + 8, middle, "actbench faster", 12, va="center_baseline")
    x += 8 + page.size(word)[0] + 48
    page.text(x, middle, "outlined: the peer is faster", 12, va="center_baseline", weight="bold")
    return y + _ROW


def _square(page: Page, shown: Square, left: float, top: float, right: float) -> str:
    """A number on its colour; the colour of the number."""
    theme, colour = page.theme, page.theme.muted
    if shown.ratio is not None:
        place = left + _GAP / 2, top + _GAP / 2, right - _GAP / 2, top + _ROW - _GAP / 2
        fill = _fill(1.0 if shown.mixed or shown.text == _SAME else shown.ratio, theme)
        colour = max(_BLACK, _WHITE, key=lambda ink: _contrast(ink, fill))
        page.box(place, fill, theme.ink if shown.lost else None, 2.4)
    weight = "bold" if shown.lost else "normal"
    style = {"ha": "center", "va": "center_baseline", "color": colour, "weight": weight}
    # Bold digits are wider: these stay clear of the outline.
    page.text((left + right) / 2, top + _ROW / 2, shown.text, 10.5 if shown.lost else 12, **style)
    return colour


def _fill(ratio: float, theme: Theme) -> str:
    """From the grid's grey to our colour where ours is faster, to the second one where the peer is."""
    from matplotlib.colors import to_hex, to_rgb

    way = max(-1.0, min(1.0, log2(ratio) / _FULL))
    strongest = to_rgb(theme.colours[0 if way > 0 else 1])
    # The strongest stands apart: text on the shades in between would be hard to read in black and in white. Neither
    # end is quite a colour of the theme, for the same reason as above.
    part = 0.02 if way == 0 else 0.98 if abs(way) == 1 else _SHADES[0] + (_SHADES[1] - _SHADES[0]) * abs(way)
    r, g, b = (weak + (s - weak) * part for weak, s in zip(to_rgb(theme.grid), strongest, strict=True))
    return to_hex((r, g, b))


def _contrast(one: str, other: str) -> float:
    """The ratio of luminances of two colours as WCAG 2 defines it."""
    low, high = sorted(map(_luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    from matplotlib.colors import to_rgb

    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
