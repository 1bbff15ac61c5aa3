"""Derive every polynomial and constant of `vecmath`: python -m actbench.kernels.vecmath.minimax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mpmath as mp
import numpy as np
from mpmath import mpf

GRID = 600  # Chebyshev points that stand for the interval: the error between them is flat to 1e-5
DIGITS = 60
Real = Callable[[mpf], mpf]
# x -> (x - ERFC_CENTRE) / (x + ERFC_SHIFT) maps the tail of erfc to a short, nearly even interval.
# A shift of 2-3 needs the fewest terms in both formats (0.5 and 1 need up to twice as many).
ERFC_SHIFT, ERFC_CENTRE = 3, 3
ERF_SPLIT = mpf(5) / 8  # below: odd series of erf; above: e^(-x^2) times a polynomial


@dataclass(frozen=True)
class Format:
    """A binary floating-point format: name, precision in bits, least exponent, scalar type."""

    name: str
    precision: int
    least_exponent: int
    scalar: type[np.floating]

    def round(self, value: mpf) -> mpf:
        """Return the nearest number of the format (normal range)."""
        with mp.workprec(self.precision):
            return +value

    def truncate(self, value: mpf, bits: int) -> mpf:
        """Return `value` cut to its leading `bits` bits."""
        return mp.ldexp(mp.floor(mp.ldexp(value, bits - mp.frexp(value)[1])), mp.frexp(value)[1] - bits)

    def parts(self, value: mpf, count: int) -> list[mpf]:
        """Return `count` numbers of the format whose sum is `value`, largest first."""
        head = self.round(value)
        return [head, *self.parts(value - head, count - 1)] if count > 1 else [head]


FORMATS = (
    Format("Float32", 24, -126, np.float32),
    Format("Float64", 53, -1022, np.float64),
)


@dataclass(frozen=True)
class Approximation:
    """A function to approximate: target(t) on [low, high], error counted times weight(t)."""

    name: str
    meaning: str
    target: Real
    weight: Real
    low: Callable[[Format], mpf]
    high: Callable[[Format], mpf]
    degree: dict[str, int]
    leading_parts: int = 1


def _erfc_variable(x: mpf) -> mpf:
    return (x - ERFC_CENTRE) / (x + ERFC_SHIFT)


def _erfc_scaled(t: mpf) -> mpf:
    x = (ERFC_CENTRE + ERFC_SHIFT * t) / (1 - t)
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


def last_erfc(form: Format) -> mpf:
    """Return the x above which erfc(x) rounds to zero."""
    least = mp.ldexp(1, form.least_exponent - form.precision)
    return mp.findroot(lambda x: mp.log(mp.erfc(x) / least), mp.sqrt(-mp.log(least)))


APPROXIMATIONS = (
    Approximation(
        "EXP",
        "e^t = 1 + t + t^2/2 + t^3 P(t), |t| <= 0.3467",
        lambda t: (mp.exp(t) - 1 - t - t * t / 2) / t**3,
        lambda t: t**3 / mp.expm1(t),
        lambda form: mpf("-0.3467"),
        lambda form: mpf("0.3467"),
        {"Float32": 4, "Float64": 9},
    ),
    Approximation(
        "LOG",
        "log(1 + f) = f - f^2/2 + f^3 P(f), sqrt(1/2) <= 1 + f <= sqrt(2)",
        lambda f: (mp.log1p(f) - f + f * f / 2) / f**3,
        lambda f: f**3 / mp.log1p(f),
        lambda form: mpf("-0.29290"),
        lambda form: mpf("0.41422"),
        {"Float32": 8, "Float64": 20},
    ),
    Approximation(
        "ERF",
        "erf(x) = x + x P(x^2), |x| <= 5/8; the constant in two parts, high then low",
        lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1,
        lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)),
        lambda form: mpf(0),
        lambda form: ERF_SPLIT**2,
        {"Float32": 5, "Float64": 12},
        leading_parts=2,
    ),
    Approximation(
        "ERFC",
        "(1 + 2x) e^(x^2) erfc(x) = P(t), t = (x - 3)/(x + 3), x >= 5/8",
        _erfc_scaled,
        lambda t: 1 / _erfc_scaled(t),
        lambda form: _erfc_variable(ERF_SPLIT),
        lambda form: _erfc_variable(last_erfc(form)),
        {"Float32": 10, "Float64": 23},
        leading_parts=2,
    ),
    Approximation(
        "SIN",
        "sin r = r + r^3 P(r^2), |r| <= pi/4",
        lambda z: (mp.sin(mp.sqrt(z)) / mp.sqrt(z) - 1) / z,
        lambda z: z * mp.sqrt(z) / mp.sin(mp.sqrt(z)),
        lambda form: mpf(0),
        lambda form: (mp.pi / 4) ** 2,
        {"Float32": 3, "Float64": 6},
    ),
    Approximation(
        "COS",
        "cos r = 1 - r^2/2 + r^4 P(r^2), |r| <= pi/4",
        lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2,
        lambda z: z**2 / mp.cos(mp.sqrt(z)),
        lambda form: mpf(0),
        lambda form: (mp.pi / 4) ** 2,
        {"Float32": 3, "Float64": 6},
    ),
)


def _remez(points: Sequence[mpf], values: Sequence[mpf], weights: Sequence[mpf], degree: int) -> list[mpf]:
    """Return the polynomial (constant first) of least maximum weighted error on the points."""
    count, last = degree + 2, len(points) - 1
    reference = [round(last * (1 - mp.cos(mp.pi * i / (count - 1))) / 2) for i in range(count)]
    while True:
        system = mp.matrix(
            [
                [*(weights[i] * points[i] ** k for k in range(degree + 1)), (-1) ** row]
                for row, i in enumerate(reference)
            ]
        )
        right = mp.matrix([weights[i] * values[i] for i in reference])
        polynomial = list(mp.lu_solve(system, right))
        level = polynomial.pop()
        error = [
            w * (v - mp.polyval(polynomial[::-1], t)) for t, v, w in zip(points, values, weights, strict=True)
        ]
        size = [abs(e) for e in error]
        extrema: list[int] = []
        for i, e in enumerate(error):
            if extrema and (error[extrema[-1]] > 0) == (e > 0):
                extrema[-1] = max(extrema[-1], i, key=size.__getitem__)
            else:
                extrema.append(i)
        while len(extrema) > count:  # drop the least, with a neighbour so that signs alternate
            least = min(range(len(extrema)), key=lambda j: size[extrema[j]])
            if len(extrema) == count + 1 or least in (0, len(extrema) - 1):
                del extrema[0 if size[extrema[0]] < size[extrema[-1]] else -1]
            else:
                pair = min(least - 1, least, key=lambda j: size[extrema[j]] + size[extrema[j + 1]])
                del extrema[pair : pair + 2]
        if len(extrema) < count or max(size) <= abs(level) * mpf("1.001"):
            return polynomial
        reference = extrema


def approximate(job: Approximation, form: Format) -> tuple[list[mpf], mpf]:
    """Return the coefficients (constant first, rounded to the format) and the maximum error.

    Each coefficient is rounded before the ones above it are fitted, so that they absorb its error.
    """
    low, high = job.low(form), job.high(form)
    points = [
        (low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (i + mpf("0.5")) / GRID) for i in range(GRID)
    ]
    values = [job.target(t) for t in points]
    weights = [abs(job.weight(t)) for t in points]
    coefficients: list[mpf] = []
    rest, rest_weights = values, weights
    for degree in range(job.degree[form.name], -1, -1):
        constant = _remez(points, rest, rest_weights, degree)[0]
        head = form.parts(constant, 1 if coefficients else job.leading_parts)
        coefficients += head
        rest = [(v - sum(head)) / t for v, t in zip(rest, points, strict=True)]
        rest_weights = [w * abs(t) for w, t in zip(rest_weights, points, strict=True)]
    split = job.leading_parts
    series = [sum(coefficients[:split]), *coefficients[split:]]
    error = max(
        w * abs(v - mp.polyval(series[::-1], t)) for t, v, w in zip(points, values, weights, strict=True)
    )
    return coefficients, error


def constants(form: Format) -> dict[str, tuple[str, list[mpf]]]:
    """Return the other constants of a format: name -> (meaning, values)."""
    ln2, p, least = mp.ln(2), form.precision, form.least_exponent
    # k * LN2_SHORT is exact for every exponent k, subnormal inputs included
    short = form.truncate(ln2, p - (8 if p == 24 else 11))
    smallest = mp.ldexp(1, least)
    tail = mp.findroot(lambda x: mp.log(mp.erfc(x) / smallest), mp.sqrt(-mp.log(smallest)))
    return {
        "LOG2E": ("1 / ln 2", [form.round(1 / ln2)]),
        "LN2": ("ln 2 in two parts", form.parts(ln2, 2)),
        "LN2_SHORT": ("ln 2, few bits first", [short, form.round(ln2 - short)]),
        "HALF_PI": ("pi / 2 in two parts", form.parts(mp.pi / 2, 2)),
        "SQRT_HALF": ("sqrt(1/2)", [form.round(mp.sqrt(mpf(1) / 2))]),
        "EXP_TINY": ("below it e^x is subnormal", [form.round(least * ln2)]),
        "EXP_LOW": ("below it e^x is 0", [form.round(mp.floor((least - p) * ln2 - 1))]),
        "EXP_MAX": (
            "above it e^x overflows",
            [form.truncate((2 - least) * ln2 + mp.log(1 - mp.ldexp(1, -p) / 2), p)],
        ),
        "EXP_HIGH": ("far above that", [form.round(mp.ceil((2 - least) * ln2 + 1))]),
        "ERF_SPLIT": ("series below, tail above", [form.round(ERF_SPLIT)]),
        "ERFC_TINY": ("above it erfc is subnormal", [form.round(tail * (1 + mp.ldexp(1, 2 - p)))]),
        "ERFC_HIGH": ("above it erfc is 0", [form.round(last_erfc(form) * (1 + mp.ldexp(1, 2 - p)))]),
    }


def _line(form: Format, name: str, comment: str, values: Sequence[mpf]) -> str:
    numbers = ", ".join(repr(float(str(form.scalar(float(v))))) for v in values)
    body = f"_{form.name.lower()}({numbers})" + ("[0]" if len(values) == 1 else "")
    return f"    # {comment}\n    {name} = {body}\n"


def generate() -> str:
    """Return the text of coefficients.py."""
    text = '''"""Constants and minimax polynomials (constant first); written by minimax.py, not by hand."""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

import numpy as np


def _float32(*values: float) -> tuple[np.float32, ...]:
    return tuple(map(np.float32, values))


def _float64(*values: float) -> tuple[np.float64, ...]:
    return tuple(map(np.float64, values))
'''
    with mp.workdps(DIGITS):
        for form in FORMATS:
            text += f"\n\nclass {form.name}:\n"
            for name, (comment, values) in constants(form).items():
                text += _line(form, name, comment, values)
            for job in APPROXIMATIONS:
                values, error = approximate(job, form)
                comment = f"{job.meaning}: relative error 2^{mp.nstr(mp.log(error, 2), 4)}"
                text += _line(form, job.name, comment, values)
    return text


if __name__ == "__main__":
    Path(__file__).with_name("coefficients.py").write_text(generate(), encoding="utf-8")
