"""The options that commands share, and which functions they name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actbench.catalog.declaration import Declaration

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME...", help="Names, aliases, globs ('*elu') or @families."),
]
Every = Annotated[bool, typer.Option("--all", help="Every function.")]
Files = Annotated[
    list[Path] | None, typer.Option("--from", metavar="FILE.py", help="Declare functions from a file.")
]
WHAT, HOW = "What to measure", "How to measure"
"""Panels of a command's help."""
Passes = Annotated[
    str | None, typer.Option("--pass", help="forward,derivative,backward", rich_help_panel=WHAT)
]
Dtypes = Annotated[str | None, typer.Option(help="float64,float32,float16,bfloat16", rich_help_panel=WHAT)]
Sizes = Annotated[
    str | None,
    typer.Option(help="Elements: 1e3,2^20,32k (x 1000),64Ki (x 1024),1M,1Mi.", rich_help_panel=WHAT),
]
Threads = Annotated[str | None, typer.Option(help="Such as 1,2.", rich_help_panel=WHAT)]
ConfigFile = Annotated[
    Path | None, typer.Option(metavar="FILE.toml", help="Read options from a file.", rich_help_panel=HOW)
]
Slice = Annotated[
    str | None, typer.Option(help="The least time a sample takes, such as 2ms.", rich_help_panel=HOW)
]
Seed = Annotated[str | None, typer.Option(help="Of data and order.", rich_help_panel=HOW)]
Timeout = Annotated[
    str | None,
    typer.Option(help="How long a process may keep silent; 2m by default.", rich_help_panel=HOW),
]
Params = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=V,V,...", help="At these values of a parameter; repeatable."),
]
ThemeName = Annotated[str, typer.Option("--theme", help="light or dark.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr but errors.")]
PEERS = "torch, torch.compile, jax, onnxruntime, tensorflow, tf.function, numpy, scipy, numexpr"
"""The peers that come with actbench, for help: their own modules take too long to import for it."""


def declared_in(files: Sequence[Path] | None) -> tuple[Declaration, ...]:
    """The declarations in the files of --from; raises as ``registry.load_file``."""
    from actbench.catalog import registry

    return tuple(d for path in files or () for d in registry.load_file(path))


def chosen(names: list[str], every: bool, kind: str | None, files: list[Path]) -> tuple[Declaration, ...]:
    """The declarations that the names pick; all of them, or those of the files, without names."""
    from actbench.catalog import registry
    from actbench.catalog.errors import UsageError

    declared = declared_in(files)
    if every or kind is not None:
        if names:
            raise UsageError(f"{'--all' if every else '--kind'} excludes names")
        return registry.declarations(kind)
    if names:
        return registry.select(names)
    if declared:
        return declared
    raise UsageError("name functions ('*elu', @family), or use --all: 'actbench list' shows them")
