"""``actbench compare``: two runs from files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actbench.cli.delivery import parse_exports, taken, write_exports
from actbench.cli.options import AsJson, Files, Quiet, declared_in
from actbench.cli.progress import tell


def compare(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="A run's file or folder, or the name of a baseline.")
    ],
    head: Annotated[
        str | None,
        typer.Argument(metavar="[HEAD]", help="The same; the newest run in results/runs by default."),
    ] = None,
    fail_over: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="The slowdown that matters; 5% by default.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Its thresholds, by glob or @family.")
    ] = None,
    files: Files = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also runs of two machines, or of two configurations.")
    ] = False,
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT=FILE", help="Also write md=FILE or json=FILE; FILE may be - for stdout."
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Which cells changed between two runs? For display: 'actbench gate' measures both in turns, and decides.

    Exit 1: a cell is slower. 3: the runs cannot be compared, or it cannot be said.
    """
    from actbench.bench import regression
    from actbench.bench.config import resolve
    from actbench.catalog.registry import declarations
    from actbench.present import output
    from actbench.present import regression as shown

    exports = parse_exports(export, ("md", "json"), also=as_json)
    resolved = resolve(
        {"threshold": fail_over},
        file=config,
        defaults={"threshold": "5%"},
        flag={"threshold": "--fail-over"}.__getitem__,
    )
    declared = declared_in(files)
    before = regression.find(base)
    after = regression.find(head) if head is not None else regression.newest(resolved.output)
    families = {d.name: d.family for d in (*declarations(), *declared)}
    resolved.check_thresholds(families)
    found = regression.comparison(before, after, lambda name: resolved.threshold_of(name, families))
    if found.obstacles and not force:
        raise regression.IncomparableError(
            f"these runs say nothing about the code: {'; '.join(found.obstacles)}: --force shows them all the same"
        )
    if not taken(exports):
        output.display(shown.terminal(found))
    else:
        for reason in found.obstacles:
            tell(f"not comparable, for display alone: {reason}", quiet)
    write_exports(found, exports, {"md": shown.markdown, "json": shown.json})
    return found.exit_code
