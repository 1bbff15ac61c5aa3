"""Files whole or not at all, strict JSON, plain text."""

from __future__ import annotations

import io
import json
import math
import os
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from rich.text import Text

from actbench.catalog.errors import OutputError, UsageError
from actbench.present import output
from actbench.present.fitting import Indented
from actbench.present.theme import LIGHT


@pytest.fixture
def figure():
    with LIGHT.applied():
        made = LIGHT.figure(800, 450)
        made.add_subplot().plot([0, 1], [0, 1])
    return made


@pytest.mark.parametrize("suffix", ["png", "PNG", "svg", "pdf"])
def test_the_suffix_decides(suffix, figure, tmp_path):
    output.write_figure(figure, tmp_path / f"a.{suffix}")
    head = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix.lower()]
    assert (tmp_path / f"a.{suffix}").read_bytes().startswith(head)


def test_png_has_the_pixels_asked_for(figure):
    assert Image.open(io.BytesIO(output.figure_bytes(figure, "png"))).size == (800, 450)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_picture_is_the_same_bytes(suffix, figure):
    assert output.figure_bytes(figure, suffix) == output.figure_bytes(figure, suffix)


def test_text_in_svg_stays_text(figure):
    with LIGHT.applied():
        figure.axes[0].set_title("a < b & c")
    text = output.svg_text(figure)
    assert ">a &lt; b &amp; c</text>" in text
    assert text == output.svg_text(figure)


@pytest.mark.parametrize("name", ["a.jpg", "a", "png"])
def test_an_unknown_suffix_says_which_are_known(name, figure, tmp_path):
    with pytest.raises(UsageError, match=r"\.png, \.svg, \.pdf"):
        output.write_figure(figure, tmp_path / name)


@pytest.mark.parametrize(
    ("given", "path"), [(None, "relu.png"), ("here/", "here/relu.png"), ("a.svg", "a.svg"), ("-", "-")]
)
def test_figure_path(given, path):
    assert output.figure_path(given, "relu") == path


def test_figure_path_in_a_folder_that_exists(tmp_path):
    assert output.figure_path(str(tmp_path), "relu") == str(tmp_path / "relu.png")


def test_figure_path_in_a_folder_that_does_not(tmp_path):
    with pytest.raises(OutputError, match="no such folder"):
        output.figure_path(str(tmp_path / "none" / "a.png"), "relu")


def test_a_file_is_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    output.write_text("old", path)

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device"):
        output.write_text("new", path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_folders_are_made(tmp_path):
    output.write_text("x", tmp_path / "b" / "c" / "a.txt")
    assert (tmp_path / "b" / "c" / "a.txt").read_text() == "x"


def test_a_folder_in_the_place_of_a_file_is_one_clear_line(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        output.write_text("x", tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("real.txt")
    output.write_text("new", tmp_path / "link.txt")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_what_is_no_regular_file_is_written_to(tmp_path):
    output.write_text("x", os.devnull)
    assert not os.path.isfile(os.devnull)


def test_dash_is_stdout(capsys):
    output.write_text("data\n", "-")
    assert capsys.readouterr().out == "data\n"


@dataclass
class Record:
    value: float
    names: tuple[str, ...] = ("a", "ü")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
        (np.float32(0.5), 0.5),
        (np.array([1.0, math.nan]), [1.0, "nan"]),
        (True, True),
        (None, None),
        (Record(math.inf), {"value": "inf", "names": ["a", "ü"]}),
        ({1: (2, 3)}, {"1": [2, 3]}),
    ],
    ids=str,
)
def test_json_is_strict(value, plain):
    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(output.json_text({"v": value}), parse_constant=refuse) == {"v": plain}


def test_plain_text_has_neither_colour_nor_trailing_spaces(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert output.plain_text(Text("red   ", "bold red")) == "red\n"


@pytest.mark.parametrize(
    ("columns", "width"), [(None, 80), ("50", 50), ("120", 120), ("wide", 80), ("-5", 80), ("0", 80)]
)
def test_a_pipe_is_80_columns_wide_unless_columns_says_otherwise(columns, width, monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert output.console().width == width


def test_what_is_wider_than_the_terminal_overflows_it(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    output.display(Indented(Text("x" * 30, no_wrap=True, overflow="ignore"), 2))
    assert capsys.readouterr().out == f"  {'x' * 30}\n"


def test_no_control_character_reaches_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    output.display(Text("a\x1b[2Jb", "red"))
    assert capsys.readouterr().out == "\x1b[31ma?[2Jb\x1b[0m\n"


def test_no_colour_where_it_is_not_wanted(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    output.display(Text("word", "red"))
    assert "31m" not in capsys.readouterr().out
