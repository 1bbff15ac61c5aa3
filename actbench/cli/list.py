"""``actbench list``: what there is."""

from __future__ import annotations

from typing import Annotated

import typer

from actbench.cli.options import AsJson, Files, Quiet, declared_in
from actbench.cli.progress import tell


def list_functions(
    kind: Annotated[str | None, typer.Option(help="activation or loss.")] = None,
    family: Annotated[str | None, typer.Option(help="Such as rectifier.")] = None,
    files: Files = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the functions: name, family, summary and other names."""
    from actbench.catalog import registry
    from actbench.present import output, page, table

    declared_in(files)
    found = registry.declarations(kind, family)
    if not found:
        # Each is known, but nothing is both.
        tell(f"no {kind} is of the family {family!r}", quiet)
    if as_json:
        fields = ("name", "aliases", "kind", "family", "summary")
        output.write_text(
            output.json_text([{n: getattr(d, n) for n in fields} for d in found]), output.STDOUT
        )
        return
    for i, listing in enumerate(page.listing(found)):
        typer.echo("" if i else None, nl=bool(i))
        output.display(table.terminal(listing))
