"""Sets of real numbers that a declaration names: intervals and finite sets, written as mathematicians do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from actbench.catalog.errors import DeclarationError

_INTERVAL = re.compile(r"^([\[(])\s*([^,]+?)\s*,\s*([^,]+?)\s*([\])])$")


@dataclass(frozen=True)
class Domain:
    """An interval such as ``[0, inf)``, or a finite set such as ``{-1, 1}``.

    Raises DeclarationError when the text is neither.
    """

    text: str

    def __post_init__(self) -> None:
        if not self.members:
            low, high = self.low, self.high
            if not low <= high:
                raise DeclarationError(f"domain {self.text!r} is empty: write low <= high")

    @property
    def members(self) -> tuple[float, ...]:
        """The elements of a finite set in increasing order; empty for an interval."""
        if not (self.text.startswith("{") and self.text.endswith("}")):
            return ()
        return tuple(sorted(float(part) for part in self.text[1:-1].split(",")))

    @property
    def low(self) -> float:
        """The infimum."""
        return self.members[0] if self.members else self._bounds()[1]

    @property
    def high(self) -> float:
        """The supremum."""
        return self.members[-1] if self.members else self._bounds()[2]

    def _bounds(self) -> tuple[str, float, float, str]:
        match = _INTERVAL.match(self.text)
        if match is None:
            raise DeclarationError(
                f"domain {self.text!r} is not an interval such as '[0, inf)' or a set such as '{{-1, 1}}'"
            )
        opening, low, high, closing = match.groups()
        try:
            return opening, float(low), float(high), closing
        except ValueError:
            raise DeclarationError(f"domain {self.text!r} has an end that is not a number") from None

    def __contains__(self, value: float) -> bool:
        if self.members:
            return value in self.members
        opening, low, high, closing = self._bounds()
        above = value >= low if opening == "[" else value > low
        below = value <= high if closing == "]" else value < high
        return above and below

    def __str__(self) -> str:
        return self.text


REALS = Domain("(-inf, inf)")
EXTENDED_REALS = Domain("[-inf, inf]")
