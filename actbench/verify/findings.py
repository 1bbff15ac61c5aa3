"""What audits find: plain records, which a file holds and a machine without Numba reads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ConfigDict

from actbench.verify.rounding import FORMATS

OURS, EXACT = "actbench", "exact definition"
FORWARD, DERIVATIVE, MEAN = "forward", "derivative", "mean"
"""The passes; the derivative of a loss or of a row-wise function is its gradient, the mean a loss's reduction."""
SLACK = 4.0
"""ULPs of float64 by which the kernel that shorter formats are held against may err: 2^-27 of float32's, at least."""
USELESS = 2.0**-4
"""ULPs of the format: a judge that may err by more is none."""
_STRICT = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


@dataclass(frozen=True)
class Case:
    """What an audit is about: a pass of a function in a format, at parameters."""

    __pydantic_config__ = _STRICT

    function: str
    pass_: str
    dtype: str
    settings: tuple[tuple[str, bool | int | float | str], ...] = ()
    """The parameters that are not at their defaults, and their values."""

    @property
    def params(self) -> dict[str, Any]:
        """These parameters."""
        return dict(self.settings)

    def __str__(self) -> str:
        given = "".join(f" {name}={value}" for name, value in self.settings)
        return f"{self.function} {self.pass_} {self.dtype}{given}"


@dataclass(frozen=True)
class Coordinate:
    """One of the numbers that tell where something is."""

    __pydantic_config__ = _STRICT

    name: str
    value: float
    hex: str


class Bin(NamedTuple):
    """The errors at inputs of one sign and binary exponent; 0 has the least, what is not finite the largest.

    A tuple, because a file holds thousands.
    """

    negative: bool
    exponent: int
    inputs: int
    wrong: int
    largest: float
    mean: float


@dataclass(frozen=True)
class Audit:
    """What was found of one pass, ours or a peer's."""

    __pydantic_config__ = _STRICT

    case: Case
    provider: str
    judge: str  # what the results were held against
    inputs: int
    largest: float  # ULP, over the results that are numbers where they should be
    # What the verdict is about: the largest error in units of a ULP and, where there are several operands, which may
    # cancel, of what a ULP of each of them is worth.
    judged: float
    where: tuple[Coordinate, ...]  # the place of that
    mean: float
    correct: int  # results that are the nearest number to the exact one
    undecided: int  # results of which it is not known whether they are
    wrong: int  # results that are NaN or infinite and should not be, or should be and are not
    astray: tuple[Coordinate, ...]  # the place of the first of them
    zeros: int  # zeros of the wrong sign
    # The largest error of the float64 kernel, in its own units, on the sample that the exact definition has judged.
    reference: float | None
    control: int  # results that the judge has seen moved by one ULP, and caught
    bound: float
    profile: tuple[Bin, ...]

    @property
    def verdict(self) -> str:
        """``"within"`` the bound, ``"beyond"`` it, ``"unbounded"``, or ``"undecided"`` where no judge could tell."""
        vague = self.reference is not None and slack(self.reference, self.case.dtype) > USELESS
        able = self.control > 0 and not vague
        if able and (self.wrong or self.judged > self.bound):
            return "beyond"
        # A rounding that the float64 kernel leaves open is within its bound all the same; of what the exact definition
        # cannot tell nothing is known, unless that is a tie here and there: one of 16 sequences, one of 90 elements.
        if not able or (self.judge == EXACT and self.undecided > self.inputs // 4):
            return "undecided"
        return "within" if math.isfinite(self.bound) else "unbounded"

    @property
    def share(self) -> float:
        """The share of results that are known to be the nearest number."""
        return self.correct / max(1, self.inputs)


def slack(reference: float | None, dtype: str) -> float:
    """ULPs of a format by which the float64 kernel may err: twice what was found on a sample, or SLACK."""
    errs = max(SLACK, 2 * (reference or 0.0))
    return float(errs * 2.0 ** (FORMATS[dtype].places - FORMATS["float64"].places))
