"""The array contract: shapes, strides, dtypes, out=, scalars, overlap, threads: the same bits everywhere."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import actbench
from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import InfeasibleError, ParameterError, UsageError
from actbench.kernels import bind
from actbench.kernels.elementwise import Elementwise
from actbench.kernels.pairwise import PairwiseLoss
from actbench.kernels.rowwise import Rowwise

FLOATS = [np.float64, np.float32, np.float16, ml_dtypes.bfloat16]


def _same(a, b):
    """Equal bits, NaN included."""
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def _sample(shape, dtype, seed=0):
    return (4 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS, ids=lambda d: np.dtype(d).name)
def test_dtype_in_is_dtype_out(elementwise: Declaration, dtype):
    f = bind(elementwise)
    x = _sample((3, 5), dtype)
    for y in (f(x), f.derivative(x), f.backward(x, x)):
        assert y.dtype == dtype
        assert y.shape == x.shape


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, np.bool_])
def test_integers_go_to_float64(dtype):
    x = np.array([0, 1, 1], dtype)
    _same(actbench.get("sigmoid")(x), actbench.get("sigmoid")(x.astype(np.float64)))


@pytest.mark.parametrize("bad", [np.array([1j]), np.array(["a"]), np.array([None]), np.array([1], "M8[s]")])
def test_other_dtypes_are_named(declaration: Declaration, bad):
    f = bind(declaration)
    arguments = (bad,) if declaration.kind == "activation" else (bad, bad)
    with pytest.raises((TypeError, UsageError), match=r"dtype|fits neither|do not fit"):
        f(*arguments)


def test_scalars_and_lists():
    f = actbench.get("tanh")
    assert isinstance(f(0.5), np.float64)
    assert isinstance(f(np.float32(0.5)), np.float32)
    assert isinstance(f(np.array(0.5)), np.float64)
    assert f([[0.0, 1.0]]).shape == (1, 2)
    out = np.empty(())
    assert f(0.5, out=out) is out


shapes = st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple)
slices = st.tuples(st.integers(-5, 5), st.sampled_from([1, 2, 3, -1, -2]))


@settings(deadline=None, max_examples=60)
@given(shape=shapes, cuts=st.lists(slices, min_size=4, max_size=4), order=st.permutations(range(4)),
       name=st.sampled_from(["relu", "mish", "softplus", "tanh"]), dtype=st.sampled_from(FLOATS))  # fmt: skip
def test_any_strides_give_the_bits_of_a_contiguous_array(shape, cuts, order, name, dtype):
    x = _sample(shape, dtype)
    x = x[tuple(slice(start, None, step) for start, step in cuts[: x.ndim])]
    x = x.transpose([i for i in order if i < x.ndim])
    f = actbench.get(name)
    _same(f(x), f(np.ascontiguousarray(x)))
    out = np.empty_like(x)
    assert f(x, out=out) is out
    _same(out, f(x))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_position_in_the_loop_does_not_matter(elementwise: Declaration, dtype):
    """The vector body, its tail and a call on one element return the same bits."""
    f = bind(elementwise)
    x = _sample(4097 + 16, dtype)
    whole, slope = f(x), f.derivative(x)
    for size in [*range(68), 4095, 4096, 4097]:
        for offset in (0, 1, 7, 15):
            part = slice(offset, offset + size)
            _same(f(x[part].copy()), whole[part])
            _same(f.derivative(x[part].copy()), slope[part])
    _same(np.array([f(v) for v in x[:64]]), whole[:64])


def test_a_nan_stays_in_its_lane(elementwise: Declaration):
    f = bind(elementwise)
    x = _sample(67, np.float32)
    clean = f(x)
    for lane in range(67):
        dirty = x.copy()
        dirty[lane] = np.nan
        y = f(dirty)
        assert np.isnan(y[lane])
        _same(np.delete(y, lane), np.delete(clean, lane))


def test_negative_zero_is_a_parameter_of_its_own():
    """As keys of a dictionary the two zeros are one."""
    f, x = actbench.get("leaky_relu"), np.array([-1.0, 1.0])
    for slope in (0.0, -0.0, 0.0):
        np.testing.assert_array_equal(np.signbit(f(x, negative_slope=slope)), [not np.signbit(slope), False])


class Labelled(np.ndarray):
    """An array of another class."""


CALLS = {
    "sigmoid": lambda x, **how: actbench.get("sigmoid")(x, **how),
    "sigmoid backward": lambda x, **how: actbench.get("sigmoid").backward(x, x, **how),
    "softmax": lambda x, **how: actbench.get("softmax")(x, **how),
    "softmax backward": lambda x, **how: actbench.get("softmax").backward(x, x, **how),
    "maxout": lambda x, **how: actbench.get("maxout")(x, **how),
    "maxout k": lambda x, **how: actbench.get("maxout")(x, k=1, **how),
    "maxout backward": lambda x, **how: actbench.get("maxout").backward(x[..., ::2].copy(), x, **how),
    "mse": lambda x, **how: actbench.get("mse")(x, x[::-1].copy(), reduction="none", **how),
    "mse backward": lambda x, **how: actbench.get("mse").backward(x, x[::-1].copy(), **how),
    "hinge backward": lambda x, **how: actbench.get("hinge").backward(x, np.copysign(x / x, x), **how),
}


@pytest.mark.parametrize("width", [6, 60])
@pytest.mark.parametrize("f", CALLS.values(), ids=list(CALLS))
def test_a_call_made_before_is_checked_again(f, width):
    """The short way through a call looks at the operands no less than the long one."""
    x = _sample((4, width), np.float32)
    expected = f(x)
    _same(f(x), expected)
    _same(f(np.asfortranarray(x)), expected)
    _same(f(x.T), f(np.ascontiguousarray(x.T)))
    _same(f(x[::2]), f(x[::2].copy()))
    _same(f(x[:, :0]), x[:, :0])
    _same(f(x[:, 1:3]), f(x[:, 1:3].copy()))
    _same(f(x[:2].astype(np.float64)), f(x[:2].astype(">f8")))
    read_only = np.empty_like(expected)
    read_only.flags.writeable = False
    for out in (
        read_only,
        np.empty((width, 4), np.float32),
        np.empty((4, width + 1), np.float32),
        np.empty(expected.shape),
        np.empty((*expected.shape, 1), np.float32),
        [0.0],
    ):
        with pytest.raises((UsageError, TypeError), match="out"):
            f(x, out=out)
    with pytest.raises(UsageError, match="threads=0"):
        f(x, threads=0)
    strided = np.repeat(expected, 2, axis=1)[:, ::2]
    strided[...] = 0
    for out in (strided, np.asfortranarray(strided)):
        assert f(x, out=out) is out
        _same(out, expected)
    _same(f(x.view(Labelled)), expected)
    for part in (x[0], x[:2]):  # the factor of a mean is that of the call
        _same(f(part), f(part.view(Labelled)))


@pytest.mark.parametrize("f", CALLS.values(), ids=list(CALLS))
def test_a_call_made_before_goes_straight_to_its_kernel(f, monkeypatch):
    x = _sample((4, 6), np.float32)
    expected = f(x)
    for template in (Elementwise, Rowwise, PairwiseLoss):
        monkeypatch.setattr(template, "_map", None)
    _same(f(x), expected)
    _same(f(x, out=np.empty_like(expected)), expected)


@pytest.mark.parametrize("width", [6, 60])
def test_rows_of_a_result_are_as_long_as_this_call_says(width):
    """Neither the width nor k is that of the call before."""
    f = actbench.get("maxout")
    for k, columns in ((2, width), (3, width), (2, width + 2), (2, 2), (2, width), (1, width)):
        x = _sample((4, columns), np.float32)
        groups = x.reshape(4, -1, k)
        y, g = groups.max(-1), _sample((4, columns // k), np.float32, 1)
        gradient = np.where(groups == y[..., None], g[..., None], np.float32(0)).reshape(x.shape)
        for _ in range(2):
            _same(f(x, k=k), y)
            _same(f(x, k=k, out=np.empty_like(y)), y)
            _same(f.backward(g, x, k=k), gradient)
            _same(f.backward(g, x, k=k, out=np.empty_like(x)), gradient)
        _same(f(np.asfortranarray(x.T), axis=0, k=k), y.T)
        _same(f.backward(g.T, np.asfortranarray(x.T), axis=0, k=k), gradient.T)
        _same(f.backward(g[:0], x[:0], k=k), x[:0])
        longer = np.ones((4, columns // k + 1), np.float32)
        for wrong in (longer, longer[:, :-2].copy(), g[:3], g[None]):
            with pytest.raises(UsageError, match="grad_output has shape"):
                f.backward(wrong, x, k=k)
            with pytest.raises(UsageError, match="out has shape"):
                f(x, k=k, out=wrong)
        for wrong in (x[:, 1:].copy(), np.empty((4, columns + k), np.float32)):
            with pytest.raises(UsageError, match="out has shape"):
                f.backward(g, x, k=k, out=wrong)
        if k > 1:
            beside = np.ones((4, columns + 1), np.float32)
            for out in (None, y, beside):
                for call, *operands in ((f, beside), (f.backward, g, beside)):
                    with pytest.raises(InfeasibleError, match=f"{columns + 1} elements, which k={k} does"):
                        call(*operands, k=k, out=out)


def test_a_call_made_before_compares_its_operands():
    sigmoid, softmax, mse = (actbench.get(name) for name in ("sigmoid", "softmax", "mse"))
    x = _sample((4, 6), np.float32)
    for f, message in (
        (sigmoid.backward, "grad_output has shape"),
        (softmax.backward, "grad_output has shape"),
        (mse.backward, "pred has shape"),
    ):
        f(x, x)
        for other in (np.float32([1]), x[:, :5], x[:3], x[None]):
            with pytest.raises(UsageError, match=message):
                f(other, x)
        _same(f(x.astype(np.float64), x), f(x.astype(np.float64), x.astype(np.float64)))
    pred, labels = x, np.sign(x)
    hinge = actbench.get("hinge")
    for call in (hinge.backward, lambda y, t: hinge(y, t, reduction="none"), hinge):
        call(pred, labels)
        with pytest.raises(UsageError, match="labels must be"):
            call(pred, 0 * labels)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_rows_in_the_place_of_their_operands(name):
    f, x, g = actbench.get(name), _sample((40, 64), np.float32), _sample((40, 64), np.float32, 1)
    for f_, *operands in ((f, x), (f.backward, g, x)):
        expected = f_(*operands)
        for k in range(len(operands)):
            inside = [o.copy() for o in operands]
            _same(f_(*inside, out=inside[k]), expected)
            buffer = np.append(operands[k], np.zeros(3, np.float32))
            inside = [*operands]
            inside[k] = buffer[:-3].reshape(x.shape)
            _same(f_(*inside, out=buffer[3:].reshape(x.shape)), expected)


def test_in_place_and_overlap(elementwise: Declaration):
    f = bind(elementwise)
    x = _sample(1000, np.float64)
    expected = f(x)
    y = x.copy()
    f(y, out=y)
    _same(y, expected)
    buffer = np.concatenate([x, np.zeros(3)])
    f(buffer[:-3], out=buffer[3:])
    _same(buffer[3:], expected)


def test_inputs_are_not_written_to(declaration: Declaration):
    f = bind(declaration)
    for pass_ in f.passes:
        w = f.workload(pass_, "float32", 2000)
        before = {k: v.copy() for k, v in w.arrays.items() if k != "out"}
        w.call()
        for name, array in before.items():
            _same(w.arrays[name], array)


def test_read_only_and_unusual_memory(tmp_path):
    f = actbench.get("silu")
    x = _sample(1000, np.float32)
    expected = f(x)
    np.save(tmp_path / "x.npy", x)
    _same(f(np.load(tmp_path / "x.npy", mmap_mode="r")), expected)
    _same(f(x.astype(">f4")), expected)
    for f_, operands in (
        (f, (x,)),
        (f.backward, (x, x)),
        (actbench.get("softmax"), (x,)),
        (actbench.get("mse").backward, (x, 2 * x)),
    ):
        out = np.lib.format.open_memmap(tmp_path / "out.npy", mode="w+", dtype=np.float32, shape=x.shape)
        assert f_(*operands, out=out) is out
        _same(np.array(out), f_(*operands))
    unaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.float32)
    unaligned[:] = x
    _same(f(unaligned), expected)
    _same(f(np.asfortranarray(x.reshape(10, 100))), expected.reshape(10, 100))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_workload_over_a_memory_map_works_on_all_of_it(declaration: Declaration, threads, tmp_path):
    f, rng = bind(declaration), np.random.default_rng(8)
    x = rng.uniform(0.1, 0.9, (40, 30, 50)).astype(np.float32)
    x = -x if declaration.domain.high == 0 else x
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for pass_ in f.passes:
        plain, map_ = (f.workload(pass_, "float32", 0, data=data, threads=threads) for data in (x, mapped))
        for w in (plain, map_):
            w.arrays.get("out", np.zeros(1)).fill(np.nan)
        results = [np.asarray(w.call()) for w in (plain, map_)]
        if "out" in plain.arrays:
            results = [w.arrays["out"] for w in (plain, map_)]
        assert not np.isnan(results[0]).any()
        _same(*results)


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_threads_do_not_change_the_bits(declaration: Declaration, threads, dtype):
    f = bind(declaration)
    for pass_ in f.passes:
        one, many = (f.workload(pass_, dtype, 100_000, threads=t) for t in (1, threads))
        results = [w.arrays.get("out", result) for w, result in ((one, one.call()), (many, many.call()))]
        _same(*map(np.asarray, results))


def test_empty_arrays(declaration: Declaration):
    f = bind(declaration)
    match declaration.template:
        case "elementwise":
            assert f(np.empty((0, 3))).shape == (0, 3)
            assert f.backward(np.empty(0), np.empty(0)).shape == (0,)
        case "rowwise":
            assert f(np.empty((0, 4))).shape[0] == 0
        case "pairwise":
            assert f(np.empty(0), np.empty(0), reduction="sum") == 0
            assert np.isnan(f(np.empty(0), np.empty(0), reduction="mean"))
            assert f(np.empty(0), np.empty(0), reduction="none").shape == (0,)
        case "classification":
            assert np.isnan(f(np.empty((0, 4)), np.empty(0, np.int64)))
            assert f.backward(np.empty((0, 4)), np.empty(0, np.int64)).shape == (0, 4)
        case "sequence":
            assert f(np.empty((0, 1, 3)), np.empty((1, 0), np.int64)) == 0
            nobody = np.empty((4, 0, 3)), np.empty((0, 2), np.int64)
            assert f(*nobody, reduction="sum") == 0
            assert np.isnan(f(*nobody, reduction="mean"))
            assert f(*nobody, reduction="none").shape == (0,)
            assert f.backward(*nobody).shape == (4, 0, 3)


def test_axis(rowwise: Declaration):
    f = bind(rowwise)
    x = _sample((4, 6, 8), np.float64)
    for axis in (-3, 0, 1, 2):
        expected = np.moveaxis(f(np.moveaxis(x, axis, -1).copy()), -1, axis)
        _same(f(x, axis=axis), expected)
        g = _sample(expected.shape, np.float64, 1)
        moved = f.backward(np.moveaxis(g, axis, -1).copy(), np.moveaxis(x, axis, -1).copy())
        _same(f.backward(g, x, axis=axis), np.moveaxis(moved, -1, axis))
    with pytest.raises(UsageError, match="axis=3 does not exist"):
        f(x, axis=3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: actbench.get("relu")(np.ones(3), out=np.ones(4)), "out has shape"),
        (lambda: actbench.get("relu")(np.ones(3), out=np.ones(3, "f4")), "dtype float32"),
        (lambda: actbench.get("relu")(np.ones(3), threads=0), "threads=0"),
        (lambda: actbench.get("relu").backward(np.ones(3), np.ones(4)), "grad_output has shape"),
        (lambda: actbench.get("elu")(1.0, alpha=-1), r"alpha=-1 is outside its valid range \[0, inf\)"),
        (lambda: actbench.get("elu")(1.0, beta=1), "elu has no parameter 'beta'"),
        (lambda: actbench.get("elu").backward(1.0, 1.0, wrt="beta"), "no gradient wrt='beta'"),
        (lambda: actbench.get("prelu")(np.ones((2, 3)), weight=np.ones(4)), "does not fit x"),
        (lambda: actbench.get("maxout")(np.ones((2, 3))), "k=2 does not divide"),
        (lambda: actbench.get("mse")(np.ones(3), np.ones((3, 1))), "must be equal"),
        (lambda: actbench.get("mse")(np.ones(3), np.ones(3), reduction="avg"), "reduction='avg'"),
        (lambda: actbench.get("hinge")(np.ones(2), np.array([0.0, 1.0])), "2\\*target - 1"),
        (lambda: actbench.get("cross_entropy")(np.ones((2, 3)), np.array([0, 3])), "class index 3"),
        (lambda: actbench.get("cross_entropy")(np.ones((2, 3)), np.ones(5)), "fits neither"),
        (lambda: actbench.get("ctc")(np.ones((4, 3)), np.array([0, 1])), "is the blank"),
        (lambda: actbench.get("rrelu")(np.ones(2), training=True), "needs noise="),
    ],
)
def test_errors_name_what_to_do(call, message):
    with pytest.raises((UsageError, ParameterError), match=message):
        call()


def test_derivative_of_a_row_is_refused(rowwise: Declaration):
    with pytest.raises(TypeError, match="use backward"):
        bind(rowwise).derivative(np.ones((2, 2)))


def test_rrelu_in_training_draws_a_slope_an_element():
    f = actbench.get("rrelu")
    x = -np.ones((20, 30))
    drawn = f(x, training=True, noise=np.random.default_rng(0))
    _same(drawn, f(x, training=True, noise=np.random.default_rng(0).random(x.shape)))
    assert -1 / 3 < drawn.min() < drawn.max() < -1 / 8
    assert len(np.unique(drawn)) == x.size
    noise = np.random.default_rng(0).random(x.shape)
    _same(f.backward(np.ones_like(x), x, training=True, noise=noise), -drawn)
    assert f(-1.0) == -11 / 48


def test_a_weight_for_each_channel():
    """As torch: a one-dimensional weight runs along axis 1, and its gradient is summed over the rest."""
    f = actbench.get("prelu")
    x, w = _sample((2, 3, 4), np.float64), np.array([0.1, 0.2, 0.3])
    expected = np.where(x > 0, x, x * w[:, None])
    _same(f(x, weight=w), expected)
    g = _sample(x.shape, np.float64, 1)
    gradient = f.backward(g, x, wrt="weight", weight=w)
    # Four roundings of a sum of eight terms: 1e-12 leaves room, a wrong axis none.
    np.testing.assert_allclose(gradient, (g * np.minimum(x, 0)).sum(axis=(0, 2)), rtol=1e-12)
    np.testing.assert_allclose(f.backward(g, x, wrt="weight"), (g * np.minimum(x, 0)).sum(), rtol=1e-12)
