"""What a call cannot take it refuses in one line, and what it can take it takes from any memory and fills anywhere."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import actbench
from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import DeclarationError, UsageError
from actbench.catalog.registry import declarations, find
from actbench.kernels import bind

get = actbench.get
PASSES = ("forward", "backward")
NOT_REAL = [np.array([1j]), np.array(["a"]), np.array([None]), [1j, 2], [None]]


def operands(f: Any, pass_: str, dtype: Any = np.float64) -> tuple[Any, ...]:
    """Arrays of two rows that a pass takes, made anew."""
    rng = np.random.default_rng(3)
    x = rng.uniform(0.1, 0.9, (2, 8)).astype(dtype)
    match f.declaration.template:
        case "sequence":
            return -x.reshape(4, 1, 4), np.array([[1, 2]])
        case "classification":
            return x, np.array([1, 5])
        case "pairwise":
            return x, np.ones((2, 8), dtype)
    y = f(x)
    return (x,) if pass_ == "forward" else (np.ones_like(y), x)


def call(f: Any, pass_: str) -> Callable[..., Any]:
    """A pass that returns an array."""
    method = f if pass_ == "forward" else f.backward
    return (
        method
        if f.kind == "activation" or pass_ == "backward"
        else lambda *a, **how: f(*a, reduction="none", **how)
    )


def unaligned(x: np.ndarray) -> np.ndarray:
    """x in memory that begins at an odd address."""
    moved = np.zeros(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    moved[...] = x
    assert not moved.flags.aligned
    return moved


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16], ids=lambda d: np.dtype(d).name)
def test_memory_that_is_not_aligned(declaration: Declaration, pass_: str, dtype: Any) -> None:
    f = bind(declaration)
    given = operands(f, pass_, dtype)
    for reduction in ("mean", "none"):
        how = {"reduction": reduction} if f.kind == "loss" else {}
        method = f if pass_ == "forward" else f.backward
        expected = method(*given, **how)
        np.testing.assert_array_equal(method(*map(unaligned, given), **how), expected)
        if np.ndim(expected):
            out = unaligned(np.zeros_like(expected))
            assert method(*given, **how, out=out) is out
            np.testing.assert_array_equal(out, expected)


def test_gradients_of_parameters_in_memory_that_is_not_aligned(declaration: Declaration) -> None:
    f = bind(declaration)
    given = operands(f, "backward")
    for name in declaration.gradients:
        np.testing.assert_array_equal(
            f.backward(*map(unaligned, given), wrt=name), f.backward(*given, wrt=name)
        )


@pytest.mark.parametrize("pass_", PASSES)
def test_out_that_overlaps_itself_is_refused(declaration: Declaration, pass_: str) -> None:
    f = bind(declaration)
    given = operands(f, pass_)
    result = call(f, pass_)(*given)
    strides = (*(0 for _ in result.shape[1:]), 8)
    shared = np.lib.stride_tricks.as_strided(np.zeros(result.size), result.shape, strides)
    if shared.size > max(shared.shape):
        with pytest.raises(UsageError, match="out overlaps itself"):
            call(f, pass_)(*given, out=shared)


def test_out_with_unusual_strides_that_shares_no_memory_is_filled() -> None:
    out = np.lib.stride_tricks.as_strided(np.zeros(20), (2, 3), (24, 16))
    x = np.arange(6.0).reshape(2, 3)
    get("softmax")(x, out=out)
    np.testing.assert_array_equal(out, get("softmax")(x))


@pytest.mark.parametrize("pass_", PASSES)
def test_out_is_filled_by_every_pass_that_returns_an_array(declaration: Declaration, pass_: str) -> None:
    f = bind(declaration)
    for _ in range(2):  # also where a call like it was made before
        given = operands(f, pass_)
        expected = call(f, pass_)(*given)
        out = np.full_like(expected, np.nan)
        assert call(f, pass_)(*given, out=out) is out
        np.testing.assert_array_equal(out, expected)
        for wrong in (np.empty((*expected.shape, 1)), np.empty(expected.shape, np.float32)):
            with pytest.raises(UsageError, match="out has shape"):
                call(f, pass_)(*given, out=wrong)


def test_out_is_filled_with_the_gradient_of_a_parameter(declaration: Declaration) -> None:
    f = bind(declaration)
    given = operands(f, "backward")
    for name in declaration.gradients:
        expected = f.backward(*given, wrt=name)
        out = np.full(np.shape(expected), np.nan)
        assert f.backward(*given, wrt=name, out=out) is out
        np.testing.assert_array_equal(out, expected)
        with pytest.raises(UsageError, match="out has shape"):
            f.backward(*given, wrt=name, out=np.empty(3))


def test_out_of_a_learned_weight_for_each_channel() -> None:
    x, weight, out = -np.ones((2, 3, 4)), np.array([0.1, 0.2, 0.3]), np.zeros(3)
    assert get("prelu").backward(x, x, wrt="weight", weight=weight, out=out) is out
    np.testing.assert_array_equal(out, [8.0, 8.0, 8.0])


def test_out_of_a_reduced_loss_is_refused(declaration: Declaration) -> None:
    if declaration.kind == "loss":
        f = bind(declaration)
        for reduction in ("mean", "sum"):
            with pytest.raises(UsageError, match="out= goes with reduction='none' only"):
                f(*operands(f, "forward"), reduction=reduction, out=np.empty(()))


@pytest.mark.parametrize("pass_", PASSES)
def test_masked_arrays_are_refused(declaration: Declaration, pass_: str) -> None:
    f = bind(declaration)
    given = operands(f, pass_)
    result = call(f, pass_)(*given)
    for i in range(len(given)):
        masked = [np.ma.array(o, mask=o == o.flat[0]) if i == j else o for j, o in enumerate(given)]
        with pytest.raises(TypeError, match=r"takes no masked arrays.*\.filled\("):
            call(f, pass_)(*masked)
    with pytest.raises(TypeError, match=r"out takes no masked arrays"):
        call(f, pass_)(*given, out=np.ma.array(result))


def test_array_parameters_are_real_and_not_masked(declaration: Declaration) -> None:
    f = bind(declaration)
    for name in (name for name, param in f.params.items() if param.array):
        how = {"training": True} if name == "noise" else {}
        for bad in NOT_REAL:
            with pytest.raises(TypeError, match=f"{f.name}: {name} takes real numbers .* not dtype "):
                f(*operands(f, "forward"), **how, **{name: bad})
        with pytest.raises(TypeError, match=f"{f.name}: {name} takes no masked arrays"):
            f(*operands(f, "forward"), **how, **{name: np.ma.array([1.0, 2.0])})


@pytest.mark.parametrize("axis", [1.0, None, "a", (0, 1), True, np.float64(-1), [1]])
def test_an_axis_is_one_integer(declaration: Declaration, axis: Any) -> None:
    if declaration.template in ("rowwise", "classification"):
        f = bind(declaration)
        for pass_ in PASSES:
            call(f, pass_)(*operands(f, pass_))
            with pytest.raises(UsageError, match=r"axis=.*: give one integer"):
                call(f, pass_)(*operands(f, pass_), axis=axis)


def test_an_axis_may_be_an_integer_of_numpy(rowwise: Declaration) -> None:
    f = bind(rowwise)
    (x,) = operands(f, "forward")
    for axis in (np.int64(1), np.int8(-1), np.array(1)):
        np.testing.assert_array_equal(f(x, axis=axis), f(x))


@pytest.mark.parametrize("bad", [1j, "abc", None])
def test_the_dtype_of_a_scalar_is_named(declaration: Declaration, bad: Any) -> None:
    f = bind(declaration)
    with pytest.raises(TypeError, match=f"{f.name} takes real numbers .* not dtype "):
        f(*(bad,) if f.kind == "activation" else (bad, bad))


def test_a_number_is_a_row_of_one(rowwise: Declaration) -> None:
    f = bind(rowwise)
    how = {"k": 1} if "k" in f.params else {}
    for number in (3.0, np.float32(3), np.array(3.0), 3):
        row = np.atleast_1d(number)
        for got, expected in (
            (f(number, **how), f(row, **how)),
            (f.backward(number, number, **how), f.backward(row, row, **how)),
        ):
            assert isinstance(got, np.floating)
            assert (got, got.dtype) == (expected[0], expected.dtype)
        out = np.empty((), f(row, **how).dtype)
        assert f(number, **how, axis=0, out=out) is out
        assert out == f(row, **how)[0]
        with pytest.raises(UsageError, match="axis=1 does not exist"):
            f(number, **how, axis=1)
        with pytest.raises(UsageError, match=r"grad_output has shape \(1,\)"):
            f.backward(row, number, **how)


def test_formats_without_a_common_one_are_named() -> None:
    a, b = np.ones(3, np.float16), np.ones(3, ml_dtypes.bfloat16)
    for refused in (
        lambda: get("mse")(a, b),
        lambda: get("silu").backward(a, b),
        lambda: get("softmax").backward(b, a),
    ):
        with pytest.raises(TypeError, match=r"float16.*no common format: convert one of them") as caught:
            refused()
        assert type(caught.value) is TypeError


def test_a_result_too_large_for_float16_is_infinite_without_a_warning() -> None:
    """Warnings are errors in these tests."""
    x, top = np.array([[6e4, -6e4], [0, 0]], np.float16), np.array([1, 1])
    assert get("log_softmax")(x)[0, 1] == -np.inf
    assert get("mse")(x, -x) == np.inf
    assert get("cross_entropy")(x, top, reduction="sum") == np.inf
    assert get("cross_entropy")(x, top, weight=[1.0, 2.0], reduction="sum") == np.inf
    assert get("cross_entropy")(x, top, reduction="none")[0] == np.inf
    assert get("ctc_with_logits")(x[:1, None, :], [[1]]) == np.inf
    assert get("half_squared_error")(np.float32([3e38]), np.float32([-3e38])) == np.inf


def test_class_indices_do_not_wrap() -> None:
    x = np.zeros((2, 3))
    for index in (2**64 - 100, 2**64 - 1, 2**63):
        with pytest.raises(UsageError, match=f"class index {index} is outside 0..2"):
            get("cross_entropy")(x, np.array([0, index], np.uint64))
    assert get("cross_entropy")(x, np.array([0, 2], np.uint64)) == get("cross_entropy")(x, [0, 2])


@pytest.mark.parametrize("target", [np.zeros(2, int), np.full(2, -100), np.zeros((2, 0))])
def test_rows_without_classes_are_refused(target: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"shape \(2, 0\) has no classes"):
        get("cross_entropy")(np.empty((2, 0)), target)


def test_a_generator_draws_anew_at_each_call() -> None:
    f, rng = get("rrelu"), np.random.default_rng(0)
    drawn = [f(np.full(shape, -1.0), training=True, noise=rng) for shape in ((), (5,), (), (5,))]
    assert len(np.unique(np.concatenate(drawn, axis=None))) == 12


class TestNoise:
    @pytest.mark.parametrize("noise", [0.5, [0.5, 0.5], np.zeros((8, 2)), np.zeros((1, 2, 8))])
    def test_has_a_number_for_each_element(self, noise: Any) -> None:
        with pytest.raises(UsageError, match=r"noise has shape .* but x has \(2, 8\)"):
            get("rrelu")(np.ones((2, 8)), training=True, noise=noise)

    @pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, np.inf])
    def test_lies_between_0_and_1(self, value: float) -> None:
        with pytest.raises(UsageError, match=r"noise holds numbers outside \[0, 1\]"):
            get("rrelu")(np.ones(2), training=True, noise=[0.5, value])

    @pytest.mark.parametrize("noise", ["abc", np.array(["a", "b"]), np.random, object()])
    def test_is_a_generator_or_numbers(self, noise: Any) -> None:
        with pytest.raises(TypeError, match="rrelu: noise takes real numbers"):
            get("rrelu")(np.ones(2), training=True, noise=noise)

    def test_may_come_from_a_legacy_generator(self) -> None:
        drawn = get("rrelu")(-np.ones(3), training=True, noise=np.random.RandomState(0))
        expected = get("rrelu")(-np.ones(3), training=True, noise=np.random.RandomState(0).random(3))
        np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize(
    "name", [d.name for d in declarations() if d.template in ("elementwise", "pairwise")]
)
def test_where_a_function_has_no_value_it_has_no_gradient(name: str) -> None:
    """A NaN loss beside a finite gradient would go on unnoticed. (Rows and sequences mix elements.)"""
    declaration = find(name)
    f = bind(declaration)
    x = np.array([-np.inf, -1e3, -1.5, -1.0, -0.1, -0.0, 0.0, 0.1, 0.9, 1.0, 1.1, 2.0, 1e3, np.inf])
    labels = declaration.target.members or (0.0, 0.5, 1.0)
    for label in labels if f.kind == "loss" else (1.0,):
        target = np.full_like(x, label)
        value = f(x, target, reduction="none") if f.kind == "loss" else f(x)
        slope = f.backward(x, target, reduction="none") if f.kind == "loss" else f.derivative(x)
        outside = np.isnan(value) & np.isfinite(x)
        assert np.isnan(slope[outside]).all()


@pytest.mark.parametrize("clamp", ["none", "torch"])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_bce_of_no_probability_has_no_gradient(clamp: str, target: float) -> None:
    pred = np.array([-1.0, -0.1, 1.1, 2.0])
    assert np.isnan(get("bce").backward(pred, np.full(4, target), clamp=clamp)).all()


@pytest.mark.parametrize("name", ["float8_e5m2", "float8_e4m3fn"])
def test_floats_of_8_bits_are_refused(declaration: Declaration, name: str) -> None:
    x = np.ones((2, 2, 4), getattr(ml_dtypes, name))
    operands = (x,) if declaration.kind == "activation" else (x, x)
    with pytest.raises(TypeError, match=name):
        bind(declaration)(*operands)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_look_at_the_labels_is_silent(dtype: str) -> None:
    large = np.finfo(dtype).max / 2
    pred, target = np.full(100, -large, dtype), np.ones(100, dtype)
    with warnings.catch_warnings(action="error"):
        for _ in range(2):  # the second at once
            assert (get("hinge")(pred, target, reduction="none") == 1 + pred.dtype.type(large)).all()


def test_an_integer_of_numpy_is_a_number_of_threads() -> None:
    x = np.linspace(-3, 3, 1 << 16)
    assert np.array_equal(get("silu")(x, threads=np.int64(2)), get("silu")(x))


@pytest.mark.parametrize("x", [np.ones(10)[::2], np.ones((0, 3)), [1.0, 2.0], 1.0])
@pytest.mark.parametrize("name", ["silu", "softmax"])
def test_a_number_of_threads_that_cannot_be_is_refused_of_any_operand(name: str, x: Any) -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match="threads='a': give an integer"):
            get(name)(np.atleast_1d(x), threads="a")


def test_a_row_that_is_ignored_has_no_weight() -> None:
    logits, weight = np.zeros((2, 3)), np.array([1, 1, np.inf])
    assert get("cross_entropy")(logits, [0, -100], weight=weight) == np.log(3)
    assert np.isfinite(get("cross_entropy").backward(logits, [0, -100], weight=weight)[1]).all()


def test_a_body_that_writes_to_its_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from actbench.catalog import registry

    monkeypatch.setattr(registry, "_declared", dict(registry._declared))

    @actbench.activation(formula="x", derivative=lambda g, x, out: None, rowwise=True)
    def greedy(x: Any, out: Any) -> None:
        """It spoils its input."""
        for i in range(x.size):
            x[i] = 2 * x[i]
            out[i] = x[i]

    x = np.ones((2, 40))
    with pytest.raises(DeclarationError, match=r"cannot compile greedy .*: it writes to an input"):
        greedy(x)
    assert (x == 1).all()


def test_functions_of_the_catalogue_are_pickled_by_name(declaration: Declaration) -> None:
    f = bind(declaration)
    assert pickle.loads(pickle.dumps(f)) is f
    assert len(pickle.dumps(f)) < 200


def test_a_function_that_no_name_finds_is_not_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    from actbench.catalog import registry

    monkeypatch.setattr(registry, "_declared", dict(registry._declared))

    @actbench.activation(formula="x", derivative=lambda x: 1.0)
    def passing(x: float) -> float:
        """It passes."""
        return x

    assert pickle.loads(pickle.dumps(passing)) is passing
    registry._declared.pop("passing")
    with pytest.raises(pickle.PicklingError, match="passing is no function of the catalogue"):
        pickle.dumps(passing)
