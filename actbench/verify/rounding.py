"""Number formats as sets of reals: the number nearest to a real, and distances in units in the last place (ULP)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_LEAST = -1074
"""The exponent of the least subnormal of float64, in which the parts of a ULP are held."""


class Number(NamedTuple):
    """A real beside a format: the nearest number, (real - nearest) / ulp, and the unit in the last place.

    A nearest number of infinity stands for the one that would follow the largest; ``rest`` is infinite, too, from that
    one on. ``decided`` where the rounding is proven.
    """

    nearest: float
    rest: float
    ulp: float
    decided: bool = True


UNKNOWN = Number(math.nan, 0.0, math.nan, False)
NAN = Number(math.nan, 0.0, math.nan)


@dataclass(frozen=True)
class Format:
    """A binary format: ``places`` significant bits, exponents of the least and of the largest normal number."""

    name: str
    places: int
    least: int
    largest: int

    @property
    def greatest(self) -> float:
        """The largest finite number."""
        return math.ldexp(2.0 - 2.0 ** (1 - self.places), self.largest)

    def contains(self, exponent: int) -> bool:
        """Whether there are numbers of a binary exponent, subnormal ones included."""
        return self.least - self.places < exponent <= self.largest

    def nearest(self, mantissa: int, exponent: int) -> Number:
        """The real mantissa * 2^exponent, rounded to nearest, ties to even."""
        size, sign = abs(mantissa), -1.0 if mantissa < 0 else 1.0
        place = max(exponent + size.bit_length() - 1, self.least) if size else self.least
        if place > self.largest:
            return Number(sign * math.inf, sign * math.inf, math.inf)
        unit = place - self.places + 1
        ulp, shift = math.ldexp(1.0, unit), unit - exponent
        if shift <= 0:
            return Number(sign * math.ldexp(size << -shift, unit), 0.0, ulp)
        if shift > size.bit_length() + 1:
            # Below a quarter of the least subnormal. Its size may be no float64, but its sign tells that of the zero.
            spare = max(size.bit_length() - 53, 0)
            return Number(sign * 0.0, sign * math.ldexp(size >> spare, max(spare - shift, _LEAST)), ulp)
        whole, rest = size >> shift, size & ((1 << shift) - 1)
        half = 1 << (shift - 1)
        if rest > half or (rest == half and whole & 1):
            whole, rest = whole + 1, rest - (1 << shift)
        beyond = place == self.largest and whole >> self.places
        value = math.inf if beyond else math.ldexp(whole, unit)
        return Number(sign * value, sign * (rest / (1 << shift)), ulp)


def _format(name: str) -> Format:
    info = ml_dtypes.finfo(name)
    return Format(name, int(info.nmant) + 1, int(info.minexp), int(info.maxexp) - 1)


FORMATS: Mapping[str, Format] = {
    name: _format(name) for name in ("float64", "float32", "float16", "bfloat16")
}


@dataclass(frozen=True)
class Target:
    """Exact results beside the numbers of a format: the fields of Number, as arrays."""

    format: Format
    nearest: Array
    rest: Array
    ulp: Array
    decided: NDArray[np.bool_]

    @classmethod
    def of(cls, format: Format, numbers: Iterable[Number]) -> Target:
        """The targets of many numbers."""
        columns = np.array(list(numbers), np.float64).reshape(-1, 4).T
        return cls(format, columns[0], columns[1], columns[2], columns[3] != 0)

    @classmethod
    def joined(cls, targets: Sequence[Target]) -> Target:
        """Several targets of one format as one, in their order."""
        names = ("nearest", "rest", "ulp", "decided")
        return cls(
            targets[0].format, *(np.concatenate([getattr(t, name) for t in targets]) for name in names)
        )

    def at(self, places: Array) -> Target:
        """The targets at some places."""
        return Target(
            self.format, self.nearest[places], self.rest[places], self.ulp[places], self.decided[places]
        )

    def met(self, got: Array) -> NDArray[np.bool_]:
        """Which results are proven to be the nearest number."""
        got = np.asarray(got, np.float64)
        same = (got == self.nearest) | (np.isnan(got) & np.isnan(self.nearest))
        nearest: NDArray[np.bool_] = same & self.decided
        return nearest

    def error(self, got: Array) -> Array:
        """How far results are from the exact ones, in ULP: infinite where one is finite and the other cannot be.

        NaN where the exact result is not decided.
        """
        got, nearest = np.asarray(got, np.float64), self.nearest
        # Half of each, so that float64 has a number that follows its largest one.
        follows = math.ldexp(1.0, self.format.largest)
        with np.errstate(all="ignore"):
            halves = (np.where(np.isinf(y), np.copysign(follows, y), y / 2) for y in (got, nearest))
            infinite = np.isinf(got) | np.isinf(nearest)
            wide = np.subtract(*halves) / (self.ulp / 2)
            error = np.abs(np.where(infinite, wide, (got - nearest) / self.ulp) - self.rest)
            # An infinity is near to what is about the largest number, and to nothing else.
            far = np.isinf(got) & ~(nearest * np.sign(got) >= self.format.greatest)
        same = (np.isnan(got) & np.isnan(nearest)) | ((got == nearest) & np.isinf(self.rest))
        error = np.where(same, 0.0, np.where(far | np.isnan(error), np.inf, error))
        return np.where(self.decided, error, np.nan)
