"""The smooth activations and their derivatives in one format, exact to little more than the last rounding.

One exponential each. Where a derivative has a zero, it is written as an expansion from there, d + c (e^d - 1) with
d = x - root as a pair, in which both terms have one sign: nothing cancels, and the last bits near the zero are right.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from actbench.kernels.linking import inline

from . import intrinsics
from .intrinsics import divide, fma, horner
from .pairs import add, fast_two_sum, fma_pair, multiply, two_product, two_sum


def smooth(c: Any, tools: Any) -> SimpleNamespace:
    """Return the functions over the scalar type of the constants ``c``; ``tools`` is its ``elementary``."""
    T: Any = type(c.LOG2E)
    info = np.finfo(T)
    ZERO, HALF, ONE, TWO, THREE, FOUR, SIX = map(T, (0, 0.5, 1, 2, 3, 4, 6))
    INF = T(np.inf)
    fabs, copysign, minimum = intrinsics.fabs, intrinsics.copysign, intrinsics.minimum
    reduced, reduced_once, power = tools.reduced, tools.reduced_once, tools.power
    series, series_pair = tools.series, tools.series_pair
    SINK, RISE, SATURATED, TO_RAISED = tools.SINK, tools.RISE, tools.SATURATED, tools.TO_RAISED

    def square(parts: Any, at: Any) -> Any:
        """Return (1 + at)^2 / at, raised, and 2 (1 + at), its slope there, each in two parts."""
        linear = T(TWO + TWO * at[0])
        return RISE * parts[0], RISE * parts[1], linear, T(TWO * at[1] + ((TWO - linear) + TWO * at[0]))

    DAMPED = c.DAMPED
    FLOOR = T(DAMPED - ONE)  # of a gate's argument: were it DAMPED, LLVM would share that test, and blend
    # e^-x is kept as 2^LIFT 2^n (1 + p): neither it, up to x = FLOOR, nor its sum with 2^-LIFT leaves the format.
    LIFT = info.maxexp // 16 + 32
    UNIT = T(2.0**-LIFT)
    TO_LIFTED = T(tools.ROUNDER + T(info.maxexp - 1 - LIFT))
    TO_DEEP = T(tools.ROUNDER + T(info.maxexp - 1 + LIFT))
    EXP, NORMAL, NORMAL_SLOPE = c.EXP, c.NORMAL, c.NORMAL_SLOPE
    LOG1P_FIRST, LOG1P = c.LOG1P[0], c.LOG1P[1:]
    SILU_ROOT, SILU_ROOT_LOW = c.SILU_ROOT
    SILU_EXP, SILU_SQUARE = c.SILU_EXP[0], square(c.SILU_SQUARE, c.SILU_EXP)
    MISH_ROOT, MISH_ROOT_LOW = c.MISH_ROOT
    MISH_EXP, MISH_EXP_LOW = c.MISH_EXP
    MISH_REST, MISH_REST_LOW = c.MISH_REST
    GELU_ROOT, GELU_ROOT_LOW = c.GELU_ROOT
    CUBIC, CUBIC_LOW = c.CUBIC
    CUBIC_BETA, CUBIC_BETA_LOW = c.CUBIC_BETA
    CUBIC_SLOPE, CUBIC_SLOPE_LOW = c.CUBIC_SLOPE
    GELU_TANH_ROOT, GELU_TANH_ROOT_LOW = c.GELU_TANH_ROOT
    GELU_TANH_ARGUMENT, GELU_TANH_ARGUMENT_LOW = c.GELU_TANH_ARGUMENT
    GELU_TANH_EXP, GELU_TANH_SQUARE = c.GELU_TANH_EXP[0], square(c.GELU_TANH_SQUARE, c.GELU_TANH_EXP)
    ROOT_SQUARED = T(GELU_TANH_ROOT * GELU_TANH_ROOT)
    # below and above them gelu_tanh is 0 and x
    CUBIC_TINY, CUBIC_LARGE = (T(-11.0), T(6.0)) if T is np.float32 else (T(-21.7), T(9.0))
    NORMAL_LAST, FOURTH_ROOT = c.NORMAL_LAST, T(0.5**0.25)

    @inline
    def reciprocal(b: Any, b_low: Any) -> Any:
        """Return (y, e) with 1 / (b + b_low) = y (1 + e)."""
        y = divide(ONE, b)
        return y, fma(-y, b_low, fma(-y, b, ONE))

    @inline
    def clamped(x: Any) -> Any:
        y = FLOOR if x < FLOOR else x
        return minimum(SATURATED, y)  # two selects became two compares and two blends

    @inline
    def lifted_sum(q: Any, p: Any) -> Any:
        """Return (b, b_low, s_low) with 2^-LIFT + p (1 + q) = b + b_low + s_low."""
        large, small = (p, UNIT) if p > UNIT else (UNIT, p)
        s, s_low = fast_two_sum(large, small)
        b = fma(q, p, s)
        return b, fma(q, p, s - b), s_low

    @inline
    def gate_parts(x: Any, low: Any) -> Any:
        """Return (y, e) with 1 / (1 + e^-(x + low)) = 2^-LIFT y (1 + e)."""
        y = clamped(x)
        tail = ZERO - low if x == y else ZERO  # not -low: where low is 0 there is nothing to choose
        t, r, tail = reduced(-y, tail, TO_LIFTED)
        (q, q_low), p = series_pair(r, tail), power(t)
        b, b_low, s_low = lifted_sum(q, p)
        return reciprocal(b, b_low + fma(q_low, p, s_low))

    @inline
    def gated(a: Any, y: Any, e: Any) -> Any:
        """Return a y (1 + e), rounded once, y > 0."""
        return copysign(fma(a, y, a * (y * e)), a)

    @inline
    def sigmoid(x: Any) -> Any:
        """Return 1 / (1 + e^-x)."""
        t, r = reduced_once(-clamped(x), TO_LIFTED)
        # q as a pair: 0.78 ULP for 0.96, a tenth slower. Without it silu errs by 1.12.
        q, p = fma(r * r, horner(r, EXP), r), power(t)
        b, b_low, s_low = lifted_sum(q, p)
        y, e = reciprocal(b, b_low + s_low)
        return fma(y, e, y) * UNIT

    @inline
    def silu(x: Any) -> Any:
        """Return x sigmoid(x)."""
        a = FLOOR if x < FLOOR else x
        y, e = gate_parts(a, ZERO)
        return gated(a, y, e) * UNIT if x < SATURATED else x

    @inline
    def gate(a: Any, x: Any, low: Any) -> Any:
        """Return a sigmoid(x + low); 0 with the sign of a where the sigmoid is 0."""
        y, e = gate_parts(x, low)
        # From RISE on a y may overflow, but no result is subnormal: with 1 in its place 1.1 ULP.
        large = fabs(a) > RISE
        b = a * UNIT if large else a
        z = fma(b, y, b * (y * e))
        z = z if large else z * UNIT
        z = z if fabs(a) < INF else a
        return copysign(ZERO if x < DAMPED else z, a)

    @inline
    def bell(x: Any, height: Any) -> Any:
        """Return height sigmoid(x) sigmoid(-x), the height a power of two."""
        y = -fabs(x)
        y = DAMPED if y < DAMPED else y
        t, r, tail = reduced(y, ZERO, TO_RAISED)
        q, p = series(r, tail), power(t)
        s = p * SINK
        b = fma(q, s, s + ONE)
        y, e = reciprocal(b, fma(q, s, s - (b - ONE)))
        e += e
        z = (y * y) * p
        return fma(z, fma(e, ONE + q, q), z) * (height * SINK)

    @inline
    def sigmoid_slope(x: Any) -> Any:
        """Return sigmoid(x) sigmoid(-x)."""
        return bell(x, ONE)

    @inline
    def tanh_slope(x: Any) -> Any:
        """Return 1 - tanh(x)^2."""
        return bell(x + x, FOUR)

    @inline
    def softplus(x: Any) -> Any:
        """Return log(1 + e^x)."""
        y = -fabs(x)
        y = DAMPED if y < DAMPED else y
        t, r, tail = reduced(y, ZERO, TO_RAISED)
        p = power(t)
        q, q_low = fma_pair(series(r, tail), p, p)
        u = q * SINK
        # log(1 + u) = u - u^2/2 + u^3 P(u), times 2^(raised)
        s, s_low = two_product(q, u)
        high, rest = fma_pair(s, -HALF, q)
        rest += fma(s_low, -HALF, q_low * fma(u, -HALF, ONE))
        cube, cube_low = two_product(s, u)
        f, f_low = fma_pair(u, horner(u, LOG1P), LOG1P_FIRST)
        high, low = fma_pair(cube, f, high)
        low += fma(cube, f_low, fma(cube_low, ONE / THREE, rest))
        high, low = high * SINK, low * SINK
        m = ZERO if x < ZERO else x
        large, small = (m, high) if m > high else (high, m)
        high, rest = fast_two_sum(large, small)
        return high + (rest + low) if x < SATURATED else x

    @inline
    def mish(x: Any) -> Any:
        """Return x tanh(log(1 + e^x)) = x n / (n + 2), n = q (q + 2), q = e^x."""
        a = DAMPED if x < DAMPED else x
        y = SATURATED if a > SATURATED else a
        t, r, tail = reduced(y, ZERO, TO_DEEP)
        p = power(t)
        f, f_low = series_pair(r, tail)
        q, q_low = fma_pair(f, p, p)  # 2^LIFT e^x
        q_low = fma(f_low, p, q_low)
        u = q * UNIT
        s = u + TWO
        n, n_low = two_product(q, s)
        n_low += fma(q_low, s + u, q * ((TWO - s) + u))
        b = fma(n, UNIT, TWO)
        large, small = (n * UNIT, TWO) if n * UNIT > TWO else (TWO, n * UNIT)
        inverse = divide(ONE, b)
        w = n * inverse
        rest = fma(-w, fma(n_low, UNIT, small - (b - large)), fma(-w, b, n)) + n_low
        z, low = two_product(a, w)
        return copysign((z + fma(a, rest * inverse, low)) * UNIT, x) if x < SATURATED else x

    @inline
    def cubic(x: Any) -> Any:
        """Return alpha x + beta x^3 as a pair."""
        s, s_low = two_product(x, x)
        w, low = fma_pair(s, CUBIC_BETA, CUBIC)  # exact: alpha has half the bits
        low += fma(s, CUBIC_BETA_LOW, fma(s_low, CUBIC_BETA, CUBIC_LOW))
        return multiply(x, ZERO, w, low)

    @inline
    def gelu_tanh(x: Any) -> Any:
        """Return x sigmoid(alpha x + beta x^3), the tanh form of gelu."""
        a = CUBIC_TINY if x < CUBIC_TINY else x
        u, low = cubic(a)
        y, e = gate_parts(u, low)
        return gated(a, y, e) * UNIT if x < CUBIC_LARGE else x

    @inline
    def slope_below(d: Any, d_low: Any, n: Any, n_low: Any, at: Any, constants: Any) -> Any:
        """Return q (n + at (e^d - 1)) / (1 + q)^2, q = at e^d: a gate's derivative left of 0, from its zero.

        Where d + d_low = 0, n is. One division, of v by b = (1 + q)^2 / at, and what it leaves of v.
        """
        constant, constant_low, linear, linear_low = constants
        t, r, tail = reduced(d, d_low, TO_RAISED)
        f, p = series(r, tail), power(t)
        m = fma(p, f, p - RISE)  # raised, as b is: z is sunk, until the power is put in
        at *= SINK
        v = fma(at, m, n)
        slope = fma(at, m, linear)
        b = fma(m, slope, constant)
        b_low = fma(m, slope, constant - b) + fma(m, linear_low, constant_low)
        inverse = divide(ONE, b)
        z = v * inverse
        rest = fma(at, m, fma(-z, b, n)) + n_low
        w = fma(-z, b_low, rest) * inverse
        return (fma(z, f, fma(w, f, w)) + z) * p

    @inline
    def silu_slope(x: Any, x_low: Any) -> Any:
        """Return the derivative of silu at x + x_low."""
        y = -fabs(x)
        low = x_low if x < ZERO else ZERO - x_low
        low = ZERO if y < DAMPED else low
        y = DAMPED if y < DAMPED else y
        d, d_low = two_sum(y, -SILU_ROOT)
        d_low -= SILU_ROOT_LOW - low
        z = slope_below(d, d_low, d, d_low, SILU_EXP, SILU_SQUARE)
        return ONE - z if x > ZERO else z

    @inline
    def gelu_tanh_slope(x: Any) -> Any:
        """Return the derivative of gelu_tanh."""
        y = -fabs(x)
        y = CUBIC_TINY if y < CUBIC_TINY else y
        u, u_low = cubic(y)
        d, d_low = two_sum(y, -GELU_TANH_ROOT)
        d_low -= GELU_TANH_ROOT_LOW
        # x^2 + x root + root^2: the cubic and its slope differ from theirs at the root by d times it
        s, s_low = two_sum(y, GELU_TANH_ROOT)
        s, s_low = multiply(y, ZERO, s, s_low)
        s, s_low = add(s, s_low, ROOT_SQUARED, fma(GELU_TANH_ROOT, GELU_TANH_ROOT, -ROOT_SQUARED))
        w, w_low = multiply(s, s_low, CUBIC_SLOPE, CUBIC_SLOPE_LOW)
        w, w_low = add(w, w_low, CUBIC, CUBIC_LOW)
        n, n_low = multiply(d, d_low, w, w_low)
        v, v_low = multiply(s, s_low, CUBIC_BETA, CUBIC_BETA_LOW)
        v, v_low = add(v, v_low, CUBIC, CUBIC_LOW)
        near, near_low = multiply(d, d_low, v, v_low)
        far, far_low = two_sum(u, -GELU_TANH_ARGUMENT)
        far_low += u_low - GELU_TANH_ARGUMENT_LOW
        close = fabs(d) < HALF
        z = slope_below(
            near if close else far,
            near_low if close else far_low,
            n,
            n_low,
            GELU_TANH_EXP,
            GELU_TANH_SQUARE,
        )
        z = HALF if x == ZERO else z  # without it the last bit is wrong, where all look
        return ONE - z if x > ZERO else z

    @inline
    def normal_exp(a: Any) -> Any:
        """Return (q, q_low, p) with e^(-a^2/2) = p (1 + q + q_low), p raised."""
        s, s_low = two_product(a, a * -HALF)
        t, r, tail = reduced(s, s_low, TO_RAISED)
        q, q_low = series_pair(r, tail)
        return q, q_low, power(t)

    @inline
    def last_product(y: Any, y_low: Any, q: Any, q_low: Any) -> Any:
        """Return (y + y_low) (1 + q + q_low) as a pair."""
        return fast_two_sum(y, fma(y, q, fma(y_low, q, fma(y, q_low, y_low))))

    @inline
    def gelu(x: Any) -> Any:
        """Return x Phi(x) = max(x, 0) - |x| Phi(-|x|)."""
        a = fabs(x)
        a = NORMAL_LAST if a > NORMAL_LAST else a
        q, q_low, p = normal_exp(a)
        # a Phi(-a) = e^(-a^2/2) u P(t), u = a / (a + 3), t = 2u - 1
        b = a + THREE
        u = divide(a, b)
        rest = fma(-u, a - (b - THREE), fma(-u, b, a))
        t = fma(TWO, u, -ONE)
        h, h_low = fma_pair(t, horner(t, NORMAL[3:]), NORMAL[2])
        high, low = fma_pair(t, h, NORMAL[0])
        low += fma(t, h_low, fma(h, fma(TWO, u, -ONE - t), NORMAL[1]))  # P' is near enough to h
        # what u lacks, rest (1 - u) / 3, times the slope of u P(t), which is 3/2 (1 - u)^3 within a tenth
        v = fma(-FOURTH_ROOT, u, FOURTH_ROOT)
        v *= v
        z, z_low = two_product(u, high)
        low = fma(u, low, fma(rest, v * v, z_low))
        high, rest = fma_pair(z, q, z)
        low = fma(low, q, fma(z, q_low, low)) + rest
        # Above 0 one rounding, of x - z p. Below, -z p may be subnormal: what is added to it must not be.
        above = x > ZERO
        z = high + low if above else high
        p = p * SINK if above else p
        z = fma(-z, p, x if above else -(low * p))
        return copysign(z if above else z * SINK, x)

    @inline
    def gelu_slope(x: Any) -> Any:
        """Return the derivative of gelu."""
        a = fabs(x)
        a = NORMAL_LAST if a > NORMAL_LAST else a
        q, q_low, p = normal_exp(a)
        b = a + FOUR
        y, e = reciprocal(b, a - (b - FOUR))
        t = fma(-SIX * y, e, fma(-SIX, y, ONE))
        high, low = fma_pair(t, horner(t, NORMAL_SLOPE[2:]), NORMAL_SLOPE[0])
        d, d_low = two_sum(a, -GELU_ROOT)
        high, low = multiply(high, low + NORMAL_SLOPE[1], d, d_low - GELU_ROOT_LOW)
        high, low = last_product(high, low, q, q_low)
        z = (high + low) * p * SINK
        return -z if x < ZERO else ONE + z

    @inline
    def mish_slope(x: Any) -> Any:
        """Return the derivative of mish."""
        y = -fabs(x)
        y = DAMPED if y < DAMPED else y
        above = x > ZERO
        d, d_low = two_sum(y, -MISH_ROOT)
        d_low -= MISH_ROOT_LOW
        t, r, tail = reduced(d, d_low, TO_RAISED)
        f, f_low = series_pair(r, tail)
        p = power(t)
        s = p * SINK
        m, m_low = two_sum(s - ONE, s * f)
        m_low += s * f_low
        m, m_low = multiply(MISH_EXP, MISH_EXP_LOW, m, m_low)
        q, q_low = add(MISH_EXP, MISH_EXP_LOW, m, m_low)  # e^-|x|
        # below 0: q omega / delta^2, omega = 4 d (1 + q) + m (4 root + 6 + e^(2 root) + (q + 4)(q + e^root))
        u, u_low = add(q, q_low, MISH_EXP, MISH_EXP_LOW)
        v, v_low = add(q, q_low, FOUR, ZERO)
        u, u_low = multiply(u, u_low, v, v_low)
        u, u_low = add(u, u_low, MISH_REST, MISH_REST_LOW)
        u, u_low = multiply(u, u_low, m, m_low)
        o, o_low = add(ONE, ZERO, q, q_low)
        w, w_low = multiply(d, d_low, o, o_low)
        omega, omega_low = add(FOUR * w, FOUR * w_low, u, u_low)
        below, below_low = multiply(omega, omega_low, MISH_EXP, MISH_EXP_LOW)
        # above 0: (1 + 4q + (4x + 6) q^2 + 4 (1 + x) q^3) / delta^2
        k, k_low = two_sum(x, ONE)
        g, g_low = two_sum(x, T(1.5))
        k, k_low = multiply(k, k_low, q, q_low)
        k, k_low = add(k, k_low, g, g_low)
        k, k_low = multiply(k, k_low, q, q_low)
        k, k_low = add(k, k_low, ONE, ZERO)
        k, k_low = multiply(FOUR * q, FOUR * q_low, k, k_low)
        k, k_low = add(k, k_low, ONE, ZERO)
        # delta: 2 + 2q + q^2 below, 1 + 2q + 2q^2 above
        s, s_low = multiply(q, q_low, q, q_low)
        scale = TWO if above else ONE
        b, b_low = add(TWO / scale, ZERO, TWO * q, TWO * q_low)
        b, b_low = add(b, b_low, scale * s, scale * s_low)
        b, b_low = multiply(b, b_low, b, b_low)
        high, low = (k, k_low) if above else (below, below_low)
        inverse = divide(ONE, b)
        z = high * inverse
        rest = (fma(-z, b_low, fma(-z, b, high)) + low) * inverse
        below, below_low = last_product(z, rest, f, f_low)
        left = (below + below_low) * p * SINK
        right = z + rest if x < SATURATED else ONE
        return right if above else left

    functions = (
        sigmoid, sigmoid_slope, tanh_slope, silu, silu_slope, gate, softplus, mish, mish_slope, gelu, gelu_slope,
        gelu_tanh, gelu_tanh_slope,
    )  # fmt: skip
    return SimpleNamespace(**{f.__name__: f for f in functions})
