"""Sets of real numbers that a declaration names: intervals and finite sets, written as mathematicians do."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from actbench.catalog.errors import DeclarationError
from actbench.catalog.formula import Formula

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


@dataclass(frozen=True)
class Range:
    """The values that a function takes: a finite set, or an interval between formulas, as ``[-alpha, inf]``.

    Raises DeclarationError when the text is neither.
    """

    text: str

    def __post_init__(self) -> None:
        if not self.ends:
            Domain(self.text)

    @cached_property
    def ends(self) -> tuple[Formula, ...]:
        """The formulas of an interval's ends, in numbers and parameters; none of a finite set."""
        if self.text[:1] not in ("[", "(") or self.text[-1:] not in ("]", ")"):
            return ()
        body = Formula(f"({self.text[1:-1]})").tree.body
        if not isinstance(body, ast.Tuple) or len(body.elts) != 2:
            return ()
        return tuple(Formula(ast.unparse(end)) for end in body.elts)

    @property
    def names(self) -> frozenset[str]:
        """The parameters that the ends depend on."""
        return frozenset().union(*(end.names for end in self.ends)) - {"inf"}

    def at(self, values: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Domain:
        """The set for given parameters, with the ends in their order."""
        if not self.ends:
            return Domain(self.text)
        names = {"inf": math.inf, **values}
        low, high = sorted(float(end.evaluate(names, functions)) for end in self.ends)
        return Domain(f"{self.text[0]}{low!r}, {high!r}{self.text[-1]}")

    def __str__(self) -> str:
        return self.text


REALS = Domain("(-inf, inf)")
EXTENDED_REALS = Domain("[-inf, inf]")
