"""``actbench report``: the tables and plots of a finished run, again, from its file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actbench.cli.delivery import Export, deliver, parse_exports, taken, write_folder
from actbench.cli.options import AsJson, Quiet
from actbench.cli.progress import tell


def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN.json", help="A run's file, also gzipped, or its folder; or the file of audits."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the tables (.csv, .md) and pictures there."),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write a run as one HTML page that needs nothing else; - is stdout."
        ),
    ] = None,
    export: Export = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make the tables and plots of a run, or of audits, again, from the file alone."""
    from actbench.bench.run import Run, load_run
    from actbench.catalog.errors import UsageError
    from actbench.present import audits
    from actbench.present.output import STDOUT, check_place

    exports = parse_exports(export, also=as_json)
    if html is not None:
        if html == STDOUT and taken(exports):
            raise UsageError("--html - is not the only document that wants stdout: leave one of them out")
        check_place(html)
        exports.append(("html", html))
    record = audits.load(run) if audits.holds(run) else load_run(run)
    if html is not None and not isinstance(record, Run):
        raise UsageError(f"{run} holds audits: --html takes a benchmark run")
    if output is not None:
        tell(f"wrote {', '.join(write_folder(record, output, quiet))} to {output}", quiet)
    deliver(record, exports)
