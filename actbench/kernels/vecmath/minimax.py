"""Derive every polynomial and constant of `vecmath`: python -m actbench.kernels.vecmath.minimax."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
TANH_SPLIT = mpf(1) / 1  # below: odd series; above: 1 - 2/(1 + e^(2x))
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
    # float32's accuracy and range, worked out in float64
    Format("Wide", 53, -126, np.float64),
    # 16 bits' accuracy and bfloat16's range, worked out in float32
    Format("Half", 24, -126, np.float32),
)
BORROWED = {"Wide": "Float64", "Half": "Float32"}
"""Whose constants the formats for ``brief`` use beside their own polynomials."""


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
    leading_parts: dict[str, int] = field(default_factory=dict)


def _erfc_variable(x: mpf) -> mpf:
    return (x - ERFC_CENTRE) / (x + ERFC_SHIFT)


def _erfc_scaled(t: mpf) -> mpf:
    x = (ERFC_CENTRE + ERFC_SHIFT * t) / (1 - t)
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


def _normal_variable(a: mpf) -> mpf:
    return (a - 2) / (a + 4)


def _normal_argument(t: mpf) -> mpf:
    return (2 + 4 * t) / (1 - t)


def _normal_ratio(a: mpf) -> mpf:
    """Return e^(a^2/2) Phi(-a), which falls from 1/2 like 1/a."""
    return mp.exp(a * a / 2) * mp.erfc(a / mp.sqrt(2)) / 2


@functools.cache
def gelu_root() -> mpf:
    """Return a > 0 with gelu'(-a) = 0."""
    return mp.findroot(lambda a: _normal_ratio(a) - a / mp.sqrt(2 * mp.pi), mpf("0.7518"))


def _normal_slope(t: mpf) -> mpf:
    a = _normal_argument(t)
    return (a / mp.sqrt(2 * mp.pi) - _normal_ratio(a)) / (a - gelu_root())


def last_normal(form: Format) -> mpf:
    """Return the a above which a Phi(-a) rounds to zero."""
    least = mp.ldexp(1, form.least_exponent - form.precision)
    return mp.findroot(lambda a: mp.log(a * mp.erfc(a / mp.sqrt(2)) / 2 / least), mp.sqrt(-2 * mp.log(least)))


def last_erfc(form: Format) -> mpf:
    """Return the x above which erfc(x) rounds to zero."""
    least = mp.ldexp(1, form.least_exponent - form.precision)
    return mp.findroot(lambda x: mp.log(mp.erfc(x) / least), mp.sqrt(-mp.log(least)))


APPROXIMATIONS = (
    Approximation(
        "EXP",
        "e^t = 1 + t + t^2 P(t), |t| <= 0.3467",
        lambda t: (mp.expm1(t) - t) / t**2,
        lambda t: t**2 / mp.exp(t),
        lambda form: mpf("-0.3467"),
        lambda form: mpf("0.3467"),
        {"Float32": 4, "Float64": 9},
    ),
    Approximation(
        "EXPM1",
        "e^t - 1 = t P(t), |t| <= 0.3467",
        lambda t: mp.expm1(t) / t,
        lambda t: t / mp.expm1(t),
        lambda form: mpf("-0.3467"),
        lambda form: mpf("0.3467"),
        {"Wide": 5, "Half": 4},
    ),
    Approximation(
        "TANH",
        "tanh x = x + x^3 P(x^2), |x| <= 1",
        lambda z: (mp.tanh(mp.sqrt(z)) / mp.sqrt(z) - 1) / z,
        lambda z: z * mp.sqrt(z) / mp.tanh(mp.sqrt(z)),
        lambda form: mpf(0),
        lambda form: TANH_SPLIT**2,
        {"Float32": 7, "Float64": 15},
    ),
    Approximation(
        "LOG1P",
        "log(1 + q) = q - q^2/2 + q^3 P(q), 0 <= q <= 1",
        lambda q: (mp.log1p(q) - q + q * q / 2) / q**3,
        lambda q: q**3 / mp.log1p(q),
        lambda form: mpf(0),
        lambda form: mpf(1),
        {"Float32": 8, "Float64": 21},
    ),
    Approximation(
        "LOG1P",
        "log(1 + q) = q P(q), 0 <= q <= 1",
        lambda q: mp.log1p(q) / q,
        lambda q: q / mp.log1p(q),
        lambda form: mpf(0),
        lambda form: mpf(1),
        {"Wide": 10, "Half": 6},
    ),
    Approximation(
        "NORMAL",
        "(a + 5/4) e^(a^2/2) Phi(-a) = P(t), t = (a - 2)/(a + 4), a >= 0",  # flat at both ends: t may be rounded
        lambda t: (_normal_argument(t) + mpf("1.25")) * _normal_ratio(_normal_argument(t)),
        lambda t: 1 / ((_normal_argument(t) + mpf("1.25")) * _normal_ratio(_normal_argument(t))),
        lambda form: mpf("-0.5"),
        lambda form: _normal_variable(last_normal(form)),
        {"Wide": 10, "Half": 7},
    ),
    Approximation(
        "NORMAL",
        "(a + 3) e^(a^2/2) Phi(-a) = P(t), t = (a - 3)/(a + 3), a >= 0",
        lambda t: 6 / (1 - t) * _normal_ratio(3 * (1 + t) / (1 - t)),
        lambda t: (1 - t) / (6 * _normal_ratio(3 * (1 + t) / (1 - t))),
        lambda form: mpf(-1),
        lambda form: (last_normal(form) - 3) / (last_normal(form) + 3),
        {"Float32": 10, "Float64": 24},
        {"Float32": 2, "Float64": 2},
    ),
    Approximation(
        "NORMAL_SLOPE",
        "a / sqrt(2 pi) - e^(a^2/2) Phi(-a) = (a - root) P(t), t as above",
        _normal_slope,
        lambda t: 1 / _normal_slope(t),
        lambda form: mpf("-0.5"),
        lambda form: _normal_variable(last_normal(form)),
        {"Float32": 10, "Float64": 23, "Wide": 10, "Half": 6},
        {"Float32": 2, "Float64": 2},
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
        "erf(x) = x + x P(x^2), |x| <= 5/8, high then low",
        lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1,
        lambda z: mp.sqrt(z) / mp.erf(mp.sqrt(z)),
        lambda form: mpf(0),
        lambda form: ERF_SPLIT**2,
        {"Float32": 5, "Float64": 12},
        {"Float32": 2, "Float64": 2},
    ),
    Approximation(
        "ERFC",
        "(1 + 2x) e^(x^2) erfc(x) = P(t), t = (x - 3)/(x + 3), x >= 5/8",
        _erfc_scaled,
        lambda t: 1 / _erfc_scaled(t),
        lambda form: _erfc_variable(ERF_SPLIT),
        lambda form: _erfc_variable(last_erfc(form)),
        {"Float32": 10, "Float64": 23},
        {"Float32": 2, "Float64": 2},
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
        head = form.parts(constant, 1 if coefficients else job.leading_parts.get(form.name, 1))
        coefficients += head
        rest = [(v - sum(head)) / t for v, t in zip(rest, points, strict=True)]
        rest_weights = [w * abs(t) for w, t in zip(rest_weights, points, strict=True)]
    split = job.leading_parts.get(form.name, 1)
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
    selu = form.truncate(mpf("1.0507009873554804934"), p)
    smallest = mp.ldexp(1, least)
    tail = mp.findroot(lambda x: mp.log(mp.erfc(x) / smallest), mp.sqrt(-mp.log(smallest)))
    return {
        "LOG2E": ("1 / ln 2", [form.round(1 / ln2)]),
        "LN2": ("ln 2 in two parts", form.parts(ln2, 2)),
        "LN2_SHORT": ("ln 2, few bits first", [short, form.round(ln2 - short)]),
        "SIXTH": ("1/6 in two parts", form.parts(mpf(1) / 6, 2)),
        "SELU": (
            "lambda of selu, both parts above 0",
            [selu, form.round(mpf("1.0507009873554804934") - selu)],
        ),
        "SELU_BELOW": ("its lambda alpha", form.parts(mpf("1.7580993408473768599"), 2)),
        "HALF_PI": ("pi / 2 in two parts", form.parts(mp.pi / 2, 2)),
        "SQRT_HALF": ("sqrt(1/2)", [form.round(mp.sqrt(mpf(1) / 2))]),
        "EXP_LOW": ("below it e^x is 0", [form.round(mp.floor((least - p) * ln2 - 1))]),
        "EXP_HIGH": (
            "above that, by less than half a power of 2",
            [form.round((2 - least) * ln2 + mpf(1) / 16)],
        ),
        "DAMPED": ("below it x e^x is 0", [form.round(mp.floor(_last_damped(form)))]),
        "TANH_SPLIT": ("series below, exponential above", [form.round(TANH_SPLIT)]),
        "NORMAL_LAST": ("above it a Phi(-a) is 0", [form.round(last_normal(form) * (1 + mp.ldexp(1, -6)))]),
        **_roots(form),
        "ERF_SPLIT": ("series below, tail above", [form.round(ERF_SPLIT)]),
        "ERFC_TINY": ("above it erfc is subnormal", [form.round(tail * (1 + mp.ldexp(1, 2 - p)))]),
        "ERFC_HIGH": ("above it erfc is 0", [form.round(last_erfc(form) * (1 + mp.ldexp(1, 2 - p)))]),
    }


def _last_damped(form: Format) -> mpf:
    least = mp.ldexp(1, form.least_exponent - form.precision)
    return mp.findroot(lambda x: mp.log(-x) + x - mp.log(least), mp.log(least))


def _roots(form: Format) -> dict[str, tuple[str, list[mpf]]]:
    """Return the zeros of derivatives, the values there that the kernels expand from, and gelu_tanh's cubic."""
    exp = mp.exp
    silu = mp.findroot(lambda x: 1 + x + exp(x), mpf("-1.278"))
    mish = mp.findroot(
        lambda x: 4 * (x + 1) + 4 * exp(2 * x) + exp(3 * x) + exp(x) * (4 * x + 6), mpf("-1.192")
    )
    alpha = 2 * mp.sqrt(2 / mp.pi)
    beta = alpha * mpf("0.044715")
    gelu_tanh = mp.findroot(
        lambda x: 1 + exp(alpha * x + beta * x**3) + alpha * x + 3 * beta * x**3, mpf("-0.7525")
    )
    there = alpha * gelu_tanh + beta * gelu_tanh**3
    # alpha + beta x^2 is summed exactly with half the bits of alpha
    short = form.truncate(alpha, form.precision // 2)
    return {
        "SILU_ROOT": ("silu'(x) = 0 here, in two parts", form.parts(silu, 2)),
        "SILU_EXP": ("e^x here", form.parts(exp(silu), 2)),
        "SILU_SQUARE": ("(1 + e^x)^2 / e^x here", form.parts((1 + exp(silu)) ** 2 / exp(silu), 2)),
        "MISH_ROOT": ("mish'(x) = 0 here", form.parts(mish, 2)),
        "MISH_EXP": ("e^x here", form.parts(exp(mish), 2)),
        "MISH_REST": ("4x + 6 + e^(2x) here", form.parts(4 * mish + 6 + exp(2 * mish), 2)),
        "GELU_ROOT": ("gelu'(-a) = 0 here", form.parts(gelu_root(), 2)),
        "CUBIC": ("gelu_tanh(x) = x sigmoid(alpha x + beta x^3): alpha", [short, form.round(alpha - short)]),
        "CUBIC_BETA": ("beta", form.parts(beta, 2)),
        "CUBIC_SLOPE": ("3 beta", form.parts(3 * beta, 2)),
        "GELU_TANH_ROOT": ("gelu_tanh'(x) = 0 here", form.parts(gelu_tanh, 2)),
        "GELU_TANH_ARGUMENT": ("alpha x + beta x^3 here", form.parts(there, 2)),
        "GELU_TANH_EXP": ("the exponential of that, e", form.parts(exp(there), 2)),
        "GELU_TANH_SQUARE": ("(1 + e)^2 / e", form.parts((1 + exp(there)) ** 2 / exp(there), 2)),
    }


def _line(form: Format, name: str, comment: str, values: Sequence[mpf]) -> str:
    numbers = ", ".join(repr(float(str(form.scalar(float(v))))) for v in values)
    body = f"_{form.scalar.__name__}({numbers})" + ("[0]" if len(values) == 1 else "")
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
            shared = constants(form)
            for name, (comment, values) in shared.items():
                if form.name in BORROWED and name != "NORMAL_LAST":
                    continue
                text += _line(form, name, comment, values)
            for job in (job for job in APPROXIMATIONS if form.name in job.degree):
                values, error = approximate(job, form)
                comment = f"{job.meaning}: relative error 2^{mp.nstr(mp.log(error, 2), 4)}"
                text += _line(form, job.name, comment, values)
    return text


if __name__ == "__main__":
    Path(__file__).with_name("coefficients.py").write_text(generate(), encoding="utf-8")
