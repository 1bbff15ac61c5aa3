"""NumPy: the formula, as one writes it who knows which of NumPy's operations are fast."""

from __future__ import annotations

from functools import partial, reduce
from typing import Any

import numpy as np

from actbench.peers.base import Array, Description, Peer, Prepared, Request, Table, Tables, version


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    quotient: Array = e / e.sum(-1, keepdims=True)
    return quotient


def _log_softmax(x: Array) -> Array:
    z = x - x.max(-1, keepdims=True)
    difference: Array = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return difference


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(x))


def _celu(x: Array, alpha: float) -> Array:
    return np.where(x > 0, x, alpha * np.expm1(x / alpha))


def _leaky(x: Array, slope: float) -> Array:
    # Over 2^20 float32 0.2 ms, and with where 4.0.
    return np.maximum(x, slope * x) if 0 <= slope <= 1 else np.where(x > 0, x, slope * x)


def _gelu_tanh(x: Array) -> Array:
    # Of 2^20 float32 x**3 takes 46 ms, x * x * x 0.2.
    y: Array = x / 2 * (1 + np.tanh(_GELU_TANH[0] * (x + _GELU_TANH[1] * (x * x * x))))
    return y


def _maxout(x: Array, k: int) -> Array:
    # Over pairs of 2^20 float32 0.24 ms, and by the maximum over an axis of two 14.
    largest: Array = reduce(np.maximum, (x[..., i::k] for i in range(k)))
    return largest


def _huber(e: Array, delta: float) -> Array:
    return np.where(e <= delta, e * e / 2, delta * (e - delta / 2))


def _picked(log_probabilities: Array, target: Array) -> Any:
    return -log_probabilities[np.arange(target.size), target].mean()


_SELU = 1.6732632423543772, 1.0507009873554805
_GELU_TANH = 0.7978845608028654, 0.044715
FORWARD: Table = {
    "identity": lambda p: np.copy,
    "step": lambda p: lambda x: np.heaviside(x, x.dtype.type(p["values"])),
    "relu": lambda p: lambda x: np.maximum(x, 0),
    "relu6": lambda p: lambda x: np.clip(x, 0, 6),
    "hardtanh": lambda p: lambda x: np.clip(x, p["min_val"], p["max_val"]),
    "hardsigmoid": lambda p: lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hardswish": lambda p: lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "leaky_relu": lambda p: partial(_leaky, slope=p["negative_slope"]),
    "prelu": lambda p: partial(_leaky, slope=p["weight"]),
    "rrelu": lambda p: partial(_leaky, slope=(p["lower"] + p["upper"]) / 2),
    "elu": lambda p: partial(_elu, alpha=p["alpha"]),
    "selu": lambda p: lambda x: _SELU[1] * _elu(x, _SELU[0]),
    "celu": lambda p: partial(_celu, alpha=p["alpha"]),
    "sigmoid": lambda p: lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda p: lambda x: x / (1 + np.exp(-x)),
    "swish": lambda p: lambda x: x / (1 + np.exp(-p["beta"] * x)),
    "tanh": lambda p: np.tanh,
    "softsign": lambda p: lambda x: x / (1 + np.abs(x)),
    "softplus": lambda p: lambda x: np.logaddexp(0, p["beta"] * x) / p["beta"],
    "logsigmoid": lambda p: lambda x: -np.logaddexp(0, -x),
    "mish": lambda p: lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "gelu_tanh": lambda p: _gelu_tanh,
    "softmax": lambda p: _softmax,
    "log_softmax": lambda p: _log_softmax,
    "maxout": lambda p: partial(_maxout, k=p["k"]),
    "mse": lambda p: lambda y, t: ((y - t) ** 2).mean(),
    "half_squared_error": lambda p: lambda y, t: ((y - t) ** 2).sum() / 2,
    "quadratic_cost": lambda p: lambda y, t: ((y - t) ** 2).sum() / (2 * y.shape[0]),
    "mae": lambda p: lambda y, t: np.abs(y - t).mean(),
    "mape": lambda p: lambda y, t: p["scale"] * (np.abs(y - t) / np.maximum(np.abs(t), p["eps"])).mean(),
    "huber": lambda p: lambda y, t: _huber(np.abs(y - t), p["delta"]).mean(),
    "quantile": lambda p: lambda y, t: np.maximum(p["q"] * (t - y), (p["q"] - 1) * (t - y)).mean(),
    "hinge": lambda p: lambda y, t: np.maximum(0, 1 - t * y).mean(),
    "bce": lambda p: lambda y, t: -(t * np.log(y) + (1 - t) * np.log1p(-y)).mean(),
    "bce_with_logits": lambda p: lambda y, t: (np.logaddexp(0, y) - t * y).mean(),
    "cross_entropy": lambda p: lambda y, t: _picked(_log_softmax(y), t),
}
FORWARD_OUT: Table = {
    "identity": lambda p: np.positive,
    "step": lambda p: lambda x, out: np.heaviside(x, x.dtype.type(p["values"]), out=out),
    "relu": lambda p: lambda x, out: np.maximum(x, 0, out=out),
    "relu6": lambda p: lambda x, out: np.clip(x, 0, 6, out=out),
    "hardtanh": lambda p: lambda x, out: np.clip(x, p["min_val"], p["max_val"], out=out),
    "tanh": lambda p: np.tanh,
}
"""Those that are one call of NumPy's, which takes ``out=``."""


class OneThread(Peer):
    """A library of NumPy arrays that computes in the thread that calls it."""

    def set_threads(self, count: int) -> int:
        return 1

    def _bind(self, request: Request, body: Any) -> Prepared:
        call = partial(body, *request.operands)
        if request.out:
            call = partial(call, out=np.empty_like(request.operands[-1]))
        note = self.note(request)
        return Prepared(call, lambda: np.asarray(call()), not request.out, note)


class NumPy(OneThread):
    """NumPy's ufuncs and reductions."""

    name = "numpy"
    packages = ("numpy",)
    extra = "peers"

    def _describe(self) -> Description:
        built = np.show_config(mode="dicts")
        simd = built.get("SIMD Extensions", {})
        vector = [*simd.get("baseline", ()), *simd.get("found", ())]
        return Description(
            version("numpy"), compiler(built), "1, always", vector[-1] if vector else "unknown"
        )

    def _tables(self) -> Tables:
        return Tables(forward=FORWARD, forward_out=FORWARD_OUT)


def compiler(built: Any) -> str:
    """What the C compiler was, from the ``show_config`` of NumPy or SciPy."""
    c = built.get("Compilers", {}).get("c", {})
    return " ".join(filter(None, (c.get("name"), c.get("version")))) or "unknown"
