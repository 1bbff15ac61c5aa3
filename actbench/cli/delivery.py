"""What a command delivers: its documents, its table, and a folder of tables and pictures."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from actbench.cli.progress import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from actbench.bench.run import Run
    from actbench.present.audits import Session

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


def deliver(record: Run | Session, exports: list[tuple[str, str]]) -> None:
    """Write the exports of a record, then its table to stdout, unless a document goes there already."""
    from actbench.bench.run import Run, dump_run
    from actbench.catalog.errors import UsageError
    from actbench.present import audits, exchange, output, report_page, runs

    texts: Mapping[str, Callable[[Any], str]]
    if isinstance(record, Run):
        texts = {
            "csv": runs.csv,
            "md": runs.markdown,
            "json": dump_run,
            "html": report_page.page,
            "pyperf": exchange.pyperf,
            "action": exchange.action,
        }
        shown = runs.terminal(record)
    else:
        texts = {"csv": audits.csv, "md": audits.markdown, "json": audits.dump}
        shown = audits.terminal(record)
    foreign = next((kind for kind, _ in exports if kind not in texts), None)
    if foreign:
        raise UsageError(f"--export {foreign}= is for benchmark runs, not for audits")
    write_exports(record, exports, texts)
    if not taken(exports):
        output.console().print(shown)


def write_folder(record: Run | Session, folder: Path, quiet: bool = False) -> list[str]:
    """Write the tables, and then the pictures, of a record to a folder; the names of the files."""
    from actbench.bench.run import Run
    from actbench.present import accuracy, audits, output, runs, theme
    from actbench.present.pictures import pictures as run_pictures

    if isinstance(record, Run):
        texts = {"run.csv": runs.csv(record), "run.md": runs.markdown(record)}
    else:
        texts = {"audit.csv": audits.csv(record), "audit.md": audits.markdown(record)}
    for name, text in texts.items():
        output.write_text(text, folder / name)
    light = theme.theme("light")
    pictures = (
        run_pictures(record, light, lambda reason: tell(reason, quiet))
        if isinstance(record, Run)
        else accuracy.figures(record.audits, light)
    )
    for name, figure in pictures.items():
        output.write_figure(figure, folder / f"{name}.png")
    return [*texts, *(f"{name}.png" for name in pictures)]


def command_line() -> str:
    """The command as it was typed."""
    return shlex.join(["actbench", *sys.argv[1:]])
