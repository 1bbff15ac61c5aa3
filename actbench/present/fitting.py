"""What a terminal of any width shows: text folds between words and after slashes; words and figures stay whole.

What is wider than the terminal even so overflows its line, which a terminal wraps and a pager scrolls. rich would cut
it instead, and 1000 that is cut to 100 is a wrong figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actbench.wording import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from actbench.present.table import Column

_LEAST = 12
"""Characters that a column of text keeps on the narrowest terminal: two or three words, not one letter."""
_LONGEST = 48
"""Characters that no name has: a word beyond is broken, or one in a foreign message would stretch a whole table."""
_PIECE = re.compile(r"[^/]*/+|[^/]+")


@dataclass(frozen=True)
class Fitted:
    """Rows under columns, with their headings or without them, ``gap`` characters apart."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    headed: bool = True
    gap: int = 2

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich import box
        from rich.table import Table as Grid
        from rich.text import Text

        widths, gap = self._layout(options.max_width)
        # A box has a character of its own between columns.
        look = (
            Grid(
                box=box.SIMPLE_HEAD,
                padding=(0, gap - 1, 0, 0),
                pad_edge=False,
                show_edge=False,
                header_style="bold",
            )
            if self.headed
            else Grid.grid(padding=(0, gap, 0, 0))
        )
        units = any(column.unit for column in self.columns)
        for column, width in zip(self.columns, widths, strict=True):
            heading = Text(folded(column.title, width))
            if units:
                heading.append(f"\n{column.unit}", "not bold dim")
            look.add_column(heading, justify=column.align, width=width)
        for row in self.rows:
            look.add_row(*(Text(folded(text, width)) for text, width in zip(row, widths, strict=True)))
        whole = sum(widths) + gap * (len(widths) - 1)
        yield from console.render(look, options.update(width=max(options.max_width, whole)))

    def _layout(self, room: int) -> tuple[list[int], int]:
        """The columns' widths, and what lies between them: text gives way, the widest first, to what its words need."""
        lines = [
            [
                *column.title.splitlines(),
                column.unit,
                *(line for row in self.rows for line in row[i].splitlines()),
            ]
            for i, column in enumerate(self.columns)
        ]
        widths = [_widest(own) for own in lines]
        least = [
            min(width, max(_LEAST, _widest(_whole(own)))) if column.folds else width
            for column, own, width in zip(self.columns, lines, widths, strict=True)
        ]
        gaps = len(widths) - 1
        # One blank is enough where it is what makes the columns fit.
        gap = 1 if sum(least) + gaps <= room < sum(least) + gaps * self.gap else self.gap
        while sum(widths) + gaps * gap > room:
            wide = [i for i, width in enumerate(widths) if width > least[i]]
            if not wide:
                break
            widths[max(wide, key=widths.__getitem__)] -= 1
        return widths, gap


@dataclass(frozen=True)
class Words:
    """Lines of text in one style."""

    text: str
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        yield Text(folded(self.text, options.max_width), self.style, no_wrap=True, overflow="ignore")


@dataclass(frozen=True)
class Indented:
    """Something with blanks before each of its lines, however long those are."""

    content: RenderableType
    by: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        inner = options.update(width=max(1, options.max_width - self.by))
        for line in Segment.split_lines(console.render(self.content, inner)):
            yield from (Segment(" " * self.by), *line, Segment.line())


@dataclass(frozen=True)
class Printable:
    """Something without the control characters in its text, which may come from a file: they command a terminal."""

    content: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        for segment in console.render(self.content, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def folded(text: str, width: int) -> str:
    """Text in lines of that many characters; a longer word folds after slashes, and what is left of it stays whole."""
    return "\n".join(line for paragraph in text.splitlines() for line in _lines(paragraph, width))


def _lines(paragraph: str, width: int) -> Iterator[str]:
    from rich.cells import cell_len

    line = ""
    for word in re.findall(r"\s*\S+", paragraph):
        if line and cell_len(line + word) > width:
            yield line
            line, word = "", word.lstrip()
        for piece in [word] if cell_len(line + word) <= width else _broken(word, width):
            if line and cell_len(line + piece) > width:
                yield line
                line = ""
            line += piece
    yield line


def _broken(word: str, width: int) -> Iterator[str]:
    for piece in _PIECE.findall(word):
        step = width if len(piece) > _LONGEST else len(piece)
        yield from (piece[i : i + step] for i in range(0, len(piece), step))


def _whole(lines: Sequence[str]) -> Iterator[str]:
    """What of some lines is never broken."""
    pieces = (piece for line in lines for word in line.split() for piece in _PIECE.findall(word))
    return (piece for piece in pieces if len(piece) <= _LONGEST)


def _widest(lines: Iterable[str]) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, lines), default=0)
