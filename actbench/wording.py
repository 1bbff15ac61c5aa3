"""How messages are worded: one line, a count with its noun, the nearest of the names that are known."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LONGEST = 200


def in_one_line(text: str) -> str:
    """Foreign words as one short line of printable characters, for any kind of report."""
    line = " ".join(_COLOURS.sub("", text).split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def printable(text: str) -> str:
    """Foreign words with a question mark for each character that is none, such as those which command a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def counted(count: int, noun: str) -> str:
    """A count with its noun: "1 cell", "2 cells", "2 families"."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{count} {noun}s"


def suggestion(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """What follows an unknown name: the nearest that is known, else ``otherwise``, or all of them to choose from."""
    known = list(known)
    nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    if nearest:
        return f": did you mean {nearest[0]!r}?"
    return f": {otherwise or 'choose from ' + ', '.join(known)}"
