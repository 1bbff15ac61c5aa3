"""ASK: the command line. Importing it imports neither Numba nor matplotlib; each command does, in its body."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated, TextIO

import click
import typer
from typer.core import TyperGroup

from actbench.catalog.errors import ActbenchError, UsageError
from actbench.cli.audit import audit
from actbench.cli.bench import bench
from actbench.cli.check import check
from actbench.cli.compare import compare
from actbench.cli.doctor import doctor
from actbench.cli.gate import gate
from actbench.cli.history import history
from actbench.cli.list import list_functions
from actbench.cli.plot import plot
from actbench.cli.report import report
from actbench.cli.show import show
from actbench.cli.stdout import guarded
from actbench.wording import printable, suggestion

FAULT, INTERRUPTED = 70, 130


class _Commands(TyperGroup):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # Typer suggests a command, and so does Click from 8.4 on: one of them is enough.
        if not args[0].startswith("-") and args[0] not in self.commands:
            raise click.UsageError(f"no such command {args[0]!r}{suggestion(args[0], self.commands)}", ctx)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    name="actbench",
    help="How fast, how exact, what it looks like: the referee for activation and loss functions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("list")(list_functions)
for _command in (show, plot, bench, check, audit, report, compare, gate, history, doctor):
    app.command()(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"actbench {version('actbench')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Never colour (as NO_COLOR=1).")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a fault.")] = False,
) -> None:
    if no_color:
        os.environ["NO_COLOR"] = "1"
        os.environ.pop("FORCE_COLOR", None)
    if debug:
        os.environ["ACTBENCH_DEBUG"] = "1"


def _fail(message: str, code: int) -> int:
    print(f"error: {_one_line(message)}", file=sys.stderr)
    return code


def _one_line(message: str) -> str:
    return printable(" ".join(message.split()))


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning in one line, without the place in actbench's code where it was given."""
    print(f"warning: {_one_line(str(message))}", file=file or sys.stderr)


def _code(result: object) -> int:
    return result if isinstance(result, int) else 0


def run(arguments: list[str] | None = None) -> int:
    """Carry out one command line and return its exit code; a user's mistake is one line on stderr.

    A reader of stdout that has gone changes no exit code.
    """
    warnings.showwarning = _warned
    if os.environ.get("COLUMNS", "").strip("0") == "":
        os.environ.pop("COLUMNS", None)  # 0 says nothing; rich would make the help that narrow
    try:
        with guarded():
            result = app(arguments, standalone_mode=False, prog_name="actbench")
        # Typer makes this code of Ctrl-C, and says nothing.
        return _fail("interrupted", INTERRUPTED) if result == INTERRUPTED else _code(result)
    except (typer.Abort, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        return error.exit_code  # the help is printed already
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code)
    except ActbenchError as error:
        return _fail(str(error), error.exit_code)
    except MemoryError as error:
        return _fail(f"not enough memory: {error}: take smaller sizes or parameters", UsageError.exit_code)
    except Exception as error:
        if os.environ.get("ACTBENCH_DEBUG"):
            raise
        return _fail(f"{type(error).__name__}: {error} (a fault of actbench: --debug shows more)", FAULT)


def main() -> None:
    """The entry point of the console script."""
    sys.exit(run())
