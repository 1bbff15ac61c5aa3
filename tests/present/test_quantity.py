"""Numbers as text: three digits, the right unit, and never more digits than are known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.bench.plan import parse_size
from actbench.present import quantity

REALS = st.floats(-1e300, 1e300)  # rounded up, larger ones would overflow
TIMES = st.floats(1e-3, 1e13)
UNITS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1.00"),
        (0.1234, "0.123"),
        (12.345, "12.3"),
        (999.6, "1000"),
        (123456, "123000"),
        (1234567, "1.23e6"),
        (-0.00001234, "-1.23e-5"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "nan"),
        (None, "-"),
    ],
)
def test_number(value, text):
    assert quantity.number(value) == text


@given(REALS, st.integers(1, 8))
def test_number_is_right_to_its_digits(value, digits):
    # Half a unit in the last digit shown; the factor takes up the rounding of float() itself.
    assert float(quantity.number(value, digits)) == pytest.approx(value, rel=0.5000001 * 10 ** (1 - digits))


@given(REALS)
def test_number_shows_three_digits(value):
    mantissa = quantity.number(value).lstrip("-").partition("e")[0].replace(".", "").lstrip("0")
    assert len(mantissa) == 3 or value == 0 or set(mantissa[3:]) == {"0"}


@given(TIMES)
def test_duration_has_the_unit_that_reads_best(ns):
    number, unit = quantity.duration(ns).split()
    assert float(number) * UNITS[unit] == pytest.approx(ns, rel=0.0051)
    assert float(number) < 1000 or unit == "s"
    assert float(number) >= 1 or unit == "ns"


@pytest.mark.parametrize(
    ("ns", "text"), [(999.6, "1.00 us"), (0.25, "0.250 ns"), (2.5e9, "2.50 s"), (math.nan, "nan ns")]
)
def test_duration(ns, text):
    assert quantity.duration(ns) == text


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (1.2345, 1.20, 1.27, "1.23"),
        (1.2345, 1.0, 1.6, "1.2"),
        (1.2345, 0.1, 9.0, "1"),
        (123.4, 123.39, 123.41, "123"),
        (5.0, 5.0, 5.0, "5.00"),
        (5.0, math.nan, 5.0, "5.00"),
    ],
)
def test_known_shows_no_more_than_is_known(value, low, high, text):
    assert quantity.known(value, low, high) == text


@given(TIMES, st.floats(1e-6, 2.0))
def test_known_stays_within_the_interval_of_its_doubt(value, relative):
    half = relative * value
    text = quantity.known(value, value - half, value + half)
    # Three digits are off by 0.5 % at most, fewer digits by no more than the first uncertain one, 10 half-widths.
    assert abs(float(text) - value) <= max(0.0051 * value, 10 * half)


@given(st.integers(1, 2**48))
def test_elements_is_what_the_size_option_takes(n):
    assert parse_size(quantity.elements(n)) == n


@pytest.mark.parametrize(
    ("n", "text"), [(1000, "1000"), (1024, "1Ki"), (2**20, "1Mi"), (10**6, "1M"), (3 * 2**20 + 1, "3145729")]
)
def test_elements(n, text):
    assert quantity.elements(n) == text


@pytest.mark.parametrize(
    ("n", "text"), [(7, "7"), (1.05e9, "1.05 G"), (999.9e3, "1.00 M"), (math.inf, "inf")]
)
def test_count(n, text):
    assert quantity.count(n) == text


@pytest.mark.parametrize(("n", "text"), [(100, "100 B"), (2**15, "32.0 KiB"), (2**20, "1.00 MiB")])
def test_memory(n, text):
    assert quantity.memory(n) == text


@pytest.mark.parametrize(("share", "text"), [(0.876, "88"), (1.0, "100"), (0.0123, "1.2"), (None, "-")])
def test_percent(share, text):
    assert quantity.percent(share) == text


def test_interval():
    assert quantity.interval(1.02, 1.1) == "1.02..1.10"
