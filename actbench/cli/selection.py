"""Which functions a command is about: what the arguments that all commands share mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from actbench.catalog.declaration import Declaration

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME...", help="Names, aliases, globs ('*elu') or @families."),
]
Every = Annotated[bool, typer.Option("--all", help="Every function.")]
Files = Annotated[
    list[Path] | None, typer.Option("--from", metavar="FILE.py", help="Declare functions from a file.")
]
HOW = "How to measure"
"""The panel of a command's help that the next three stand in."""
ConfigFile = Annotated[
    Path | None, typer.Option(metavar="FILE.toml", help="Read options from a file.", rich_help_panel=HOW)
]
Slice = Annotated[
    str | None, typer.Option(help="The least time a sample takes, such as 2ms.", rich_help_panel=HOW)
]
Seed = Annotated[str | None, typer.Option(help="Of data and order.", rich_help_panel=HOW)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def chosen(names: list[str], every: bool, kind: str | None, files: list[Path]) -> tuple[Declaration, ...]:
    """The declarations that the names pick; all of them, or those of the files, without names."""
    from actbench.catalog import registry
    from actbench.catalog.errors import UsageError

    declared = tuple(d for path in files for d in registry.load_file(path))
    if every or kind is not None:
        if names:
            raise UsageError("--all and --kind exclude names")
        return registry.declarations(kind)
    if names:
        return registry.select(names)
    if declared:
        return declared
    raise UsageError("name functions ('*elu', @family), or use --all: 'actbench list' shows them")
