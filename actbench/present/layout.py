"""A page laid out in pixels: text, lines and axes at places, and labels beside curves that never overlap."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from actbench.present.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Text

MARGIN, GAP = 48, 40
"""Pixels round the page and between its panels."""
TICKS = 84
"""Pixels that tick labels take beside an axis."""
KEY = 84
"""Pixels that a piece of a curve takes before its label."""
LINE = 36
"""Pixels from one label beside an axis to the next."""
LABEL = 15.0
"""Points of such a label."""
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


class Page:
    """A figure that is laid out in pixels from its upper left corner."""

    def __init__(self, theme: Theme, width: int, height: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        self.theme, self.width, self.height = theme, width, height
        self.figure = theme.figure(width, height)
        canvas: Any = FigureCanvasAgg(self.figure)
        self.renderer = canvas.get_renderer()
        self.cursor = 36.0
        """How far down the page is full."""

    def text(self, x: float, y: float, text: str, size: float, **style: Any) -> Text:
        """Text at a place, its upper left corner there unless ``style`` says otherwise."""
        style = {"color": self.theme.ink, "va": "top", "ha": "left"} | style
        return self.figure.text(x / self.width, 1 - y / self.height, text, fontsize=size, **style)

    def size(self, text: Text) -> tuple[float, float]:
        """Width and height of a text in pixels."""
        box = text.get_window_extent(self.renderer)
        return box.width, box.height

    def measure(self, text: str, size: float, **style: Any) -> tuple[float, float]:
        """Width and height in pixels that a text will have."""
        probe = self.text(0, 0, text, size, **style)
        extent = self.size(probe)
        probe.remove()
        return extent

    def shortened(self, text: str, size: float, width: float, **style: Any) -> str:
        """A text without the middle of its words where it is wider than that; a formula behind them stays whole.

        Names that a user gives his variants are often alike in their beginnings, so both ends are kept.
        """
        if self.measure(text, size, **style)[0] <= width:
            return text
        words, dollar, formula = text.partition("$")

        def keeping(count: int) -> str:
            tail = count // 2
            return f"{words[: count - tail]}{ELLIPSIS}{words[len(words) - tail :]}{dollar}{formula}"

        fitting = bisect_right(
            range(len(words)), width, key=lambda count: self.measure(keeping(count), size, **style)[0]
        )
        return keeping(max(0, fitting - 1))

    def fit(self, text: Text, width: float, least: float) -> tuple[float, float]:
        """Set a text smaller where it is wider than that, and shorten it rather than go below ``least`` points.

        Its width and height are returned.
        """
        wide = self.size(text)[0]
        if wide > width:
            size = float(text.get_fontsize()) * width / wide
            text.set_fontsize(max(size, least))
            if size < least:
                text.set_text(self.shortened(text.get_text(), least, width, weight=text.get_fontweight()))
        return self.size(text)

    def paragraph(self, x: float, y: float, text: str, size: float, width: float, **style: Any) -> float:
        """Text in lines of at most that many pixels, each a text of its own; where the next line would begin."""
        lines = self._lines(text.split(), size, width)
        leading = 1.32 * size * self.figure.dpi / 72
        for i, line in enumerate(lines):
            self.text(x, y + i * leading, self.shortened(line, size, width), size, **style)
        return y + len(lines) * leading

    def beginning(self, text: str, size: float, width: float, most: int) -> str:
        """As much of a text as a paragraph of so many lines holds, with an ellipsis for the rest."""
        words = text.split()
        if len(self._lines(words, size, width)) <= most:
            return text
        fitting = bisect_right(
            range(1, len(words)),
            most,
            key=lambda count: len(self._lines([*words[:count], ELLIPSIS], size, width)),
        )
        return " ".join([*words[: max(1, fitting)], ELLIPSIS])

    def _lines(self, words: Iterable[str], size: float, width: float) -> list[str]:
        """Words in lines that are no wider than that unless a word alone is."""
        line, lines = "", []
        for word in words:
            longer = f"{line} {word}".strip()
            if line and self.measure(longer, size)[0] > width:
                lines.append(line)
                longer = word
            line = longer
        return [*lines, line]

    def heading(self, title: str, subtitle: str) -> None:
        """What the picture is, in bold, and what it shows, muted and in as many lines as that takes."""
        height = self.size(self.text(MARGIN, self.cursor, title, 22, weight="bold"))[1]
        width = self.width - 2 * MARGIN
        style = {"color": self.theme.muted}
        self.cursor = self.paragraph(MARGIN, self.cursor + height + 10, subtitle, 14, width, **style) + 12

    def box(
        self,
        place: tuple[float, float, float, float],
        fill: str,
        edge: str | None = None,
        width: float = 0.0,
    ) -> None:
        """A filled rectangle: left, top, right and bottom on the page."""
        from matplotlib.patches import Rectangle

        left, top, right, bottom = place
        self.figure.add_artist(
            Rectangle(
                (left / self.width, 1 - bottom / self.height),
                (right - left) / self.width,
                (bottom - top) / self.height,
                facecolor=fill,
                edgecolor=edge or "none",
                linewidth=width,
                transform=self.figure.transFigure,
            )
        )

    def dot(self, x: float, y: float, marker: str, colour: str, size: float = 9.0) -> None:
        """A marker at a place on the page."""
        from matplotlib.lines import Line2D

        place = [x / self.width], [1 - y / self.height]
        self.figure.add_artist(Line2D(*place, color=colour, marker=marker, markersize=size, linestyle=""))

    def line(
        self, points: Iterable[tuple[float, float]], colour: str, width: float = 1.0, style: Any = "-"
    ) -> None:
        """A line through places on the page."""
        from matplotlib.lines import Line2D

        x, y = zip(*points, strict=True)
        places = [v / self.width for v in x], [1 - v / self.height for v in y]
        self.figure.add_artist(Line2D(*places, color=colour, linewidth=width, linestyle=style))

    def axes(self, left: float, top: float, right: float, bottom: float) -> Axes:
        """Axes between four places on the page."""
        return self.figure.add_axes(
            (
                left / self.width,
                1 - bottom / self.height,
                (right - left) / self.width,
                (bottom - top) / self.height,
            )
        )


def frame(axes: Axes, theme: Theme) -> None:
    """The lines x = 0 and y = 0 and as many ticks as stay readable."""
    axes.axhline(0, color=theme.muted, linewidth=1.0, zorder=1)
    axes.axvline(0, color=theme.muted, linewidth=1.0, zorder=1)
    axes.tick_params(length=0, pad=8)
    for spine in axes.spines.values():
        spine.set_visible(False)


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places moved as little as possible so that they are ``gap`` apart, between ``low`` and ``high``."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    blocks: list[list[float]] = []  # [sum of shifted places, count]: isotonic regression pools neighbours
    for rank, i in enumerate(order):
        blocks.append([places[i] - rank * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, count = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += count
    shifted = [total / count for total, count in blocks for _ in range(int(count))]
    last = high - (len(places) - 1) * gap
    result = [0.0] * len(places)
    for rank, i in enumerate(order):
        result[i] = max(low, min(shifted[rank], last)) + rank * gap
    return result


def label_beside(
    page: Page,
    labels: Sequence[tuple[str, str]],
    anchors: Sequence[tuple[float, float]],
    edge: float,
    way: int,
    place: tuple[float, float],
    keys: Sequence[Any] = (),
    size: float = LABEL,
) -> None:
    """Labels (text and colour) beside a panel's edge, with lines to their anchors unless they stand right there.

    ``keys`` are line styles to show before the labels; with them the lines to the anchors are thin and grey.

    ``way`` is 1 right of the panel and -1 left of it; ``place`` is the panel's top and bottom; all in pixels.
    """
    top, bottom = place[0] + LINE / 2, place[1] - LINE / 2
    heights = spread([y for _, y in anchors], LINE, top, bottom)
    near = all(abs(x - edge) < 2 and abs(y - at) < 4 for (x, y), at in zip(anchors, heights, strict=True))
    keyed = any(key is not None for key in keys)
    for i, ((text, colour), (x, y), at) in enumerate(zip(labels, anchors, heights, strict=True)):
        if not near:
            ink, width = (page.theme.muted, 0.8) if keyed else (colour, 1.2)
            page.line([(x, y), (edge + 4 * way, y), (edge + 20 * way, at)], ink, width)
        start = edge + (12 if near else 28) * way
        if keyed:
            page.line([(start, at), (start + (KEY - 10) * way, at)], colour, 3.0, keys[i])
            start += KEY * way
        style = {"color": colour, "va": "center", "ha": "left" if way > 0 else "right"}
        page.text(start, at, text, size, **style)
