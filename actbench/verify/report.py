"""What a check found: evidence a check, a report over all of them, and the smallest counter-example."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actbench.verify.section import Array

DECIDED = 1e-2
"""Differences decide a derivative where their own error is below this share of it."""
Place = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class CounterExample:
    """A place where the check fails."""

    place: Place
    """Names and float64 values of what was varied."""
    params: Mapping[str, Any]
    """The parameters that differ from their defaults."""
    got: float
    expected: float
    allowance: float
    """How far the judge may err."""

    def __str__(self) -> str:
        where = ", ".join(f"{name} = {value!r} ({float(value).hex()})" for name, value in self.place)
        given = "".join(f", {name}={value!r}" for name, value in self.params.items())
        room = f" +- {self.allowance:.2g}" if self.allowance else ""
        return f"{where}{given}: got {self.got!r}, expected {self.expected!r}{room}"


@dataclass(frozen=True)
class Evidence:
    """The outcome of one check of one function."""

    function: str
    check: str
    judge: str
    """What the kernel was compared with."""
    points: int
    undecided: int
    worst: float
    """The largest error, in units of what the judge may err by; above 1 is wrong."""
    counterexample: CounterExample | None = None
    reason: str = ""
    """Why the judge could not tell."""

    @property
    def verdict(self) -> str:
        """``"right"``, ``"wrong"``, or ``"undecided"`` where the judge could not tell at any point."""
        if self.counterexample is not None:
            return "wrong"
        return "undecided" if self.points and self.undecided == self.points else "right"


@dataclass(frozen=True)
class Report:
    """All the evidence."""

    evidence: tuple[Evidence, ...]

    @property
    def wrong(self) -> tuple[Evidence, ...]:
        """The evidence against."""
        return tuple(e for e in self.evidence if e.verdict == "wrong")

    @property
    def unknown(self) -> tuple[str, ...]:
        """The functions of which no judge could tell anything."""
        told = {e.function for e in self.evidence if e.verdict != "undecided"}
        return tuple(dict.fromkeys(e.function for e in self.evidence if e.function not in told))

    @property
    def exit_code(self) -> int:
        """1 where something is wrong, else 3 where nothing is known of a function, else 0."""
        return 1 if self.wrong else 3 if self.unknown else 0


@dataclass(frozen=True)
class Judgement:
    """Results beside what they should be, give or take some room."""

    check: str
    judge: str
    got: Array
    expected: Array
    room: Array | float
    place: Callable[[int], Place]
    error: Array | None = None
    """How far they are apart, where that is known better than by a difference of rounded numbers."""


@dataclass
class Tally:
    """Adds up one check over several parameter values into one piece of evidence."""

    function: str
    check: str
    judge: str
    points: int = 0
    undecided: int = 0
    worst: float = 0.0
    reason: str = ""
    _failures: list[tuple[tuple[float, ...], CounterExample]] = field(default_factory=list)

    def add(
        self,
        got: Array,
        expected: Array,
        allowance: Array | float,
        place: Callable[[int], Place],
        params: Mapping[str, Any] | None = None,
        *,
        relative: bool = True,
        error: Array | None = None,
    ) -> None:
        """Judge ``got`` by ``expected``, which may itself err by ``allowance``.

        ``error`` is how far they are apart where that is known better than by a difference of rounded numbers.

        With ``relative`` a point counts as undecided where the allowance is above 1 % of the value: an absolute
        agreement with a tail that was returned as 0 shows nothing. A NaN allowance is undecided too.
        """
        got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
        allowance = np.broadcast_to(np.asarray(allowance, np.float64), got.shape)
        with np.errstate(all="ignore"):
            same = (got == expected) | (np.isnan(got) & np.isnan(expected))
            error = np.where(same, 0.0, np.abs(got - expected) if error is None else error)
            ratio = np.where(error == 0, 0.0, error / allowance)
            lost = np.isnan(allowance) | np.isinf(allowance)
            ratio[np.isnan(ratio) & ~lost] = np.inf
            ratio[lost] = 0
            vague = allowance > DECIDED * np.maximum(np.abs(expected), np.abs(got))
        undecided = lost | (relative & vague & (ratio <= 1))
        self.points += got.size
        self.undecided += int(np.count_nonzero(undecided))
        self.worst = max(self.worst, float(ratio[~undecided].max(initial=0.0)))
        wrong = np.flatnonzero(ratio > 1)
        if not wrong.size:
            return
        given = dict(params or {})
        i = min((int(i) for i in wrong), key=lambda i: _size(place(i)))
        example = CounterExample(
            place(i), given, float(got.flat[i]), float(expected.flat[i]), float(allowance.flat[i])
        )
        self._failures.append(((len(given), *_size(example.place)), example))

    def same(self, got: Array, expected: Array, place: Callable[[int], Place]) -> None:
        """Judge units, which lie along the first axis, by their bits: zeros have signs, and NaNs payloads."""
        bits = np.dtype(f"u{expected.dtype.itemsize}")
        self.points += got.size
        if got.shape != expected.shape or got.dtype != expected.dtype:
            raise ValueError(f"{got.dtype}{got.shape} beside {expected.dtype}{expected.shape}")
        differs = np.ascontiguousarray(got).view(bits) != np.ascontiguousarray(expected).view(bits)
        if not differs.any():
            return
        self.worst = np.inf
        unit = int(np.flatnonzero(differs.reshape(len(got), -1).any(axis=1))[0])
        inside = int(np.flatnonzero(differs.reshape(len(got), -1)[unit])[0])
        found, wanted = (float(y.reshape(len(y), -1)[unit, inside]) for y in (got, expected))
        example = CounterExample(place(unit), {}, found, wanted, 0.0)
        self._failures.append((_size(example.place), example))

    def give_up(self, reason: str) -> None:
        """The judge cannot tell, for some parameters at least."""
        self.points, self.undecided, self.reason = self.points + 1, self.undecided + 1, reason

    def evidence(self) -> Evidence:
        """What was found; the smallest counter-example of all."""
        smallest = min(self._failures, key=lambda f: f[0])[1] if self._failures else None
        return Evidence(
            self.function,
            self.check,
            self.judge,
            self.points,
            self.undecided,
            self.worst,
            smallest,
            self.reason,
        )


def _size(place: Place) -> tuple[float, ...]:
    """How simple the numbers are: significant bits first, then the exponent, so that 1 and 0.5 come first."""
    bits = exponent = 0.0
    for _, value in place:
        if value and np.isfinite(value):
            ratio = float(value).as_integer_ratio()
            magnitude = abs(ratio[0]) * ratio[1]
            bits += (magnitude >> ((magnitude & -magnitude).bit_length() - 1)).bit_length()
            exponent += abs(float(np.frexp(value)[1]) - 1)
    return bits, exponent
