"""The vocabulary of declarations: IEEE mathematics on Python floats.

A declaration's body calls these names. Run as plain Python they are the slow, obvious reference; the
kernel layer puts a vectorised function of the same name in the place of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

Row: TypeAlias = Any
"""One row of an array: anything indexable with a size, as the kernels see it."""

SCALARS = (
    "exp",
    "expm1",
    "log",
    "log1p",
    "sqrt",
    "sin",
    "cos",
    "tanh",
    "erf",
    "erfc",
    "fabs",
    "floor",
    "copysign",
    "maximum",
    "minimum",
    "sigmoid",
    "sigmoid_slope",
    "tanh_slope",
    "gate",
    "silu",
    "silu_slope",
    "softplus",
    "mish",
    "mish_slope",
    "gelu",
    "gelu_slope",
    "gelu_tanh",
    "gelu_tanh_slope",
    "selu",
    "selu_slope",
    "scaled_expm1",
    "product_tail",
    "sum_tail",
    "quotient_tail",
    "ratio",
    "sixth",
)
ROWS = (
    "row_max",
    "row_sum",
    "row_dot",
    "row_exp",
    "row_exp_sum",
    "row_log_sum_exp",
    "row_exp_pair",
    "row_exp_pivot",
    "row_exp_rest",
    "row_scale_pair",
    "row_gate_pair",
    "row_residual_pair",
    "row_dot_pair",
    "row_shift",
    "row_group_max",
    "row_group_gate",
    "row_workspace",
    "log_total",
    "class_mean",
    "class_gradient",
    "split_exp",
    "exponent_split",
    "power_of_two",
    "log_of",
    "probability",
    "wide",
    "workspace",
)
"""The names that have compiled twins; the others are made of them."""


def _total(function: Callable[[float], float], x: float, overflow: float) -> float:
    try:
        return function(x)
    except OverflowError:
        return overflow


def exp(x: float) -> float:
    """e^x; infinite where it overflows."""
    return _total(math.exp, x, math.inf)


def expm1(x: float) -> float:
    """e^x - 1 without cancellation near 0."""
    return _total(math.expm1, x, math.inf)


def log(x: float) -> float:
    """The natural logarithm; -inf at 0, NaN below."""
    if x > 0.0:
        return math.log(x)
    return -math.inf if x == 0.0 else math.nan


def log1p(x: float) -> float:
    """ln(1 + x) without cancellation near 0; -inf at -1, NaN below."""
    if x > -1.0:
        return math.log1p(x)
    return -math.inf if x == -1.0 else math.nan


def sqrt(x: float) -> float:
    """The square root; NaN below 0."""
    return math.sqrt(x) if x >= 0.0 else math.nan


def sin(x: float) -> float:
    """The sine of x radians; NaN at infinities."""
    return math.nan if math.isinf(x) else math.sin(x)


def cos(x: float) -> float:
    """The cosine of x radians; NaN at infinities."""
    return math.nan if math.isinf(x) else math.cos(x)


def tanh(x: float) -> float:
    """The hyperbolic tangent."""
    return math.tanh(x)


def erf(x: float) -> float:
    """The error function."""
    return math.erf(x)


def erfc(x: float) -> float:
    """1 - erf(x) without cancellation for large x."""
    return math.erfc(x)


def fabs(x: float) -> float:
    """The absolute value."""
    return math.fabs(x)


def floor(x: float) -> float:
    """The largest integer not above x, as a float."""
    return float(math.floor(x)) if math.isfinite(x) else x


def copysign(x: float, y: float) -> float:
    """|x| with the sign of y."""
    return math.copysign(x, y)


def maximum(x: float, y: float) -> float:
    """The larger one; NaN if either is NaN."""
    return x if x >= y or x != x else y


def minimum(x: float, y: float) -> float:
    """The smaller one; NaN if either is NaN."""
    return x if x <= y or x != x else y


def sigmoid(x: float) -> float:
    """1/(1 + e^-x), right down to subnormal results."""
    q = exp(-fabs(x))
    return (1.0 if x >= 0.0 else q) / (1.0 + q)


def sigmoid_slope(x: float) -> float:
    """s(x) s(-x), the derivative of the sigmoid s, right down to subnormal results."""
    q = exp(-fabs(x))
    return q / ((1.0 + q) * (1.0 + q))


def tanh_slope(x: float) -> float:
    """1 - tanh(x)^2, right down to subnormal results."""
    return 4.0 * sigmoid_slope(2.0 * x)


def product_tail(x: float, y: float) -> float:
    """What rounding took from x * y, so that x * y + product_tail(x, y) is exact; 0 where that is not finite."""
    product = x * y
    return float(Fraction(x) * Fraction(y) - Fraction(product)) if math.isfinite(product) else 0.0


def sum_tail(x: float, y: float) -> float:
    """What rounding took from x + y, so that x + y + sum_tail(x, y) is exact; 0 where that is not finite."""
    total = x + y
    return float(Fraction(x) + Fraction(y) - Fraction(total)) if math.isfinite(total) else 0.0


def ratio(x: float, y: float, low: float) -> float:
    """x / (y + low), rounded once; NaN unless all three are finite."""
    finite = math.isfinite(x) and math.isfinite(y) and math.isfinite(low)
    return float(Fraction(x) / (Fraction(y) + Fraction(low))) if finite else math.nan


def quotient_tail(x: float, y: float) -> float:
    """What rounding took from x / y, to its own last bit; 0 where that is not finite."""
    quotient = x / y
    exact = math.isfinite(quotient) and math.isfinite(y)
    return float(Fraction(x) / Fraction(y) - Fraction(quotient)) if exact else 0.0


def sixth(x: float, y: float, low: float) -> float:
    """x (y + low) / 6, rounded once; NaN unless all three are finite."""
    finite = math.isfinite(x) and math.isfinite(y) and math.isfinite(low)
    return float(Fraction(x) * (Fraction(y) + Fraction(low)) / 6) if finite else math.nan


def scaled_expm1(a: float, x: float, low: float) -> float:
    """a (e^(x + low) - 1) for x <= 0 and a >= 0, rounded once; ``low`` is what x lost to its own rounding."""
    return a * expm1(x + low)


_SELU, _SELU_BELOW = 1.0507009873554804934, 1.7580993408473768599


def selu(x: float) -> float:
    """lambda x above 0, lambda alpha (e^x - 1) below."""
    return _SELU * x if x > 0 else _SELU_BELOW * expm1(x)


def selu_slope(x: float) -> float:
    """lambda above 0, lambda alpha e^x below."""
    return _SELU if x > 0 else _SELU_BELOW * exp(x)


def gate(a: float, x: float, low: float) -> float:
    """a s(x + low), rounded once; ``low`` is what x lost to its own rounding."""
    return damped(a, sigmoid(x + low))


def silu(x: float) -> float:
    """x s(x)."""
    return gate(x, x, 0.0)


def silu_slope(x: float, low: float) -> float:
    """The derivative of silu at x + low, right to the last bits where it crosses zero."""
    x += low
    return damped(1.0 + damped(x, sigmoid(-x)), sigmoid(x))


def softplus(x: float) -> float:
    """ln(1 + e^x) without overflow."""
    return maximum(x, 0.0) + log1p(exp(-fabs(x)))


def _mish_gate(x: float, r: float) -> float:
    """tanh(softplus(x)) from r = exp(-|x|), so that nothing overflows on either side."""
    return (1.0 + 2.0 * r) / (1.0 + 2.0 * r * (1.0 + r)) if x > 0 else r * (r + 2.0) / (2.0 + r * (r + 2.0))


def mish(x: float) -> float:
    """x tanh(softplus(x))."""
    return damped(x, _mish_gate(x, exp(-fabs(x))))


def mish_slope(x: float) -> float:
    """The derivative of mish, right to the last bits where it crosses zero."""
    r = exp(-fabs(x))
    d = 1.0 + 2.0 * r * (1.0 + r) if x > 0 else 2.0 + r * (r + 2.0)
    rest = 4.0 * r * (1.0 + r) / (d * d) * (r if x > 0 else 1.0)
    return _mish_gate(x, r) + damped(x, rest)


def gelu(x: float) -> float:
    """x Phi(x), Phi the normal distribution function."""
    return damped(x, erfc(-x / math.sqrt(2.0)) / 2.0)


def gelu_slope(x: float) -> float:
    """The derivative of gelu, right to the last bits where it crosses zero."""
    return erfc(-x / math.sqrt(2.0)) / 2.0 + damped(x, exp(-x * x / 2.0) / math.sqrt(2.0 * math.pi))


_CUBIC = 2.0 * math.sqrt(2.0 / math.pi)


def gelu_tanh(x: float) -> float:
    """x s(2 sqrt(2/pi) (x + .044715 x^3)), which is x/2 (1 + tanh(...)) without cancellation."""
    return gate(x, _CUBIC * (x + 0.044715 * x * x * x), 0.0)


def gelu_tanh_slope(x: float) -> float:
    """The derivative of gelu_tanh, right to the last bits where it crosses zero."""
    u = _CUBIC * (x + 0.044715 * x * x * x)
    slope = _CUBIC * (1.0 + 3.0 * 0.044715 * x * x)
    return sigmoid(u) + damped(x * slope, sigmoid_slope(u))


def sign(x: float) -> float:
    """-1, 0 or 1; NaN for NaN."""
    return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else x)


def damped(x: float, gate: float) -> float:
    """x times a gate that decays faster than x grows: 0 where the gate is 0, even for infinite x."""
    return x * gate if gate != 0.0 else copysign(gate, x)


def wide(x: float) -> float:
    """x in float64, in which sums and logarithms of long sequences are kept."""
    return float(x)


def workspace(rows: int, columns: int) -> Row:
    """A matrix of float64 to fill: whatever it holds at first."""
    import numpy as np

    return np.empty((rows, columns))


def row_max(x: Row) -> float:
    """The largest element, NaNs left out; -inf for an empty row."""
    largest = -math.inf
    for i in range(x.size):
        largest = x[i] if x[i] > largest else largest
    return largest


def row_sum(x: Row) -> float:
    """The sum, accumulated in float64."""
    return math.fsum(x)


def row_dot(x: Row, y: Row) -> float:
    """The sum of products, accumulated in float64."""
    return math.fsum(x[i] * y[i] for i in range(x.size))


def row_exp(x: Row, shift: float, out: Row) -> float:
    """Fill ``out`` with exp(x - shift); the sum of what was written, in float64."""
    for i in range(x.size):
        out[i] = exp(x[i] - shift)
    return row_sum(out)


def row_exp_sum(x: Row, shift: float) -> float:
    """The sum of exp(x - shift), in float64."""
    return math.fsum(exp(x[i] - shift) for i in range(x.size))


def row_log_sum_exp(x: Row) -> float:
    """ln of the sum of exp(x), in float64, without overflow."""
    largest = row_max(x)
    return wide(largest) + log(row_exp_sum(x, largest))


def row_workspace(x: Row) -> Row:
    """A row like x to fill: whatever it holds at first."""
    import numpy as np

    return np.empty_like(x)


def row_exp_pair(x: Row, largest: float, high: Row, low: Row) -> float:
    """Fill ``high + low`` with exp(x) up to a factor that the row shares, and return their sum in float64.

    The factor, about exp(-largest), cancels in quotients; ``low`` is what ``high``, which may be x, rounds away.
    """
    for i in range(x.size):
        high[i], low[i] = exp(x[i] - largest), 0.0
    return row_sum(high)


def row_exp_pivot(x: Row, largest: float, g: Row, high: Row, low: Row) -> tuple[float, float]:
    """The same, and g where x is the largest if that has about half of the sum or more; else 0.

    In units of it the mean of g keeps what all others have a part in, however small that part is.
    """
    total = row_exp_pair(x, largest, high, low)
    pivot = g[max(range(x.size), key=lambda i: high[i])]
    return total, pivot if total < 2.0 and abs(pivot) < 2.0**102 else 0.0


def row_exp_rest(x: Row, largest: float) -> float:
    """The sum of exp(x - largest) without one largest element, in float64: log1p of it keeps a small one."""
    total, skipped = wide(0.0), False
    for i in range(x.size):
        if x[i] == largest and not skipped:
            total, skipped = float(total + 0.0 * (x[i] - largest)), True
        else:
            total += exp(x[i] - largest)
    return total


def row_scale_pair(factor: float, total: float, high: Row, low: Row, out: Row) -> None:
    """Fill ``out``, which may be ``high``, with factor/total*(high + low), rounded once."""
    for i in range(out.size):
        out[i] = factor / total * (high[i] + low[i])


def row_gate_pair(
    factor: float, total: float, high: Row, low: Row, g: Row, pivot: float, mean: float, out: Row
) -> None:
    """Fill ``out``, which may be ``high``, with factor/total*(high + low)*((g - pivot) - mean)."""
    for i in range(out.size):
        out[i] = factor / total * (high[i] + low[i]) * ((g[i] - pivot) - mean)


def row_residual_pair(g: Row, high: Row, low: Row, total: float, out: Row) -> None:
    """Fill ``out``, which may be ``high``, with g - p*sum(g), p = (high + low)/total.

    Where one p is nearly 1 its own residual is formed of the others'.
    """
    k = max(range(g.size), key=lambda i: high[i])
    rest = math.fsum(high[i] + low[i] for i in range(g.size) if i != k)
    others = math.fsum(g[i] for i in range(g.size) if i != k)
    top = (g[k] * rest - (high[k] + low[k]) * others) / total
    everything = row_sum(g)
    for i in range(out.size):
        out[i] = top if i == k else g[i] - everything * ((high[i] + low[i]) / total)


def row_dot_pair(g: Row, pivot: float, high: Row, low: Row) -> float:
    """The sum of (g - pivot)*(high + low), in float64."""
    return math.fsum((g[i] - pivot) * (high[i] + low[i]) for i in range(g.size))


def row_shift(x: Row, a: float, b: float, out: Row) -> None:
    """Fill ``out`` with (x - a) - b, in float64 and rounded once."""
    for i in range(x.size):
        out[i] = (x[i] - a) - b


def row_group_max(x: Row, k: int, out: Row) -> None:
    """Fill ``out`` with the largest of every k consecutive elements, NaN if one of them is."""
    for i in range(out.size):
        largest = x[i * k]
        for j in range(1, k):
            largest = maximum(largest, x[i * k + j])
        out[i] = largest


def row_group_gate(g: Row, x: Row, k: int, ties: int, out: Row) -> None:
    """Fill ``out`` with g[i] where x is the largest of group i, of k elements, and with 0 elsewhere.

    Of several that are the largest the first gets it all, or each an equal share (``ties`` 0 or 1). A group with a NaN
    gets NaN.
    """
    largest = type(x)(g.shape, g.dtype)
    row_group_max(x, k, largest)
    for i in range(g.size):
        hits = [j for j in range(i * k, i * k + k) if x[j] == largest[i]]
        out[i * k : i * k + k] = 0.0 if largest[i] == largest[i] else math.nan
        for j in hits if ties == 1 else hits[:1]:
            out[j] = g[i] / (len(hits) if ties == 1 else 1)


def log_total(rest: float) -> float:
    """ln(1 + rest) in float64, where the largest exponential of a row is 1 and ``rest`` the sum of the others."""
    return log1p(rest)


def split_exp(x: float) -> tuple[float, float]:
    """(m, k) with e^x = m 2^k for a whole k, however large x; (0, -1e300) for -inf."""
    if x == -math.inf:
        return 0.0, -1e300
    k = float(round(x / math.log(2.0))) if abs(x) < 2.0**50 else x / math.log(2.0)
    return (math.exp(x - k * math.log(2.0)) if abs(x) < 2.0**50 else 1.0), k


def exponent_split(m: float) -> tuple[float, float]:
    """(m 2^-k, k) with 1 <= m 2^-k < 2 and a whole k, for a positive float64; (m, 0) for 0 and NaN."""
    fraction, k = math.frexp(m)
    return (2.0 * fraction, float(k - 1)) if m > 0.0 else (m, 0.0)


def power_of_two(k: float) -> float:
    """2^k for a whole k up to 1000, in float64; 0 from -1000 down."""
    return 2.0**k if k > -1000.0 else 0.0


def log_of(m: float, k: float) -> float:
    """ln(m 2^k), in float64."""
    return log(m) + k * math.log(2.0)


def probability(target: Any, c: int) -> float:
    """The target's probability of class c: ``target`` is a class index or a row of probabilities."""
    if hasattr(target, "size") and getattr(target, "ndim", False):
        return float(target[c])
    return 1.0 if target == c else 0.0


def _smoothed(target: Any, weight: Row, label_smoothing: float, c: int) -> float:
    """weight[c] times the target's probability of class c, a share of which is spread evenly over the classes."""
    share = (1.0 - label_smoothing) * probability(target, c) + label_smoothing / weight.size
    return float(weight[c] * share)


def class_mean(target: Any, weight: Row, label_smoothing: float, x: Row, a: float, b: float) -> float:
    """The sum of weight*q*((a - x) + b) over the classes, in float64, q the smoothed target.

    A class of no weight counts nothing, even where x is -inf.
    """
    value = 0.0
    for c in range(x.size):
        q = _smoothed(target, weight, label_smoothing, c)
        value += q * ((a - x[c]) + b) if q != 0.0 else 0.0
    return value


def class_gradient(
    target: Any, weight: Row, label_smoothing: float, high: Row, low: Row, total: float
) -> None:
    """Replace ``high`` by mass*p - weight*q: p = (high + low)/total, q the smoothed target, mass the sum of weight*q.

    p - 1 is formed from the other classes: it would cancel where one class has nearly all, from a margin of 37 on to 0.
    """
    terms = [_smoothed(target, weight, label_smoothing, c) for c in range(high.size)]
    mass, k = math.fsum(terms), max(range(high.size), key=lambda c: high[c])
    others = math.fsum(terms[c] for c in range(high.size) if c != k)
    rest = math.fsum(high[c] + low[c] for c in range(high.size) if c != k) / total
    for c in range(high.size):
        p = (high[c] + low[c]) / total
        high[c] = others - mass * rest if c == k and rest < 0.5 else mass * p - terms[c]
