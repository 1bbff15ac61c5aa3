"""The arithmetic of a gate's own test."""

from __future__ import annotations

import pytest
from scipy import stats

from actbench.bench.gating.selftest import Rate, Trial


@pytest.mark.parametrize(("found", "of"), [(0, 60), (1, 60), (19, 20), (20, 20), (7, 13)])
def test_a_rate_has_the_exact_interval(found, of):
    exact = stats.binomtest(found, of).proportion_ci(method="exact")
    estimate = Rate(found, of).estimate
    assert estimate.value == found / of
    assert (estimate.low, estimate.high) == pytest.approx((exact.low, exact.high), abs=1e-9)


@pytest.mark.parametrize(
    ("verdict", "outcome", "false", "caught"),
    [
        ("red", "slower", (), True),
        ("red", "slower", ("relu",), False),
        ("red", "slower", ("@regression",), False),
        ("inconclusive", "slower", (), False),
        ("green", "same", (), False),
        ("red", "inconclusive", ("relu",), False),
    ],
)
def test_caught_is_red_for_the_right_cell_alone(verdict, outcome, false, caught):
    assert Trial(0.05, verdict, {"mse": outcome}, false, 9, 1.0).caught is caught
