"""NaN comes out of every scalar body, and the test for it is left out only where it is not needed."""

import math

import numba
import numpy as np
import pytest

from actbench.catalog.primitives import expm1
from actbench.kernels import lowering
from actbench.kernels.scalar import _carries_nan, number_body

SINGLE = np.dtype(np.float32)


def _elu(x, alpha):
    return x if x > 0 else alpha * expm1(x)


def _quotient(x, alpha):
    return x / alpha


def _capped(x, cap=10.0):
    return cap if cap > 5.0 and not (x < cap) else x * 1.0


def _raises(x):
    raise OverflowError


@pytest.mark.parametrize(
    ("body", "operands", "carries"),
    [
        (_elu, 1, True),
        (lambda x: 1.0 if x > 0 else 0.0, 1, False),
        (lambda x, alpha: x if alpha > 0 else 0.0, 1, False),
        (_capped, 1, False),
        (lambda x, y: x - y, 2, True),
        (lambda x, y: x if y > 0 else 0.0, 2, False),
        (_quotient, 1, True),
        (_raises, 1, False),
    ],
)
def test_what_carries_nan(body, operands, carries):
    assert _carries_nan(body, operands) is carries


@pytest.mark.parametrize("body", [_elu, lambda x, alpha: alpha if x > 0 else 0.0])
def test_nan_in_nan_out(body):
    lowering.install()
    f = numba.njit(number_body(body, SINGLE, 1))
    assert math.isnan(f(np.float32(math.nan), np.float32(2)))
    assert f(np.float32(3), np.float32(2)) == body(3, 2)


@pytest.mark.parametrize(("x", "y"), [(math.nan, 1), (1, math.nan)])
def test_nan_of_either_operand(x, y):
    f = numba.njit(number_body(lambda x, y: 1.0 if x > y else 0.0, SINGLE, 2))
    assert math.isnan(f(np.float32(x), np.float32(y)))
