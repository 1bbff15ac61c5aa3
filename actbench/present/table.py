"""Tables of formatted text, for the terminal, Markdown, HTML and CSV."""

from __future__ import annotations

import csv as csv_module
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape as html_escape
from typing import TYPE_CHECKING, Literal

from actbench.present.fitting import Fitted, Words
from actbench.wording import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 80
"""Characters a line; seven columns of figures fit."""


@dataclass(frozen=True)
class Column:
    """A column's heading, its unit, the side on which its cells stand, and whether its text may be wrapped.

    Figures on the right never are.
    """

    title: str
    unit: str = ""
    align: Literal["left", "right"] = "right"
    wrap: bool = True

    @property
    def folds(self) -> bool:
        """Whether its cells may take several lines."""
        return self.wrap and self.align == "left"

    @property
    def heading(self) -> str:
        """Title and unit in one line."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Table:
    """Rows of formatted text under named columns.

    Raises ValueError where a row has another number of cells than there are columns.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: {len(row)} cells under {len(self.columns)} columns: {row}")


def terminal(table: Table) -> RenderableType:
    """The table for a rich console; units stand under the titles, long text wraps."""
    from rich.console import Group

    parts: list[RenderableType] = [Words(table.title, "bold")] if table.title else []
    parts += [Fitted(table.columns, table.rows), *([Words(table.caption, "dim")] if table.caption else [])]
    return Group(*parts)


def defused(text: str) -> str:
    """Text as Markdown, in one line or one cell: what would end it, start markup or name a user is defused."""
    text = printable(text)
    for character in "\\|`*<":
        text = text.replace(character, f"\\{character}")
    # An underscore within a word is no markup, but the first or last of one may be; @ names a user.
    text = re.sub(r"(?<!\w)_|_(?!\w)|__+", lambda found: found[0].replace("_", "\\_"), text)
    return " ".join(re.sub(r"(?<!\S)@", "@\u2060", text).split())


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown, aligned in the source too; ends with a line end."""
    cells = [[defused(c.heading) for c in table.columns], *([defused(c) for c in row] for row in table.rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(table.columns))]
    right = [column.align == "right" for column in table.columns]

    def line(row: Sequence[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = line(["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)])
    body = "\n".join([line(cells[0]), rule, *map(line, cells[1:])])
    title = f"**{defused(table.title)}**\n\n" if table.title else ""
    caption = "".join(f"\n{defused(line)}\n" for line in table.caption.splitlines())
    return f"{title}{body}\n{caption}"


def html(table: Table) -> str:
    """The table as an HTML element, escaped; the first column heads its rows, the caption stands above them all."""
    sides = ["" if column.align == "left" else ' class="figure"' for column in table.columns]

    def cells(row: Sequence[str]) -> str:
        first, *rest = zip(row, sides, strict=True)
        head = f'<th scope="row"{first[1]}>{escape(first[0])}</th>'
        return head + "".join(f"<td{side}>{escape(text)}</td>" for text, side in rest)

    heads = "".join(
        f'<th scope="col"{side}>{escape(column.title)}{_unit(column)}</th>'
        for column, side in zip(table.columns, sides, strict=True)
    )
    caption = "\n".join(filter(None, (table.title, table.caption)))
    body = "\n".join(f"<tr>{cells(row)}</tr>" for row in table.rows)
    return (
        f"<table>{f'<caption>{escape(caption)}</caption>' if caption else ''}\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table>\n"
    )


def escape(text: str) -> str:
    """Text as HTML, all of it printable."""
    return html_escape(printable(text))


def _unit(column: Column) -> str:
    return f" <small>{escape(column.unit)}</small>" if column.unit else ""


def csv(table: Table) -> str:
    """The table as CSV with one heading row; title and caption are left out."""
    return csv_text([[c.heading for c in table.columns], *table.rows])


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows of any values as CSV (RFC 4180 quoting, but lines end in a newline alone)."""
    text = io.StringIO()
    csv_module.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
