"""``actbench audit``: how exact? Errors in units in the last place, ours and other libraries'."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.delivery import command_line, deliver, parse_exports, write_folder
from actbench.cli.options import PEERS, AsJson, Every, Files, Names, Params, Quiet, chosen
from actbench.cli.progress import bars, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actbench.kernels.base import Function
    from actbench.verify.findings import Case

_FOLDER = Path("results/runs/audit")
_EXIT = {"within": 0, "beyond": 1, "undecided": 3}


def audit(
    names: Names = None,
    every: Every = False,
    files: Files = None,
    param: Params = None,
    pass_: Annotated[str | None, typer.Option("--pass", help="forward,derivative")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float64,float32,float16,bfloat16; with --against, float32.")
    ] = None,
    exhaustive: Annotated[
        bool,
        typer.Option("--exhaustive", help="Every float32 there is; each pass takes a minute or three."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the exhaustive audits that --output holds.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(help=f"Peers, on the same inputs: {PEERS}, or auto for all that are installed."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help=f"Write tables, pictures and what --resume needs there; for --exhaustive {_FOLDER} by default.",
        ),
    ] = None,
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT=FILE",
            help="Also write csv=FILE, md=FILE or json=FILE; FILE may be - for stdout.",
        ),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """Measure errors in ULP; exit 1 where one is beyond its bound.

    A ULP is a unit in the last place. float32 is sampled unless
    --exhaustive; of 16 bits every number is tried, of float64 some of every
    exponent. The judge is the formula, enclosed in ball arithmetic until the
    rounding is decided. Of losses and rows the derivative is the gradient.
    """
    from actbench import kernels, peers
    from actbench.catalog.errors import UsageError
    from actbench.peers.base import version
    from actbench.present import audits
    from actbench.present import output as out
    from actbench.verify import oracle, sweep

    exports = parse_exports(export, ("csv", "md", "json"), also=as_json)
    names_of_peers = against.split(",") if against is not None else []
    if exhaustive and names_of_peers:
        raise UsageError("--exhaustive is about our own kernels: leave out --against, which samples")
    if resume and not exhaustive:
        raise UsageError("--resume goes with --exhaustive")
    folder = output or (_FOLDER if exhaustive else None)
    if folder is not None:
        out.check_folder(folder)  # before minutes go into what has no place
    oracle.library()  # before seconds go into compiling what nothing could judge
    others = peers.chosen(names_of_peers, lambda line: tell(f"left out: {line}", quiet))
    functions = [kernels.bind(d) for d in chosen(names or [], every, None, files or [])]
    cases = _cases(functions, param or [], pass_, dtype or ("float32" if others else None))
    try:
        with bars(quiet, "audit") as shown:
            found = sweep.run(
                cases,
                against=[peer.name for peer in others],
                declared_in=[str(path) for path in files or []],
                exhaustive=folder / "exhaustive" if exhaustive and folder else None,
                resume=resume,
                progress=lambda text, done, total: shown.at("audit", text, done, total),
                tell=shown.note,
            )
    except KeyboardInterrupt:
        if folder is not None and exhaustive and (folder / "exhaustive").is_dir():
            tell(f"kept what was done in {folder}: the same command with --resume goes on", quiet)
        raise
    session = audits.session(found, command_line(), {peer.name: version(peer.packages[0]) for peer in others})
    if folder is not None:
        out.write_text(audits.dump(session), folder / "audit.json")
        files_beside = write_folder(session, folder)
        tell(f"wrote audit.json and {len(files_beside)} files of tables and pictures to {folder}", quiet)
    deliver(session, exports)
    judged = {found.case for found in session.audits}
    return _EXIT[session.verdict] or (0 if judged.issuperset(cases) else 3)


def _cases(
    functions: Sequence[Function], param: list[str], pass_: str | None, dtype: str | None
) -> list[Case]:
    from actbench.catalog.errors import UsageError
    from actbench.kernels.arrays import dtype_named
    from actbench.present.curves import parse_params, subjects
    from actbench.verify.findings import DERIVATIVE, FORWARD, MEAN, Case
    from actbench.verify.rounding import FORMATS

    passes = pass_.split(",") if pass_ is not None else [FORWARD, DERIVATIVE]
    for name in passes:
        if name not in (FORWARD, DERIVATIVE):
            raise UsageError(
                f"unknown pass {name!r}: choose {FORWARD} or {DERIVATIVE}, which is a loss's gradient"
            )
    dtypes = dtype.split(",") if dtype is not None else [*FORMATS]
    for name in dtypes:
        dtype_named(name)
    varied, cases = parse_params(param), []
    for f in functions:
        mean = [MEAN] if f.declaration.template == "pairwise" and FORWARD in passes else []
        for subject in subjects(f, varied):
            settings = tuple(subject.params.items())
            cases += [Case(f.name, p, d, settings) for p in (*passes, *mean) for d in dtypes]
    return cases
