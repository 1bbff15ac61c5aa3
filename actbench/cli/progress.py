"""How far a command is: bars with the time left where stderr is a terminal, else notes alone."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

from actbench.wording import printable

if TYPE_CHECKING:
    from rich.progress import Progress


def tell(message: str, quiet: bool = False) -> None:
    """Print ``message`` to stderr, unless ``quiet``."""
    if not quiet:
        typer.echo(printable(message), err=True)


@contextmanager
def waiting(text: str, quiet: bool) -> Iterator[None]:
    """A line on stderr that goes when the body ends, where that is a terminal: it takes no time from the body."""
    shown = not quiet and sys.stderr.isatty()
    if shown:
        typer.echo(text, err=True, nl=False)
    try:
        yield
    finally:
        if shown:
            typer.echo(f"\r{' ' * len(text)}\r", err=True, nl=False)


class Bars(Protocol):
    """Where a command tells how far it is."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def at(self, stage: str, text: str, done: int, total: int) -> None:
        """So much of a stage is done; ``text`` is what it is at."""


class _Shown:
    def __init__(self, progress: Progress, stages: Iterable[str]) -> None:
        self._progress = progress
        self._tasks = {stage: progress.add_task(stage, visible=False) for stage in stages}

    def note(self, text: str) -> None:
        self._progress.console.print(printable(text), markup=False)

    def at(self, stage: str, text: str, done: int, total: int) -> None:
        self._progress.update(
            self._tasks[stage],
            description=f"{stage} {text}".ljust(44)[:44],
            completed=done,
            total=total,
            visible=done < total,
        )


class _Notes:
    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def note(self, text: str) -> None:
        tell(text, self._quiet)

    def at(self, stage: str, text: str, done: int, total: int) -> None: ...


@contextmanager
def bars(quiet: bool, *stages: str) -> Iterator[Bars]:
    """The bars of a command's stages."""
    if quiet or not sys.stderr.isatty():
        yield _Notes(quiet)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from actbench.present.output import console

    text = TextColumn("{task.description}")
    progress = Progress(
        text,
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(stderr=True),
        transient=True,
    )

    with progress:
        yield _Shown(progress, stages)
