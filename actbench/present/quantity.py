"""Numbers as a reader wants them: three significant digits, or as many as are known."""

from __future__ import annotations

import math
from dataclasses import dataclass

DIGITS = 3


@dataclass(frozen=True)
class Unit:
    """A unit and how many base units it holds."""

    name: str
    size: float


NANOSECOND = Unit("ns", 1.0)
_TIMES = (NANOSECOND, Unit("us", 1e3), Unit("ms", 1e6), Unit("s", 1e9))
_COUNTS = (Unit("", 1.0), Unit("k", 1e3), Unit("M", 1e6), Unit("G", 1e9), Unit("T", 1e12))
_BYTES = (
    Unit("B", 1.0),
    Unit("KiB", 2.0**10),
    Unit("MiB", 2.0**20),
    Unit("GiB", 2.0**30),
    Unit("TiB", 2.0**40),
)
_BINARY = (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))


def number(value: float | None, digits: int = DIGITS) -> str:
    """``value`` with that many significant digits; no exponent between 1e-4 and 1e6; "-" for None."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(float(value))
    if value == 0:
        return "0"
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    exponent = int(power)
    if not -4 <= exponent < 6:
        return f"{mantissa}e{exponent}"
    return f"{float(mantissa + 'e' + power):.{max(0, digits - 1 - exponent)}f}"


def known(value: float, low: float, high: float, digits: int = DIGITS) -> str:
    """``value`` to the first digit that its interval leaves open, at most ``digits`` of them."""
    half = (high - low) / 2
    if not (math.isfinite(value) and math.isfinite(half)) or half <= 0 or value == 0:
        return number(value, digits)
    certain = math.floor(math.log10(abs(value))) - math.floor(math.log10(half)) + 1
    return number(value, max(1, min(digits, certain)))


def interval(low: float, high: float, digits: int = DIGITS) -> str:
    """The ends of an interval, such as ``1.02..1.10``."""
    return f"{number(low, digits)}..{number(high, digits)}"


def _scaled(value: float, units: tuple[Unit, ...], digits: int) -> str:
    if not math.isfinite(value) or value == 0:
        return f"{number(value)} {units[0].name}".rstrip()
    unit = _unit(value, units, digits)
    return f"{number(value / unit.size, digits)} {unit.name}".rstrip()


def _unit(value: float, units: tuple[Unit, ...], digits: int) -> Unit:
    # Rounded first: 999.9 ns is 1.00 us, not 1000 ns.
    size = abs(float(f"{value:.{digits - 1}e}"))
    return next((u for u in reversed(units) if size >= u.size), units[0])


def duration(ns: float, digits: int = DIGITS) -> str:
    """A time in nanoseconds as ``1.23 us``."""
    return _scaled(ns, _TIMES, digits)


def count(n: float, digits: int = DIGITS) -> str:
    """A count or a rate as ``1.05 G``."""
    if math.isfinite(n) and n == int(n) and abs(n) < 1000:
        return str(int(n))
    return _scaled(n, _COUNTS, digits)


def memory(size: float, digits: int = DIGITS) -> str:
    """A number of bytes as ``32.0 KiB``."""
    return f"{int(size)} B" if abs(size) < 1000 else _scaled(size, _BYTES, digits)


def elements(n: int) -> str:
    """A number of elements as ``--size`` takes it, exactly: ``1000``, ``32Ki``, ``5M``."""
    for name, unit in _BINARY:
        if n and n % unit == 0:
            return f"{n // unit}{name}"
    for name, unit in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if n >= 10_000 and n % unit == 0:
            return f"{n // unit}{name}"
    return str(n)


def percent(share: float | None, digits: int = 2) -> str:
    """A share as a number of per cent, for a column whose unit is %."""
    return number(None if share is None else 100 * share, digits)
