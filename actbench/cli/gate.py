"""``actbench gate``: is head slower than base? Both measured here and now, in turns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.delivery import command_line, deliver, parse_exports, write_exports
from actbench.cli.options import (
    HOW,
    AsJson,
    ConfigFile,
    Dtypes,
    Files,
    Names,
    Passes,
    Quiet,
    Seed,
    Sizes,
    Slice,
    Threads,
    Timeout,
)
from actbench.cli.progress import bars, tell

if TYPE_CHECKING:
    from actbench.bench.gating.record import Report


def gate(
    names: Names = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every function that either side has: as without names.")
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="REV|WHEEL|DIR",
            help="What head is compared with: a git revision (REV... is where this branch left it), a wheel, a folder.",
        ),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="REV|WHEEL|DIR",
            help="The same for head; by default the project around this folder, else what is installed.",
        ),
    ] = None,
    base_python: Annotated[
        str | None,
        typer.Option(metavar="PYTHON", help="The interpreter that base runs in, with its own packages."),
    ] = None,
    peer: Annotated[
        str | None,
        typer.Option(help="Compare the calls of these libraries, such as torch, in the place of ours."),
    ] = None,
    files: Files = None,
    pass_: Passes = None,
    dtype: Dtypes = None,
    size: Sizes = None,
    threads: Threads = None,
    preset: Annotated[
        str | None, typer.Option(help="The cells: ci, by default, quick or full.", rich_help_panel=HOW)
    ] = None,
    config: ConfigFile = None,
    threshold: Annotated[
        str | None, typer.Option(help="The slowdown that matters; 3% by default.", rich_help_panel=HOW)
    ] = None,
    slice: Slice = None,
    seed: Seed = None,
    timeout: Timeout = None,
    budget: Annotated[
        str | None,
        typer.Option(help="The time for measuring; what is left is inconclusive.", rich_help_panel=HOW),
    ] = None,
    unchanged: Annotated[
        bool,
        typer.Option(
            "--unchanged", help="Measure also where both sides run the same code.", rich_help_panel=HOW
        ),
    ] = False,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test",
            help="Gates of head (what is installed by default) against itself, with injected slowdowns: false "
            "alarms and power.",
            rich_help_panel=HOW,
        ),
    ] = False,
    trials: Annotated[
        int, typer.Option(min=1, help="Of --self-test, for each slowdown.", rich_help_panel=HOW)
    ] = 3,
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT=FILE",
            help="Also write md=FILE, json=FILE or junit=FILE; FILE may be - for stdout.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Is head slower than base? Both are measured here and now, in processes that take turns.

    Exit 0: nothing is slower. 1: something is, or gives other values. 3: inconclusive, or a side cannot be measured.
    In GitHub Actions the summary appears on the page of the job.
    """
    import signal
    import sys
    import tempfile

    from actbench.bench.config import resolve
    from actbench.bench.gating import environment, job, selftest
    from actbench.bench.gating.gate import Event
    from actbench.bench.gating.process import SideError
    from actbench.bench.gating.side import INSTALLED, BuildError, project_folder, side
    from actbench.catalog.errors import ActbenchError, UsageError
    from actbench.catalog.registry import check_file
    from actbench.peers import chosen as chosen_peers
    from actbench.present import gating, output
    from actbench.present.records import kind_of

    exports = parse_exports(export, ("md", "json", "junit"), also=as_json)
    flags = {
        "preset": preset,
        "pass": pass_,
        "dtype": dtype,
        "size": size,
        "threads": threads,
        "threshold": threshold,
        "slice": slice,
        "seed": seed,
        "timeout": timeout,
        "budget": budget,
    }
    resolved = resolve(flags, file=config, defaults={"preset": "ci"})
    declared = files or []
    if names and every:
        raise UsageError("--all excludes names")
    for file in declared:
        check_file(file)
    wanted = names or []  # what they mean only the sides know, of which each may have its own functions
    peers = tuple(p.name for p in chosen_peers(tuple(map(str.strip, peer.split(","))))) if peer else ()
    if self_test and (base or base_python or peer or unchanged or export):
        raise UsageError(
            "--self-test measures one version, and has --json alone: leave out the other options"
        )
    # It is about the project that the functions are of.
    around = declared[0].resolve().parent if declared else Path.cwd()
    project = Path(head).resolve() if head and Path(head).is_dir() else project_folder(around)
    from_, to = (
        (INSTALLED, head or INSTALLED) if self_test else environment.sources(base, head, base_python, project)
    )
    # A job that is cancelled is told so: what was begun is ended and cleared away.
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    with (
        tempfile.TemporaryDirectory(prefix=f"actbench-{os.getpid()}-") as scratch,
        bars(quiet, "compile", "screen", "confirm") as shown,
    ):

        def progress(event: Event) -> None:
            shown.at(event.stage, event.text, event.done, event.total)

        if self_test:
            this = side("head", to, sys.executable, declared, Path(scratch), project)
            parts = [part for _ in range(trials) for part in selftest.PARTS]
            tested = tuple(selftest.trials(this, resolved, wanted, parts, progress=progress))
        else:
            told = command_line()
            try:
                before, after = environment.built(
                    (from_, to), base_python, declared, Path(scratch), project, fit=not peers
                )
                report = job.run(
                    before,
                    after,
                    resolved,
                    wanted,
                    command=told,
                    peers=peers,
                    everything=unchanged,
                    every=every,
                    progress=progress,
                )
            except ActbenchError as error:
                if isinstance(error, SideError | BuildError):  # is news for a reviewer, too
                    failure = job.failed(error, (from_, to), resolved, wanted, command=told)
                    _tell_github(failure)
                    write_exports(failure, exports, kind_of(failure).texts)
                raise
    if self_test:
        if as_json:
            output.write_text(output.json_text(tested), output.STDOUT)
        else:
            output.display(gating.self_test(tested))
        return 0
    _tell_github(report)
    deliver(report, exports)
    return report.exit_code


def _tell_github(report: Report) -> None:
    """Tell GitHub Actions: a summary of the job, and annotations."""
    from actbench.present import gating

    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(gating.markdown(report))
        except OSError as error:
            tell(f"no summary: GITHUB_STEP_SUMMARY={summary}: {error.strerror}")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in gating.github(report):
            tell(line)
