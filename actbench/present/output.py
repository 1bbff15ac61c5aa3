"""Where results go: files, whole or not at all, and the terminal."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from actbench.catalog.errors import OutputError, UsageError
from actbench.files import write_whole
from actbench.present.fitting import Printable
from actbench.present.table import WIDTH
from actbench.present.theme import Theme, defaults

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console, RenderableType

STDOUT = "-"
_FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
FIGURE_SUFFIXES = (".png", ".svg", ".pdf")
_PALETTE = 128  # colours of a PNG: anti-aliasing of 8 inks shows no steps, and a byte a pixel is enough


def console(*, stderr: bool = False) -> Console:
    """A console as wide as COLUMNS says, else as the terminal is, else 80."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=_width(stream), highlight=False, markup=False, emoji=False)


def _width(stream: TextIO) -> int:
    """0 says nothing, in COLUMNS as of a terminal: rich would print that much."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH
    except OSError:
        return WIDTH


def plain_text(renderable: RenderableType, width: int = WIDTH, encoding: str = "utf-8") -> str:
    """What a rich console prints where that is the encoding, without colours and spaces at the ends of lines."""
    from rich.console import Console

    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding, errors="replace", newline="\n", write_through=True)
    paper = Console(file=stream, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    _print(paper, renderable)
    return "".join(line.rstrip() + "\n" for line in content.getvalue().decode(encoding).splitlines())


def _print(target: Console, renderable: RenderableType) -> None:
    # No line is cut: what is wider than the console overflows it.
    target.print(Printable(renderable), crop=False)


def display(renderable: RenderableType) -> None:
    """Print to stdout: in colour on a terminal (or where FORCE_COLOR says so), else as plain text."""
    target = console()
    if target.is_terminal:
        _print(target, renderable)
    else:
        sys.stdout.write(plain_text(renderable, target.width, target.encoding))


def json_text(document: Any) -> str:
    """One document of strict JSON: numbers that JSON lacks become the strings "nan", "inf" and "-inf"."""
    return json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # A name that is a keyword of Python's has a line after it there, and none in a document.
        return {f.name.rstrip("_"): _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def write_text(text: str, path: str | os.PathLike[str]) -> None:
    """Write ``text`` in UTF-8 to ``path``, or to stdout where that is "-"; raises OutputError."""
    if os.fspath(path) == STDOUT:
        sys.stdout.write(text)
        return
    write_bytes(text.encode(), path)


def write_bytes(content: bytes, path: str | os.PathLike[str]) -> None:
    """Write ``content`` to ``path`` whole or not at all, making its folder; raises OutputError."""
    if os.fspath(path) == STDOUT:
        sys.stdout.buffer.write(content)
        return
    write_whole(content, path)


def check_figure_path(path: str | os.PathLike[str]) -> None:
    """Raise UsageError unless the suffix of ``path`` is that of a format plots are written in."""
    if os.fspath(path) != STDOUT and Path(path).suffix.lower() not in FIGURE_SUFFIXES:
        formats = ", ".join(FIGURE_SUFFIXES)
        raise UsageError(
            f"cannot tell the format of {os.fspath(path)!r}: end it in {formats}, or in / for a folder"
        )


def figure_path(output: str | None, name: str) -> str:
    """The file of a plot: ``output``, or ``name``.png in that folder, or in the current one.

    Raises UsageError for an unknown suffix, and OutputError where a file's folder does not exist.
    """
    if output is None:
        return f"{name}.png"
    if output.endswith(("/", os.sep)) or Path(output).is_dir():
        return str(Path(output) / f"{name}.png")
    check_figure_path(output)
    check_place(output)
    return output


def check_place(path: str) -> None:
    """Raise OutputError where a document cannot go: to a folder that does not exist, or in the place of one."""
    if path == STDOUT:
        return
    if Path(path).is_dir():
        raise OutputError(f"{path} is a folder: name a file in it")
    if not Path(path).parent.is_dir():
        raise OutputError(f"no such folder: {Path(path).parent}: make it first")


def check_folder(path: str | os.PathLike[str]) -> None:
    """Raise OutputError where there can be no folder of that name: it is a file, or in the place of a folder is one."""
    there = next((part for part in (Path(path), *Path(path).parents) if part.exists()), None)
    if there is not None and not there.is_dir():
        raise OutputError(f"{there} is a file: name a folder")


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write ``figure`` in the format of the suffix (PNG to "-"), the same bytes every time.

    Raises UsageError for an unknown suffix, and OutputError.
    """
    check_figure_path(path)
    write_bytes(figure_bytes(figure, Path(path).suffix.lower().lstrip(".") or "png"), path)


def figure_bytes(figure: Figure, format: str) -> bytes:
    """The figure as a file of the format "png", "svg" or "pdf", without dates."""
    with defaults({"svg.hashsalt": "actbench"}):
        return _png(figure) if format == "png" else _vector(figure, format)


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    size = canvas.get_width_height()
    image = Image.frombuffer("RGBA", size, canvas.buffer_rgba(), "raw", "RGBA", 0, 1).convert("RGB")
    palette = image.quantize(_PALETTE, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    palette.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def svg_text(figure: Figure, theme: Theme | None = None) -> str:
    """The figure as an ``<svg>`` element to stand in a page: on no ground, its text as text, the same every time.

    With the theme that it was drawn in, inks are CSS variables with that theme's as the values where none is set:
    ``--plot-ink``, ``--plot-muted``, ``--plot-grid``, ``--plot-background`` and ``--plot-1`` to ``--plot-7``.
    """
    buffer = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with defaults({"svg.hashsalt": "actbench", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata=metadata, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.S)
    # A style element in a page would hold for all of that page.
    rule = re.search(r"<style.*?>\*\{(.*?)\}</style>", text)
    if rule:
        text = text.replace(rule[0], "").replace("<svg ", f'<svg style="{rule[1]}" ', 1)
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"\d+\.\d{3,}", _short, tag[0]), text)
    # Matplotlib names the font that it measured with; those of the reader's system are not wider than DejaVu Sans.
    text = re.sub(r"(font: [^;\"]*?px) [^;\"]*", rf"\1 {_FONTS}", text)
    used = set(re.findall(r"#([\w-]+)[\")]", text))
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r"\s*\n\s*", "\n", text)
    for name, colour in _inks(theme).items() if theme else ():
        text = re.sub(rf"{colour}\b", f"var(--plot-{name}, {colour})", text)
    return text


def _short(number: re.Match[str]) -> str:
    """A coordinate to a hundredth of a point."""
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _inks(theme: Theme) -> Mapping[str, str]:
    """The colours of a theme by the names of their variables."""
    named = {"ink": theme.ink, "muted": theme.muted, "grid": theme.grid, "background": theme.background}
    return named | {str(i): colour for i, colour in enumerate(theme.colours, start=1)}


def _vector(figure: Figure, format: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"Creator": "actbench", "Date" if format == "svg" else "CreationDate": None}
    figure.savefig(buffer, format=format, metadata=metadata)
    return buffer.getvalue()
