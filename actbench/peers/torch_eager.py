"""PyTorch, eager: torch and torch.nn.functional, and behind them the operators that autograd calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np

from actbench.peers.base import (
    Array,
    Description,
    DifferentFunctionError,
    Params,
    Peer,
    Prepared,
    Request,
    Table,
    Tables,
)

_LOSSES_BY_AUTOGRAD = (
    *("half_squared_error", "quadratic_cost", "mae", "mape", "quantile"),
    *("hinge", "bce_with_logits", "cross_entropy", "ctc_with_logits"),
)
_AUTOGRAD = "by autograd, whose graph is made anew"
_FROM_X = "computes its forward pass again, which autograd would have kept"
NOTES: Mapping[str | tuple[str, str], str] = {
    "identity": "a copy: torch.nn.Identity returns its input",
    "swish": "silu, which is swish with beta 1",
    "rrelu": "evaluation: leaky_relu with the mean slope",
    ("prelu", "backward"): "computes the weight's gradient too",
    "bce": "clamps logarithms at -100",
    "maxout": "an expression of torch operations",
    "hinge": "an expression of torch operations",
    "mape": "an expression of torch operations",
    "quantile": "an expression of torch operations",
    "half_squared_error": "mse_loss, divided",
    "quadratic_cost": "mse_loss, divided",
    **{(name, "backward"): _FROM_X for name in ("sigmoid", "tanh", "softmax", "log_softmax", "logsigmoid")},
    **{(name, "backward"): f"{_AUTOGRAD}: {_FROM_X}" for name in ("softsign", "maxout")},
    **{(name, "backward"): f"{_AUTOGRAD}: computes the loss too" for name in _LOSSES_BY_AUTOGRAD},
}
_SELU = 1.6732632423543772, 1.0507009873554805


def tensor(values: Array) -> Any:
    """A tensor over the array's own memory; a copy where that is read-only."""
    import torch

    if not values.flags.writeable or not values.flags.c_contiguous:
        values = np.array(values, order="C")
    if values.dtype.name == "bfloat16":
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)


def array(value: Any, dtype: np.dtype[Any]) -> Array:
    """A tensor's values as an array of our dtype."""
    import torch

    value = value.detach().contiguous()
    if value.dtype == torch.bfloat16:
        words: Array = value.view(torch.int16).numpy()
        return words.view(dtype)
    found: Array = value.numpy()
    return found


def _slope(p: Params) -> float:
    return float((p["lower"] + p["upper"]) / 2)


def _filled(shape: tuple[int, ...], value: float) -> Mapping[Any, Any]:
    """A constant tensor for each dtype: made in a call, it would be a part of what is timed."""
    import torch

    kinds = torch.float64, torch.float32, torch.float16, torch.bfloat16
    return {kind: torch.full(shape, value, dtype=kind) for kind in kinds}


def _silu_of(p: Params) -> None:
    if p["beta"] != 1:
        raise DifferentFunctionError("torch: silu has no beta")


def forward() -> Table:
    """The functions that torch has, as a user writes them."""
    import torch
    from torch.nn import functional as F  # noqa: N812  (torch's own convention)

    def swish(p: Params) -> Any:
        _silu_of(p)
        return F.silu

    def prelu(p: Params) -> Any:
        weight = _filled((1,), p["weight"])
        return lambda x: F.prelu(x, weight[x.dtype])

    def heaviside(p: Params) -> Any:
        at_zero = _filled((), p["values"])
        return lambda x: torch.heaviside(x, at_zero[x.dtype])

    def mape(p: Params) -> Any:
        return lambda y, t: p["scale"] * ((y - t).abs() / t.abs().clamp_min(p["eps"])).mean()

    def quantile(p: Params) -> Any:
        return lambda y, t: torch.maximum(p["q"] * (t - y), (p["q"] - 1) * (t - y)).mean()

    def ctc(p: Params) -> Any:
        def loss(scores: Any, labels: Any) -> Any:
            steps, count, _ = scores.shape
            lengths = (steps,) * count, (labels.shape[1],) * count
            return F.ctc_loss(scores, labels, *lengths, p["blank"], "mean") * (
                1 if p["mean_by"] == "target_lengths" else labels.shape[1]
            )

        return loss

    return {
        "identity": lambda p: torch.clone,
        "step": heaviside,
        "relu": lambda p: F.relu,
        "relu6": lambda p: F.relu6,
        "hardtanh": lambda p: partial(F.hardtanh, min_val=p["min_val"], max_val=p["max_val"]),
        "hardsigmoid": lambda p: F.hardsigmoid,
        "hardswish": lambda p: F.hardswish,
        "leaky_relu": lambda p: partial(F.leaky_relu, negative_slope=p["negative_slope"]),
        "prelu": prelu,
        "rrelu": lambda p: partial(F.leaky_relu, negative_slope=_slope(p)),
        "elu": lambda p: partial(F.elu, alpha=p["alpha"]),
        "selu": lambda p: F.selu,
        "celu": lambda p: partial(F.celu, alpha=p["alpha"]),
        "sigmoid": lambda p: torch.sigmoid,
        "silu": lambda p: F.silu,
        "swish": swish,
        "tanh": lambda p: torch.tanh,
        "softsign": lambda p: F.softsign,
        # An infinite threshold switches torch's linear branch, from 20 on, off.
        "softplus": lambda p: partial(F.softplus, beta=p["beta"], threshold=p["threshold"]),
        "logsigmoid": lambda p: F.logsigmoid,
        "mish": lambda p: F.mish,
        "gelu": lambda p: F.gelu,
        "gelu_tanh": lambda p: partial(F.gelu, approximate="tanh"),
        "softmax": lambda p: partial(torch.softmax, dim=-1),
        "log_softmax": lambda p: partial(torch.log_softmax, dim=-1),
        "maxout": lambda p: lambda x: x.unflatten(-1, (-1, p["k"])).amax(-1),
        "mse": lambda p: F.mse_loss,
        "half_squared_error": lambda p: lambda y, t: F.mse_loss(y, t, reduction="sum") / 2,
        "quadratic_cost": lambda p: lambda y, t: F.mse_loss(y, t, reduction="sum") / (2 * y.shape[0]),
        "mae": lambda p: F.l1_loss,
        "mape": mape,
        "huber": lambda p: partial(F.huber_loss, delta=p["delta"]),
        "quantile": quantile,
        "hinge": lambda p: lambda y, t: (1 - t * y).clamp_min(0).mean(),
        "bce": lambda p: F.binary_cross_entropy,
        "bce_with_logits": lambda p: F.binary_cross_entropy_with_logits,
        "cross_entropy": lambda p: F.cross_entropy,
        "ctc": ctc,
        "ctc_with_logits": lambda p: lambda x, labels: ctc(p)(F.log_softmax(x, -1), labels),
    }


def _forward_out() -> Table:
    import torch

    native = torch._C._nn  # where torch.nn.functional finds them, without its check for subclasses

    def swish(p: Params) -> Any:
        _silu_of(p)
        return native.silu

    def heaviside(p: Params) -> Any:
        at_zero = _filled((), p["values"])
        return lambda x, out: torch.heaviside(x, at_zero[x.dtype], out=out)

    return {
        "step": heaviside,
        "swish": swish,
        "maxout": lambda p: lambda x, out: torch.amax(x.unflatten(-1, (-1, p["k"])), -1, out=out),
        "identity": lambda p: lambda x, out: out.copy_(x),
        "relu": lambda p: partial(torch.clamp_min, min=0),
        "relu6": lambda p: partial(native.hardtanh, min_val=0, max_val=6),
        "hardtanh": lambda p: partial(native.hardtanh, min_val=p["min_val"], max_val=p["max_val"]),
        "hardsigmoid": lambda p: native.hardsigmoid,
        "hardswish": lambda p: native.hardswish,
        "leaky_relu": lambda p: partial(native.leaky_relu, negative_slope=p["negative_slope"]),
        "rrelu": lambda p: partial(native.leaky_relu, negative_slope=_slope(p)),
        "elu": lambda p: partial(native.elu, alpha=p["alpha"]),
        "selu": lambda p: partial(native.elu, alpha=_SELU[0], scale=_SELU[1]),
        "celu": lambda p: partial(native.elu, alpha=p["alpha"], input_scale=1 / p["alpha"]),
        "sigmoid": lambda p: torch.sigmoid,
        "silu": lambda p: native.silu,
        "tanh": lambda p: torch.tanh,
        "softplus": lambda p: partial(native.softplus, beta=p["beta"], threshold=p["threshold"]),
        "logsigmoid": lambda p: native.log_sigmoid,
        "mish": lambda p: native.mish,
        "gelu": lambda p: native.gelu,
        "gelu_tanh": lambda p: partial(native.gelu, approximate="tanh"),
        "softmax": lambda p: partial(torch.softmax, dim=-1),
        "log_softmax": lambda p: partial(torch.log_softmax, dim=-1),
    }


def _backward(ahead: Table) -> Table:
    """The operators that give the gradient from (grad_output, x), or from (pred, target).

    Those that autograd gives the saved output take it from a forward call of their own: from x that is the work.
    Where no operator takes what we are given, autograd runs over a graph that each call makes anew.
    """
    import torch
    from torch.nn import functional as F  # noqa: N812

    aten, autograd = torch.ops.aten, torch.autograd.grad

    def by_autograd(body: Any) -> Any:
        def call(g: Any, x: Any) -> Any:
            leaf = x.detach().requires_grad_()
            return autograd(body(leaf), leaf, g)[0]

        return call

    def maxout(p: Params) -> Any:
        # amax gives tied inputs even parts, max gives all to the first.
        def largest(x: Any) -> Any:
            groups = x.unflatten(-1, (-1, p["k"]))
            return groups.amax(-1) if p["ties"] == "split" else groups.max(-1).values

        return by_autograd(largest)

    def gradient(name: str, p: Params) -> Any:
        body = ahead[name](p)

        def call(y: Any, t: Any) -> Any:
            leaf = y.detach().requires_grad_()
            return autograd(body(leaf, t), leaf)[0]

        return call

    def elu(alpha: float, scale: float = 1.0, input_scale: float = 1.0) -> Any:
        return lambda g, x: aten.elu_backward.default(g, alpha, scale, input_scale, False, x)

    def leaky_relu(slope: float) -> Any:
        return lambda g, x: aten.leaky_relu_backward.default(g, x, slope, False)

    def hardtanh(low: float, high: float) -> Any:
        return lambda g, x: aten.hardtanh_backward.default(g, x, low, high)

    def swish(p: Params) -> Any:
        _silu_of(p)
        return aten.silu_backward.default

    def softplus(p: Params) -> Any:
        return lambda g, x: aten.softplus_backward.default(g, x, p["beta"], p["threshold"])

    def logsigmoid(g: Any, x: Any) -> Any:
        return aten.log_sigmoid_backward.default(g, x, aten.log_sigmoid_forward.default(x)[1])

    def softmax(g: Any, x: Any) -> Any:
        return aten._softmax_backward_data.default(g, torch.softmax(x, -1), -1, x.dtype)

    def log_softmax(g: Any, x: Any) -> Any:
        return aten._log_softmax_backward_data.default(g, torch.log_softmax(x, -1), -1, x.dtype)

    def prelu(p: Params) -> Any:
        weight = _filled((1,), p["weight"])
        return lambda g, x: aten._prelu_kernel_backward.default(g, x, weight[x.dtype])[0]

    def ctc(p: Params) -> Any:
        raise DifferentFunctionError(
            "torch: its gradient of ctc_loss is that of the logits, not of the log-probabilities"
        )

    one, mean = _filled((), 1.0), 1
    return {
        "identity": lambda p: lambda g, x: g.clone(),
        "relu": lambda p: lambda g, x: aten.threshold_backward.default(g, x, 0),
        "relu6": lambda p: hardtanh(0.0, 6.0),
        "hardtanh": lambda p: hardtanh(p["min_val"], p["max_val"]),
        "hardsigmoid": lambda p: aten.hardsigmoid_backward.default,
        "hardswish": lambda p: aten.hardswish_backward.default,
        "leaky_relu": lambda p: leaky_relu(p["negative_slope"]),
        "prelu": prelu,
        "rrelu": lambda p: leaky_relu(_slope(p)),
        "elu": lambda p: elu(p["alpha"]),
        "selu": lambda p: elu(*_SELU),
        "celu": lambda p: elu(p["alpha"], input_scale=1 / p["alpha"]),
        "sigmoid": lambda p: lambda g, x: aten.sigmoid_backward.default(g, torch.sigmoid(x)),
        "silu": lambda p: aten.silu_backward.default,
        "swish": swish,
        "tanh": lambda p: lambda g, x: aten.tanh_backward.default(g, torch.tanh(x)),
        "softplus": softplus,
        "logsigmoid": lambda p: logsigmoid,
        "mish": lambda p: aten.mish_backward.default,
        "gelu": lambda p: aten.gelu_backward.default,
        "gelu_tanh": lambda p: partial(aten.gelu_backward.default, approximate="tanh"),
        "softmax": lambda p: softmax,
        "log_softmax": lambda p: log_softmax,
        "mse": lambda p: lambda y, t: aten.mse_loss_backward.default(one[y.dtype], y, t, mean),
        "huber": lambda p: (
            lambda y, t: aten.huber_loss_backward.default(one[y.dtype], y, t, mean, p["delta"])
        ),
        "bce": lambda p: (
            lambda y, t: aten.binary_cross_entropy_backward.default(one[y.dtype], y, t, None, mean)
        ),
        "ctc": ctc,
        "softsign": lambda p: by_autograd(F.softsign),
        "maxout": maxout,
        **{name: partial(gradient, name) for name in _LOSSES_BY_AUTOGRAD},
    }


def _backward_out() -> Table:
    import torch

    aten = torch.ops.aten

    def into(operator: Any, *constants: Any, **named: Any) -> Any:
        return lambda g, x, out: operator(g, x, *constants, grad_input=out, **named)

    def elu(alpha: float, scale: float = 1.0, input_scale: float = 1.0) -> Any:
        operator = aten.elu_backward.grad_input
        return lambda g, x, out: operator(g, alpha, scale, input_scale, False, x, grad_input=out)

    def from_output(ahead: Any, backward: Any) -> Any:
        """Backward from the output, which is computed into a buffer of its own, made by the first call."""
        kept: list[Any] = []

        def call(g: Any, x: Any, out: Any) -> Any:
            if not kept or kept[0].shape != x.shape or kept[0].dtype != x.dtype:
                kept[:] = [torch.empty_like(x)]
            return backward(g, ahead(x, out=kept[0]), x, out)

        return call

    def logsigmoid(p: Params) -> Any:
        operator, ahead = aten.log_sigmoid_backward.grad_input, aten.log_sigmoid_forward.output
        kept: list[Any] = []  # the buffer, of exp(-|x|), as large as x

        def call(g: Any, x: Any, out: Any) -> Any:
            if not kept or kept[0].shape != x.shape or kept[0].dtype != x.dtype:
                kept[:] = [torch.empty_like(x)]
            ahead(x, output=out, buffer=kept[0])  # its output is not asked for: the gradient goes over it
            return operator(g, x, kept[0], grad_input=out)

        return call

    def swish(p: Params) -> Any:
        _silu_of(p)
        return into(aten.silu_backward.grad_input)

    def of_loss(operator: Any, *constants: Any) -> Any:
        return lambda y, t, out: operator(one[y.dtype], y, t, *constants, grad_input=out)

    one, mean = _filled((), 1.0), 1
    sigmoid, tanh = aten.sigmoid_backward.grad_input, aten.tanh_backward.grad_input
    softmax, log_softmax = aten._softmax_backward_data.out, aten._log_softmax_backward_data.out
    return {
        "identity": lambda p: lambda g, x, out: out.copy_(g),
        "hardswish": lambda p: lambda g, x, out: aten.hardswish_backward.out(g, x, out=out),
        "swish": swish,
        "sigmoid": lambda p: from_output(torch.sigmoid, lambda g, y, x, out: sigmoid(g, y, grad_input=out)),
        "tanh": lambda p: from_output(torch.tanh, lambda g, y, x, out: tanh(g, y, grad_input=out)),
        "softmax": lambda p: from_output(
            partial(torch.softmax, dim=-1), lambda g, y, x, out: softmax(g, y, -1, x.dtype, grad_input=out)
        ),
        "log_softmax": lambda p: from_output(
            partial(torch.log_softmax, dim=-1), lambda g, y, x, out: log_softmax(g, y, -1, x.dtype, out=out)
        ),
        "logsigmoid": logsigmoid,
        "mse": lambda p: of_loss(aten.mse_loss_backward.grad_input, mean),
        "huber": lambda p: of_loss(aten.huber_loss_backward.out, mean, p["delta"]),
        "bce": lambda p: of_loss(aten.binary_cross_entropy_backward.grad_input, None, mean),
        "relu": lambda p: into(aten.threshold_backward.grad_input, 0),
        "relu6": lambda p: into(aten.hardtanh_backward.grad_input, 0.0, 6.0),
        "hardtanh": lambda p: into(aten.hardtanh_backward.grad_input, p["min_val"], p["max_val"]),
        "hardsigmoid": lambda p: into(aten.hardsigmoid_backward.grad_input),
        "leaky_relu": lambda p: into(aten.leaky_relu_backward.grad_input, p["negative_slope"], False),
        "rrelu": lambda p: into(aten.leaky_relu_backward.grad_input, _slope(p), False),
        "elu": lambda p: elu(p["alpha"]),
        "selu": lambda p: elu(*_SELU),
        "celu": lambda p: elu(p["alpha"], input_scale=1 / p["alpha"]),
        "silu": lambda p: into(aten.silu_backward.grad_input),
        "softplus": lambda p: into(aten.softplus_backward.grad_input, p["beta"], p["threshold"]),
        "gelu": lambda p: into(aten.gelu_backward.grad_input),
        "gelu_tanh": lambda p: into(aten.gelu_backward.grad_input, approximate="tanh"),
    }


class Torch(Peer):
    """What eager and compiled PyTorch share: tensors over our arrays, and one number of threads."""

    packages = ("torch",)
    extra = "torch"
    notes: ClassVar = NOTES
    coarse: ClassVar = {("hardsigmoid", "float64"): "holds 1/6 in float32"}
    # libgomp's idle threads spin 300 000 times, some 13 ms at 140 cycles a pause.
    settles_s = 0.015

    def _describe(self) -> Description:
        import torch

        found = [line.strip(" -") for line in torch.__config__.show().splitlines()[1:]]
        build = "; ".join(line for line in found if line.startswith(("GCC", "Clang", "MSVC", "OpenMP")))
        vector = str(torch.backends.cpu.get_cpu_capability())
        return Description(torch.__version__, build, "torch.set_num_threads", vector)

    def set_threads(self, count: int) -> int:
        import torch

        torch.set_num_threads(count)
        # OpenMP starts no more than this says, which torch does not heed when it counts.
        limit = os.environ.get("OMP_THREAD_LIMIT", "")
        found = int(torch.get_num_threads())
        return min(found, int(limit)) if limit.isdecimal() and int(limit) else found


class TorchEager(Torch):
    """PyTorch as it is imported."""

    name = "torch"

    def _tables(self) -> Tables:
        ahead = forward()
        return Tables(ahead, _backward(ahead), _forward_out(), _backward_out())

    def _bind(self, request: Request, body: Any) -> Prepared:
        import torch

        operands = [tensor(a) for a in request.operands]
        call = partial(body, *operands)
        if request.out:
            main = operands[-1] if "x" in request.arrays else operands[0]
            shape = list(main.shape)
            if request.function == "maxout" and request.pass_ == "forward":
                shape[-1] //= request.params["k"]
            call = partial(call, out=torch.empty(shape, dtype=main.dtype))
        note = self.note(request)
        return Prepared(call, lambda: array(call(), request.dtype), not request.out, note)
