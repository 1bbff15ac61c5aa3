"""``actbench report``: the tables and plots of a finished run, again, from its file alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from actbench.bench.run import Run

Export = Annotated[
    list[str] | None,
    typer.Option(
        "--export",
        metavar="FORMAT=FILE",
        help="Also write csv=FILE, md=FILE or json=FILE; FILE may be - for stdout.",
    ),
]


def report(
    run: Annotated[
        Path, typer.Argument(metavar="RUN.json", help="A run's file, also gzipped, or its folder.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write run.csv, run.md and throughput.png there."),
    ] = None,
    export: Export = None,
    json: Annotated[bool, typer.Option("--json", help="Print the run as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr.")] = False,
) -> None:
    """Make the tables and plots of a run again, from its file alone."""
    from actbench.bench.run import load_run

    exports = parse_exports(export)
    loaded = load_run(run)
    if output is not None:
        tell(f"wrote {', '.join(write_folder(loaded, output))} to {output}", quiet)
    deliver(loaded, exports, json)


def parse_exports(texts: list[str] | None) -> list[tuple[str, str]]:
    """The (format, file) pairs of the --export options; raises UsageError."""
    from actbench.catalog.errors import UsageError

    exports = []
    for text in texts or []:
        kind, equals, file = text.partition("=")
        if kind not in ("csv", "md", "json") or not equals or not file:
            raise UsageError(f"--export {text}: write csv=FILE, md=FILE or json=FILE (- is stdout)")
        exports.append((kind, file))
    return exports


def deliver(run: Run, exports: list[tuple[str, str]], json: bool) -> None:
    """Write the exports of `run`, then its table to stdout, unless a document goes there already."""
    from actbench.bench.run import dump_run
    from actbench.present import output, runs

    texts = {"csv": runs.csv, "md": runs.markdown, "json": dump_run}
    if json:
        exports = [*exports, ("json", output.STDOUT)]
    for kind, file in exports:
        output.write_text(texts[kind](run), file)
    if all(file != output.STDOUT for _, file in exports):
        output.console().print(runs.terminal(run))


def write_folder(run: Run, folder: Path) -> list[str]:
    """Write the tables and the plot of `run` to `folder`; the names of the files."""
    from actbench.present import output, runs, theme

    output.write_text(runs.csv(run), folder / "run.csv")
    output.write_text(runs.markdown(run), folder / "run.md")
    files = ["run.csv", "run.md"]
    if run.cells:
        output.write_figure(runs.throughput(run, theme.theme("light")), folder / "throughput.png")
        files.append("throughput.png")
    return files


def tell(message: str, quiet: bool = False) -> None:
    """Print `message` to stderr, unless `quiet`."""
    if not quiet:
        typer.echo(message, err=True)
