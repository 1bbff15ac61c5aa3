"""``actbench check``: is it right? Derivatives, gradients, kinks, properties, special values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actbench.cli.selection import AsJson, Every, Files, Names

if TYPE_CHECKING:
    from actbench.present.table import Table
    from actbench.verify.report import Evidence, Report

_SAMPLE = 4096
"""Values of an input file that are checked: the largest file costs no more than this."""


def check(
    names: Names = None,
    every: Every = False,
    files: Files = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=V,V,...", help="Check at these parameters only; repeatable."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--input", metavar="FILE.npy", help="Check at values sampled from your own tensor."),
    ] = None,
    same_bits: Annotated[
        bool,
        typer.Option("--bitwise", help="Only whether all ways to call a pass give the same bits."),
    ] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what is wrong.")] = False,
) -> int:
    """Check values, derivatives and gradients; exit 1 where one is wrong.

    Three judges: differences of the compiled kernels, the formula's exact
    values and laws (python-flint must be installed), and, for float32,
    the float64 kernels. Also kinks, reductions, range and special values.
    """
    from actbench import kernels
    from actbench.catalog.errors import UsageError
    from actbench.cli.selection import chosen as select
    from actbench.present.curves import parse_params, subjects
    from actbench.verify import bitwise
    from actbench.verify.derivative import evidence
    from actbench.verify.report import Report

    functions = [kernels.bind(d) for d in select(names or [], every, None, files or [])]
    if same_bits:
        if param or data:
            raise UsageError(
                "--bitwise takes no --param and no --input: it has values of its own, at the defaults"
            )
        return _show(Report(tuple(e for f in functions for e in bitwise.check(f))), as_json, quiet)
    varied = parse_params(param or [])
    chosen = {f.name: [s.params for s in subjects(f, varied)] if varied else None for f in functions}
    points = _points(data) if data else None
    report = Report(tuple(e for f in functions for e in evidence(f, chosen[f.name], points)))
    return _show(report, as_json, quiet)


def _show(report: Report, as_json: bool, quiet: bool) -> int:
    from actbench.present import output

    if as_json:
        typer.echo(output.json_text(document(report)), nl=False)
    else:
        _print(report, quiet)
    return report.exit_code


def _points(path: Path) -> Any:
    """An even sample of a .npy file's values, read without loading the file."""
    import numpy as np

    from actbench.catalog.errors import InputFileError

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputFileError(f"no such file: {path}") from None
    except (OSError, ValueError) as error:
        raise InputFileError(f"{path} is not a NumPy array file (.npy): {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or not array.size:
        raise InputFileError(f"{path} holds no real numbers: save one array of floats with numpy.save")
    flat = array.reshape(-1)
    return np.asarray(flat[:: max(1, flat.size // _SAMPLE)][:_SAMPLE], np.float64)


def document(report: Report) -> dict[str, Any]:
    """The report as JSON values: evidence, verdicts, and counter-examples in decimal and hex."""
    from dataclasses import asdict

    evidence = []
    for e in report.evidence:
        entry = asdict(e) | {"verdict": e.verdict}
        if e.counterexample is not None:
            entry["counterexample"]["place"] = [
                {"name": name, "value": value, "hex": float(value).hex()}
                for name, value in e.counterexample.place
            ]
        evidence.append(entry)
    return {"verdict": "wrong" if report.wrong else "right", "evidence": evidence}


_CAPTION = "worst: the largest error, as a multiple of what the judge may err by; above 1 is wrong"


def details(report: Report) -> Table:
    """A row a check."""
    from actbench.present.table import Column, Table

    rows, previous = [], ""
    for e in report.evidence:
        name = e.function if e.function != previous else ""
        rows.append((name, e.check, e.judge, f"{e.points:,}", f"{e.undecided:,}", _worst([e]), e.verdict))
        previous = e.function
    texts = (Column(title, align="left") for title in ("function", "check", "judged by"))
    columns = (
        *texts,
        Column("points"),
        Column("undecided"),
        Column("worst"),
        Column("verdict", align="left"),
    )
    return Table("", columns, tuple(rows), _CAPTION)


def summary(report: Report) -> Table:
    """A row a function."""
    from actbench.present.table import Column, Table

    rows = []
    for name in dict.fromkeys(e.function for e in report.evidence):
        own = [e for e in report.evidence if e.function == name]
        points, undecided = sum(e.points for e in own), sum(e.undecided for e in own)
        verdict = "wrong" if any(e.verdict == "wrong" for e in own) else "right"
        rows.append((name, str(len(own)), f"{points:,}", f"{undecided:,}", _worst(own), verdict))
    columns = (
        Column("function", align="left"),
        *(Column(title) for title in ("checks", "points", "undecided", "worst")),
        Column("verdict", align="left"),
    )
    return Table("", columns, tuple(rows), _CAPTION)


def _worst(evidence: list[Evidence]) -> str:
    decided = [e.worst for e in evidence if e.points > e.undecided]
    return f"{max(decided):.2g}" if decided else "-"


def _print(report: Report, quiet: bool) -> None:
    from actbench.present.output import console
    from actbench.present.table import terminal
    from actbench.verify.report import Report

    out = console()
    if quiet and report.wrong:
        out.print(terminal(details(Report(report.wrong))))
    elif not quiet:
        one = len({e.function for e in report.evidence}) == 1
        out.print(terminal(details(report) if one else summary(report)))
    for e in report.evidence if not quiet else ():
        if e.verdict == "undecided" and e.reason:
            out.print(f"\n{e.function}: {e.check} is undecided by the {e.judge}: {e.reason}")
    for e in report.wrong:
        out.print(f"\n{e.function}: {e.check} is wrong, says the judge ({e.judge})\n  at {e.counterexample}")
    if not quiet:
        functions = len({e.function for e in report.evidence})
        wrong = len({e.function for e in report.wrong})
        out.print(f"\n{functions} function{'s' if functions != 1 else ''} checked, {wrong} wrong")
