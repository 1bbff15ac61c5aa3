"""Errors added up: the largest and where, the mean, the share of results that are the nearest number, by exponent."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from actbench.verify.findings import USELESS, Bin
from actbench.verify.rounding import FORMATS, Target

Array = NDArray[Any]
_BINS = 4096
_ARRAYS = "counts", "worst", "totals", "strays"


@dataclass
class Ledger:
    """What was found at many inputs; the first column of these tells the bin that an error belongs to."""

    counts: Array = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    worst: Array = field(default_factory=lambda: np.zeros(_BINS))
    totals: Array = field(default_factory=lambda: np.zeros(_BINS))
    """Inputs, and their largest errors and sums of errors, as they are judged."""
    strays: Array = field(default_factory=lambda: np.zeros(_BINS, np.int64))
    """Results that are NaN or infinite and should not be, or should be and are not."""
    correct: int = 0
    """Results that are the nearest number to the exact one."""
    undecided: int = 0
    zeros: int = 0
    """Zeros of the wrong sign."""
    control: int = 0
    """Results that a judge has seen moved, too, and caught."""
    largest: float = -1.0
    """The largest error in ULP."""
    judged: float = -1.0
    """The largest error as it is judged: in units of a ULP and of what the rounding of several operands is worth."""
    where: tuple[float, ...] = ()
    """Where that is."""
    astray: tuple[float, ...] = ()
    """Where the first of the wrong ones is."""

    def add(self, columns: Sequence[Array], got: Array, target: Target, worth: Array | None = None) -> None:
        """Judge results by exact ones; ``worth`` is how much the operands' own rounding moves them."""
        error = target.error(got)
        zero = (target.nearest == 0) & (target.rest != 0)
        got = np.asarray(got, np.float64)
        self.zeros += int(
            np.count_nonzero(zero & (got == 0) & (np.signbit(got) != np.signbit(target.nearest)))
        )
        self.undecided += int(np.count_nonzero(~target.decided))
        self.correct += int(np.count_nonzero(target.met(got)))
        bins = (np.ascontiguousarray(columns[0]).view(np.int64) >> 52) & (_BINS - 1)
        np.add.at(self.counts, bins, 1)
        with np.errstate(all="ignore"):
            # Beyond the largest number a ULP is infinite, and the quotient none.
            judged = error if worth is None else np.fmin(error, error / (1 + worth / target.ulp))
        finite = np.isfinite(error)
        np.maximum.at(self.worst, bins[finite], judged[finite])
        np.add.at(self.totals, bins[finite], judged[finite])
        if finite.any():
            i = int(np.argmax(np.where(finite, judged, -1.0)))
            self._meet(float(error[finite].max()), float(judged[i]), _row(columns, i))
        wrong = np.flatnonzero(np.isinf(error))
        np.add.at(self.strays, bins[wrong], 1)
        if wrong.size:
            self._stray(_row(columns, int(wrong[0])))

    def fold(
        self,
        columns: Sequence[Array],
        got: Array,
        exact: Array,
        worth: Array | None,
        dtype: str,
        slack: float,
    ) -> tuple[Array, Array, Array]:
        """Judge results of a format by float64 numbers that err by ``slack`` of its ULPs at most, beside their worth.

        What that leaves open is returned: the indices of results of which it is not told whether they are the
        nearest number, the places half-way to the other one, and whether the result is even. The place is NaN where
        there may be two others.
        """
        per_ulp, ends = _scales(dtype)
        left, half = np.empty(got.size, np.int64), np.empty(got.size)
        bins = self.counts, self.worst, self.totals, self.strays
        moved = np.zeros(0) if worth is None else worth
        found = _fold(columns[0], got, exact, moved, per_ulp, ends, slack, bins, left, half)
        correct, zeros, largest, judged, at, astray, open_ = found
        self.correct += correct
        self.zeros += zeros
        if at >= 0:
            self._meet(largest, judged, _row(columns, at))
        if astray >= 0:
            self._stray(_row(columns, astray))
        left, half = left[:open_], half[:open_]
        with np.errstate(invalid="ignore"):  # an infinity is even, too
            return left, half, got[left] * per_ulp[(exact[left].view(np.int64) >> 52) & 2047] % 2 != 1

    def merge(self, other: Ledger) -> None:
        """Add what another ledger holds, at later inputs."""
        self.counts += other.counts
        np.maximum(self.worst, other.worst, out=self.worst)
        self.totals += other.totals
        self.strays += other.strays
        self.correct += other.correct
        self.undecided += other.undecided
        self.zeros += other.zeros
        self.control += other.control
        self._meet(other.largest, other.judged, other.where)
        if other.astray:
            self._stray(other.astray)

    def _meet(self, largest: float, judged: float, where: tuple[float, ...]) -> None:
        self.largest = max(self.largest, largest)
        # Of equal ones that at the number whose bits come first: the order of the parts must not tell.
        if judged > self.judged or (judged == self.judged and _rank(where) < _rank(self.where)):
            self.judged, self.where = judged, where

    def _stray(self, where: tuple[float, ...]) -> None:
        if not self.astray or _rank(where) < _rank(self.astray):
            self.astray = where

    @property
    def inputs(self) -> int:
        """How many inputs there were."""
        return int(self.counts.sum())

    @property
    def wrong(self) -> int:
        """How many results are NaN or infinite and should not be, or should be and are not."""
        return int(self.strays.sum())

    @property
    def mean(self) -> float:
        """The mean error."""
        return float(self.totals.sum()) / max(1, self.inputs)

    def profile(self) -> tuple[Bin, ...]:
        """The errors by sign and exponent, to four digits."""

        def short(value: float) -> float:
            return float(f"{value:.4g}")

        return tuple(
            Bin(
                bool(b >> 11), int(b & 2047) - 1023, int(self.counts[b]), int(self.strays[b]),
                short(self.worst[b]), short(self.totals[b] / self.counts[b]),
            )
            for b in np.flatnonzero(self.counts)
        )  # fmt: skip

    def document(self) -> dict[str, Any]:
        """All of it as JSON values."""
        kept = np.flatnonzero(self.counts)
        arrays = {name: getattr(self, name)[kept].tolist() for name in _ARRAYS}
        rest = ("correct", "undecided", "zeros", "control", "largest", "judged", "where", "astray")
        return {"bins": kept.tolist(), **arrays, **{name: getattr(self, name) for name in rest}}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Ledger:
        """The ledger that ``document`` has written."""
        found = dict(document)
        kept = found.pop("bins")
        ledger = cls(**{**found, "where": tuple(found["where"]), "astray": tuple(found["astray"])})
        for name in _ARRAYS:
            values = getattr(cls(), name)
            values[kept] = found[name]
            setattr(ledger, name, values)
        return ledger


def _rank(where: Sequence[float]) -> list[tuple[bool, float]]:
    return [(v < 0, math.inf if math.isnan(v) else abs(v)) for v in where]


def _row(columns: Sequence[Array], i: int) -> tuple[float, ...]:
    return tuple(float(column[i]) for column in columns)


@functools.cache
def _scales(dtype: str) -> tuple[Array, tuple[float, float]]:
    """1 / ULP by the exponent field of float64; the largest number, and the one that would follow it."""
    f = FORMATS[dtype]
    exponents = np.maximum(np.arange(2048) - 1023, f.least)
    return np.exp2(f.places - 1.0 - exponents), (f.greatest, math.ldexp(1.0, f.largest + 1))


@numba.njit  # type: ignore[untyped-decorator]
def _bits(value: Any) -> int:
    return np.float64(value).view(np.int64)  # type: ignore[return-value]


@numba.njit(error_model="numpy", nogil=True)  # type: ignore[untyped-decorator]
def _fold(
    x: Any,
    got: Any,
    exact: Any,
    worth: Any,
    per_ulp: Any,
    ends: Any,
    slack: float,
    bins: Any,
    left: Any,
    half: Any,
) -> tuple[int, int, float, float, int, int, int]:
    """The numbers of results that are correct, and zeros of the wrong sign; the largest error, the largest as it is
    judged, and the index of that; the index of the first that is wrong; and how many are left open, with their indices
    and the places half-way."""
    counts, worst, totals, strays = bins
    greatest, follows = ends
    correct, zeros, open_ = 0, 0, 0
    largest, judged, at, astray = -1.0, -1.0, -1, -1
    fields, powers = x.view(np.int64), exact.view(np.int64)
    # Neighbours mostly share a bin, which is filled when the next one begins. That, and the short way for ordinary
    # numbers, take 3.5 ns a result, not 7.5.
    current, begun, total, most = (fields[0] >> 52) & 4095 if x.size else 0, 0, 0.0, 0.0
    for i in range(x.size):
        b = (fields[i] >> 52) & 4095
        if b != current:
            counts[current] += i - begun
            totals[current] += total
            worst[current] = max(worst[current], most)
            current, begun, total, most = b, i, 0.0, 0.0
        y, true = np.float64(got[i]), exact[i]
        # What rounded to a power of 2 may lie below it, where a ULP is half as large.
        size, scale = abs(true), per_ulp[(powers[i] - (true != 0.0) >> 52) & 2047]
        if y != 0.0 and abs(y) < greatest and size < greatest:
            error = abs(y - true) * scale
        else:
            if y == 0.0 and size < 1.0 and np.signbit(y) != np.signbit(true):
                zeros += 1
            beyond = np.isinf(y) and size >= follows and (y > 0) == (true > 0)
            # An infinity is near to what rounds to the largest number, and to nothing else.
            about = greatest - size < (follows - greatest) / 2
            if y == true or (y != y and true != true) or beyond:
                error = 0.0
            elif (np.isinf(y) and not (about and y * true > 0)) or size >= follows:
                error = np.inf
            else:
                if np.isinf(y):
                    y = follows if y > 0 else -follows
                error = abs(y - true) * scale
            if not error < np.inf:
                strays[b] += 1
                astray = i if astray < 0 else astray
                continue
        largest = max(largest, error)
        unit, ratio = 1.0, error
        if worth.size:
            unit += worth[i] * scale
            ratio /= unit
        total += ratio
        most = max(most, ratio)
        if ratio > judged:
            judged, at = ratio, i
        if error < 0.5 - slack * unit:
            correct += 1
        elif error <= 0.5 + slack * unit:
            left[open_] = i
            # To the next number of the format, which on the inner side of a power of 2 is half as far.
            spacing = per_ulp[(_bits(y) - (size < abs(y)) >> 52) & 2047]
            half[open_] = y + (0.5 if true > y else -0.5) / spacing if slack * unit <= USELESS else np.nan
            open_ += 1
    counts[current] += x.size - begun
    totals[current] += total
    worst[current] = max(worst[current], most)
    return correct, zeros, largest, judged, at, astray, open_
