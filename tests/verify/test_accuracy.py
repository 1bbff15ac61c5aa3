"""An audit finds the worst result of a format, and what is NaN or infinite and should not be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import actbench
from actbench.verify import accuracy
from actbench.verify.accuracy import every_input, judge_of, sampled

HALVES = ("float16", "bfloat16")
DERIVATIVES = ("forward", "derivative")


def _changed(name: str, change: Callable[[np.ndarray, np.ndarray], None]) -> Callable[..., Any]:
    """A pass that is right in float64, and changed in every other format."""

    def call(x: np.ndarray, out: np.ndarray) -> np.ndarray:
        actbench.get(name)(x, out=out)
        if x.dtype != np.float64:
            change(x, out)
        return out

    return call


def _at_one(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) == 1


def _an_ulp_up(x: np.ndarray, y: np.ndarray) -> None:
    y.view(np.uint16)[_at_one(x)] += 1


@pytest.mark.parametrize("dtype", HALVES)
def test_one_result_that_is_an_ulp_off_is_found(dtype: str) -> None:
    audit = every_input(_changed("sigmoid", _an_ulp_up), dtype)
    assert audit.where == 1.0
    assert 0.5 < audit.largest < 1.6
    assert (audit.inputs, audit.wrong) == (1 << 16, 0)
    assert every_input(actbench.get("sigmoid"), dtype).largest <= 0.51


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chunk", [1 << 12, accuracy.CHUNK])
def test_a_nan_or_an_infinity_is_no_small_error(
    dtype: str, value: float, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accuracy, "CHUNK", chunk)

    def spoil(x: np.ndarray, y: np.ndarray) -> None:
        y[_at_one(x)] = value

    assert every_input(_changed("sigmoid", spoil), dtype).wrong == 1


@pytest.mark.parametrize("dtype", HALVES)
def test_a_number_in_the_place_of_nan_is_wrong(dtype: str) -> None:
    def spoil(x: np.ndarray, y: np.ndarray) -> None:
        y[np.isnan(y.astype(np.float32))] = 0

    assert every_input(_changed("sigmoid", spoil), dtype).wrong > 0


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_what_overflows_is_infinite(dtype: str) -> None:
    f = actbench.get("leaky_relu")
    audit = every_input(lambda x, out: f(x, out=out, negative_slope=2.0), dtype)
    assert (audit.largest, audit.wrong) == (0, 0)


@pytest.mark.parametrize("pass_", DERIVATIVES)
def test_a_sample_in_float64(pass_: str) -> None:
    pytest.importorskip("mpmath", reason="high precision is the extra 'audit'")
    f = actbench.get("tanh")
    judge = judge_of(f.declaration, pass_)
    x = np.array([0.25, 1.0, 3.0])
    right = sampled(getattr(f, pass_), x, judge)
    assert right.largest < 2
    assert right.inputs == 3
    moved = sampled(lambda x: np.nextafter(np.nextafter(getattr(f, pass_)(x), 2), 2), x[1:2], judge)
    assert moved.largest > 1
    assert sampled(lambda x: np.nan * x, x, judge).wrong == 3
