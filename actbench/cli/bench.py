"""``actbench bench``: measure functions, and write what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.delivery import Export, command_line, deliver, parse_exports, write_folder
from actbench.cli.options import (
    HOW,
    PEERS,
    WHAT,
    AsJson,
    ConfigFile,
    Dtypes,
    Every,
    Files,
    Names,
    Passes,
    Quiet,
    Seed,
    Sizes,
    Slice,
    Threads,
    Timeout,
    chosen,
)
from actbench.cli.progress import bars, tell

if TYPE_CHECKING:
    from actbench.bench.runner import Event

WHERE = "Where results go"


def bench(
    names: Names = None,
    every: Every = False,
    kind: Annotated[
        str | None,
        typer.Option(help="With --all: activation or loss.", rich_help_panel=WHAT),
    ] = None,
    pass_: Passes = None,
    dtype: Dtypes = None,
    size: Sizes = None,
    threads: Threads = None,
    cache: Annotated[
        str | None,
        typer.Option(
            help="warm (the same buffers again), cold (evicted buffers), or both.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help=f"Peers, timed in the same rounds: {PEERS}, or auto for all that are installed.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    input: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npy", help="Measure on this array; checks it too.", rich_help_panel=WHAT),
    ] = None,
    files: Files = None,
    preset: Annotated[
        str | None,
        typer.Option(help="quick (the default), full, ci or peers.", rich_help_panel=HOW),
    ] = None,
    config: ConfigFile = None,
    rounds: Annotated[str | None, typer.Option(help="Samples a cell, from 6.", rich_help_panel=HOW)] = None,
    slice: Slice = None,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Cut rounds so that measuring takes no longer, such as 60s; compiling is apart.",
            rich_help_panel=HOW,
        ),
    ] = None,
    seed: Seed = None,
    roofline: Annotated[
        bool | None,
        typer.Option(
            "--roofline",
            help="Measure what the machine can do at most, and count what kernels do.",
            rich_help_panel=HOW,
        ),
    ] = None,
    timeout: Timeout = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the newest unfinished run of the same configuration.",
            rich_help_panel=HOW,
        ),
    ] = False,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Where the run's folder is made; results/runs by default.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Keep the run as a baseline, for 'actbench compare NAME'.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    export: Export = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Measure functions: time an element, bandwidth, and the share of what this machine can do.

    Options also come from ACTBENCH_* variables, --config, the table tool.actbench of pyproject.toml, and presets.
    """
    from actbench.bench import data as user_data
    from actbench.bench import regression, runner
    from actbench.bench.config import resolve
    from actbench.bench.plan import expand
    from actbench.bench.run import Store, save_run
    from actbench.bench.system import usable_cpus
    from actbench.bench.worker import Setup, measuring
    from actbench.catalog.errors import InfeasibleError, UsageError
    from actbench.kernels import bind
    from actbench.peers import chosen as chosen_peers
    from actbench.peers.base import PASSES
    from actbench.wording import counted

    exports = parse_exports(export, also=as_json)
    kept = None if save is None else regression.baseline(save)
    flags = {
        "preset": preset,
        "pass": pass_,
        "dtype": dtype,
        "size": size,
        "threads": threads,
        "cache": cache,
        "against": against,
        "rounds": rounds,
        "slice": slice,
        "budget": budget,
        "seed": seed,
        "roofline": roofline,
        "timeout": timeout,
        "output": output,
    }
    resolved = resolve(flags, file=config)
    declarations = chosen(names or [], every, kind, files or [])
    source = None
    if input is not None:
        decided = [flag for flag, value in (("--size", size), ("--dtype", dtype)) if value is not None]
        if decided:
            raise UsageError(f"--input decides size and dtype: leave out {' and '.join(decided)}")
        array, source = user_data.open_data(input)
        resolved = resolved.model_copy(update={"sizes": (array.size,), "dtypes": (source.dtype,)})
    plan = expand([bind(d) for d in declarations], resolved, synthetic=source is None)
    setup = Setup(
        resolved,
        tuple(p.name for p in chosen_peers(resolved.against, lambda line: tell(f"left out: {line}", quiet))),
        source,
        tuple(str(path) for path in files or []),
    )
    if setup.peers and not any(cell.pass_ in PASSES for cell in plan.cells):
        tell(f"peers have {' and '.join(PASSES)} alone: nothing is compared", quiet)
    cpus, most = len(usable_cpus()), max(cell.threads for cell in plan.cells)
    if 0 < cpus < most:
        tell(f"{most} threads take turns on the {counted(cpus, 'CPU')} that this process may use", quiet)
    folder: Path | None = None
    try:
        with bars(quiet, "compile", "measure") as shown, measuring(setup, shown.note) as session:
            start = runner.begin(
                [d.name for d in declarations],
                resolved,
                command=command_line(),
                source=source,
                peers=session.descriptions(),
                environment=session.environment,
            )
            faults = {name: d.fault for name, d in start.peers.items() if d.fault}
            if faults and len(faults) == len(start.peers):
                raise UsageError("; ".join(f"{name} is installed, but {why}" for name, why in faults.items()))
            for name, fault in faults.items():
                shown.note(f"left out {name}: {fault}")
            if resume:
                start, folder = runner.resume(resolved.output, start)
            else:
                folder = runner.new_folder(resolved.output, start)

            def progress(event: Event) -> None:
                if event.stage == "note":
                    shown.note(event.text)
                else:
                    shown.at(event.stage, event.text, event.done, event.total)

            run = runner.run(
                plan,
                resolved,
                start,
                Store(folder),
                session,
                progress=progress,
                declared_in=setup.declared_in,
            )
    except KeyboardInterrupt:
        if folder is not None and (folder / "run.json").is_file():
            tell(f"kept what was measured in {folder}: the same command with --resume goes on", quiet)
        raise
    if not run.cells:
        raise InfeasibleError(f"nothing could be measured: {run.skipped[0].cell}: {run.skipped[0].reason}")
    if kept is not None:
        save_run(run, kept)
        tell(f"kept as {kept}", quiet)
    written = ", ".join(write_folder(run, folder, quiet))
    try:
        deliver(run, exports)
    finally:  # where an export fails, what was measured is there all the same
        for skipped in run.skipped:
            tell(f"{'failed' if skipped.failed else 'skipped'} {skipped.cell}: {skipped.reason}", quiet)
        tell(f"wrote run.json, {written} to {folder}", quiet)
    return 1 if any(skipped.failed for skipped in run.skipped) else 0
