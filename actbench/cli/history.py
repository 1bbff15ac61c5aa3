"""``actbench history``: runs over time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actbench.cli.options import AsJson, Files, Quiet, ThemeName, declared_in
from actbench.cli.progress import tell


def history(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...", help="Functions; all of them without names. With --add: runs' files."
        ),
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Keep the runs that are named, in a file of its own each.")
    ] = False,
    files: Files = None,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the runs are kept; results/history by default.")
    ] = None,
    output: Annotated[
        str | None, typer.Option(metavar="FILE|DIR", help="Draw it: .png, .svg or .pdf; a folder.")
    ] = None,
    theme: ThemeName = "light",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show how cells' speeds changed over the runs that were kept, and where one changed for good."""
    from actbench.bench import history as kept
    from actbench.catalog.errors import UsageError
    from actbench.catalog.registry import select
    from actbench.present import output as out
    from actbench.present import table, trend
    from actbench.present.theme import theme as theme_named

    where = folder or kept.FOLDER
    look = theme_named(theme)
    path = out.figure_path(output, "history") if output is not None else None
    if add:
        if not names:
            raise UsageError("--add RUN.json...: which runs?")
        for run in names:
            tell(f"kept as {kept.add(Path(run), where)}", quiet)
    declared_in(files)
    same, others = kept.here(kept.runs(where))
    found = kept.series(same, [d.name for d in select(names)] if names and not add else ())
    if path is not None:
        out.write_figure(trend.figure(found, look), path)
    if as_json:
        out.write_text(out.json_text({"series": found, "left_out": others}), out.STDOUT)
    else:
        out.display(table.terminal(trend.table(found, others)))
