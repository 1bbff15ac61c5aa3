"""Every float32 there is, through every elementwise function and its derivative."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from actbench.catalog.declaration import Declaration
from actbench.kernels import bind
from tests.kernels.test_values import PROMISED

CHUNK = 1 << 16
PER_ULP = 2.0 ** np.minimum(23.0 + 1023.0 - np.arange(2048), 149.0)
"""The ULPs of float32 in 1, by the exponent field of a float64."""


@numba.njit(error_model="numpy")
def worst(
    y: np.ndarray, exact: np.ndarray, bits: np.ndarray, per_ulp: np.ndarray, so_far: np.ndarray
) -> None:
    """so_far = (the largest error in ULP, its index or -1, how many are NaN or infinite where the exact value is not)."""
    for i in range(y.size):
        error = abs(np.float64(y[i]) - exact[i]) * per_ulp[(bits[i] >> 52) & 0x7FF]
        if error > so_far[0] and error < np.inf:
            so_far[0], so_far[1] = error, i
        elif not error < np.inf:
            # Both infinite, both NaN, or so large that both roundings are right.
            same = y[i] == exact[i] or (y[i] != y[i] and exact[i] != exact[i])
            huge = abs(exact[i]) > 3.4028234e38 and abs(y[i]) > 3.4028234e38
            so_far[2] += not (same or huge)


@pytest.mark.long
@pytest.mark.parametrize("pass_", PROMISED)
def test_every_float32_keeps_the_promise(elementwise: Declaration, pass_: str) -> None:
    function = getattr(bind(elementwise), pass_)
    largest, where, wrong = 0.0, np.float32(0), 0
    y, exact = np.empty(CHUNK, np.float32), np.empty(CHUNK)
    for start in range(0, 1 << 32, CHUNK):
        x = np.arange(start, start + CHUNK, dtype=np.uint32).view(np.float32)
        so_far = np.array([largest, -1.0, 0.0])
        with np.errstate(invalid="ignore"):  # signalling NaNs are numbers, too
            wide = x.astype(np.float64)
        function(x, out=y)
        # The float64 kernel, held against Arb elsewhere, errs by 2^-29 of float32's last bit.
        function(wide, out=exact)
        worst(y, exact, exact.view(np.int64), PER_ULP, so_far)
        wrong += int(so_far[2])
        if so_far[1] >= 0:
            largest, where = so_far[0], x[int(so_far[1])]
    assert wrong == 0
    assert largest <= PROMISED[pass_], float(where).hex()
