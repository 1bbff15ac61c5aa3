"""Tables in every format: what a cell may hold, and how wide it may get."""

from __future__ import annotations

import csv as csv_module
import io
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.present import output
from actbench.present.fitting import folded
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


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_text_never_is_wider_than_80(lengths):
    columns = tuple(Column(f"c{i}", align="left") for i in range(len(lengths)))
    shown = output.plain_text(terminal(Table("", columns, (tuple("word " * n for n in lengths),))))
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert shown.count("word") == sum(lengths)


@given(st.lists(st.tuples(st.sampled_from(["left", "right"]), st.integers(1, 40)), min_size=1, max_size=7))
@pytest.mark.parametrize("width", [1, 40, 60])
def test_no_word_is_broken_and_no_column_lost_on_any_terminal(width, cells):
    columns = tuple(Column(f"title{i}", "unit", align=align) for i, (align, _) in enumerate(cells))
    row = tuple(str(i) * n for i, (_, n) in enumerate(cells))
    words = output.plain_text(terminal(Table("", columns, (row,))), width).split()
    assert {*row, "unit", *(f"title{i}" for i in range(len(row)))} <= {*words}


def test_a_terminal_that_is_too_narrow_leaves_text_some_words_a_line():
    columns = (Column("text", align="left"), Column("more", align="left"))
    shown = output.plain_text(
        terminal(Table("", columns, (("of a few words " * 9, "so many more " * 9),))), 9
    )
    assert len(shown.splitlines()) < 20


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (35, ["relu/forward/float64/1000/1t/warm"]),
        (30, ["relu/forward/float64/1000/1t/", "warm"]),
        (3, ["relu/", "forward/", "float64/", "1000/", "1t/", "warm"]),
    ],
)
def test_a_cells_name_folds_after_slashes_alone(width, lines):
    assert folded("relu/forward/float64/1000/1t/warm", width).splitlines() == lines


def test_titles_and_captions_break_no_word_either():
    long = Table("x" * 48, COLUMNS, (), "relu/" + "y" * 48)
    assert {"x" * 48, "relu/", "y" * 48} <= {*output.plain_text(terminal(long), 20).split()}


def test_a_word_that_can_be_no_name_stretches_no_table():
    columns = (Column("cell", align="left"), Column("why", align="left"))
    shown = output.plain_text(terminal(Table("", columns, (("relu", "x" * 500),))))
    assert max(map(len, shown.splitlines())) <= WIDTH
    assert shown.count("x") == 500


@pytest.mark.parametrize("show", [lambda t: output.plain_text(terminal(t)), markdown, html])
def test_what_commands_a_terminal_is_shown_as_question_marks(show):
    shown = show(Table("\x1b[2J", COLUMNS, (("\x1b]0;pwned\x07", "\x9b1m"),), "\x00"))
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert "?]0;pwned" in shown


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
