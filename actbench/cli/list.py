"""``actbench list``: what there is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def list_functions(
    kind: Annotated[str | None, typer.Option(help="activation or loss.")] = None,
    family: Annotated[str | None, typer.Option(help="Such as rectifier.")] = None,
    files: Annotated[
        list[Path] | None, typer.Option("--from", metavar="FILE.py", help="Declare functions from a file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the functions: name, family, summary and other names."""
    from actbench.catalog import registry
    from actbench.present import output, page, table

    for path in files or []:
        registry.load_file(path)
    found = registry.declarations(kind, family)
    if as_json:
        fields = ("name", "aliases", "kind", "family", "summary")
        output.write_text(
            output.json_text([{n: getattr(d, n) for n in fields} for d in found]), output.STDOUT
        )
        return
    for i, listing in enumerate(page.listing(found)):
        typer.echo("" if i else None, nl=bool(i))
        output.display(table.terminal(listing))
