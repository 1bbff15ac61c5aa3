"""What the samples of two versions allow to say: against exact chances and by simulation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import comb, log

import numpy as np
import pytest
from scipy import stats

from actbench.bench.gating.decision import (
    CONFIRM_ROUNDS,
    ERROR,
    LOOKS,
    Rule,
    between_pairs,
    detectable,
    disagree,
    estimate,
    holm,
    judged,
    sign_test,
    suspected,
)
from actbench.bench.gating.gate import SCREENED

RULE = Rule()


@pytest.mark.parametrize("above", range(17))
def test_the_sign_test_is_the_binomial_one(above):
    values = [0.1] * above + [-0.1] * (16 - above)
    exact = stats.binomtest(above, 16, alternative="greater").pvalue
    assert sign_test(values, 0.0) == pytest.approx(exact, rel=1e-12)


def test_a_tie_with_the_bound_is_no_evidence():
    assert sign_test([0.01] * 16, 0.01) == 1


def test_holm_steps_down():
    chances = {"a": 0.001, "b": 0.02, "c": 0.024, "d": 0.5}
    assert holm(chances, 0.05) == {"a"}  # 0.02 > 0.05 / 3
    assert holm({"a": 0.001, "b": 0.015, "c": 0.02, "d": 0.04}, 0.05) == {"a", "b", "c", "d"}
    assert holm({"a": 0.001, "b": 0.017, "c": 0.0001, "d": 0.0001}, 0.05) == {"a", "b", "c", "d"}
    assert holm({}, 0.05) == set()


def test_a_suspect_is_confirmed_by_all_of_its_pairs():
    found = judged({"slow": [log(1.05)] * 16, "same": [0.0] * 16}, lambda _: RULE, 0)
    assert found == {"slow": "slower", "same": "same"}


def test_what_is_sure_but_small_is_not_slower():
    assert judged({"a": [log(1.02)] * 16}, lambda _: RULE, 0) == {"a": None}
    assert judged({"a": [log(1.02)] * 32}, lambda _: RULE, 1) == {"a": "same"}


def test_what_is_large_but_not_sure_is_inconclusive():
    values = [log(1.05)] * 20 + [log(0.98)] * 12
    assert judged({"a": values[::2]}, lambda _: RULE, 0) == {"a": None}
    assert judged({"a": values}, lambda _: RULE, 1) == {"a": "inconclusive"}
    assert judged({"a": []}, lambda _: RULE, 0) == {"a": "inconclusive"}


def test_the_more_suspects_the_more_evidence_each_needs():
    """14 of 16 pairs is 1 in 478: enough for one suspect, not for a hundred."""
    few = [log(1.05)] * 14 + [0.0] * 2
    assert judged({"a": few}, lambda _: RULE, 0)["a"] == "slower"
    many = {i: [0.0] * 16 for i in range(100)}
    assert judged({**many, "a": few}, lambda _: RULE, 0)["a"] is None
    assert judged({**many, "a": [log(1.05)] * 16}, lambda _: RULE, 0)["a"] == "slower"


def test_faster_is_the_mirror():
    assert judged({"a": [-log(1.05)] * 16}, lambda _: RULE, 0, slower=False) == {"a": "faster"}
    unsure = [-log(1.05)] * 20 + [0.0] * 12
    assert judged({"a": unsure}, lambda _: RULE, 1, slower=False) == {"a": "same"}


def test_a_threshold_of_its_own():
    wide = Rule(threshold=0.2)
    assert judged({"a": [log(1.15)] * 32}, lambda _: wide, 1) == {"a": "same"}
    assert judged({"a": [log(1.25)] * 16}, lambda _: wide, 0) == {"a": "slower"}
    narrow = Rule(threshold=0.01)
    assert suspected([[log(1.008)] * 12] * 2, narrow) == "slower"
    assert suspected([[log(1.008)] * 12] * 2, RULE) == "same"
    assert judged({"a": [log(1.015)] * 16}, lambda _: narrow, 0) == {"a": "slower"}


@pytest.mark.parametrize("process", [0.0, 0.01, 0.03])
def test_the_error_rate_of_the_confirmation(process):
    """Twenty suspects that are all the same, in 2000 gates: any red in at most 5 % of them, at any noise."""
    random = np.random.default_rng(7)
    red = 0
    for _ in range(2000):
        pairs = {i: list(random.normal(0, max(process, 1e-3), LOOKS[1])) for i in range(20)}
        first = judged({i: v[: LOOKS[0]] for i, v in pairs.items()}, lambda _: RULE, 0)
        second = judged(pairs, lambda _: RULE, 1)
        red += "slower" in first.values() or "slower" in second.values()
    assert stats.binomtest(red, 2000, ERROR, alternative="greater").pvalue > 0.001


def test_the_power_of_the_confirmation():
    """Expected of 1 % process noise: 5 % are found nearly always, also among nine that are the same."""
    random = np.random.default_rng(8)
    caught = 0
    for _ in range(300):
        pairs = {i: list(random.normal(0, 0.01, 16)) for i in range(9)}
        pairs[9] = list(random.normal(log(1.05), 0.01, 16))
        caught += judged(pairs, lambda _: RULE, 0)[9] == "slower"
    assert caught >= 297


def screened(pair: Callable[[], list[float]]) -> list[list[float]]:
    """As the gate screens: as many pairs again where the first disagree."""
    pairs = [pair() for _ in range(SCREENED)]
    return pairs + [pair() for _ in range(SCREENED)] if disagree(pairs, RULE) else pairs


def test_detectable_is_what_a_simulation_detects():
    random = np.random.default_rng(9)
    noise, process = 0.05, 0.02

    def pair(slower: float) -> list[float]:
        return list(random.normal(slower + random.normal(0, process), noise, 12))

    cells = [screened(partial(pair, 0.0)) for _ in range(400)]
    assert {len(pairs) for pairs in cells} == {2, 4}
    between = between_pairs(cells)
    assert between == pytest.approx(process, rel=0.2)
    least = np.median([detectable(cell, process, RULE, 1) for cell in cells])
    caught = 0
    slower = log(1 + least)
    for _ in range(2000):
        pairs = screened(partial(pair, slower))
        of_pairs = random.normal(slower, process, 32)
        confirmed = [float(np.median(random.normal(m, noise, CONFIRM_ROUNDS))) for m in of_pairs]
        caught += (
            suspected(pairs, RULE) == "slower" and judged({0: confirmed}, lambda _: RULE, 1)[0] == "slower"
        )
    assert 0.75 < caught / 2000 < 0.85
    assert detectable([[0.0] * 12] * 2, 0.0, RULE, 1) == pytest.approx(RULE.threshold, abs=1e-6)


@pytest.mark.parametrize("suspects", [1, 20])
def test_detectable_reckons_with_processes_that_differ_and_with_other_suspects(suspects):
    """Where processes differ by more than what matters, the exact test needs more than the median does."""
    random = np.random.default_rng(10)
    process = 0.05
    quiet = [[0.0] * 12, [0.001] * 12]
    slower = log(1 + detectable(quiet, process, RULE, suspects))
    caught = 0
    for _ in range(1000):
        confirmed = {0: list(random.normal(slower, process, 32))}
        confirmed |= {i: list(random.normal(0, process, 32)) for i in range(1, suspects)}
        pairs = screened(lambda: [random.normal(slower, process)] * 12)
        found = judged(confirmed, lambda _: RULE, 1)[0] == "slower"
        caught += found and suspected(pairs, RULE) == "slower"
    assert caught / 1000 > 0.77


def test_an_estimate_is_of_ratios():
    found = estimate([log(1.1)] * 7)
    assert (found.value, found.low, found.high) == pytest.approx((1.1, 1.1, 1.1))
    assert comb(16, 16) / 2**16 < ERROR / len(LOOKS) / 1000  # 16 of 16 is enough for a thousand suspects
