"""Order statistics against exact binomial sums, and what each flag answers to."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.bench import statistics

TIMES = st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=60)


def coverage(n: int, low: int) -> Fraction:
    """P(x[low] <= median <= x[n-1-low]) for continuous samples: as many heads as lie below."""
    return 1 - 2 * Fraction(sum(math.comb(n, i) for i in range(low + 1)), 2**n)


@pytest.mark.parametrize("n", range(6, 200))
def test_interval_is_the_narrowest_that_covers_95_percent(n: int) -> None:
    low, high = statistics.median_ranks(n)
    assert high == n - 1 - low
    assert coverage(n, low) >= Fraction(95, 100)
    assert low + 1 > n - 2 - low or coverage(n, low + 1) < Fraction(95, 100)


@pytest.mark.parametrize(
    ("n", "ranks"),
    # Published tables of the sign-test interval, there counted from 1.
    [(6, (0, 5)), (9, (1, 7)), (12, (2, 9)), (15, (3, 11)), (20, (5, 14)), (50, (17, 32)), (100, (39, 60))],
)
def test_interval_ranks_of_the_tables(n: int, ranks: tuple[int, int]) -> None:
    assert statistics.median_ranks(n) == ranks


@pytest.mark.parametrize("n", range(1, 6))
def test_too_few_samples_give_their_extremes(n: int) -> None:
    assert statistics.median_ranks(n) == (0, n - 1)
    assert coverage(5, 0) < Fraction(95, 100), "MINIMUM_ROUNDS could be lower"


@pytest.mark.parametrize("n", [1023, 1024, 2000])
def test_so_many_samples_that_no_float_holds_their_number_of_orders(n: int) -> None:
    low, high = statistics.median_ranks(n)
    assert high == n - 1 - low
    assert coverage(n, low) >= Fraction(95, 100) > coverage(n, low + 1)


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        statistics.median([])


@given(TIMES)
def test_median_lies_within_its_interval(samples: list[float]) -> None:
    estimate = statistics.median(samples)
    assert min(samples) <= estimate.low <= estimate.value <= estimate.high <= max(samples)
    assert estimate.value == np.median(samples)


@given(st.lists(st.tuples(st.floats(1e-3, 1e6), st.floats(1e-3, 1e6)), min_size=1, max_size=40))
def test_ratio_of_swapped_series_is_the_inverse(pairs: list[tuple[float, float]]) -> None:
    a, b = zip(*pairs, strict=True)
    forward, back = statistics.ratio(a, b), statistics.ratio(b, a)
    # exp and log round once each: a few units in the last place.
    assert forward.value * back.value == pytest.approx(1, rel=1e-13)
    assert forward.low * back.high == pytest.approx(1, rel=1e-13)


def test_ratio_pairs_the_rounds() -> None:
    drift = np.linspace(1, 9, 12)  # both slow down ninefold: within a round they differ by 2
    estimate = statistics.ratio((2 * drift).tolist(), drift.tolist())
    assert (estimate.low, estimate.high) == pytest.approx((2, 2), rel=1e-13)


def test_outliers_are_counted_and_kept() -> None:
    samples = [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 99.0]
    assert statistics.outliers(samples) == 1
    assert statistics.outliers(samples[:-1]) == 0
    assert statistics.median([*samples, 98.0]).high == 99.0


def steady(n: int = 30, noise: float = 0.01, seed: int = 0) -> list[float]:
    rng = np.random.default_rng(seed)
    return (1000 * (1 + noise * rng.standard_normal(n))).tolist()


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        pytest.param(steady(), (), id="steady"),
        pytest.param(steady(12, 0.3), ("unstable",), id="scattered"),
        pytest.param([*steady(15), *(1.1 * s for s in steady(15, seed=1))], True, id="two speeds"),
        pytest.param([*steady(26), 5000.0, 6000.0, 7000.0], (), id="outliers are no second speed"),
        pytest.param([1000.0, 1001.0, 1000.0, 1001.0, 1000.0, 1000.0], ("clock-tied",), id="ties"),
    ],
)
def test_flags_of_samples(samples: list[float], expected: tuple[str, ...] | bool) -> None:
    found = statistics.flags(samples, tick=1e-3, overhead=100)
    assert ("multimodal" in found) if expected is True else found == expected


def test_flags_of_a_coarse_timer_and_of_a_costly_call() -> None:
    assert "clock-tied" in statistics.flags(steady(), tick=20, overhead=0)
    assert "call-bound" in statistics.flags(steady(), tick=1e-3, overhead=2100)
    assert set(statistics.ADVICE) == {"unstable", "multimodal", "clock-tied", "call-bound"}


def test_normal_noise_is_seldom_taken_for_two_speeds() -> None:
    alarms = sum(statistics.multimodal(steady(15, 0.1, seed)) for seed in range(300))
    assert alarms <= 3  # 1 %; 4000 simulated series gave .1 %
