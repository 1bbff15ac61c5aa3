"""``actbench plot``: functions and runs as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.options import AsJson, Every, Files, Params, ThemeName, chosen

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from actbench.present.theme import Theme


RUNS = "Pictures of a run"
_LONGEST = 200
"""Letters of a file's name that come from functions' names: file systems allow 255 bytes."""


@dataclass(frozen=True)
class _OfRun:
    """The options that only pictures of runs have."""

    kind: str | None
    pass_: str | None
    dtype: str | None
    threads: int | None
    audit: Path | None

    def refuse(self) -> None:
        """Raise UsageError where one of them was given beside functions."""
        from actbench.catalog.errors import UsageError

        for field in fields(self):
            if getattr(self, field.name) is not None:
                option = field.name.rstrip("_")
                raise UsageError(
                    f"--{option} is for pictures of a run: name its RUN.json before anything else"
                )


def plot(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            help="Names, aliases, globs ('*elu') or @families; or RUN.json[.gz], or its folder, and such names.",
        ),
    ] = None,
    every: Every = False,
    deriv: Annotated[bool, typer.Option("--deriv", help="The derivative too, dashed.")] = False,
    range_: Annotated[
        str | None, typer.Option("--range", metavar="LOW:HIGH", help="What is drawn of the axis, as -6:6.")
    ] = None,
    param: Params = None,
    theme: ThemeName = "light",
    output: Annotated[
        str | None,
        typer.Option(metavar="FILE|DIR", help=".png, .svg or .pdf; a folder; or - for PNG to stdout."),
    ] = None,
    files: Files = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Of a run: throughput, heatmap, roofline or accuracy.", rich_help_panel=RUNS),
    ] = None,
    pass_: Annotated[
        str | None, typer.Option("--pass", help="forward, derivative or backward.", rich_help_panel=RUNS)
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="Such as float32.", rich_help_panel=RUNS)] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Their number.", rich_help_panel=RUNS)] = None,
    audit: Annotated[
        Path | None,
        typer.Option(
            metavar="AUDIT.json", help="For --kind accuracy: the file of an audit.", rich_help_panel=RUNS
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not print the path.")] = False,
) -> None:
    """Draw functions with their kinks, jumps and asymptotes, or a run: speeds, who is faster, roofs, exactness.

    One function, several over each other, a family of parameters, or, from 8 functions on, a gallery.
    The path of the picture is printed.
    """
    from actbench.present import output as out
    from actbench.present.theme import theme as theme_named

    look = theme_named(theme)
    of_run = _OfRun(kind, pass_, dtype, threads, audit)
    if output is not None:
        out.figure_path(output, "")  # before seconds go into a picture that has no place
    if names and _is_run(names[0]):
        figure, name = _run(names[0], names[1:], look, of_run, [every, deriv, range_, param, files])
    else:
        of_run.refuse()
        figure, name = _functions(names or [], every, deriv, range_, param or [], files or [], look)
    path = out.figure_path(output, name)
    if path == out.STDOUT and as_json:
        from actbench.catalog.errors import UsageError

        raise UsageError("--output - and --json both want stdout: leave one of them out")
    out.write_figure(figure, path)
    if as_json:
        out.write_text(out.json_text({"path": path}), out.STDOUT)
    elif path != out.STDOUT and not quiet:
        typer.echo(path)


def _is_run(name: str) -> bool:
    """Whether a name is that of a run's file or folder, and not of a function."""
    if name.endswith((".json", ".jsonl", ".json.gz")):
        return True
    if not Path(name).is_dir():
        return False
    from actbench.bench.run import JOURNAL_FILE, RUN_FILE

    # A folder may be called as a function is.
    return not name.isidentifier() or any((Path(name) / file).is_file() for file in (RUN_FILE, JOURNAL_FILE))


def _run(
    path: str, names: list[str], theme: Theme, given: _OfRun, others: list[object]
) -> tuple[Figure, str]:
    from actbench.bench.run import load_run
    from actbench.catalog.errors import UsageError
    from actbench.present import audits, choice, figures, pictures
    from actbench.present.choice import Choice

    if any(others):
        raise UsageError(f"{path} is a run: leave out --all, --deriv, --range, --param and --from")
    kind = given.kind or (pictures.ACCURACY if given.audit else pictures.KINDS[0])
    if (kind == pictures.ACCURACY) != (given.audit is not None):
        raise UsageError("--kind accuracy and --audit AUDIT.json go together: give both, or neither")
    found = audits.load(given.audit).audits if given.audit else ()
    asked = Choice(given.pass_, given.dtype, given.threads)
    run = load_run(path)
    picked = choice.functions(run, names) if names else ()
    figure = pictures.picture(run, kind, theme, picked, asked, found)
    threads = f"{given.threads}t" if given.threads else None
    drawn = picked if len(picked) <= figures.MOST else (f"{len(picked)}-functions",)
    return figure, "-".join([kind, *(v for v in (given.pass_, given.dtype, threads) if v), *_stem(drawn)])


def _stem(names: Sequence[str]) -> list[str]:
    """What a file is called after: the functions, or their number where their names are too long for a file's."""
    return list(names) if len("-".join(names)) <= _LONGEST else [f"{len(names)}-functions"]


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
    from actbench.present import curves, figures

    limits = curves.parse_limits(range_) if range_ is not None else None
    params = curves.parse_params(param)
    functions = [kernels.bind(d) for d in chosen(names, every, None, files)]
    if every or len(functions) > figures.MOST:
        if params:
            raise UsageError(
                "a gallery shows every function at its defaults: leave out --param, or name fewer"
            )
        return figures.gallery(
            [curves.Subject(f) for f in functions], theme, deriv=deriv, limits=limits
        ), "gallery"
    family = [subject for f in functions for subject in curves.subjects(f, params)]
    return figures.draw(family, theme, deriv=deriv, limits=limits), "-".join(
        _stem([f.name for f in functions])
    )
