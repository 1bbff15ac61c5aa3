"""What a user can do wrong: each error is one line that says what to do, and knows its exit code."""

from __future__ import annotations

import re

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LONGEST = 200


def in_one_line(text: str) -> str:
    """Foreign words as one short line of printable characters, for any kind of report."""
    line = " ".join(_COLOURS.sub("", text).split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


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
