"""``actbench show``: one function, with everything a reader should know about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name or an alias.")],
    files: Annotated[
        list[Path] | None, typer.Option("--from", metavar="FILE.py", help="Declare functions from a file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Show a function: formula, parameters, kinks, properties, pitfalls, reference, kernel."""
    from actbench import kernels
    from actbench.catalog import registry
    from actbench.present import output, page

    for path in files or []:
        registry.load_file(path)
    f = kernels.function(name)
    if as_json:
        output.write_text(output.json_text(page.document(f)), output.STDOUT)
    else:
        output.display(page.page(f))
