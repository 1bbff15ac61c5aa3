"""The same numbers as torch, forward and backward, with torch's own defaults."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from actbench import get

torch = pytest.importorskip("torch", reason="torch is a peer, not a dependency")
F = torch.nn.functional
RNG = np.random.default_rng(11)
X = np.concatenate([RNG.normal(0, 3, 400), [0.0, -0.0, 30.0, -30.0]])
# float64 on both sides; torch's own kernels err by a few ULP.
CLOSE = {"rtol": 1e-13, "atol": 1e-15}
# Sums of some dozens of terms, which torch adds up in another order.
SUMS = {"rtol": 1e-12, "atol": 1e-15}
# Jacobian-vector products of rows, whose terms cancel.
PRODUCTS = {"rtol": 1e-11, "atol": 1e-14}
# Posteriors of torch, from differences of its log-domain recursions over a dozen steps.
POSTERIORS = {"rtol": 1e-10, "atol": 1e-13}


def gradient(call: Any, *inputs: np.ndarray, wrt: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """torch's value and gradient with respect to one input of the sum of the outputs."""
    tensors = [torch.tensor(i) for i in inputs]
    tensors[wrt].requires_grad_()
    value = call(*tensors)
    value.sum().backward()
    return value.detach().numpy(), tensors[wrt].grad.numpy()


ACTIVATIONS = {
    "sigmoid": (torch.sigmoid, {}),
    "tanh": (torch.tanh, {}),
    "relu": (F.relu, {}),
    "leaky_relu": (F.leaky_relu, {}),
    "rrelu": (F.rrelu, {}),
    "elu": (F.elu, {}),
    "elu, alpha": (lambda x: F.elu(x, 0.7), {"alpha": 0.7}),
    "silu": (F.silu, {}),
    "mish": (F.mish, {}),
    "softplus": (F.softplus, {"threshold": 20.0}),
    "softplus, beta": (lambda x: F.softplus(x, 2.0, 20.0), {"beta": 2.0, "threshold": 20.0}),
    "identity": (torch.nn.Identity(), {}),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    call, params = ACTIVATIONS[name]
    f = get(name.partition(",")[0])
    value, slope = gradient(call, X)
    assert np.allclose(f(X, **params), value, **CLOSE)
    assert np.allclose(f.backward(np.ones_like(X), X, **params), slope, **CLOSE)


def test_heaviside() -> None:
    assert np.array_equal(
        get("step")(X, values=0.5),
        torch.heaviside(torch.tensor(X), torch.tensor([0.5], dtype=torch.float64)).numpy(),
    )


def test_prelu_per_channel() -> None:
    x, weight = RNG.normal(size=(4, 3, 5)), np.array([0.25, 0.1, -0.4])
    value, dx = gradient(F.prelu, x, weight)
    _, dw = gradient(F.prelu, x, weight, wrt=1)
    ones = np.ones_like(x)
    assert np.allclose(get("prelu")(x, weight=weight), value, **CLOSE)
    assert np.allclose(get("prelu").backward(ones, x, weight=weight), dx, **CLOSE)
    assert np.allclose(get("prelu").backward(ones, x, wrt="weight", weight=weight), dw, **SUMS)


def test_rrelu_in_training_uses_the_noise_in_both_passes() -> None:
    noise = RNG.random(X.shape)
    given = {"training": True, "noise": noise}
    slope = np.where(X > 0, 1.0, 1 / 8 + (1 / 3 - 1 / 8) * noise)
    assert np.allclose(get("rrelu")(X, **given), X * slope, **CLOSE)
    assert np.allclose(get("rrelu").backward(np.ones_like(X), X, **given), slope, **CLOSE)


def test_softmax() -> None:
    x, g = RNG.normal(0, 4, (6, 9)), RNG.normal(size=(6, 9))
    value, _ = gradient(lambda t: F.softmax(t, -1), x)
    _, dx = gradient(lambda t: F.softmax(t, -1) * torch.tensor(g), x)
    assert np.allclose(get("softmax")(x), value, **CLOSE)
    # A product of a probability with a difference of gradients that nearly cancels.
    assert np.allclose(get("softmax").backward(g, x), dx, **PRODUCTS)
    assert np.allclose(get("softmax")(x, axis=0), F.softmax(torch.tensor(x), 0).numpy(), **CLOSE)


@pytest.mark.parametrize("width", [9, 90])
def test_log_softmax(width: int) -> None:
    x, g = RNG.normal(0, 4, (6, width)), RNG.normal(size=(6, width))
    value, _ = gradient(lambda t: F.log_softmax(t, -1), x)
    _, dx = gradient(lambda t: F.log_softmax(t, -1) * torch.tensor(g), x)
    assert np.allclose(get("log_softmax")(x), value, **CLOSE)
    assert np.allclose(get("log_softmax").backward(g, x), dx, **PRODUCTS)


LOSSES = {
    "mse": (F.mse_loss, {}, "reals"),
    "mae": (F.l1_loss, {}, "reals"),
    "huber": (F.huber_loss, {}, "reals"),
    "huber, delta": (
        lambda p, y, reduction: F.huber_loss(p, y, reduction=reduction, delta=0.6),
        {"delta": 0.6},
        "reals",
    ),
    "bce": (F.binary_cross_entropy, {"clamp": "torch"}, "probabilities"),
    "bce_with_logits": (F.binary_cross_entropy_with_logits, {}, "logits"),
}


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, reduction: str) -> None:
    call, params, kind = LOSSES[name]
    f = get(name.partition(",")[0])
    pred, target = RNG.normal(0, 2, (7, 5)), RNG.normal(0, 2, (7, 5))
    if kind != "reals":
        target = RNG.random((7, 5))
    if kind == "probabilities":
        pred = RNG.random((7, 5))
        pred[0], target[0] = [0, 1, 0, 1, 0.5], [0, 1, 1, 0, 1]
    value, dp = gradient(lambda p, y: call(p, y, reduction=reduction), pred, target)
    assert np.allclose(f(pred, target, reduction=reduction, **params), value, **CLOSE)
    # torch's floor of p(1 - p) is the float32 nearest to 1e-12, in float64 too.
    close = {"rtol": 1e-8} if name == "bce" else CLOSE
    assert np.allclose(f.backward(pred, target, reduction=reduction, **params), dp, **close)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["index", "ignored", "soft"])
def test_cross_entropy(reduction: str, weighted: bool, smoothing: float, kind: str) -> None:
    logits = RNG.normal(0, 3, (8, 5))
    target: np.ndarray = RNG.dirichlet(np.ones(5), 8) if kind == "soft" else RNG.integers(0, 5, 8)
    params: dict[str, Any] = {"label_smoothing": smoothing}
    if kind == "ignored":
        target[[1, 4]] = 2
        params["ignore_index"] = 2
    weight = RNG.uniform(0.2, 2, 5) if weighted else None

    def call(p: Any, y: Any) -> Any:
        w = None if weight is None else torch.tensor(weight)
        return F.cross_entropy(p, y, w, reduction=reduction, **params)

    tensor, y = torch.tensor(logits, requires_grad=True), torch.tensor(target)
    value = call(tensor, y)
    value.sum().backward()
    mine = get("cross_entropy")(logits, target, reduction=reduction, weight=weight, **params)
    assert np.allclose(mine, value.detach().numpy(), **SUMS)
    slope = get("cross_entropy").backward(logits, target, reduction=reduction, weight=weight, **params)
    assert np.allclose(slope, tensor.grad.numpy(), **SUMS)


class TestCTC:
    logits = RNG.normal(0, 1, (12, 3, 6))
    labels = np.array([[1, 2, 2, 4], [3, 3, 3, 1], [5, 1, 1, 1]])
    lengths: ClassVar = {"input_lengths": np.array([12, 10, 7]), "target_lengths": np.array([4, 3, 1])}

    def torch_loss(self, log_probs: Any, reduction: str, **more: Any) -> Any:
        i, t = (torch.tensor(self.lengths[k]) for k in ("input_lengths", "target_lengths"))
        return F.ctc_loss(log_probs, torch.tensor(self.labels), i, t, reduction=reduction, **more)

    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    def test_values(self, reduction: str) -> None:
        log_probs = F.log_softmax(torch.tensor(self.logits), -1)
        theirs = self.torch_loss(log_probs, reduction).numpy()
        assert np.allclose(
            get("ctc")(log_probs.numpy(), self.labels, reduction=reduction, **self.lengths),
            theirs,
            **SUMS,
        )
        mine = get("ctc_with_logits")(self.logits, self.labels, reduction=reduction, **self.lengths)
        assert np.allclose(mine, theirs, **SUMS)

    @pytest.mark.parametrize("reduction", ["mean", "sum"])
    def test_the_gradient_of_the_logits_is_torchs(self, reduction: str) -> None:
        logits = torch.tensor(self.logits, requires_grad=True)
        self.torch_loss(F.log_softmax(logits, -1), reduction).backward()
        mine = get("ctc_with_logits").backward(self.logits, self.labels, reduction=reduction, **self.lengths)
        assert np.allclose(mine, logits.grad.numpy(), **POSTERIORS)

    def test_torch_calls_the_gradient_of_the_logits_that_of_the_log_probabilities(self) -> None:
        log_probs = F.log_softmax(torch.tensor(self.logits), -1).requires_grad_()
        self.torch_loss(log_probs, "sum").backward()
        theirs = log_probs.grad.numpy()
        both = log_probs.detach().numpy(), self.labels
        true = get("ctc").backward(*both, reduction="sum", **self.lengths)
        assert np.allclose(
            theirs, get("ctc_with_logits").backward(*both, reduction="sum", **self.lengths), **POSTERIORS
        )
        assert not np.allclose(theirs, true, atol=1e-2)
        # The true one holds minus a probability distribution at every step.
        assert np.allclose(true[:7].sum(axis=2), -1, **POSTERIORS)

    def test_zero_infinity(self) -> None:
        short = {**self.lengths, "input_lengths": np.array([12, 4, 7])}
        log_probs = F.log_softmax(torch.tensor(self.logits), -1)
        i, t = (torch.tensor(short[k]) for k in ("input_lengths", "target_lengths"))
        theirs = F.ctc_loss(
            log_probs, torch.tensor(self.labels), i, t, reduction="none", zero_infinity=True
        ).numpy()
        mine = get("ctc")(log_probs.numpy(), self.labels, reduction="none", zero_infinity=True, **short)
        assert theirs[1] == 0
        assert np.allclose(mine, theirs, **SUMS)
