"""What the times of equal work tell: simulated noise of known size, and a clock that only work moves."""

from __future__ import annotations

from functools import partial
from itertools import cycle

import numpy as np
import pytest
from fakes import Clock

from actbench.bench import noise, statistics
from actbench.bench.clock import Arm


def normal(deviation: float, n: int = 2400, seed: int = 1) -> list[float]:
    samples: list[float] = np.exp(np.random.default_rng(seed).normal(0, deviation, n)).tolist()
    return samples


@pytest.mark.parametrize("deviation", [0.005, 0.02, 0.1])
def test_the_smallest_difference_is_seen_nine_times_in_ten(deviation: float) -> None:
    least = noise.smallest_difference(normal(deviation))
    assert least is not None
    fresh = np.reshape(normal(deviation, 24 * 1000, seed=2), (-1, 2, 12))
    seen = [statistics.ratio(((1 + least) * slow).tolist(), fast.tolist()).low > 1 for slow, fast in fresh]
    # Of 200 reaches, whose 90th percentile is the least difference, the share errs by 2 %.
    assert 0.84 < np.mean(seen) < 0.96


def test_the_smallest_difference_needs_two_kernels_of_12_rounds() -> None:
    samples = normal(0.01)
    assert noise.smallest_difference(samples[:23]) is None
    assert noise.smallest_difference(samples[:24]) is not None


def test_a_quiet_machine_shows_everything() -> None:
    found = noise.noise("arithmetic", [100.0] * 48)
    assert found.smallest_difference == 0
    assert (found.spread, found.drift, found.worst, found.slowed) == (0, 0, 0, 0)


def test_drift_is_that_of_the_second_half() -> None:
    found = noise.noise("arithmetic", [100.0] * 30 + [110.0] * 30)
    assert found.drift == pytest.approx(0.1)
    assert found.median_ns == 105


def test_slow_slices_are_counted_and_the_worst_is_told() -> None:
    found = noise.noise("arithmetic", [100.0] * 95 + [104.0, 104.0, 106.0, 120.0, 350.0])
    assert found.slowed == pytest.approx(0.03)
    assert found.worst == pytest.approx(2.5)
    assert found.slices == 100


def test_all_work_is_measured_in_the_same_rounds_for_two_seconds(clock: Clock) -> None:
    costs = cycle([1000, 1020])
    arms = (Arm("a", [lambda: clock.work(next(costs))]), Arm("b", [partial(clock.work, 3e5)]))
    first, second = noise.measure(arms, clock, step_ns=10)
    assert (first.kind, second.kind) == ("a", "b")
    assert first.slices == second.slices > 500
    assert first.median_ns == pytest.approx(1010, rel=1e-3)
    assert second.spread == 0
    assert 1.99e9 < clock.now <= 2e9


@pytest.mark.parametrize(
    ("cache", "available", "kinds"),
    [
        (2**21, None, ["arithmetic", "memory traffic"]),
        (2**21, 2**30, ["arithmetic", "memory traffic"]),
        (2**21, 2**22, ["arithmetic"]),
        (None, 2**20, ["arithmetic"]),
    ],
    ids=["unknown", "plenty", "little", "least"],
)
def test_memory_that_is_scarce_is_left_alone(
    cache: int | None, available: int | None, kinds: list[str]
) -> None:
    assert [arm.name for arm in noise.arms(cache, available)] == kinds


def test_the_copy_is_of_buffers_that_a_cache_does_not_hold() -> None:
    cache = 2**21
    _, copy = noise.arms(cache, None)
    touched: dict[int, int] = {}
    first = next(copy.calls)
    call = first
    while True:
        call()
        touched |= {a.ctypes.data: a.nbytes for a in call.args}
        call = next(copy.calls)
        if call is first:
            break
    assert sum(touched.values()) > cache
    assert not copy.warm
