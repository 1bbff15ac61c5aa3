"""The smooth activations where the format worked in is wider than the result's: short formulas, one rounding.

float64 for results in float32, where a formula in float32 would need pairs throughout (mish's slope: 1.0 ns/element
against 3.0), and float32 for 16-bit ones (0.15 to 0.6 ns/element, half of float32's). The polynomials have the result's
accuracy; the expansions from the zeros of derivatives are those of ``smooth``.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from actbench.kernels.linking import inline

from . import intrinsics
from .intrinsics import divide, fma, horner

RESULT: Any = np.float32


def brief(c: Any, polynomials: Any) -> SimpleNamespace:
    """Return the functions of float32 numbers, worked out in the scalar type of the constants ``c``."""
    T: Any = type(c.LOG2E)
    single = T is np.float32
    info = np.finfo(T)
    Int, from_bits, to_bits = intrinsics.integers_of(T)
    ZERO, HALF, QUARTERS, ONE, TWO, FOUR, SIX = map(T, (0, 0.5, 1.25, 1, 2, 4, 6))
    FRACTION = Int(info.nmant)
    EXPM1, LOG1P = polynomials.EXPM1, polynomials.LOG1P
    NORMAL, NORMAL_SLOPE, NORMAL_LAST = polynomials.NORMAL, polynomials.NORMAL_SLOPE, polynomials.NORMAL_LAST
    LOG2E, LN2 = c.LOG2E, c.LN2[0]
    # Powers of two that float32 itself does not hold are kept times 2^LIFT or 2^-LIFT; float64 holds all of them.
    LIFT = 64 if single else 0
    ROUNDER = 1.5 * 2.0**info.nmant + info.maxexp - 1
    TO_RAISED, TO_SUNK = T(ROUNDER + LIFT), T(ROUNDER - LIFT)
    SINK, RISE = T(2.0**-LIFT), T(2.0**LIFT)
    # below DAMPED x e^x is 0 in float32, above SATURATED a gate is 1, and above OVERFLOWED e^x is infinite
    DAMPED, SATURATED, OVERFLOWED = T(-110), T(20), T(89.5)
    EPSILON = T(2.0**-20)
    SILU_ROOT, SILU_ROOT_LOW = c.SILU_ROOT
    MISH_ROOT, MISH_ROOT_LOW = c.MISH_ROOT
    GELU_ROOT, GELU_ROOT_LOW = c.GELU_ROOT
    GELU_TANH_ROOT, GELU_TANH_ROOT_LOW = c.GELU_TANH_ROOT
    SILU_EXP, MISH_EXP, MISH_REST, GELU_TANH_EXP = (
        pair[0] for pair in (c.SILU_EXP, c.MISH_EXP, c.MISH_REST, c.GELU_TANH_EXP)
    )
    CUBIC, CUBIC_BETA, CUBIC_SLOPE = T(sum(map(float, c.CUBIC))), c.CUBIC_BETA[0], c.CUBIC_SLOPE[0]
    CUBIC_TINY = T(-11)
    ROOT_SQUARED = T(GELU_TANH_ROOT * GELU_TANH_ROOT)
    SELU, SELU_BELOW = c.SELU[0], c.SELU_BELOW[0]
    fabs, copysign = intrinsics.fabs, intrinsics.copysign

    @inline
    def exponential(x: Any, rounder: Any) -> Any:
        """Return (q, p) with e^x = p (1 + q), p a power of two times the rounder's lift."""
        t = fma(x, LOG2E, rounder)
        r = fma(-(t - rounder), LN2, x)
        return r * horner(r, EXPM1), from_bits(Int(to_bits(t) << FRACTION))

    @inline
    def decayed(x: Any) -> Any:
        """Return e^-|x|."""
        y = -fabs(x)
        q, p = exponential(DAMPED if y < DAMPED else y, TO_RAISED)
        return fma(q, p, p) * SINK

    @inline
    def less_one(x: Any) -> Any:
        """Return e^x - 1 for x <= 0, and 0 above."""
        y = ZERO if x > ZERO else x
        q, p = exponential(-SATURATED if y < -SATURATED else y, TO_RAISED)
        p *= SINK
        return fma(q, p, p - ONE)

    @inline
    def reciprocal(b: Any) -> Any:
        """Return 1/b for b a normal float32: of float64 by that format's division, seven times as fast, and a step."""
        y = T(divide(RESULT(1), RESULT(b)))
        return y if single else fma(y, fma(-y, b, ONE), y)

    @inline
    def exp(x: Any) -> Any:
        """Return e^x."""
        y = DAMPED if x < DAMPED else x
        y = OVERFLOWED if y > OVERFLOWED else y
        below = x < ZERO
        q, p = exponential(T(y), TO_RAISED if below else TO_SUNK)
        return RESULT(fma(q, p, p) * (SINK if below else RISE))

    @inline
    def expm1(x: Any) -> Any:
        """Return e^x - 1."""
        y = -SATURATED if x < -SATURATED else x
        y = OVERFLOWED if y > OVERFLOWED else y
        q, p = exponential(T(y), TO_SUNK)
        return x if fabs(x) < EPSILON else RESULT(fma(q, p, p - SINK) * RISE)

    @inline
    def scaled_expm1(a: Any, x: Any, low: Any) -> Any:
        """Return a (e^(x + low) - 1) for x <= 0."""
        return RESULT(copysign(T(a) * less_one(T(x) + T(low)), x))

    @inline
    def selu(x: Any) -> Any:
        """Return lambda x above 0, lambda alpha (e^x - 1) below."""
        y = T(x)
        return RESULT(SELU * y if y > ZERO else copysign(SELU_BELOW * less_one(y), y))

    @inline
    def selu_slope(x: Any) -> Any:
        """Return lambda above 0, lambda alpha e^x below."""
        return RESULT(SELU if x > ZERO else SELU_BELOW * decayed(T(x)))

    @inline
    def sigmoid(x: Any) -> Any:
        """Return 1 / (1 + e^-x)."""
        u = decayed(T(x))
        return RESULT(divide(u if x < ZERO else ONE, ONE + u))

    @inline
    def sigmoid_slope(x: Any) -> Any:
        """Return sigmoid(x) sigmoid(-x)."""
        u = decayed(T(x))
        y = reciprocal(ONE + u)
        return RESULT(u * y * y)

    @inline
    def tanh(x: Any) -> Any:
        """Return the hyperbolic tangent."""
        y = -fabs(T(x))
        m = less_one(y + y)
        return RESULT(copysign(divide(m, m + TWO), T(x)))

    @inline
    def tanh_slope(x: Any) -> Any:
        """Return 1 - tanh(x)^2."""
        return RESULT(4) * sigmoid_slope(x + x)

    @inline
    def gate(a: Any, x: Any, low: Any) -> Any:
        """Return a sigmoid(x + low); 0 with the sign of a where the sigmoid is 0."""
        a, y = T(a), T(x) + T(low)
        u = decayed(y)
        z = divide(a * u if y < ZERO else a, ONE + u)
        return RESULT(copysign(ZERO, a) if y < DAMPED else z)

    @inline
    def silu(x: Any) -> Any:
        """Return x sigmoid(x)."""
        y = T(DAMPED if x < DAMPED else x)
        u = decayed(y)
        return RESULT(divide(y * u if y < ZERO else y, ONE + u))

    @inline
    def slope_below(d: Any, n: Any, at: Any) -> Any:
        """Return q (n + at (e^d - 1)) / (1 + q)^2, q = at e^d: a gate's derivative left of 0, from its zero."""
        q, p = exponential(d, TO_RAISED)
        s = p * SINK
        m = at * fma(q, s, s - ONE)
        y = reciprocal((ONE + at) + m)
        return (n + m) * y * (at * fma(q, p, p) * y) * SINK

    @inline
    def silu_slope(x: Any, low: Any) -> Any:
        """Return the derivative of silu at x + low."""
        y = -fabs(T(x) + T(low))
        d = ((DAMPED if y < DAMPED else y) - SILU_ROOT) - SILU_ROOT_LOW
        z = slope_below(d, d, SILU_EXP)
        return RESULT(ONE - z if x > ZERO else z)

    @inline
    def softplus(x: Any) -> Any:
        """Return log(1 + e^x)."""
        y = T(x)
        u = decayed(y)
        return RESULT(fma(u, horner(u, LOG1P), ZERO if y < ZERO else y))

    @inline
    def mish(x: Any) -> Any:
        """Return x tanh(log(1 + e^x)): x n / d, of e^-x above 0 and of e^x below, so that neither overflows."""
        y = T(DAMPED if x < DAMPED else x)
        u = decayed(y)
        above = y > ZERO
        n = fma(TWO, u, ONE) if above else u * (u + TWO)
        return RESULT(divide(y * n, fma(u + u, u, n) if above else n + TWO))

    @inline
    def mish_slope(x: Any) -> Any:
        """Return the derivative of mish."""
        y = -fabs(T(x))
        d = ((DAMPED if y < DAMPED else y) - MISH_ROOT) - MISH_ROOT_LOW
        q, p = exponential(d, TO_RAISED)
        s = p * SINK
        m = MISH_EXP * fma(q, s, s - ONE)
        raised = MISH_EXP * fma(q, p, p)
        u = raised * SINK
        above = x > ZERO
        w = T(FOUR * SATURATED if x > FOUR * SATURATED else x)
        omega = raised * fma(m, fma(u + FOUR, u + MISH_EXP, MISH_REST), FOUR * fma(d, u, d))
        cubic = fma(u, fma(u, fma(u, FOUR * (ONE + w), fma(FOUR, w, SIX)), FOUR), ONE)
        scale = TWO if above else ONE
        y = reciprocal(fma(scale * u, u, fma(TWO, u, ONE if above else TWO)))
        return RESULT((cubic if above else omega) * y * y * (ONE if above else SINK))

    @inline
    def gelu(x: Any) -> Any:
        """Return x Phi(x) = max(x, 0) - |x| Phi(-|x|)."""
        y = T(x)
        a = fabs(y)
        a = NORMAL_LAST if a > NORMAL_LAST else a
        # Phi(-a) = e^(-a^2/2) P(t) / (a + 5/4), t = (a - 2) / (a + 4): one division for both
        b, k = a + FOUR, a + QUARTERS
        inverse = reciprocal(b * k)
        h = horner(fma(-SIX, inverse * k, ONE), NORMAL)
        q, p = exponential(a * a * -HALF, TO_RAISED)
        tail = a * b * inverse * h * fma(q, p, p) * SINK
        return RESULT(copysign((ZERO if y < ZERO else y) - tail, y))

    @inline
    def gelu_slope(x: Any) -> Any:
        """Return the derivative of gelu."""
        a = fabs(T(x))
        a = NORMAL_LAST if a > NORMAL_LAST else a
        h = horner(fma(-SIX, reciprocal(a + FOUR), ONE), NORMAL_SLOPE)
        q, p = exponential(a * a * -HALF, TO_RAISED)
        z = ((a - GELU_ROOT) - GELU_ROOT_LOW) * h * fma(q, p, p) * SINK
        return RESULT(-z if x < ZERO else ONE + z)

    @inline
    def gelu_tanh(x: Any) -> Any:
        """Return x sigmoid(alpha x + beta x^3), the tanh form of gelu."""
        y = T(CUBIC_TINY if x < CUBIC_TINY else x)
        z = gate(y, y * fma(y * y, CUBIC_BETA, CUBIC), ZERO)
        return z if x < SATURATED else x

    @inline
    def gelu_tanh_slope(x: Any) -> Any:
        """Return the derivative of gelu_tanh."""
        y = -fabs(T(x))
        y = CUBIC_TINY if y < CUBIC_TINY else y
        d = (y - GELU_TANH_ROOT) - GELU_TANH_ROOT_LOW
        s = fma(y, y + GELU_TANH_ROOT, ROOT_SQUARED)
        z = slope_below(d * fma(s, CUBIC_BETA, CUBIC), d * fma(s, CUBIC_SLOPE, CUBIC), GELU_TANH_EXP)
        return RESULT(ONE - z if x > ZERO else z)

    functions = (
        exp, expm1, scaled_expm1, selu, selu_slope, sigmoid, sigmoid_slope, tanh, tanh_slope, gate, silu, silu_slope,
        softplus, mish, mish_slope, gelu, gelu_slope, gelu_tanh, gelu_tanh_slope,
    )  # fmt: skip
    return SimpleNamespace(**{f.__name__: f for f in functions})
