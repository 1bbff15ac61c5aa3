"""``actbench show``: one function, with everything a reader should know about it."""

from __future__ import annotations

from typing import Annotated

import typer

from actbench.cli.options import AsJson, Files, Quiet, declared_in


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name or an alias.")],
    files: Files = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show a function: formula, parameters, kinks, properties, pitfalls, reference, kernel."""
    from actbench import kernels
    from actbench.present import output, page

    declared_in(files)
    f = kernels.function(name)
    if as_json:
        output.write_text(output.json_text(page.document(f)), output.STDOUT)
    else:
        output.display(page.page(f))
