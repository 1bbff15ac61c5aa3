"""The judge itself: it is right about derivatives, and it knows how far it may err."""

from __future__ import annotations

import numpy as np
import pytest

from actbench.verify import differences

FUNCTIONS = {
    "exp": (np.exp, np.exp),
    "sin": (np.sin, np.cos),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
    "reciprocal": (lambda x: 1 / (1 + x * x), lambda x: -2 * x / (1 + x * x) ** 2),
    "cancelling": (lambda x: x - np.tanh(x), lambda x: np.tanh(x) ** 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("side", [-1, 0, 1], ids=["left", "central", "right"])
def test_the_error_is_within_what_it_says_and_that_is_small(name: str, side: int) -> None:
    f, slope = FUNCTIONS[name]
    x = np.random.default_rng(1).uniform(-8, 8, 2000)
    found = differences.slope(lambda t: f(x + t), np.full(x.shape, np.inf), at=x, side=side)
    assert np.all(np.abs(found.value - slope(x)) <= found.error)
    # Five points and Richardson leave about 1e-11 of a slope of order 1; one-sided stencils a hundred times that.
    assert np.median(found.error) < (1e-10 if side == 0 else 1e-8)


def test_it_stays_on_its_side_of_a_jump() -> None:
    found = differences.slope(lambda t: np.where(t > 0, 5 + 2 * t, -t), np.array([np.inf]), side=1)
    assert found.value[0] == pytest.approx(2, abs=float(found.error[0]))


def test_it_says_nothing_about_what_it_cannot_resolve() -> None:
    x = np.array([1e170, 40.0])
    fast = differences.slope(lambda t: np.sin(x + t) * np.array([1.0, 0.0]), np.full(2, np.inf), at=x)
    assert fast.error[0] == np.inf
    tail = differences.slope(lambda t: 1 / (1 + np.exp(-(x + t))), np.full(2, np.inf), at=x)
    assert tail.error[1] > 4e-18 / 4  # the slope of the sigmoid at 40


def test_a_bend_within_the_step_widens_the_bound() -> None:
    x = np.array([1e-4, 1e-3, 1e-2])
    found = differences.slope(lambda t: np.maximum(x + t, 0) ** 2, np.full(3, np.inf), at=x)
    assert np.all(np.abs(found.value - 2 * x) <= found.error)


def test_reach_stops_halfway_to_walls() -> None:
    reach = differences.reach_within(np.array([0.25, 0.5]), [1.0], 0.0, np.inf)
    assert reach.tolist() == [0.125, 0.25]
