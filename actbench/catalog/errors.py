"""What a user can do wrong: each error is one line that says what to do, and knows its exit code."""

from __future__ import annotations

from actbench.wording import in_one_line


class ActbenchError(Exception):
    """The base of every error that a user can cause and mend."""

    exit_code = 2


class UsageError(ActbenchError, ValueError):
    """A call or a command line that cannot be carried out as written."""


class UnknownFunction(ActbenchError, LookupError):  # noqa: N818  (public name, as LookupError's kin)
    """A name that no declared function has; the message suggests the nearest."""


class ParameterError(UsageError):
    """A parameter that is unknown or outside its valid range."""


class DeclarationError(UsageError):
    """A function declaration that contradicts itself or lacks something."""


class InfeasibleError(UsageError):
    """A request that the data or the machine's memory cannot carry."""


class InputFileError(ActbenchError):
    """An input file that is missing, unreadable or malformed."""

    exit_code = 4


class OutputError(ActbenchError, OSError):
    """An output that cannot be written."""


def told(error: BaseException) -> str:
    """Any error in one line: what a user caused says it itself, a foreign one is told with its type."""
    return in_one_line(str(error) if isinstance(error, ActbenchError) else f"{type(error).__name__}: {error}")
