"""Which numbers are tried: every exponent, both signs, and all there are about the places where a result turns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from actbench import get
from actbench.catalog.domain import EXTENDED_REALS, Domain
from actbench.kernels.arrays import dtype_named
from actbench.verify import inputs
from actbench.verify.rounding import FORMATS

every_dtype = pytest.mark.parametrize("dtype", FORMATS)


@every_dtype
def test_numbers_keep_their_order(dtype: str) -> None:
    kind, greatest = dtype_named(dtype), FORMATS[dtype].greatest
    x = np.array([-math.inf, -greatest, -1.0, 0.0, 2.0**-14, 1.0, greatest, math.inf], kind)
    places = inputs.ordered(x)
    assert np.all(np.diff(places) > 0)
    assert np.array_equal(inputs.unordered(places, kind), x)
    assert inputs.ordered(np.array([-0.0], kind))[0] == 0
    after = inputs.unordered(inputs.ordered(np.array([1.0], kind)) + 1, kind)
    assert float(after[0]) == 1 + 2.0 ** (1 - FORMATS[dtype].places)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_number_there_is(dtype: str) -> None:
    chunks = list(inputs.all_numbers(dtype_named(dtype)))
    assert np.unique(np.concatenate(chunks).view(np.uint16)).size == 1 << 16


@every_dtype
def test_a_sample_holds_every_sign_and_exponent(dtype: str) -> None:
    format, kind = FORMATS[dtype], dtype_named(dtype)
    x = inputs.by_exponent(kind, 4, 2).astype(np.float64)
    assert np.all(np.diff(x) > 0)
    for side in (x[x > 0], -x[x < 0]):
        exponents, counts = np.unique(np.frexp(side)[1] - 1, return_counts=True)
        assert exponents.tolist() == [*range(format.least - format.places + 1, format.largest + 1)]
        assert counts[exponents == 0] == 4
        assert set(counts[exponents > 10]) <= {2}
    assert 0.0 in x


@pytest.mark.parametrize(
    ("name", "pass_", "places"),
    [
        ("relu6", "forward", [0.0, 6.0]),
        ("hardtanh", "derivative", [-1.0, 1.0]),
        ("silu", "derivative", [-1.27846454]),
        ("sigmoid", "forward", [-103.97208, 17.32868]),
        ("elu", "forward", [-16.982105, 0.0]),
    ],
)
def test_turns_are_found(name: str, pass_: str, places: list[float]) -> None:
    f = get(name)
    found = inputs.turns(getattr(f, pass_), f.declaration.domain, np.dtype(np.float32))
    for place in places:
        assert np.abs(found - np.float32(place)).min() <= 4e-7 * max(1.0, abs(place))


def test_about_a_place_are_its_neighbours() -> None:
    x = inputs.about(np.array([1.0, 3.4028235e38], np.float32), 2)
    assert x.size == 5 + 3
    assert np.nextafter(np.float32(1), np.float32(0)) in x
    assert np.isfinite(x).all()


def test_an_axis_stays_in_the_domain() -> None:
    def axis(domain: Domain, dtype: Any) -> np.ndarray:
        return np.concatenate([*inputs.axis(domain, np.zeros(0, dtype), np.dtype(dtype), 4, 2, 8)])

    x = axis(Domain("[0, 1)"), np.float32)
    numbers = x[~np.isnan(x)]
    assert numbers.min() == 0
    assert not np.signbit(numbers).any()
    assert 1 - 2.0**-23 < numbers.max() < 1
    everything = axis(EXTENDED_REALS, np.float64)
    assert {math.inf, -math.inf, FORMATS["float64"].greatest} <= set(everything.tolist())
    assert np.isnan(everything).any()
    assert axis(Domain("(-inf, inf)"), np.float16).size == (1 << 16) - 2


def test_drawn_numbers_lie_in_the_domain() -> None:
    rng = np.random.default_rng(0)
    for text in ("{-1, 1}", "[0, 1]", "[3, inf]", "(-inf, inf)"):
        domain = Domain(text)
        assert all(v in domain for v in inputs.drawn(domain, (5, 4), rng).flat)
