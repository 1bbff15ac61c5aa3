"""Which inputs an audit tries: samples of every exponent, all there is about the places where a result turns."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.catalog.declaration import Declaration
from actbench.catalog.domain import EXTENDED_REALS, Domain
from actbench.verify.rounding import FORMATS

Array = NDArray[Any]
Call = Callable[[Array], Array]
CHUNK = 1 << 16
"""Inputs at a time: all numbers of a 16-bit format; three arrays of this size stay in the second cache."""


ALIGNMENTS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (1, 2, ()), (1, 3, (1,)), (3, 3, (1, 2)), (3, 3, (1, 1)), (5, 4, (2, 2, 3)), (6, 3, (1, 2, 1)), (4, 3, ()),
    (8, 5, (4, 4, 4)),
)  # fmt: skip
"""Steps, classes and labels of sequences, the blank being 0: empty, single, distinct, repeated, as long as feasible."""


def ordered(x: Array) -> Array:
    """Integers in the order of the floats: neighbours differ by 1, both zeros are 0."""
    bits = x.view(f"i{x.itemsize}").astype(np.int64)
    return np.where(bits >= 0, bits, -(1 << (8 * x.itemsize - 1)) - bits)


def unordered(places: Array, kind: np.dtype[Any]) -> Array:
    """The floats at places in their order, 0 being the positive one."""
    bits = np.where(places >= 0, places, -(1 << (8 * kind.itemsize - 1)) - places)
    return bits.astype(f"i{kind.itemsize}").view(kind)


def all_numbers(kind: np.dtype[Any], start: int = 0, stop: int | None = None) -> Iterator[Array]:
    """Every number of a format of 16 or 32 bits, or those whose bits lie in a range, chunk by chunk."""
    end = 1 << 8 * kind.itemsize if stop is None else stop
    for first in range(start, end, CHUNK):
        bits = np.arange(first, min(first + CHUNK, end), dtype=np.int64)
        yield bits.astype(f"u{kind.itemsize}").view(kind)


@functools.cache
def by_exponent(kind: np.dtype[Any], most: int, elsewhere: int | None = None) -> Array:
    """Random numbers of every sign and exponent, in order, with 0: ``most`` of each, or all that there are.

    ``elsewhere`` is how many there are of the exponents from 11 up and below -60, where most functions are a constant
    or a line. Powers of 2 both.
    """
    f, rng = FORMATS[kind.name], np.random.default_rng(0)
    sides = list[Array]()
    for _ in range(2):
        places = []
        for exponent in range(f.least - f.places + 1, f.largest + 1):
            # Subnormals halve from exponent to exponent.
            width = 1 << f.places - 1 + min(exponent - f.least, 0)
            low = width + (max(exponent - f.least, 0) << f.places - 1)
            count = min(width, most if elsewhere is None or -60 <= exponent <= 10 else elsewhere)
            step = width // count
            places.append(low + step * np.arange(count) + rng.integers(0, step, count))
        sides.append(np.concatenate(places))
    return unordered(np.concatenate([-sides[0][::-1], [0], sides[1]]), kind)


def turns(call: Call, domain: Domain, kind: np.dtype[Any]) -> Array:
    """The places where a function's results turn, in order: where their sign changes, or where they begin to be 0,
    infinite, x, or what they are at an end of the axis.

    Roots, kinks and thresholds, found by bisection between the numbers of a sample; each place and the one before.
    """
    x = within(by_exponent(kind, 16), domain)
    if x.size < 2:  # a domain within a binade
        return x
    low, high = ordered(x[:-1]), ordered(x[1:])
    ends = call(x[[0, -1]])

    def character(places: Array) -> Array:
        at = unordered(places, kind)
        y = call(at)
        traits = (y > 0, y < 0, np.isinf(y), y == at, y == ends[0], y == ends[1])
        return np.stack(traits)

    left, right = character(low), character(high)
    suspect = (left != right).any(0)
    low, high, left = low[suspect], high[suspect], left[:, suspect]
    while (high - low > 1).any():
        middle = low + (high - low) // 2
        found = character(middle)
        same = (found == left).all(0)
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return unordered(np.unique(np.concatenate([low, high])), kind)


def about(places: Array, reach: int) -> Array:
    """The numbers next to places: so many on either side."""
    greatest = ordered(np.asarray([FORMATS[places.dtype.name].greatest], places.dtype))
    near = np.unique(ordered(places)[:, None] + np.arange(-reach, reach + 1))
    return unordered(near[np.abs(near) <= greatest], places.dtype)


def axis(
    domain: Domain, places: Array, kind: np.dtype[Any], most: int, elsewhere: int | None, reach: int
) -> Iterator[Array]:
    """The numbers of a domain to try, chunk by chunk: ``by_exponent``, ``about`` places and ends, and what is special.

    All that there are of a format of 16 bits.
    """
    if kind.itemsize == 2:
        grid, more = np.concatenate([*all_numbers(kind)]), np.zeros(0, kind)
    else:
        greatest, infinity = FORMATS[kind.name].greatest, math.inf
        ends = [end for end in (domain.low, domain.high, greatest, -greatest) if math.isfinite(end)]
        grid = by_exponent(kind, most, elsewhere)
        near = about(np.concatenate([places, np.asarray(ends, kind)]), reach)
        known = grid[np.minimum(np.searchsorted(grid, near), grid.size - 1)] == near
        negative_zero = [-0.0] if domain.low < 0 else []  # at the lower end it would lie beyond
        special = np.asarray([*negative_zero, infinity, -infinity, math.nan], kind)
        more = np.concatenate([near[~known], special])
    for part in (grid, more):
        x = within(part, domain)
        yield from (x[i : i + CHUNK] for i in range(0, x.size, CHUNK))


def within(x: Array, domain: Domain) -> Array:
    """Those of the numbers that lie in a domain, and NaN."""
    if domain == EXTENDED_REALS:
        return x
    with np.errstate(invalid="ignore"):  # signalling NaNs
        wide = x.astype(np.float64)
    outside = (wide < domain.low) | (wide > domain.high)
    for end in (domain.low, domain.high):
        if end not in domain:
            outside |= wide == end
    return x[~outside]


def drawn(domain: Domain, size: int | tuple[int, ...], rng: np.random.Generator) -> Array:
    """Random numbers of a domain: its members, evenly within its ends, or normal of deviation 2."""
    if domain.members:
        return rng.choice(domain.members, size)
    if math.isfinite(domain.low) and math.isfinite(domain.high):
        return domain.low + (domain.high - domain.low) * (0.01 + 0.98 * rng.random(size))
    x = 2 * rng.standard_normal(size)
    if math.isfinite(domain.high):
        return domain.high - np.abs(x)
    return np.abs(x) + domain.low if math.isfinite(domain.low) else x


def typical_targets(declaration: Declaration) -> tuple[float, ...]:
    """Targets of a loss: all labels, or the ends and the inside of an interval."""
    target = declaration.target
    if target.members:
        return target.members
    if math.isfinite(target.low) and math.isfinite(target.high):
        width = target.high - target.low
        return tuple(target.low + width * share for share in (0.0, 0.3125, 0.5, 1.0))
    return tuple(t for t in (-2.5, 0.0, 1.0, 3.0) if t in target)
