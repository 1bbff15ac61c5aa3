"""``actbench plot``: functions and runs as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.selection import Files

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from actbench.present.theme import Theme


def plot(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            help="Names, aliases, globs ('*elu') or @families; or RUN.json[.gz] and names in it.",
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="A gallery of every function.")] = False,
    deriv: Annotated[bool, typer.Option("--deriv", help="The derivative too, dashed.")] = False,
    range_: Annotated[
        str | None, typer.Option("--range", metavar="LOW:HIGH", help="What is drawn of the axis, as -6:6.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=V,V,...", help="Draw at these values; repeatable."),
    ] = None,
    theme: Annotated[str, typer.Option(help="light or dark.")] = "light",
    output: Annotated[
        str | None,
        typer.Option(metavar="FILE|DIR", help=".png, .svg or .pdf; a folder; or - for PNG to stdout."),
    ] = None,
    files: Files = None,
    as_json: Annotated[bool, typer.Option("--json", help="The path as a JSON document.")] = False,
) -> None:
    """Draw functions with their kinks, jumps and asymptotes, or the throughput of a run.

    One function, several over each other, a family of parameters, or, from 8 functions on, a gallery.
    The path of the picture is printed.
    """
    from actbench.present import output as out
    from actbench.present.theme import theme as theme_named

    look = theme_named(theme)
    if output is not None:
        out.figure_path(output, "")  # before seconds go into a picture that has no place
    if names and names[0].endswith((".json", ".jsonl", ".json.gz")):
        figure, name = _run(names[0], names[1:], look, [every, deriv, range_, param, files])
    else:
        figure, name = _functions(names or [], every, deriv, range_, param or [], files or [], look)
    path = out.figure_path(output, name)
    if path == out.STDOUT and as_json:
        from actbench.catalog.errors import UsageError

        raise UsageError("--output - and --json both want stdout: leave one of them out")
    out.write_figure(figure, path)
    if as_json:
        out.write_text(out.json_text({"path": path}), out.STDOUT)
    elif path != out.STDOUT:
        typer.echo(path)


def _run(path: str, names: list[str], theme: Theme, others: list[object]) -> tuple[Figure, str]:
    from actbench.bench.run import load_run
    from actbench.catalog.errors import UsageError
    from actbench.present import runs

    if any(others):
        raise UsageError(f"{path} is a run: of the options, only --theme, --output and --json apply to it")
    figure = runs.throughput(load_run(path), theme, names)
    return figure, "-".join(["throughput", *names])


def _functions(
    names: list[str],
    every: bool,
    deriv: bool,
    range_: str | None,
    param: list[str],
    files: list[Path],
    theme: Theme,
) -> tuple[Figure, str]:
    from actbench import kernels
    from actbench.catalog.errors import UsageError
    from actbench.cli.selection import chosen as select
    from actbench.present import curves, figures

    limits = curves.parse_limits(range_) if range_ is not None else None
    params = curves.parse_params(param)
    chosen = [kernels.bind(d) for d in select(names, every, None, files)]
    if every or len(chosen) > figures.MOST:
        if params:
            raise UsageError(
                "a gallery shows every function at its defaults: leave out --param, or name fewer"
            )
        return figures.gallery(
            [curves.Subject(f) for f in chosen], theme, deriv=deriv, limits=limits
        ), "gallery"
    family = [subject for f in chosen for subject in curves.subjects(f, params)]
    return figures.draw(family, theme, deriv=deriv, limits=limits), "-".join(f.name for f in chosen)
