"""``actbench report``: the tables and plots of a run, of audits or of a gate, again, from the file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actbench.cli.delivery import deliver, parse_exports, taken, write_folder
from actbench.cli.options import AsJson, Quiet
from actbench.cli.progress import tell


def report(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN.json",
            help="The file, also gzipped, of a run, of audits or of a gate; or the folder of a run.",
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
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT=FILE",
            help="Also write csv=FILE, md=FILE, json=FILE; of a run what pyperf or github-action-benchmark read: "
            "pyperf=FILE, action=FILE; of a gate junit=FILE; FILE may be - for stdout.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Make the tables and plots of a run, of audits or of a gate again, from the file alone."""
    from actbench.catalog.errors import UsageError
    from actbench.present.output import STDOUT, check_place
    from actbench.present.records import kind_of, load

    exports = parse_exports(export, ("csv", "md", "json", "pyperf", "action", "junit"), also=as_json)
    if html is not None:
        if html == STDOUT and taken(exports):
            raise UsageError("--html - is not the only document that wants stdout: leave one of them out")
        check_place(html)
        exports.append(("html", html))
    record = load(run)
    kind = kind_of(record)
    foreign = next((format_ for format_, _ in exports if format_ not in kind.texts), None)
    if foreign is not None:
        *most, last = kind.texts
        raise UsageError(f"{run} holds {kind.name}: written as {', '.join(most)} or {last}, not as {foreign}")
    if output is not None:
        tell(f"wrote {', '.join(write_folder(record, output, quiet))} to {output}", quiet)
    deliver(record, exports)
