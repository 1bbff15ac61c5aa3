"""Every value against the formula's exact one, and against what mathematics says at the edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from actbench import get
from actbench.catalog.declaration import Declaration
from actbench.kernels import bind
from actbench.verify.derivative import settings
from actbench.verify.oracle import Definition, Rows
from actbench.verify.rounding import FORMATS as BY_NAME
from actbench.verify.subject import as_numbers, in_format

pytest.importorskip("flint", reason="the formula's value needs the extra 'audit'")

FORMATS = (np.float64, np.float32)
TINY = {np.float64: 5e-324, np.float32: 1.4e-45}


def points(dtype: Any, low: float, high: float) -> np.ndarray:
    """Numbers of every size that matters, both signs: tails down to subnormal results, and 0's surroundings."""
    rng = np.random.default_rng(7)
    exponents = np.concatenate([np.arange(-100.0, -6, 6), np.arange(-6.0, 7, 0.2), np.arange(7.0, 9.4, 0.2)])
    size = np.exp2(exponents) * (1 + rng.random(exponents.size))
    tails = np.array([16.7, 36.9, 87.5, 88.8, 95.0, 102.5, 104.5, 707.0, 712.0, 740.5, 745.5])
    x = np.unique(np.concatenate([size, -size, tails, -tails])).astype(dtype)
    if math.isfinite(low) and math.isfinite(high):
        inner = np.exp2(-np.arange(1.0, 40))
        x = np.unique(np.concatenate([low + (high - low) * inner, high - (high - low) * inner])).astype(dtype)
    x = x[(x > low) & (x < high)]
    return np.asarray(x)


def two_settings(declaration: Declaration, dtype: Any) -> list[dict[str, Any]]:
    """The defaults, and the last draw of all parameters where there are any."""
    known = [s for s in settings(declaration) if not any(isinstance(v, str) for v in s.values())]
    return [rounded(given, dtype) for given in ([known[0], known[-1]] if len(known) > 1 else known)]


def rounded(given: dict[str, Any], dtype: Any) -> dict[str, Any]:
    return {name: float(dtype(v)) if isinstance(v, float) else v for name, v in given.items()}


def exactly(
    declaration: Declaration, given: dict[str, Any], dtype: Any, wrt: str | None, *operands: np.ndarray
) -> np.ndarray:
    """The formula's values, or its derivatives, rounded once to float64; NaN where it has none."""
    f, params = in_format(bind(declaration), given, np.dtype(dtype))
    definition = Definition(f.declaration, as_numbers(f.declaration, params), wrt)
    return definition.targets(operands, BY_NAME["float64"]).nearest


def assert_close(
    got: np.ndarray,
    expected: np.ndarray,
    moved: np.ndarray,
    dtype: Any,
    ulp: float,
    x: np.ndarray,
    operand: float,
) -> None:
    """Within ``ulp`` units in the last place, beside what half a last bit of the operands is worth.

    ``moved`` is the change over one ULP of x, which is what remains at a root of the derivative; ``operand`` the
    number of least subnormals that a factor's own rounding is worth (x * gate, where the gate is subnormal).
    """
    with np.errstate(over="ignore", under="ignore"):
        nearest = expected.astype(dtype)
    unit = np.spacing(np.abs(nearest)).astype(np.float64)
    room = ulp * unit + moved + operand * TINY[dtype]
    error = np.abs(got.astype(np.float64) - expected)
    same = (got == nearest) | (np.isnan(got) & np.isnan(nearest))
    # Where the exact value lies beyond the largest number, infinity is right, and so is the largest.
    huge = np.isinf(nearest) & (np.abs(got) >= 0.999 * np.finfo(dtype).max)
    bad = ~same & ~huge & ~(error <= room)
    if bad.any():
        i = int(np.flatnonzero(bad)[np.argmax((error / room)[bad])])
        pytest.fail(
            f"at x = {x[i]!r}: {got[i]!r}, exactly {expected[i]!r}: {error[i] / unit[i]:.3g} ULP, {bad.sum()} bad"
        )


# What every elementwise function promises with its default parameters, wherever the result lies.
PROMISED = {"forward": 1.0, "derivative": 2.0}
# Other parameters, where they are not powers of two, cost one more rounding, in the argument, which ``moved`` counts, and
# one in the result: exp, expm1 and softplus add theirs.
OTHERWISE = {"forward": 3.0, "derivative": 6.0}


@pytest.mark.parametrize("dtype", FORMATS, ids=["float64", "float32"])
@pytest.mark.parametrize("pass_", ["forward", "derivative"])
def test_elementwise_is_the_formula(elementwise: Declaration, dtype: Any, pass_: str) -> None:
    for given in two_settings(elementwise, dtype):
        _elementwise_is_the_formula(elementwise, given, dtype, pass_)


def _elementwise_is_the_formula(
    elementwise: Declaration, given: dict[str, Any], dtype: Any, pass_: str
) -> None:
    f = bind(elementwise)
    x = points(dtype, elementwise.domain.low, elementwise.domain.high)
    call, wrt = (f, None) if pass_ == "forward" else (f.derivative, "x")
    expected = exactly(elementwise, given, dtype, wrt, x)
    wide = x.astype(np.float64)
    step = 2.0**-52 if dtype is np.float64 else 2.0**-23
    moved = np.fmax(*(np.abs(call(wide * (1 + s * step), **given) - call(wide, **given)) for s in (-1, 1)))
    if given:
        assert_close(call(x, **given), expected, 2 * moved, dtype, OTHERWISE[pass_], x, 2 * np.abs(wide) + 2)
    else:
        assert_close(call(x), expected, 0 * moved, dtype, PROMISED[pass_], x, 0 * x)


def pairs(declaration: Declaration) -> list[float]:
    if declaration.target.members:
        return list(declaration.target.members)
    return [0.0, 0.3125, 1.0] if math.isfinite(declaration.target.high) else [-2.5, 0.0, 1.0]


@pytest.mark.parametrize("dtype", FORMATS, ids=["float64", "float32"])
@pytest.mark.parametrize("pass_", ["forward", "backward"])
def test_pairwise_is_the_formula(pairwise: Declaration, dtype: Any, pass_: str) -> None:
    for given in two_settings(pairwise, dtype):
        _pairwise_is_the_formula(pairwise, given, dtype, pass_)


def _pairwise_is_the_formula(pairwise: Declaration, given: dict[str, Any], dtype: Any, pass_: str) -> None:
    f = bind(pairwise)
    for target in pairs(pairwise):
        x = points(dtype, pairwise.domain.low, pairwise.domain.high)[::2]
        x = x[x != target]
        wrt = None if pass_ == "forward" else "pred"
        expected = exactly(pairwise, given, dtype, wrt, x, np.full_like(x, target))
        known = ~np.isnan(expected)
        assert known.mean() > 0.9
        call = f if pass_ == "forward" else f.backward

        def curve(v: np.ndarray, t: float = target, call: Any = call) -> np.ndarray:
            return np.asarray(call(v, np.full_like(v, t), reduction="none", **given))

        wide = x.astype(np.float64)
        step = 2.0**-52 if dtype is np.float64 else 2.0**-23
        # pred - target is rounded to the format, which at pred = 1e-9, target = 1 is worth a ULP of the target.
        shift = step * max(abs(target), 0.0)
        with np.errstate(all="ignore"):
            moved = np.fmax(
                *(np.abs(curve(wide * (1 + s * step) + s * shift) - curve(wide)) for s in (-1, 1))
            )
        moved = np.where(np.isfinite(moved), moved, np.inf)
        assert_close(
            curve(x)[known],
            expected[known],
            2 * moved[known],
            dtype,
            OTHERWISE["forward" if pass_ == "forward" else "derivative"],
            x[known],
            4.0,
        )


@pytest.mark.parametrize("dtype", FORMATS, ids=["float64", "float32"])
@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0])
def test_softmax_is_the_formula(dtype: Any, scale: float) -> None:
    x = np.random.default_rng(3).normal(0, scale, (6, 7)).astype(dtype)
    exact = Rows(get("softmax").declaration, [])
    expected = np.array([exact.targets(row, BY_NAME["float64"]).nearest for row in x])
    # x - max is exact or rounded once, worth an ULP of that difference in the exponent.
    room = 4 * np.spacing(expected.astype(dtype)) + expected * 4 * scale * np.finfo(dtype).eps
    assert np.all(np.abs(get("softmax")(x) - expected) <= room)


@pytest.mark.parametrize("dtype", FORMATS, ids=["float64", "float32"])
def test_cross_entropy_is_the_formula(dtype: Any) -> None:
    f = get("cross_entropy")
    rng = np.random.default_rng(4)
    for scale in (0.1, 3.0, 30.0, 80.0):
        x = rng.normal(0, scale, (6, 5)).astype(dtype)
        index = rng.integers(0, 5, 6)
        one_hot = np.eye(5)[index]
        exact = [Rows(f.declaration, [q.tolist(), 0.0]) for q in one_hot]
        format = BY_NAME["float64"]
        losses = np.array([e.targets(row, format).nearest[0] for e, row in zip(exact, x, strict=True)])
        eps = np.finfo(dtype).eps
        # Differences of logits are rounded: eps * scale of absolute error, relative to what they are worth.
        assert np.allclose(f(x, index, reduction="none"), losses, rtol=8 * eps * (1 + scale), atol=0)
        gradients = np.array(
            [e.products(np.ones(1), row, format).nearest for e, row in zip(exact, x, strict=True)]
        )
        # A probability below the least subnormal is 0.
        slope = f.backward(x, index, reduction="none")
        assert np.allclose(slope, gradients, rtol=8 * eps * (1 + 4 * scale), atol=4 * TINY[dtype])


class TestFaultsOfTheField:
    """Faults that frameworks or textbooks have had: one test each."""

    def test_elu_near_zero_is_not_exp_minus_one(self) -> None:
        assert get("elu")(-1e-8) == pytest.approx(-1e-8 + 0.5e-16, rel=1e-15)
        assert get("elu")(np.float32(-1e-8)) == np.float32(-1e-8)

    def test_elu_slope_with_alpha_is_not_f_plus_one(self) -> None:
        assert get("elu").derivative(-1.0, alpha=2.0) == pytest.approx(2 * math.exp(-1), rel=1e-15)

    @pytest.mark.parametrize(
        ("dtype", "x", "alpha"), [(np.float32, -5e-26, 1e20), (np.float64, -5e-200, 1e150)]
    )
    def test_celu_is_x_where_x_over_alpha_underflows(self, dtype: Any, x: float, alpha: float) -> None:
        assert get("celu")(dtype(x), alpha=alpha) == dtype(x)

    @pytest.mark.parametrize(("dtype", "x"), [(np.float32, 50.0), (np.float64, 500.0)])
    def test_sigmoid_slope_is_not_s_times_one_minus_s(self, dtype: Any, x: float) -> None:
        for side in (x, -x):
            assert get("sigmoid").derivative(dtype(side)) == pytest.approx(math.exp(-x), rel=1e-6)

    def test_softplus_has_no_threshold(self) -> None:
        assert get("softplus")(30.0) > 30.0
        assert get("softplus")(30.0, threshold=20.0) == 30.0

    @pytest.mark.parametrize("name", ["softplus", "bce_with_logits"])
    @pytest.mark.parametrize("dtype", FORMATS)
    def test_slope_at_zero_is_one_half(self, name: str, dtype: Any) -> None:
        f = get(name)
        zero = np.zeros(1, dtype)
        slope = f.derivative(zero) if f.kind == "activation" else f.backward(zero, zero, reduction="none")
        assert slope[0] == 0.5

    @pytest.mark.parametrize("name", ["mish", "silu", "swish", "softplus"])
    @pytest.mark.parametrize("dtype", FORMATS)
    def test_no_overflow_to_nan(self, name: str, dtype: Any) -> None:
        x = np.array([np.finfo(dtype).max, 1e30, 100.0, 88.8, 44.5], dtype)
        assert np.array_equal(get(name)(x), x)
        assert np.all(get(name).derivative(x) == 1)
        assert np.all(np.isfinite(get(name)(-x)))
        assert np.all(np.isfinite(get(name).derivative(-x)))

    def test_softplus_tail_is_not_lost(self) -> None:
        assert get("softplus")(-300.0) == pytest.approx(math.exp(-300), rel=1e-14)
        assert get("bce_with_logits")([-300.0], [1.0]) == 300.0

    def test_nan_goes_through_relu(self) -> None:
        assert np.isnan(get("relu")(np.array([np.nan, 1.0]))[0])
        assert np.isnan(get("relu").derivative(np.nan))

    def test_cross_entropy_of_a_confident_row_is_not_zero(self) -> None:
        row = np.array([[50.0, 0.0, 0.0]])
        assert get("cross_entropy")(row, [0]) == pytest.approx(2 * math.exp(-50), rel=1e-14)
        assert get("cross_entropy").backward(row, [0])[0, 0] == pytest.approx(-2 * math.exp(-50), rel=1e-14)

    def test_softmax_of_minus_infinities(self) -> None:
        assert np.all(np.isnan(get("softmax")([-np.inf, -np.inf])))
        assert np.array_equal(get("softmax")([-np.inf, 0.0]), [0.0, 1.0])

    def test_softmax_does_not_overflow(self) -> None:
        assert np.array_equal(
            get("softmax")(np.array([1000.0, 0.0], np.float32)), np.array([1, 0], np.float32)
        )

    def test_bce_logarithms_are_not_clamped(self) -> None:
        assert get("bce")([0.0], [1.0]) == math.inf
        assert get("bce")([0.0], [0.0]) == 0
        assert get("bce")([1e-300], [1.0]) == pytest.approx(300 * math.log(10), rel=1e-15)
        assert get("bce")([0.0], [1.0], clamp="torch") == 100
        assert get("bce")([0.0], [1.0], clamp="keras") == pytest.approx(-math.log(1e-7), rel=1e-15)

    def test_bce_with_logits_mirrors_to_the_last_bit(self) -> None:
        x = np.random.default_rng(0).normal(0, 20, 1000)
        f = get("bce_with_logits")
        one, zero = np.ones_like(x), np.zeros_like(x)
        assert np.array_equal(f(x, one, reduction="none"), f(-x, zero, reduction="none"))

    @pytest.mark.parametrize("dtype", FORMATS)
    def test_softmax_rows_sum_to_one_and_gradients_to_zero(self, dtype: Any) -> None:
        x = np.random.default_rng(1).normal(0, 5, (50, 11)).astype(dtype)
        eps = np.finfo(dtype).eps
        assert np.allclose(get("softmax")(x).sum(axis=1, dtype=np.float64), 1, atol=6 * eps)
        gradient = get("cross_entropy").backward(x, np.arange(50) % 11, reduction="none")
        assert np.allclose(gradient.sum(axis=1, dtype=np.float64), 0, atol=6 * eps)


class TestSpecialValues:
    @pytest.mark.parametrize("dtype", FORMATS, ids=["float64", "float32"])
    def test_limits(self, elementwise: Declaration, dtype: Any) -> None:
        limits = {
            "sigmoid": (0, 1), "tanh": (-1, 1), "relu": (0, math.inf), "elu": (-1, math.inf), "swish": (0, math.inf),
            "silu": (0, math.inf), "mish": (0, math.inf), "softplus": (0, math.inf), "step": (0, 1),
            "gelu": (0, math.inf), "gelu_tanh": (0, math.inf), "hardswish": (0, math.inf), "celu": (-1, math.inf),
            "selu": (-1.7580993408473768, math.inf), "hardtanh": (-1, 1), "relu6": (0, 6),
            "logsigmoid": (-math.inf, 0), "softsign": (-1, 1), "hardsigmoid": (0, 1),
        }  # fmt: skip
        wanted = limits.get(elementwise.name, (-math.inf, math.inf))
        ends = np.array([-math.inf, math.inf], dtype)
        assert np.array_equal(bind(elementwise)(ends), np.array(wanted, dtype))
        slopes = bind(elementwise).derivative(ends)
        flat = [w != v for w, v in zip(wanted, ends, strict=True)]
        assert not np.isnan(slopes).any()
        assert np.all(slopes[flat] == 0)

    @pytest.mark.parametrize("dtype", FORMATS, ids=["float64", "float32"])
    def test_zero_keeps_its_sign_where_the_function_is_odd_there(
        self, elementwise: Declaration, dtype: Any
    ) -> None:
        y = bind(elementwise)(np.array([0.0, -0.0], dtype))
        if elementwise.name in ("sigmoid", "softplus", "step", "logsigmoid", "hardsigmoid"):
            assert y[0] == y[1] != 0
        else:
            assert y[0] == y[1] == 0
            if elementwise.name not in ("relu", "relu6"):
                assert not np.signbit(y[0])
                assert np.signbit(y[1])

    @pytest.mark.parametrize("dtype", FORMATS, ids=["float64", "float32"])
    def test_no_nan_from_numbers_and_nan_from_nan(self, elementwise: Declaration, dtype: Any) -> None:
        info = np.finfo(dtype)
        x = np.array([0.0, info.smallest_subnormal, info.tiny, info.eps, 1, info.max, math.inf], dtype)
        f = bind(elementwise)
        for sign in (1, -1):
            assert not np.isnan(f(sign * x)).any()
            assert not np.isnan(f.derivative(sign * x)).any()
        assert np.isnan(f(dtype(math.nan)))
        assert np.isnan(f.derivative(dtype(math.nan)))
        assert np.isnan(f.backward(dtype(1), dtype(math.nan)))


class TestWorkedExample:
    """Two inputs, two hidden and two output sigmoid units: a textbook's network, to its printed digits."""

    def test_network(self) -> None:
        sigmoid, loss = get("sigmoid"), get("half_squared_error")
        hidden = sigmoid(np.array([[0.15, 0.20], [0.25, 0.30]]) @ [0.05, 0.10] + 0.35)
        out = sigmoid(np.array([[0.40, 0.45], [0.50, 0.55]]) @ hidden + 0.60)
        assert hidden == pytest.approx([0.593269992, 0.596884378], abs=5e-10)
        assert out == pytest.approx([0.75136507, 0.772928465], abs=5e-9)
        assert loss(out, [0.01, 0.99]) == pytest.approx(0.298371109, abs=5e-10)

    def test_softmax(self) -> None:
        assert get("softmax")([3.0, 1.0, -3.0]) == pytest.approx([0.88, 0.12, 0.0], abs=5e-3)

    def test_gradient_of_a_sigmoid_output_under_cross_entropy(self) -> None:
        z, y = np.array([-1.0, 0.5, 2.0]), np.array([0.0, 1.0, 1.0])
        assert get("bce_with_logits").backward(z, y, reduction="sum") == pytest.approx(
            get("sigmoid")(z) - y, rel=1e-15
        )


class TestSciPy:
    def test_sigmoids_and_losses(self) -> None:
        special = pytest.importorskip("scipy.special", reason="SciPy is a peer, not a dependency")
        x = np.linspace(-700, 700, 2801)
        # SciPy's expit errs by up to about 2 ULP in the left tail, ours by 1.
        assert np.allclose(get("sigmoid")(x), special.expit(x), rtol=1e-15, atol=0)
        assert np.allclose(-get("softplus")(-x), special.log_expit(x), rtol=1e-15, atol=0)
        rows = np.random.default_rng(0).normal(0, 5, (20, 9))
        assert np.allclose(get("softmax")(rows), special.softmax(rows, axis=-1), rtol=1e-14, atol=0)
        e = np.linspace(-4, 4, 81)
        for delta in (0.5, 1.0, 2.0):
            mine = get("huber")(e, np.zeros_like(e), reduction="none", delta=delta)
            assert np.allclose(mine, special.huber(delta, e), rtol=1e-15, atol=0)
