"""The vector mathematics: its last bits, its special values, its machine code."""

from __future__ import annotations

import functools
import math
import platform
import re

import mpmath
import numba
import numpy as np
import pytest
import scipy.special
from flint import arb, ctx

from actbench.kernels.vecmath import coefficients, float32, float64, minimax

MODULES = {np.float32: float32, np.float64: float64}
DTYPES = pytest.mark.parametrize("dtype", MODULES, ids=lambda t: t.__name__)
TRANSCENDENTAL = (
    "exp", "expm1", "log", "log1p", "tanh", "erf", "erfc", "sin", "cos", "sigmoid", "softplus",
)  # fmt: skip
UNARY = (*TRANSCENDENTAL, "sqrt", "fabs", "floor")
BINARY = ("copysign", "maximum", "minimum")

INF, NAN = np.inf, np.nan

# float64 references err by some 1e-16: nothing, in float32 ULPs of 6e-8
REFERENCE = {name: getattr(np, name) for name in UNARY if hasattr(np, name)} | {
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(0, x),
}
ENCLOSURE = {name: getattr(arb, name) for name in TRANSCENDENTAL if hasattr(arb, name)} | {
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "softplus": lambda x: x.exp().log1p(),
}
# where the methods change over, or the result runs into the subnormals or into its limit
WINDOWS = {
    "exp": [(-0.4, 0.4), (-104, -86), (87, 89), (-746, -707), (708, 710)],
    "expm1": [(-1.1, 1.1), (-18, -15), (-39, -36), (87, 89), (708, 710)],
    "log": [(0.6, 1.5)],
    "log1p": [(-0.6, 1.2)],
    "tanh": [(-1.1, 1.1), (8, 10), (18, 20)],
    "erf": [(0.6, 0.65), (-2, 2), (3, 6)],
    "erfc": [(-1, 2), (2, 28), (9, 10.1), (26, 27.3)],
    "sin": [(-7, 7), (1e4, 1e6)],
    "cos": [(-7, 7), (1e4, 1e6)],
    "sigmoid": [(-40, 40), (-104, -86), (-746, -707)],
    "softplus": [(-2, 2), (-40, 40), (-104, -86), (-746, -707)],
}


@functools.cache
def kernel(dtype, name):
    function = getattr(MODULES[dtype], name)
    array = numba.from_dtype(np.dtype(dtype))[::1]

    if name in BINARY:

        def loop(x, y, out):
            for i in range(x.size):
                out[i] = function(x[i], y[i])

        signature = numba.void(array, array, array)
    else:

        def loop(x, out):
            for i in range(x.size):
                out[i] = function(x[i])

        signature = numba.void(array, array)
    return numba.njit(signature, error_model="numpy")(loop)


def evaluate(dtype, name, *arguments):
    arrays = [np.ascontiguousarray(a, dtype) for a in arguments]
    out = np.empty_like(arrays[0])
    kernel(dtype, name)(*arrays, out)
    return out


def stratified(dtype, per_binade):
    """Return numbers of both signs from every binade, subnormal ones included."""
    info = np.finfo(dtype)
    exponents = np.arange(info.minexp - info.nmant, info.maxexp)
    mantissas = np.random.default_rng(7).uniform(1, 2, (exponents.size, per_binade))
    x = np.ldexp(mantissas, exponents[:, None]).ravel().astype(dtype)
    return np.concatenate([x[np.isfinite(x)], -x[np.isfinite(x)]])


def windows(dtype, name, count):
    rng = np.random.default_rng(11)
    return np.concatenate([rng.uniform(*w, count) for w in WINDOWS.get(name, [])] or [[]]).astype(dtype)


@pytest.mark.parametrize("name", UNARY)
def test_float32_is_within_its_documented_bound(name):
    x = np.concatenate([stratified(np.float32, 1024), windows(np.float32, name, 20_000)])
    y = evaluate(np.float32, name, x)
    with np.errstate(all="ignore"):
        exact = REFERENCE[name](x.astype(np.float64))
        rounded = exact.astype(np.float32)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(y[~finite], rounded[~finite])
    exponent = np.maximum(np.frexp(exact[finite])[1] - 24, -149)
    ulp = np.abs(y[finite] - exact[finite]) / np.ldexp(1.0, exponent)
    # 1e-6: the reference's own error
    assert ulp.max() <= float32.MAX_ULP[name] + 1e-6, float(x[finite][ulp.argmax()]).hex()


@pytest.mark.parametrize("name", TRANSCENDENTAL)
def test_float64_is_within_its_documented_bound(name):
    x = np.concatenate([stratified(np.float64, 2), windows(np.float64, name, 1000)])
    y = evaluate(np.float64, name, x)
    with np.errstate(all="ignore"):
        regular = np.isfinite(y) & np.isfinite(REFERENCE[name](x)) & (y != 0)
    worst, where = 0.0, 0.0
    for a, b in zip(x[regular].tolist(), y[regular].tolist(), strict=True):
        # 1100 bits more: Arb then sees log1p and sine of the extremes exactly
        ctx.prec = 160 if 2**-60 < abs(a) < 2**60 else 1260
        try:
            exact = ENCLOSURE[name](arb(a))
        finally:
            ctx.prec = 53
        exponent = max(math.frexp(b)[1] - 53, -1074)
        ctx.prec = 160
        error = abs(float(((exact - arb(b)) * arb(2) ** -exponent).mid()))
        ctx.prec = 53
        worst, where = max((worst, where), (error, a))
    assert worst <= float64.MAX_ULP[name], where.hex()


@pytest.mark.parametrize("name", UNARY)
def test_float64_follows_the_reference_over_the_whole_range(name):
    x = np.concatenate([stratified(np.float64, 8), windows(np.float64, name, 1000)])
    with np.errstate(all="ignore"):
        expected = REFERENCE[name](x)
    y = evaluate(np.float64, name, x)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    # 1e-13 tells a right from a wrong branch (the last bits are the other test's) and SciPy flushes
    # subnormal results to zero
    np.testing.assert_allclose(y, expected, rtol=1e-13, atol=np.finfo(np.float64).smallest_normal)


SPECIAL = {
    "exp": [(-INF, 0.0), (INF, INF), (0.0, 1.0), (-0.0, 1.0), (-1e30, 0.0), (1e30, INF)],
    "expm1": [(-INF, -1.0), (INF, INF), (0.0, 0.0), (-0.0, -0.0), (-1e30, -1.0), (1e30, INF)],
    "log": [(-INF, NAN), (INF, INF), (0.0, -INF), (-0.0, -INF), (1.0, 0.0), (-1e-40, NAN)],
    "log1p": [(-INF, NAN), (INF, INF), (0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (-1.5, NAN)],
    "tanh": [(-INF, -1.0), (INF, 1.0), (0.0, 0.0), (-0.0, -0.0)],
    "erf": [(-INF, -1.0), (INF, 1.0), (0.0, 0.0), (-0.0, -0.0)],
    "erfc": [(-INF, 2.0), (INF, 0.0), (0.0, 1.0), (-0.0, 1.0), (30.0, 0.0), (-30.0, 2.0)],
    "sqrt": [(-INF, NAN), (INF, INF), (0.0, 0.0), (-0.0, -0.0), (-1.0, NAN)],
    "fabs": [(-INF, INF), (INF, INF), (0.0, 0.0), (-0.0, 0.0)],
    "floor": [(-INF, -INF), (INF, INF), (0.0, 0.0), (-0.0, -0.0), (-0.5, -1.0), (1.5, 1.0)],
    "sin": [(-INF, NAN), (INF, NAN), (0.0, 0.0), (-0.0, -0.0)],
    "cos": [(-INF, NAN), (INF, NAN), (0.0, 1.0), (-0.0, 1.0)],
    "sigmoid": [(-INF, 0.0), (INF, 1.0), (0.0, 0.5), (-0.0, 0.5), (-1e30, 0.0), (1e30, 1.0)],
    "softplus": [(-INF, 0.0), (INF, INF), (-1e30, 0.0), (1e30, 1e30)],
}


def assert_same(actual, expected):
    np.testing.assert_array_equal(actual, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(actual[numbers]), np.signbit(expected[numbers]))


@DTYPES
@pytest.mark.parametrize("name", UNARY)
def test_special_values(dtype, name):
    x, expected = np.array([*SPECIAL[name], (NAN, NAN)], dtype).T
    assert_same(evaluate(dtype, name, x), expected)


@DTYPES
@pytest.mark.parametrize("name", ["expm1", "log1p", "tanh", "sin"])
def test_subnormals_pass_unchanged(dtype, name):
    info = np.finfo(dtype)
    x = np.array([info.smallest_subnormal, info.smallest_normal, -info.smallest_subnormal], dtype)
    assert_same(evaluate(dtype, name, x), x)


@DTYPES
def test_two_operands(dtype):
    pairs = [(1, 2), (-0.0, 0.0), (0.0, -0.0), (NAN, 1), (1, NAN), (INF, NAN), (-INF, INF)]
    x, y = np.array(pairs, dtype).T
    assert_same(evaluate(dtype, "maximum", x, y), np.array([2, 0.0, 0.0, NAN, NAN, NAN, INF]))
    assert_same(evaluate(dtype, "minimum", x, y), np.array([1, -0.0, -0.0, NAN, NAN, NAN, -INF]))
    assert_same(evaluate(dtype, "copysign", [3, -3, INF], [-0.0, 0.0, -1]), np.array([-3, 3, -INF]))


@DTYPES
def test_a_huge_argument_of_sine_is_reduced_exactly(dtype):
    x = np.array([2.0**100, 1e22, np.finfo(dtype).max], dtype)
    with mpmath.workprec(2000):
        expected = np.array([float(mpmath.sin(mpmath.mpf(float(v)))) for v in x])
    # one rounding and the documented bound
    np.testing.assert_allclose(evaluate(dtype, "sin", x), expected, rtol=np.finfo(dtype).eps)


@DTYPES
@pytest.mark.parametrize("name", UNARY)
def test_the_tail_of_the_vector_loop_equals_its_body(dtype, name):
    x = np.random.default_rng(3).normal(0, 4, 67).astype(dtype)
    single = np.concatenate([evaluate(dtype, name, x[i : i + 1]) for i in range(x.size)])
    for size in range(x.size + 1):
        whole = evaluate(dtype, name, x[:size])
        assert whole.tobytes() == single[:size].tobytes(), size


@DTYPES
@pytest.mark.parametrize("name", [*UNARY, *BINARY])
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
def test_the_loop_is_packed_and_calls_nothing(dtype, name):
    compiled = kernel(dtype, name)
    assembly = compiled.inspect_asm(compiled.signatures[0])
    called = set(re.findall(r"(?:callq?\s+|movabsq\s+\$)\*?([a-z]\w*)", assembly))
    assert not {f for f in called if not f.startswith(("_", "numba", "NRT", "r"))}, called
    if name in TRANSCENDENTAL:
        suffix = {np.float32: "ps", np.float64: "pd"}[dtype]
        assert re.search(rf"\b(v?mul|vfn?m(add|sub)\d+){suffix}\s", assembly)
    else:
        assert re.search(r"[yz]mm|p[sd]\s.*xmm", assembly)


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_float32_computes_in_float32(name):
    compiled = kernel(np.float32, name)
    assert "double" not in compiled.inspect_llvm(compiled.signatures[0])


def test_both_modules_have_the_same_names():
    def public(module):
        names = {name for name in vars(module) if not name.startswith("_")}
        return names - {"Float32", "Float64"}

    assert public(float32) == public(float64) > {*UNARY, *BINARY}
    assert set(float32.MAX_ULP) == set(float64.MAX_ULP) == {*UNARY, *BINARY}


@DTYPES
def test_docstrings_state_the_bound(dtype):
    for name, bound in MODULES[dtype].MAX_ULP.items():
        assert f"{bound} ULP" in getattr(MODULES[dtype], name).__doc__


@pytest.mark.parametrize("form", minimax.FORMATS, ids=lambda f: f.name)
@pytest.mark.parametrize("name", ["EXP", "SIN"])
def test_the_committed_polynomials_are_the_derived_ones(form, name):
    job = next(a for a in minimax.APPROXIMATIONS if a.name == name)
    with mpmath.workdps(minimax.DIGITS):
        derived, error = minimax.approximate(job, form)
        assert mpmath.log(error, 2) < -form.precision - 7  # a hundredth of half an ULP
    assert [float(v) for v in derived] == [float(v) for v in getattr(getattr(coefficients, form.name), name)]
