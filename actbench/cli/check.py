"""``actbench check``: is it right? Derivatives, gradients, kinks, properties, special values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actbench.cli.options import AsJson, Every, Files, Names, Params, chosen

if TYPE_CHECKING:
    from actbench.verify.report import Report

_SAMPLE = 4096
"""About so many values of an input file are checked: the largest file costs no more than this."""


def check(
    names: Names = None,
    every: Every = False,
    files: Files = None,
    param: Params = None,
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
    """Check values, derivatives and gradients; exit 1 where one is wrong, 3 where nothing is known.

    Three judges: differences of the compiled kernels, the formula's exact
    values and laws (python-flint must be installed), and, for float32,
    the float64 kernels. Also kinks, reductions, range and special values.
    """
    from actbench import kernels
    from actbench.bench import data as user_data
    from actbench.catalog.errors import UsageError
    from actbench.present.curves import parse_params, subjects
    from actbench.verify import bitwise
    from actbench.verify.derivative import evidence
    from actbench.verify.report import Report

    functions = [kernels.bind(d) for d in chosen(names or [], every, None, files or [])]
    if same_bits:
        if param or data:
            raise UsageError(
                "--bitwise takes no --param and no --input: it has values of its own, at the defaults"
            )
        return _show(Report(tuple(e for f in functions for e in bitwise.check(f))), as_json, quiet)
    varied = parse_params(param or [])
    settings = {f.name: [s.params for s in subjects(f, varied)] if varied else None for f in functions}
    points = user_data.sample(user_data.mapped(data), _SAMPLE).ravel().astype("float64") if data else None
    report = Report(tuple(e for f in functions for e in evidence(f, settings[f.name], points)))
    return _show(report, as_json, quiet)


def _show(report: Report, as_json: bool, quiet: bool) -> int:
    from actbench.present import checks, output

    if as_json:
        output.write_text(output.json_text(checks.document(report)), output.STDOUT)
    else:
        output.display(checks.terminal(report, quiet))
    return report.exit_code
