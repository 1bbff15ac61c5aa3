"""Sums within an ULP of the exact sum, whatever the size and the number of threads."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from actbench import get
from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import UsageError
from actbench.kernels import bind
from actbench.kernels.pairwise import _is_arithmetic
from actbench.kernels.reduce import SPAN
from actbench.kernels.workload import Order

FORMATS = (np.float32, np.float64)
SIZES = (1, 2, 15, 16, 17, 255, 256, 257, 1000, 5000)


def operands(declaration: Declaration, size: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    order = Order("forward", np.dtype(dtype), size, rng, None, 1)
    return order.draw(size, declaration.domain), order.draw(size, declaration.target)


@pytest.mark.parametrize("size", [*SIZES, SPAN + 300])
@pytest.mark.parametrize("dtype", FORMATS, ids=["float32", "float64"])
def test_the_sum_is_that_of_the_elements(pairwise: Declaration, dtype: Any, size: int) -> None:
    f, (pred, target) = bind(pairwise), operands(pairwise, size, dtype)
    # float32 losses without transcendental functions are formed in float64: their sum has one rounding.
    wide = dtype is np.float32 and _is_arithmetic(pairwise.forward)
    kind = np.float64 if wide else dtype
    terms = f(pred.astype(kind), target.astype(kind), reduction="none")
    exact = math.fsum(terms)
    assert abs(float(f(pred, target, reduction="sum")) - exact) <= float(np.spacing(np.abs(dtype(exact))))


def test_no_term_is_too_small_to_count() -> None:
    # Added one by one, each of these half ULPs would be lost.
    pred = np.full(SPAN, 2.0**-54)
    pred[0] = 1.0
    exact = sum(Fraction(float(v)) for v in pred)
    assert get("mae")(pred, np.zeros(SPAN), reduction="sum") == float(exact) > 1


@pytest.mark.parametrize("dtype", FORMATS, ids=["float32", "float64"])
def test_threads_do_not_change_a_sum(pairwise: Declaration, dtype: Any) -> None:
    f, (pred, target) = bind(pairwise), operands(pairwise, 3 * SPAN + 77, dtype)
    one, three = (f(pred, target, threads=n) for n in (1, 3))
    assert one == three


@pytest.mark.parametrize("size", [3, 1000, 3 * SPAN])
def test_infinities_and_nans_arrive(size: int) -> None:
    f, x = get("mse"), np.zeros(size)
    x[size // 2] = np.inf
    assert f(x, np.zeros(size)) == np.inf
    x[0] = np.nan
    assert np.isnan(f(x, np.zeros(size)))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("stray", [0.0, 2.0, np.nan])
def test_a_label_outside_its_members_is_found_in_every_pass(reduction: str, stray: float) -> None:
    f, pred, target = get("hinge"), np.ones(1000, np.float32), np.ones(1000, np.float32)
    target[700] = stray
    with pytest.raises(UsageError, match="labels must be -1 and 1"):
        f(pred, target, reduction=reduction)
    with pytest.raises(UsageError, match="labels must be -1 and 1"):
        f.backward(pred, target, reduction=reduction)
    pred[3] = np.nan
    assert np.isnan(f(pred, np.ones(1000, np.float32)))
