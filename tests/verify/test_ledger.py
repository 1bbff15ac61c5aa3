"""Errors added up: two ways of judging agree, parts make the whole, and what is wrong is never small."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actbench.kernels.arrays import dtype_named
from actbench.verify.ledger import Ledger
from actbench.verify.rounding import FORMATS, Array, Target

SHORT = ("float32", "float16", "bfloat16")
TOP = FORMATS["float32"].greatest


def exact_target(exact: Array, dtype: str) -> Target:
    """The target of float64 numbers that count as exact."""
    parts = [math.frexp(v) for v in exact]
    return Target.of(FORMATS[dtype], [FORMATS[dtype].nearest(int(m * 2**53), e - 53) for m, e in parts])


def folded(x: Array, got: Array, exact: Array, dtype: str, worth: Array | None = None) -> tuple[Ledger, int]:
    ledger = Ledger()
    left, half, _ = ledger.fold([x], got.astype(np.float32), exact, worth, dtype, 1e-12)
    assert half.size == left.size
    return ledger, left.size


@pytest.mark.parametrize("dtype", SHORT)
@settings(deadline=None, max_examples=30)  # the first one compiles
@example(exact=[0.0, 3.0, 3.402823364973241e38], seed=1)  # about half a ULP below the largest float32
@given(
    exact=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20),
    seed=st.integers(0, 99),
)
def test_both_ways_of_judging_agree(dtype: str, exact: list[float], seed: int) -> None:
    values, rng = np.array(exact), np.random.default_rng(seed)
    # A power of 2 counts as the number below it.
    values = np.where(np.abs(np.frexp(values)[0]) == 0.5, values / 2 * 1.001, values)
    with np.errstate(all="ignore"):
        got = (values * (1 + rng.integers(-3, 4, values.size) * 2.0 ** -FORMATS[dtype].places)).astype(
            dtype_named(dtype)
        )
    x = rng.standard_normal(values.size)
    a, b = Ledger(), Ledger()
    a.add([x], got.astype(np.float64), exact_target(values, dtype))
    b, open_ = folded(x, got, values, dtype)
    assert b.largest == pytest.approx(a.largest, rel=1e-9, abs=1e-9)
    assert b.wrong == a.wrong
    assert b.zeros == a.zeros
    assert b.correct <= a.correct <= b.correct + open_
    assert b.totals == pytest.approx(a.totals, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("way", ["add", "fold"])
def test_what_is_wrong_is_counted_and_found(way: str) -> None:
    exact = np.array([1.0, np.nan, 1.0, 2.0**130, TOP, 2.0, -0.25])
    got = np.array([np.nan, 1.0, np.inf, 1.0, np.inf, 2.0, -0.25], np.float32)
    x = np.arange(1.0, 8.0)
    ledger = Ledger()
    if way == "fold":
        ledger, _ = folded(x, got, exact, "float32")
    else:
        finite = exact_target(np.where(np.isnan(exact), 0, exact), "float32")
        nan = np.isnan(exact)
        target = Target(
            finite.format, np.where(nan, np.nan, finite.nearest), finite.rest, finite.ulp, finite.decided
        )
        ledger.add([x], got, target)
    assert ledger.wrong == 4
    assert ledger.astray == (1.0,)
    assert (ledger.largest, ledger.where) == (1.0, (5.0,))
    assert ledger.correct == 2
    assert {b.exponent: b.wrong for b in ledger.profile()} == {0: 1, 1: 2, 2: 1}


def test_zeros_of_the_wrong_sign_are_counted_apart() -> None:
    exact = np.array([-1e-60, 1e-60, -0.0, 0.0])
    ledger, _ = folded(np.ones(4), np.array([0.0, 0.0, -0.0, -0.0], np.float32), exact, "float32")
    assert ledger.zeros == 2
    assert ledger.wrong == 0
    ledger = Ledger()
    ledger.add([np.ones(2)], np.zeros(2), exact_target(exact[:2], "float32"))
    assert ledger.zeros == 1


def test_operands_that_cancel_are_allowed_for() -> None:
    exact, got = np.array([1.25]), np.array([1.25 + 2.0**-20], np.float32)
    worth = np.array([3 * 2.0**-23])
    plain, _ = folded(np.ones(1), got, exact, "float32")
    scaled, _ = folded(np.ones(1), got, exact, "float32", worth)
    added = Ledger()
    added.add([np.ones(1)], got, exact_target(exact, "float32"), worth)
    assert (plain.largest, plain.judged) == (8, 8)
    assert (scaled.largest, scaled.judged) == (added.largest, added.judged) == (8, 2)


def test_what_rounding_leaves_open_is_returned() -> None:
    ledger = Ledger()
    exact = np.array([1 + 2.0**-24, 1 + 3 * 2.0**-24, 1.25])
    got = np.array([1.0, 1 + 2.0**-22, 1.25], np.float32)
    left, half, even = ledger.fold([np.ones(3)], got, exact, None, "float32", 1e-9)
    assert left.tolist() == [0, 1]
    assert half.tolist() == exact[:2].tolist()
    assert even.tolist() == [True, True]
    assert ledger.correct == 1


def test_parts_make_the_whole() -> None:
    rng = np.random.default_rng(0)
    x, exact = rng.standard_normal(1000), rng.standard_normal(1000)
    got = (exact * (1 + 2.0**-22 * rng.standard_normal(1000))).astype(np.float32)
    got[7], got[900] = np.nan, np.inf
    whole, parts = Ledger(), Ledger()
    whole.add([x], got, exact_target(exact, "float32"))
    for some in (slice(0, 400), slice(400, 1000)):
        part = Ledger(control=3)
        part.add([x[some]], got[some], exact_target(exact[some], "float32"))
        parts.merge(Ledger.of(json.loads(json.dumps(part.document()))))
    assert parts.control == 6
    parts.control = 0
    assert parts.totals == pytest.approx(whole.totals)
    parts.totals = whole.totals
    assert parts.document() == whole.document()
    assert whole.inputs == 1000
    assert whole.wrong == 2
    assert 0 < whole.mean < whole.largest


def test_of_equal_errors_that_at_the_first_number_is_told() -> None:
    a, b = Ledger(largest=1.0, judged=1.0, where=(2.0,)), Ledger(largest=1.0, judged=1.0, where=(-3.0,))
    first, second = Ledger(), Ledger()
    for ledger, parts in ((first, (a, b)), (second, (b, a))):
        for part in parts:
            ledger.merge(part)
    assert first.where == second.where == (2.0,)


def test_below_a_power_of_2_a_ulp_is_half_as_large() -> None:
    exact, below = np.array([1.0]), np.array([1 - 2.0**-24], np.float32)
    ledger, _ = folded(np.ones(1), below, exact, "float32")
    assert ledger.largest == 1.0
    assert ledger.correct == 0
    ledger = Ledger()
    _, half, even = ledger.fold([np.ones(1)], np.ones(1, np.float32), exact - 2.0**-25, None, "float32", 1e-9)
    assert half.tolist() == [1 - 2.0**-25]
    assert even.tolist() == [True]
