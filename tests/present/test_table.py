"""Tables in every format: what a cell may hold, and how wide it may get."""

from __future__ import annotations

import csv as csv_module
import io
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.present import output
from actbench.present.table import WIDTH, Column, Table, csv, html, markdown, terminal

COLUMNS = (Column("function", align="left"), Column("time", "ns/element"))
PLAIN = Table("Times", COLUMNS, (("relu", "0.123"), ("gelu", "12.0")), "two cells")
NASTY = [
    "a|b",
    "a\\|b",
    "*bold*",
    "`code`",
    "<b>",
    'say "hi"',
    "a,b",
    "two\nlines",
    "",
    "ü ∂",
    "[red]x[/red]",
]


def test_markdown_is_a_github_table_aligned_in_its_source():
    assert markdown(PLAIN) == (
        "**Times**\n\n"
        "| function | time (ns/element) |\n"
        "| -------- | ----------------: |\n"
        "| relu     |             0.123 |\n"
        "| gelu     |              12.0 |\n"
        "\ntwo cells\n"
    )


def unescaped(line: str) -> list[str]:
    """The cells of one Markdown row, as GitHub splits them."""
    cells, cell, escaped = [], "", False
    for character in line.strip().removeprefix("|").removesuffix("|"):
        if escaped or character not in "\\|":
            cell, escaped = cell + character, False
        elif character == "\\":
            escaped = True
        else:
            cells, cell = [*cells, cell], ""
    return [c.strip() for c in [*cells, cell]]


@pytest.mark.parametrize("text", NASTY)
def test_markdown_keeps_every_cell_in_its_place(text):
    rows = markdown(Table("", COLUMNS, ((text, "1"),))).splitlines()
    assert len(rows) == 3
    assert unescaped(rows[2]) == [" ".join(text.split()), "1"]


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_csv_comes_back_as_it_was(rows):
    # A lone carriage return is a line end to the reader, whoever wrote it.
    rows = [tuple(cell.replace("\r", "") for cell in row) for row in rows]
    read = list(csv_module.reader(io.StringIO(csv(Table("", COLUMNS, tuple(rows))), newline="")))
    assert read == [["function", "time (ns/element)"], *map(list, rows)]


@pytest.mark.parametrize("text", NASTY)
def test_terminal_shows_the_text_itself(text):
    shown = output.plain_text(terminal(Table("", COLUMNS, ((text, "1"),))))
    for word in text.split():
        assert word in shown


def test_terminal_puts_units_below_titles():
    lines = output.plain_text(terminal(PLAIN)).splitlines()
    assert lines[0] == "Times"
    assert lines[1].split() == ["function", "time"]
    assert lines[2].split() == ["ns/element"]
    assert lines[-1] == "two cells"


@given(st.lists(st.integers(1, 200), min_size=1, max_size=6))
def test_terminal_never_is_wider_than_80(lengths):
    columns = tuple(Column(f"c{i}", align="left") for i in range(len(lengths)))
    shown = output.plain_text(terminal(Table("", columns, (tuple("x" * n for n in lengths),))))
    assert max(map(len, shown.splitlines())) <= WIDTH


def test_no_figure_is_cropped_where_text_can_be_wrapped():
    columns = (Column("text", align="left"), *(Column(f"c{i}") for i in range(6)))
    row = ("word " * 20, *("123456.789" for _ in range(6)))
    shown = output.plain_text(terminal(Table("", columns, (row,))))
    assert shown.count("123456.789") == 6
    assert shown.count("word") == 20


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="1 cells under 2 columns"):
        Table("t", COLUMNS, (("relu",),))


def test_html_heads_its_columns_and_rows():
    table = ElementTree.fromstring(html(PLAIN))
    assert [e.text for e in table.iter("caption")] == ["Times\ntwo cells"]
    assert [("".join(e.itertext()), e.get("scope")) for e in table.iter("th")] == [
        ("function", "col"),
        ("time ns/element", "col"),
        ("relu", "row"),
        ("gelu", "row"),
    ]
    assert [(e.text, e.get("class")) for e in table.iter("td")] == [("0.123", "figure"), ("12.0", "figure")]


@pytest.mark.parametrize("text", NASTY)
def test_html_holds_any_text(text):
    table = ElementTree.fromstring(
        html(Table(text, (Column(text), Column("b", text)), ((text, text),), text))
    )
    assert [e.text or "" for e in (*table.iter("td"), *table.findall("tbody/tr/th"))] == [text, text]
