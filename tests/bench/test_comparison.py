"""Verdicts from interleaved samples: like with like, and none where the interval holds 1."""

from __future__ import annotations

from math import sqrt

import pytest
from fakes import measurement

from actbench.bench.comparison import closest, comparisons, geometric_mean, providers
from actbench.bench.run import OURS, Contender, Measurement

BASE = (100.0, 110.0, 90.0, 105.0, 95.0, 100.0)


def contender(provider: str, factor: float, *, allocates: bool = True, mismatch: bool = False) -> Contender:
    return Contender(provider, allocates, tuple(factor * s for s in BASE), 10, mismatch=mismatch)


def cell(*contenders: Contender) -> Measurement:
    return measurement(contenders=contenders)


def test_calls_are_compared_with_ours_of_the_same_kind() -> None:
    ours = contender(OURS, 2), contender(OURS, 1, allocates=False)
    found = comparisons(cell(*ours, contender("a", 3), contender("a", 3, allocates=False)))
    assert [(c.peer.label, c.ratio.value) for c in found] == [
        ("a", pytest.approx(1.5)),
        ("a out=", pytest.approx(3)),
    ]


def test_a_kind_of_call_that_we_lack_is_not_compared() -> None:
    assert comparisons(cell(contender(OURS, 1), contender("a", 3, allocates=False))) == ()


def test_a_mismatch_is_never_ranked() -> None:
    m = cell(contender(OURS, 1), contender("a", 0.5, mismatch=True), contender("b", 2))
    assert closest(m).peer.provider == "b"
    assert closest(m, "a") is None


def test_the_closest_is_the_one_that_is_hardest_on_us() -> None:
    m = cell(contender(OURS, 1), contender("a", 3), contender("b", 2), Contender("c", True, note="no"))
    assert closest(m).peer.provider == "b"
    assert closest(m, "a").peer.provider == "a"
    assert providers([m]) == ("a", "b")
    assert closest(cell()) is None


@pytest.mark.parametrize(("factor", "verdict"), [(2.0, "ahead"), (0.5, "behind")])
def test_a_verdict_needs_an_interval_beside_1(factor: float, verdict: str) -> None:
    clear = closest(cell(contender(OURS, 1), contender("a", factor)))
    assert clear.verdict == verdict
    noisy = contender("a", 1)
    noisy = Contender(
        "a", True, (*(factor * s for s in noisy.samples_ns[:-1]), noisy.samples_ns[-1] / factor)
    )
    assert closest(cell(contender(OURS, 1), noisy)).verdict == "same"


def test_geometric_mean() -> None:
    assert geometric_mean([2, 4]) == pytest.approx(sqrt(8))
    with pytest.raises(ValueError, match="no ratios"):
        geometric_mean([])
