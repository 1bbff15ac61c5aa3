"""Rows of every length: within an ULP, and the same bits wherever a row stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actbench import get
from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import UsageError
from actbench.kernels import bind
from actbench.kernels.rowwise import SHORT, takes_blocks

Wide = np.longdouble
WIDTHS = (1, 2, 3, 10, 16, 17, SHORT, SHORT + 1, 63, 64, 65, 1000, 5000)
FORMATS = (np.float32, np.float64)
# Exponentials, and in float64 their sum and its logarithm, are pairs up to the one rounding at the end: at most 0.92
# was found in 300 000 rows of float64.
ULP = 1.0

pytestmark = pytest.mark.skipif(np.finfo(Wide).nmant < 63, reason="the reference needs 80-bit numbers")


def logits(width: int, scale: float, dtype: Any, count: int = 37) -> np.ndarray:
    """Rows of normal logits; 37 of them are two full blocks and a part."""
    return (scale * np.random.default_rng(width).standard_normal((count, width))).astype(dtype)


def shifted(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x - max(x), and the sum of the exponentials without that of the maximum, in 80 bits."""
    d = x.astype(Wide) - x.max(axis=1, keepdims=True)
    e = np.exp(d)
    e[np.arange(len(x)), x.argmax(axis=1)] = 0
    return d, e.sum(axis=1, keepdims=True)


def ulps(got: np.ndarray, exact: np.ndarray, dtype: Any) -> float:
    with np.errstate(under="ignore"):
        unit = np.spacing(np.abs(exact).astype(dtype))
    return float(np.max(np.abs(got - exact) / unit.astype(Wide)))


@pytest.mark.parametrize("dtype", FORMATS, ids=["float32", "float64"])
@pytest.mark.parametrize("width", WIDTHS)
class TestExact:
    # 300 takes most probabilities into the subnormals and to 0; 3000 shifts the rows before exponents are taken.
    @pytest.mark.parametrize("scale", [0.1, 2.0, 30.0, 300.0, 3000.0])
    def test_softmax(self, width: int, dtype: Any, scale: float) -> None:
        x = logits(width, scale, dtype)
        d, rest = shifted(x)
        assert ulps(get("softmax")(x), np.exp(d) / (1 + rest), dtype) <= ULP

    @pytest.mark.parametrize("scale", [0.1, 2.0, 30.0])
    def test_log_softmax(self, width: int, dtype: Any, scale: float) -> None:
        x = logits(width, scale, dtype)
        d, rest = shifted(x)
        assert ulps(get("log_softmax")(x), d - np.log1p(rest), dtype) <= ULP

    @pytest.mark.parametrize("scale", [0.1, 2.0, 30.0])
    def test_cross_entropy(self, width: int, dtype: Any, scale: float) -> None:
        x = logits(width, scale, dtype)
        d, rest = shifted(x)
        k = np.random.default_rng(1).integers(0, width, len(x))
        exact = (np.log1p(rest) - d)[np.arange(len(x)), k]
        assert ulps(get("cross_entropy")(x, k, reduction="none"), exact, dtype) <= ULP

    def test_gradient_of_log_softmax_keeps_a_confident_class(self, width: int, dtype: Any) -> None:
        x = logits(width, 0.5, dtype)
        x[:, 0] = 60
        g = np.zeros_like(x)
        g[:, 0] = 1
        _, rest = shifted(x)
        exact = (rest / (1 + rest))[:, 0]
        assert ulps(get("log_softmax").backward(g, x)[:, 0], exact, dtype) <= 2 * ULP


@pytest.mark.parametrize("dtype", FORMATS, ids=["float32", "float64"])
@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("width", [2, 3, 10, 100])
def test_many_rows(width: int, offset: int, dtype: Any) -> None:
    """What is left of x - largest, and of a sum: without them float64 is off by 1.4 and 2.3 ULP, in a row of many."""
    for scale in (1.0, 10.0, 100.0):
        x = (logits(width, scale, np.float64, 20000 // width) + offset).astype(dtype)
        d, rest = shifted(x)
        log_total, first = np.log1p(rest), np.zeros(len(x), int)
        assert ulps(get("softmax")(x), np.exp(d) / (1 + rest), dtype) <= ULP
        assert ulps(get("log_softmax")(x), d - log_total, dtype) <= ULP
        assert ulps(get("cross_entropy")(x, first, reduction="none"), (log_total - d)[:, 0], dtype) <= ULP


def passes(declaration: Declaration, x: np.ndarray, threads: int = 1) -> list[np.ndarray]:
    f = bind(declaration)
    y = f(x, threads=threads)
    g = np.broadcast_to(np.cos(np.arange(y.shape[1])), y.shape).astype(x.dtype)
    return [y, f.backward(g, x, threads=threads)]


@pytest.mark.parametrize("dtype", FORMATS, ids=["float32", "float64"])
@pytest.mark.parametrize("width", [2, 10, SHORT, SHORT + 2, 1000])
class TestSameBits:
    def test_whatever_the_neighbours(self, rowwise: Declaration, width: int, dtype: Any) -> None:
        x = logits(width, 3.0, dtype)
        order = np.random.default_rng(0).permutation(len(x))
        whole = passes(rowwise, x)
        for mine, moved in zip(whole, passes(rowwise, np.ascontiguousarray(x[order])), strict=True):
            assert np.array_equal(mine[order], moved)
        x[::2] = np.nan
        for mine, beside in zip(whole, passes(rowwise, x), strict=True):
            assert np.array_equal(mine[1::2], beside[1::2])
        for start in (1, 20, 36):
            for mine, alone in zip(whole, passes(rowwise, logits(width, 3.0, dtype)[start:]), strict=True):
                assert np.array_equal(mine[start:], alone)

    def test_whatever_the_threads(self, rowwise: Declaration, width: int, dtype: Any) -> None:
        x = logits(width, 3.0, dtype, 20000 // width + 3)
        for one, three in zip(passes(rowwise, x), passes(rowwise, x, threads=3), strict=True):
            assert np.array_equal(one, three)


@pytest.mark.parametrize("width", [4, SHORT + 4])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_special_rows(name: str, width: int) -> None:
    x = np.zeros((4, width))
    x[0], x[1, 0], x[2, 1], x[3, 1:] = -np.inf, np.inf, np.nan, -np.inf
    y = get(name)(x)
    assert np.isnan(y[:3]).all()
    assert np.array_equal(y[3] if name == "softmax" else np.exp(y[3]), np.eye(width)[0])


def test_only_bodies_that_look_at_elements_get_one_row_at_a_time(rowwise: Declaration) -> None:
    assert takes_blocks(rowwise.forward)
    assert not takes_blocks(lambda x, out: out.fill(x[0]))


# Alone with themselves, groups of 2, others side by side, groups that fill lanes; blocks, whole and part.
@pytest.mark.parametrize("k", [1, 2, 3, 4, 7, 31, 32, 33, 100])
@pytest.mark.parametrize("groups", [1, 2, 5, 16, 17, 33])
@pytest.mark.parametrize("dtype", FORMATS, ids=["float32", "float64"])
def test_maxout(dtype: Any, groups: int, k: int) -> None:
    f, rng = get("maxout"), np.random.default_rng(groups)
    x = rng.integers(-3, 3, (37, groups, k)).astype(dtype)
    x[rng.random(x.shape) < 0.1] = -np.inf
    x[rng.random(x.shape) < 0.02] = np.nan
    x[3], x[5, :, 0] = -np.inf, np.inf
    largest = np.maximum.reduce(x, axis=2)
    g = rng.standard_normal(largest.shape).astype(dtype)
    g[5] = np.inf
    rows, hits = x.reshape(37, -1), x == largest[:, :, None]
    first = hits & (np.cumsum(hits, axis=2) == 1)
    shares = g / np.maximum(hits.sum(axis=2), 1).astype(dtype)
    assert np.array_equal(f(rows, k=k), largest, equal_nan=True)
    for ties, taken, share in (("first", first, g), ("split", hits, shares)):
        expected = np.where(taken, share[:, :, None], dtype(0))
        expected[np.isnan(largest)] = np.nan  # as torch.amax
        got = f.backward(g, rows, k=k, ties=ties)
        assert np.array_equal(got, expected.reshape(37, -1), equal_nan=True)


def test_maxout_of_zeros_of_both_signs_is_zero() -> None:
    for width in (2, 64):
        x = np.tile([-0.0, 0.0], width)
        assert not np.signbit(get("maxout")(x)).any()


@pytest.mark.parametrize("classes", [5, SHORT + 5])
def test_ignored_rows_of_cross_entropy_are_not_looked_at(classes: int) -> None:
    f, x = get("cross_entropy"), logits(classes, 1.0, np.float64)
    k = np.arange(len(x)) % classes
    k[::3] = -100
    broken = x.copy()
    broken[::3] = np.nan
    assert f(broken, k) == f(x, k)
    assert np.array_equal(f.backward(broken, k), f.backward(x, k))
    assert np.all(f.backward(broken, k)[::3] == 0)


@pytest.mark.parametrize("dtype", FORMATS, ids=["float32", "float64"])
@pytest.mark.parametrize("width", [10, 100])
def test_a_cross_entropy_called_before_is_checked_again(width: int, dtype: Any) -> None:
    """The short way through a call looks at classes and layouts no less than the long one."""
    loss, x = get("cross_entropy"), logits(width, 2.0, dtype)
    target = np.arange(37) % width
    every_other = np.repeat(x, 2, axis=1)[:, ::2]
    for call in (loss, loss.backward):
        expected = call(x, target)
        for pred, labels in (
            (every_other, target),
            (np.asfortranarray(x), target),
            (x, np.repeat(target, 2)[::2]),
        ):
            np.testing.assert_array_equal(call(x, target), expected)
            np.testing.assert_array_equal(call(pred, labels), expected)
        np.testing.assert_array_equal(call(x, target.astype(np.int32)), expected)
        np.testing.assert_array_equal(call(x, target, weight=np.ones(width, dtype)), expected)
        for wrong in (-1, width, -(2**62)):
            with pytest.raises(UsageError, match=f"class index {wrong}"):
                call(x, np.where(target == 3, wrong, target))
        kept = target != 3
        skipping = call(x, np.where(kept, target, -100))
        few = call(x[kept], target[kept])
        if call == loss:
            np.testing.assert_allclose(skipping, few, rtol=2 * np.finfo(dtype).eps)  # a sum in another order
        else:
            np.testing.assert_array_equal(skipping[kept], few)
            np.testing.assert_array_equal(skipping[~kept], 0)
        assert np.all(np.isnan(call(x[:2], np.array([-100, -100])))) == (call == loss)


@pytest.mark.parametrize("dtype", FORMATS, ids=["float32", "float64"])
def test_equal_terms_do_not_err_the_same_way(dtype: Any) -> None:
    """Low parts that are only added to one another round each time in one direction: by 23 ULP in a row of 50 000."""
    width = 50_000
    for value in (-0.34, -0.2, 0.1, 0.3):
        x = np.full((1, width), value, dtype)
        assert ulps(get("softmax")(x), np.full_like(x, 1, Wide) / width, dtype) <= 1.0
        x[0, 0] += 1
        d, rest = shifted(x)
        assert ulps(get("log_softmax")(x), d - np.log1p(rest), dtype) <= ULP
        assert ulps(get("cross_entropy").backward(x, [0])[:, :1], -rest / (1 + rest), dtype) <= ULP


def gradient(x: np.ndarray, g: np.ndarray, tops: np.ndarray) -> np.ndarray:
    """s (g - <g, s>) of rows, in 80 bits and without cancellation where one s is nearly 1."""
    d, rest = shifted(x)
    s = np.exp(d) / (1 + rest)
    from_top = g.astype(Wide) - g[np.arange(len(x)), tops][:, None]
    return s * (from_top - (s * from_top).sum(axis=1, keepdims=True))  # type: ignore[no-any-return]


@pytest.mark.parametrize("dtype", FORMATS, ids=["float32", "float64"])
@pytest.mark.parametrize("width", [2, 3, 10, SHORT, SHORT + 1, 100, 1000])
class TestNearlyOneHot:
    """One element has nearly all: what its gradient is made of are the others."""

    @pytest.mark.parametrize("margin", [10, 20, 40, 80])
    def test_gradient_of_softmax(self, width: int, dtype: Any, margin: float) -> None:
        x, rng = logits(width, 0.5, dtype), np.random.default_rng(margin)
        tops = rng.integers(0, width, len(x))
        x[np.arange(len(x)), tops] += margin
        g = rng.standard_normal(x.shape).astype(dtype)
        # Far from the others', or what a sum of them leaves would be rounded by more than an ULP.
        g[np.arange(len(x)), tops] += 20
        assert ulps(get("softmax").backward(g, x), gradient(x, g, tops), dtype) <= 3 * ULP

    def test_an_infinite_gradient_stays_with_its_row(self, width: int, dtype: Any) -> None:
        x = logits(width, 0.5, dtype)
        g = np.ones_like(x)
        x[:, 0] += 5
        expected = get("softmax").backward(g, x)
        g[1, 0], g[3, 1], g[5, 0] = np.inf, -np.inf, np.nan
        got = get("softmax").backward(g, x)
        assert np.array_equal(got[::2], expected[::2])
        assert not np.isfinite(got[1:6:2]).any()

    def test_gradient_of_cross_entropy(self, width: int, dtype: Any) -> None:
        """With targets that are not one-hot, what its target leaves to others is no difference of 1 and it."""
        x, eps = logits(width, 0.5, dtype), 1e-6
        x[:, 0] += 60
        _, rest = shifted(x)
        others = Wide(eps) / width * (width - 1)
        exact = (others - rest / (1 + rest))[:, 0]
        classes, f = np.zeros(len(x), int), get("cross_entropy")
        got = f.backward(x, classes, reduction="none", label_smoothing=eps)[:, 0]
        assert ulps(got, exact, dtype) <= 2 * ULP
        shares = np.full(x.shape, dtype(eps))
        shares[:, 0] = 1
        kept = shares[0, 1:].astype(Wide).sum() - (1 + shares[0, 1:].astype(Wide).sum()) * rest / (1 + rest)
        assert ulps(f.backward(x, shares, reduction="none")[:, 0], kept[:, 0], dtype) <= 2 * ULP


def test_the_gradient_of_softmax_multiplies_no_rounded_subnormal() -> None:
    """A share of 2^-146 has 3 bits in float32; its product with 10^6 has 24."""
    x = np.array([[0.0, -101.25]], np.float32)
    g = np.array([[0.0, 1e6]], np.float32)
    exact = gradient(x, g, np.array([0]))
    assert ulps(get("softmax").backward(g, x), exact, np.float32) <= 2 * ULP
    wide = np.tile(np.float32(-200), (1, 100))
    wide[0, :2] = x
    slopes = np.zeros_like(wide)
    slopes[0, :2] = g
    assert ulps(get("softmax").backward(slopes, wide)[:, :2], exact, np.float32) <= 2 * ULP
