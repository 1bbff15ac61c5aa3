"""What a command delivers: its documents, its table, and a folder of tables and pictures."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from actbench.cli.progress import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actbench.present.records import Record

T = TypeVar("T")
Export = Annotated[
    list[str] | None,
    typer.Option(
        "--export",
        metavar="FORMAT=FILE",
        help="Also write csv=FILE, md=FILE, json=FILE, or what pyperf or github-action-benchmark read: "
        "pyperf=FILE, action=FILE; FILE may be - for stdout.",
    ),
]


def parse_exports(
    texts: list[str] | None,
    kinds: Sequence[str] = ("csv", "md", "json", "pyperf", "action"),
    also: bool = False,
) -> list[tuple[str, str]]:
    """The (format, file) pairs of the --export options, and ``also`` JSON on stdout.

    Raises UsageError for a format that is not of these kinds, and where more than one document would go to stdout,
    and OutputError for a folder that does not exist: before minutes are spent on what could not be written.
    """
    from actbench.catalog.errors import UsageError
    from actbench.present.output import STDOUT, check_place

    exports = []
    for text in texts or []:
        kind, equals, file = text.partition("=")
        if kind not in kinds or not equals or not file:
            *most, last = (f"{kind}=FILE" for kind in kinds)
            raise UsageError(f"--export {text}: write {', '.join(most)} or {last} (- is stdout)")
        check_place(file)
        exports.append((kind, file))
    if also:
        exports.append(("json", STDOUT))
    if sum(file == STDOUT for _, file in exports) > 1:
        raise UsageError("only one document goes to stdout: give the others a FILE, or leave out --json")
    return exports


def taken(exports: Sequence[tuple[str, str]]) -> bool:
    """Whether a document goes to stdout, so that no table may."""
    from actbench.present.output import STDOUT

    return any(file == STDOUT for _, file in exports)


def write_exports(
    record: T, exports: Sequence[tuple[str, str]], texts: Mapping[str, Callable[[T], str]]
) -> None:
    """Write a record in each of the formats; ``texts`` makes them."""
    from actbench.present.output import write_text

    for kind, file in exports:
        write_text(texts[kind](record), file)


def deliver(record: Record, exports: Sequence[tuple[str, str]]) -> None:
    """Write the exports of a record, then its table to stdout, unless a document goes there already."""
    from actbench.present import output
    from actbench.present.records import kind_of

    kind = kind_of(record)
    write_exports(record, exports, kind.texts)
    if not taken(exports):
        output.display(kind.terminal(record))


def write_folder(record: Record, folder: Path, quiet: bool = False) -> list[str]:
    """Write the tables, and then the pictures, of a record to a folder; the names of the files."""
    from actbench.present import output
    from actbench.present.records import kind_of

    kind = kind_of(record)
    for name, written_as in kind.folder.items():
        output.write_text(kind.texts[written_as](record), folder / name)
    pictures = kind.figures(record, lambda reason: tell(reason, quiet))
    for name, figure in pictures.items():
        output.write_figure(figure, folder / f"{name}.png")
    return [*kind.folder, *(f"{name}.png" for name in pictures)]


def command_line() -> str:
    """The command as it was typed."""
    return shlex.join(["actbench", *sys.argv[1:]])
