"""Rounding to nearest in every format, and distances in units in the last place, infinities and zeros among them."""

from __future__ import annotations

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.kernels.arrays import dtype_named
from actbench.verify.rounding import FORMATS, UNKNOWN, Format, Number, Target

every_format = pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
reals = st.tuples(st.integers(-(2**130), 2**130), st.integers(-1300, 1200))


def real(mantissa: int, exponent: int) -> Fraction:
    return Fraction(mantissa) * Fraction(2) ** exponent


def target(format: Format, *numbers: tuple[int, int]) -> Target:
    return Target.of(format, [format.nearest(*number) for number in numbers])


@every_format
def test_a_format_is_that_of_its_dtype(format: Format) -> None:
    info = ml_dtypes.finfo(dtype_named(format.name))
    assert format.greatest == float(info.max)
    least = format.nearest(1, format.least - format.places + 1)
    assert least.nearest == float(info.smallest_subnormal)
    assert format.nearest(1, 0).ulp == float(info.eps)
    assert format.contains(format.least - format.places + 1)
    assert not format.contains(format.least - format.places)
    assert not format.contains(format.largest + 1)


@every_format
@given(number=reals)
def test_the_nearest_number_and_the_rest_are_the_real(format: Format, number: tuple[int, int]) -> None:
    found, exact = format.nearest(*number), real(*number)
    assert abs(found.rest) <= 0.5 or math.isinf(found.rest)
    if math.isfinite(found.nearest):
        rest = (exact - Fraction(found.nearest)) / Fraction(found.ulp)
        assert abs(rest - Fraction(found.rest)) <= Fraction(1, 2**50)
        assert float(np.asarray(found.nearest).astype(dtype_named(format.name))) == found.nearest
    else:
        assert abs(exact) >= Fraction(format.greatest) + Fraction(1, 2) * Fraction(
            2 ** (format.largest - format.places + 1)
        )


@given(number=reals)
def test_float64_rounds_as_python_does(number: tuple[int, int]) -> None:
    exact = real(*number)
    try:
        expected = float(exact)
    except OverflowError:
        expected = math.inf if exact > 0 else -math.inf
    assert FORMATS["float64"].nearest(*number).nearest == expected


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_the_shorter_formats_round_as_casts_do(name: str, value: float) -> None:
    mantissa, exponent = math.frexp(value)
    with np.errstate(over="ignore"):
        cast = float(np.float64(value).astype(dtype_named(name)))
    assert FORMATS[name].nearest(int(mantissa * 2**53), exponent - 53).nearest == cast


@every_format
def test_a_tie_goes_to_the_even_number(format: Format) -> None:
    odd = 2**format.places - 1
    assert format.nearest(2 * odd + 1, 0).nearest == 2.0 ** (format.places + 1)
    assert format.nearest(2 * (odd - 1) + 1, 0).nearest == 2.0 * (odd - 1)


@every_format
def test_an_error_is_a_distance_in_ulp(format: Format) -> None:
    exact = target(format, (3, 0), (3, 0), (1, 0), (3, -1))
    got = np.array([3 + 2 * 2.0 ** (2 - format.places), 3 - 2.0 ** (2 - format.places), 1.0, 1.5])
    assert exact.error(got).tolist() == [2, 1, 0, 0]
    assert exact.met(got).tolist() == [False, False, True, True]
    # A third of a ULP above 1: 1 is off by a third, its neighbours by two thirds and by a ULP and two thirds of half.
    third = Target.of(format, [Number(1.0, 1 / 3, 2.0 ** (1 - format.places))] * 2)
    errors = third.error(np.array([1.0, 1.0 + 2.0 ** (1 - format.places)]))
    assert errors == pytest.approx([1 / 3, 2 / 3])


@every_format
def test_infinity_is_near_to_the_largest_number_and_to_nothing_else(format: Format) -> None:
    top = 2**format.places - 1, format.largest - format.places + 1
    beyond, far = (1, format.largest + 1), (1, format.largest + 2)
    exact = target(format, top, beyond, far, top, far, (1, 0), top)
    got = np.array([np.inf, np.inf, np.inf, format.greatest, format.greatest, np.inf, -np.inf])
    assert exact.error(got).tolist() == [1, 0, 0, 0, np.inf, np.inf, np.inf]


@every_format
def test_nan_is_wrong_where_there_is_a_number_and_right_where_there_is_none(format: Format) -> None:
    exact = Target.of(format, [format.nearest(1, 0), Number(math.nan, 0.0, math.nan), UNKNOWN])
    assert exact.error(np.full(3, np.nan)).tolist()[:2] == [np.inf, 0]
    assert exact.error(np.ones(3)).tolist()[:2] == [0, np.inf]
    assert np.isnan(exact.error(np.ones(3))[2])
    assert exact.met(np.array([1.0, np.nan, 1.0])).tolist() == [True, True, False]


@every_format
def test_a_tiny_number_keeps_its_sign(format: Format) -> None:
    for sign in (1, -1):
        found = format.nearest(sign, -5000)
        assert found.nearest == 0
        assert math.copysign(1.0, found.nearest) == sign
        assert found.rest * sign > 0
    assert format.nearest(0, 0).rest == 0


def test_targets_are_joined_and_picked() -> None:
    format = FORMATS["float32"]
    parts = target(format, (1, 0), (3, 0)), target(format, (5, 0))
    joined = Target.joined(parts)
    assert joined.nearest.tolist() == [1, 3, 5]
    assert joined.at(np.array([2, 0])).nearest.tolist() == [5, 1]
