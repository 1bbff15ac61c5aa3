"""The elementary functions, written once for every binary format.

Each is straight-line arithmetic, so that a loop over it vectorises. A value that must be more exact
than the format is an unevaluated sum (high, low), |low| <= ulp(high) / 2 or nearly so; the last
operation adds the two, so the result errs by little more than the half ULP of that one rounding.
"""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from actbench.kernels.linking import inline

from . import intrinsics
from .intrinsics import divide, fma, halves, horner
from .pairs import fast_two_sum, fma_pair, two_product, two_sum


def _quarter_turns(precision: int, bias: int) -> list[list[float]]:
    """Return c = 2^(e - precision + 1) * 2/pi mod 4 in four parts for e = -1 .. bias, then NaN.

    The first part is a multiple of 2^(3 - precision) and the second of 2^(4 - 2 precision): their
    products with an integer below 2^precision then sum without error in `quadrant`.
    """
    digits = bias + 5 * precision
    unit = 1 << (digits + 64)

    def arctan_inverse(n: int) -> int:
        term = total = unit // n
        for k in itertools.count(3, 2):
            term //= -n * n
            if term in (0, -1):
                break
            total += term // k
        return total

    pi = 4 * (4 * arctan_inverse(5) - arctan_inverse(239))
    two_over_pi = (2 * unit * unit // pi) >> 64
    one = 1 << (digits + precision)

    parts: list[list[float]] = [[], [], [], []]
    for e in range(-1, bias + 1):
        rest = ((two_over_pi << (e + 1)) + 2 * one) % (4 * one) - 2 * one
        for i, part in enumerate(parts):
            shift = digits + 3 if i == 0 else digits + 4 - precision
            if i > 1:
                shift = max(rest.bit_length() - precision, 0)
            head = (rest + (1 << shift >> 1)) >> shift << shift
            part.append(math.ldexp(head >> shift, shift - digits - precision))
            rest -= head
    for part in parts:
        part.append(math.nan)
    return parts


def elementary(c: Any) -> SimpleNamespace:
    """Return the functions over the scalar type of the constants `c`, and the tools that others are made of."""
    T: Any = type(c.LOG2E)
    Int, from_bits, to_bits = intrinsics.integers_of(T)
    info = np.finfo(T)
    FRACTION = Int(info.nmant)
    BIAS = Int(info.maxexp - 1)
    LEAST = Int(info.minexp)
    SMALLEST = info.smallest_normal
    ZERO, HALF, ONE, TWO = T(0), T(0.5), T(1), T(2)
    INF, NAN = T(np.inf), T(np.nan)
    EPSILON = T(info.eps / 4)
    RESCALE = T(2.0 ** (info.nmant + 1))
    # x + ROUNDER leaves the nearest integer to x in the low bits, whatever the machine
    ROUNDER = T(1.5 * 2.0**info.nmant)
    ROUNDER_BITS = Int(ROUNDER.view(Int))
    # 2^n itself may not be a number of the format where x * 2^n still is: half the range is taken off, and put back.
    SINK, RISE = T(2.0 ** (-info.maxexp // 2)), T(2.0 ** (info.maxexp // 2))
    TO_POWER, TO_HALF, TO_RAISED, TO_SUNK = (
        T(ROUNDER + T(int(BIAS) + lift)) for lift in (0, -1, info.maxexp // 2, -info.maxexp // 2)
    )
    SQRT_HALF_BITS = Int(c.SQRT_HALF.view(Int))
    FRACTION_MASK = Int((1 << info.nmant) - 1)
    SIGN = Int(np.iinfo(Int).min)
    LOG2E: Any = c.LOG2E
    LN2, LN2_LOW = c.LN2
    LN2_SHORT, LN2_REST = c.LN2_SHORT
    HALF_PI, HALF_PI_LOW = c.HALF_PI
    SIXTH, SIXTH_LOW = c.SIXTH
    SELU, SELU_LOW = c.SELU
    SELU_BELOW, SELU_BELOW_LOW = c.SELU_BELOW
    EXP, LOG, SIN, COS = c.EXP, c.LOG, c.SIN, c.COS
    # Of 21 coefficients: losses, whose two logarithms follow each other, 3.6 ns an element of float64, not 4.4.
    log_series = halves if len(LOG) > 12 else horner
    EXP_TWICE = (ONE, TWO, *(T(2 ** (k + 2)) * coefficient for k, coefficient in enumerate(EXP)))
    TANH, TANH_SPLIT = c.TANH, c.TANH_SPLIT
    ERF_HIGH, ERF = c.ERF[0], c.ERF[1:]
    ERFC_HIGH, ERFC_LOW, ERFC = c.ERFC[0], c.ERFC[1], c.ERFC[2:]
    ERF_SPLIT, ERFC_ZERO, ERFC_TINY, THREE = c.ERF_SPLIT, c.ERFC_HIGH, c.ERFC_TINY, T(3)
    EXP_LOW, EXP_HIGH = c.EXP_LOW, c.EXP_HIGH
    # beyond it tanh(x) rounds to 1, expm1(-x) to -1 and softplus(x) to x
    SATURATED = T(0.7 * (info.nmant + 3))
    TURNS_1, TURNS_2, TURNS_3, TURNS_4 = (
        np.array(part, T) for part in _quarter_turns(info.nmant + 1, info.maxexp - 1)
    )
    EIGHT_ROUNDER = T(8) * ROUNDER
    INTEGER_BITS = Int(T(2.0**info.nmant).view(Int))
    FIRST_TURN = Int(info.maxexp - 2)

    @inline
    def fabs(x: Any) -> Any:
        """Return |x|, exact."""
        return intrinsics.fabs(x)

    @inline
    def copysign(x: Any, y: Any) -> Any:
        """Return |x| with the sign of y, exact."""
        return intrinsics.copysign(x, y)

    @inline
    def power_of_two(n: Any) -> Any:
        return from_bits(Int(Int(n + BIAS) << FRACTION))

    @inline
    def scale(x: Any, n: Any) -> Any:
        """Return x * 2^n in two steps: 2^n itself may not be a number of the format."""
        half = Int(n >> Int(1))
        return x * power_of_two(half) * power_of_two(Int(n - half))

    @inline
    def reduced(x: Any, low: Any, rounder: Any) -> Any:
        """Return (t, r, tail) with e^(x + low) = 2^n e^(r + tail), |r| <= 0.347; 2^n is power(t).

        rounder: one of TO_POWER, TO_RAISED, TO_SUNK, the power's lift.
        """
        t = fma(x, LOG2E, rounder)
        n = t - rounder
        return t, fma(-n, LN2, x), fma(-n, LN2_LOW, low)  # the first difference is exact

    @inline
    def reduced_once(x: Any, rounder: Any) -> Any:
        """Return (t, r) of `reduced`, the tail rounded into r."""
        t = fma(x, LOG2E, rounder)
        n = t - rounder
        return t, fma(-n, LN2_LOW, fma(-n, LN2, x))

    @inline
    def power(t: Any) -> Any:
        """Return 2^n for t = n + rounder: the bias rides in the rounder, so one shift makes the exponent."""
        return from_bits(Int(to_bits(t) << FRACTION))

    @inline
    def series_pair(r: Any, tail: Any) -> Any:
        """Return e^(r + tail) - 1 as a pair, |r| <= 0.347."""
        x = r + tail
        return fast_two_sum(r, fma(x * x, horner(x, EXP), tail))

    @inline
    def series(r: Any, tail: Any) -> Any:
        """Return e^(r + tail) - 1, |r| <= 0.347, within 0.6 ULP."""
        return series_pair(r, tail)[0]

    @inline
    def exp_reduced(x: Any, low: Any) -> Any:
        """Return (q, r, n) with e^(x + low) = 2^n (1 + q + r), |q| <= 0.347."""
        t, q, tail = reduced(x, low, ROUNDER)
        r = q + tail
        return q, fma(r * r, horner(r, EXP), tail), Int(to_bits(t) - ROUNDER_BITS)

    @inline
    def round_scaled(high: Any, low: Any, n: Any, tiny: Any) -> Any:
        """Return (high + low) * 2^n as a pair, its first part rounded once even if subnormal.

        tiny: (high + low) * 2^n is subnormal, then its last place is that of a sum with `grid`.
        """
        grid = power_of_two(Int(LEAST - n)) if tiny else ZERO
        s, e = fast_two_sum(grid, high)
        s, e = fast_two_sum(s, e + low)
        return scale(s - grid, n), scale(e, n)

    @inline
    def quotient(a: Any, a_low: Any, b: Any, b_low: Any) -> Any:
        """Return (a + a_low) / (b + b_low) as a pair."""
        inverse = divide(ONE, b)
        y = a * inverse
        rest = fma(-y, b_low, fma(-y, b, a) + a_low)
        return y, rest * inverse

    @inline
    def log_pair(f: Any, low: Any, k: Any) -> Any:
        """Return k ln 2 + log(1 + f + low) as a pair, |log(1 + f)| <= (ln 2) / 2."""
        s, s_low = two_product(f, f)
        high = fma(-HALF, s, f)
        rest = fma(-HALF, s_low, fma(-HALF, s, f - high))
        rest = fma(s * f, log_series(f, LOG), rest) + fma(low, fma(s, ONE - f, -f), low)
        high, e = fast_two_sum(k * LN2_SHORT, high)
        return high, e + fma(k, LN2_REST, rest)

    @inline
    def exponent_split(x: Any) -> Any:
        """Return (m, k) with x = m * 2^k, sqrt(1/2) <= m < sqrt(2), for normal x > 0."""
        bits = to_bits(x)
        k = Int(Int(bits - SQRT_HALF_BITS) >> FRACTION)
        return from_bits(Int(bits - Int(k << FRACTION))), k

    @inline
    def to_float(k: Any) -> Any:
        return from_bits(Int(k + ROUNDER_BITS)) - ROUNDER

    @inline
    def log_limits(x: Any, y: Any) -> Any:
        """Return y for finite x > 0, else the limit of the logarithm at x."""
        y = INF if x == INF else y
        y = -INF if x == ZERO else y
        y = NAN if x < ZERO else y
        return x if x != x else y

    @inline
    def erfc_tail(x: Any) -> Any:
        """Return (high, low, n) with erfc(x) = (high + low) * 2^n, x >= ERF_SPLIT."""
        s, s_low = two_product(x, x)
        q, r, n = exp_reduced(-s, -s_low)
        e, e_low = fast_two_sum(ONE, q)
        e_low += r
        t = divide(x - THREE, x + THREE)
        g, g_low = fast_two_sum(ERFC_HIGH, t * horner(t, ERFC))
        g_low += ERFC_LOW
        high, low = two_product(e, g)
        low += fma(e, g_low, e_low * g)
        b, b_low = fast_two_sum(TWO * x, ONE)
        y, y_low = quotient(high, low, b, b_low)
        return y, y_low, n

    @inline
    def quadrant(x: Any) -> Any:
        """Return (r, low, n): |x| = n pi/2 + r + low, |r| <= pi/4, n modulo 4."""
        bits = to_bits(x)
        i = Int(Int(bits >> FRACTION) - FIRST_TURN)
        i = np.uint32(0) if i < 0 else np.uint32(i)
        m = from_bits(Int(Int(bits & FRACTION_MASK) | INTEGER_BITS))
        p, a = two_product(m, TURNS_1[i])
        a += p - ((p + EIGHT_ROUNDER) - EIGHT_ROUNDER)
        p, low = two_product(m, TURNS_2[i])
        a, e = two_sum(a, p)
        shifted = a + ROUNDER
        a, rest = two_sum(a - (shifted - ROUNDER), low + e)  # no rounding up to here
        p, low = two_product(m, TURNS_3[i])
        a, e = two_sum(a, p)
        a, e = fast_two_sum(a, e + (rest + fma(m, TURNS_4[i], low)))
        r, r_low = two_product(a, HALF_PI)
        r_low += fma(a, HALF_PI_LOW, e * HALF_PI)
        n = Int(to_bits(shifted) - ROUNDER_BITS)
        near = x < HALF
        return (x if near else r), (ZERO if near else r_low), (Int(0) if near else n)

    @inline
    def sin_cos(r: Any, low: Any, n: Any) -> Any:
        """Return sin(n pi/2 + r + low)."""
        z, z_low = two_product(r, r)
        half = HALF * z
        sine = r + fma(r * z, horner(z, SIN), low * (ONE - half))
        c = ONE - half
        e = (ONE - c) - half
        cosine = c + (e + fma(z * z, horner(z, COS), fma(-HALF, z_low, -r * low)))
        y = cosine if (n & 1) != 0 else sine
        return -y if (n & 2) != 0 else y

    @inline
    def exp_times(a: Any, x: Any) -> Any:
        """Return a e^x, a about 1, subnormal results included."""
        y = EXP_LOW if x < EXP_LOW else x
        y = EXP_HIGH if y > EXP_HIGH else y
        t, r, tail = reduced(y, ZERO, TO_RAISED if x < ZERO else TO_SUNK)
        p = a * power(t)
        return fma(series(r, tail), p, p) * (SINK if x < ZERO else RISE)

    @inline
    def exp(x: Any) -> Any:
        """Return e^x, subnormal results included."""
        return exp_times(ONE, x)

    @inline
    def expm1(x: Any) -> Any:
        """Return e^x - 1."""
        y = -SATURATED if x < -SATURATED else x
        y = EXP_HIGH if y > EXP_HIGH else y
        t, r, tail = reduced(y, ZERO, TO_HALF)
        q, q_low = series_pair(r, tail)
        p = power(t)
        high, low = fma_pair(q, p, p - HALF)
        y = high + fma(p, q_low, low)
        return x if fabs(x) < EPSILON else y + y  # halves of subnormals are inexact

    @inline
    def expm1_times(a: Any, a_low: Any, x: Any, low: Any) -> Any:
        """Return (a + a_low) (e^(x + low) - 1) for x <= 0, a above 0, rounded once."""
        y = -TWO * SATURATED if x < -TWO * SATURATED else x
        t, r, tail = reduced(y, low if x == y else ZERO, TO_POWER)
        (q, q_low), p = series_pair(r, tail), power(t)
        rest = a_low * fma(q, p, p - ONE)
        p *= a
        b, b_low = fast_two_sum(-a, p)
        high, low = fma_pair(q, p, b)
        return copysign(high + fma(p, q_low, low + (b_low + rest)), x)

    @inline
    def scaled_expm1(a: Any, x: Any, low: Any) -> Any:
        """Return a (e^(x + low) - 1) for x <= 0, a above 0, rounded once."""
        return expm1_times(a, ZERO, x, low)

    @inline
    def selu(x: Any) -> Any:
        """Return lambda x above 0, lambda alpha (e^x - 1) below."""
        above = fma(x, SELU, x * SELU_LOW)
        return above if x > ZERO else expm1_times(SELU_BELOW, SELU_BELOW_LOW, x, ZERO)

    @inline
    def selu_slope(x: Any) -> Any:
        """Return lambda above 0, lambda alpha e^x below."""
        return SELU + SELU_LOW if x > ZERO else exp_times(SELU_BELOW, x)

    @inline
    def log(x: Any) -> Any:
        """Return the natural logarithm."""
        subnormal = x < SMALLEST
        m, k = exponent_split(x * RESCALE if subnormal else x)
        k = Int(k - Int(FRACTION + 1)) if subnormal else k
        high, low = log_pair(m - ONE, ZERO, to_float(k))
        return log_limits(x, high + low)

    @inline
    def log1p(x: Any) -> Any:
        """Return log(1 + x)."""
        u, low = two_sum(ONE, x)
        m, k = exponent_split(u)
        # beyond 2^(BIAS - 1) `low` is too small to count, and 2^-k too small to write
        low = low * power_of_two(Int(-k if k < BIAS else 1 - BIAS))
        f = x if k == 0 else m - ONE
        high, low = log_pair(f, ZERO if k == 0 else low, to_float(k))
        return copysign(log_limits(u, high + low), x)

    @inline
    def tanh(x: Any) -> Any:
        """Return the hyperbolic tangent."""
        z = x * x
        near = fma(x * z, horner(z, TANH), x)
        a = fabs(x)
        y = SATURATED if a > SATURATED else a
        t = fma(y, TWO * LOG2E, TO_POWER)
        n = t - TO_POWER
        r = fma(n, -HALF * LN2_LOW, fma(n, -HALF * LN2, y))
        far = fma(-TWO, divide(ONE, fma(horner(r, EXP_TWICE), power(t), ONE)), ONE)
        return copysign(near if a < TANH_SPLIT else far, x)

    @inline
    def erf(x: Any) -> Any:
        """Return the error function."""
        a = fabs(x)
        near = fma(a, ERF_HIGH + horner(a * a, ERF), a)
        b = ERFC_ZERO if a > ERFC_ZERO else a
        y, low, n = erfc_tail(b)
        y, low = scale(y, n), scale(low, n)
        far, far_low = fast_two_sum(ONE, -y)
        y = near if a < ERF_SPLIT else far + (far_low - low)
        return copysign(y, x)

    @inline
    def erfc(x: Any) -> Any:
        """Return 1 - erf(x), right into the subnormal tail."""
        near, e = fast_two_sum(ONE, -x)
        p, p_low = two_product(x, ERF_HIGH)
        near, e2 = fast_two_sum(near, -p)
        near += (e + e2) - fma(x, horner(x * x, ERF), p_low)
        a = fabs(x)
        a = ERFC_ZERO if a > ERFC_ZERO else a
        y, low, n = erfc_tail(a)
        y, low = round_scaled(y, low, n, a > ERFC_TINY)
        left, left_low = fast_two_sum(TWO, -y)
        far = left + (left_low - low) if x < ZERO else y
        return near if fabs(x) < ERF_SPLIT else far

    @inline
    def sqrt(x: Any) -> Any:
        """Return the square root, correctly rounded."""
        return intrinsics.sqrt(x)

    @inline
    def maximum(x: Any, y: Any) -> Any:
        """Return the larger: a NaN on either side goes through, and +0 exceeds -0."""
        return intrinsics.maximum(x, y)

    @inline
    def minimum(x: Any, y: Any) -> Any:
        """Return the smaller: a NaN on either side goes through, and -0 is below +0."""
        return intrinsics.minimum(x, y)

    @inline
    def floor(x: Any) -> Any:
        """Return the largest integer not above x."""
        return intrinsics.floor(x)

    @inline
    def sin(x: Any) -> Any:
        """Return the sine of any finite x: the argument is reduced with all the bits of 2/pi."""
        r, low, n = quadrant(fabs(x))
        y = sin_cos(r, low, n)
        return from_bits(Int(to_bits(y) ^ Int(to_bits(x) & SIGN)))

    @inline
    def cos(x: Any) -> Any:
        """Return the cosine of any finite x: the argument is reduced with all the bits of 2/pi."""
        r, low, n = quadrant(fabs(x))
        return sin_cos(r, low, Int(n + Int(1)))

    @inline
    def product_tail(x: Any, y: Any) -> Any:
        """Return x y - fl(x y), exact; 0 where the product is not finite."""
        p, e = two_product(x, y)
        return e if fabs(p) < INF else ZERO

    @inline
    def sum_tail(x: Any, y: Any) -> Any:
        """Return x + y - fl(x + y), exact; 0 where the sum is not finite."""
        s, e = two_sum(x, y)
        return e if fabs(s) < INF else ZERO

    @inline
    def quotient_tail(x: Any, y: Any) -> Any:
        """Return x / y - fl(x / y), to its own last bit; 0 where that is not finite."""
        q = divide(x, y)
        e = fma(-q, y, x) * divide(ONE, y)
        return e if fabs(e) < INF else ZERO

    @inline
    def sixth(x: Any, y: Any, low: Any) -> Any:
        """Return x (y + low) / 6, rounded once."""
        q = y * SIXTH
        q_low = fma(low, SIXTH, fma(y, SIXTH_LOW, fma(y, SIXTH, -q)))
        return fma(x, q, x * q_low)

    @inline
    def ratio(x: Any, y: Any, low: Any) -> Any:
        """Return x / (y + low)."""
        inverse = divide(ONE, y)
        q = x * inverse
        return fma(fma(-q, low, fma(-q, y, x)), inverse, q)

    functions = (
        exp, expm1, log, log1p, tanh, erf, erfc, sqrt, fabs, copysign, maximum, minimum, sin, cos, floor,
        product_tail, sum_tail, quotient_tail, ratio, sixth, scaled_expm1, selu, selu_slope,
    )  # fmt: skip
    tools = (reduced, reduced_once, power, series, series_pair)
    constants = {
        "ROUNDER": ROUNDER,
        "SINK": SINK,
        "RISE": RISE,
        "SATURATED": SATURATED,
        "TO_RAISED": TO_RAISED,
    }
    return SimpleNamespace(**{f.__name__: f for f in (*functions, *tools)}, **constants)
