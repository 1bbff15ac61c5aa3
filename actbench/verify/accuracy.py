"""How far a kernel is from the exact value, in units of the last place: over every input of a format, or a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from actbench.catalog.declaration import Declaration
from actbench.kernels.arrays import dtype_named
from actbench.verify import exact

Array = NDArray[Any]
CHUNK = 1 << 16
"""Inputs at a time: all numbers of a 16-bit format; three arrays of this size stay in the second cache."""
_PLACES = {"float32": (23, 149), "float16": (10, 24), "bfloat16": (7, 133)}
"""Bits of the mantissa, and of the least subnormal below 1."""
# What rounds to infinity: from half a last place above the largest number on.
_BEYOND = {"float32": 2.0**128 * (1 - 2.0**-25), "float16": 65520.0, "bfloat16": 2.0**128 * (1 - 2.0**-9)}


@dataclass(frozen=True)
class Audit:
    """The largest error in ULP and its input, of how many inputs, and how many results are wrongly NaN or infinite."""

    largest: float
    where: float
    inputs: int
    wrong: int = 0


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _worst(y: Any, exact: Any, bits: Any, per_ulp: Any, beyond: float, so_far: Any) -> None:
    """so_far = (the largest error in ULP, its index or -1, the number of wrong NaNs and infinities)."""
    for i in range(y.size):
        error = abs(np.float64(y[i]) - exact[i]) * per_ulp[(bits[i] >> 52) & 0x7FF]
        if error > so_far[0] and error < np.inf:
            so_far[0], so_far[1] = error, i
        elif not error < np.inf:
            # Both NaN, equal infinities, or so near the largest number that both roundings are right.
            same = y[i] == exact[i] or (y[i] != y[i] and exact[i] != exact[i])
            huge = abs(exact[i]) >= beyond * (1 - 2.0**-20) and abs(y[i]) > 0.99 * beyond
            so_far[2] += not (same or huge)


def every_input(call: Callable[..., Array], dtype: str) -> Audit:
    """Audit an elementwise pass, a function of x and ``out=``, over all numbers of a format of 32 or 16 bits.

    The float64 kernel is the reference: held against the exact value by samples, its error is 2^-28 of float32's ULP.
    """
    kind = dtype_named(dtype)
    places, least = _PLACES[dtype]
    per_ulp = 2.0 ** np.minimum(places + 1023.0 - np.arange(2048), least)
    unsigned = np.dtype(f"u{kind.itemsize}")
    y, expected, total = np.empty(CHUNK, kind), np.empty(CHUNK), 1 << 8 * kind.itemsize
    largest, where, wrong = 0.0, 0.0, 0
    for start in range(0, total, CHUNK):
        x = np.arange(start, start + CHUNK, dtype=np.int64).astype(unsigned).view(kind)
        so_far = np.array([largest, -1.0, 0.0])
        with np.errstate(invalid="ignore"):  # signalling NaNs are numbers, too
            wide = x.astype(np.float64)
        call(x, out=y)
        call(wide, out=expected)
        got = y if dtype == "float32" else y.astype(np.float32)
        _worst(got, expected, expected.view(np.int64), per_ulp, _BEYOND[dtype], so_far)
        wrong += int(so_far[2])
        if so_far[1] >= 0:
            largest, where = float(so_far[0]), float(wide[int(so_far[1])])
    return Audit(largest, where, total, wrong)


def sampled(
    call: Callable[..., Array], x: Array, judge: Callable[[float, float], float], kinks: Iterable[float] = ()
) -> Audit:
    """Audit a float64 pass at the points x; ``judge`` gives the error in ULP of a result at a point."""
    skipped = set(kinks)
    pairs = [
        (p, float(y))
        for p, y in zip(x.tolist(), np.asarray(call(x)).tolist(), strict=True)
        if p not in skipped
    ]
    errors = {p: judge(p, y) for p, y in pairs}
    where = max(errors, key=errors.__getitem__)
    return Audit(errors[where], where, len(errors), sum(not np.isfinite(y) for _, y in pairs))


def judge_of(declaration: Declaration, pass_: str) -> Callable[[float, float], float]:
    """The error in float64's ULP of an elementwise pass with default parameters, by the formula at high precision."""
    values = declaration.resolve({})
    if declaration.prepare is not None:
        values = dict(declaration.prepare(np.zeros(1), **values))
    numbers = {name: v for name, v in values.items() if isinstance(v, int | float)}
    wrt = None if pass_ == "forward" else "x"
    return lambda x, y: exact.error(declaration, {**numbers, "x": x}, wrt, y)
