"""JAX: jax.nn and jax.numpy under jit, the backward pass by vjp and grad."""

from __future__ import annotations

import os
import time
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from actbench.peers.base import Description, Params, Peer, Prepared, Request, Table, Tables, version
from actbench.peers.threads import started

_POOL = "tf_XLAEigen"  # what XLA calls the threads that share the work of one operation


def _bodies() -> Table:
    import jax.numpy as jnp
    from jax import nn
    from jax.scipy.special import logsumexp

    def squares(y: Any, t: Any) -> Any:
        return jnp.sum((y - t) ** 2)

    def huber(y: Any, t: Any, delta: float) -> Any:
        e = jnp.abs(y - t)
        return jnp.mean(jnp.where(e <= delta, e * e / 2, delta * (e - delta / 2)))

    def cross_entropy(y: Any, t: Any) -> Any:
        return jnp.mean(logsumexp(y, axis=-1) - jnp.take_along_axis(y, t[:, None], axis=-1)[:, 0])

    def ctc_with_logits(p: Params) -> Any:
        import optax

        def loss(x: Any, labels: Any) -> Any:
            steps, count, _ = x.shape
            paddings = jnp.zeros((count, steps), x.dtype), jnp.zeros(labels.shape, x.dtype)
            each = optax.ctc_loss(x.swapaxes(0, 1), paddings[0], labels, paddings[1], blank_id=p["blank"])
            return jnp.mean(each) / (labels.shape[1] if p["mean_by"] == "target_lengths" else 1)

        return loss

    return {
        **({"ctc_with_logits": ctc_with_logits} if find_spec("optax") else {}),
        "identity": lambda p: jnp.copy,
        "step": lambda p: lambda x: jnp.heaviside(x, p["values"]),
        "relu": lambda p: nn.relu,
        "relu6": lambda p: nn.relu6,
        "hardtanh": lambda p: lambda x: jnp.clip(x, p["min_val"], p["max_val"]),
        "hardsigmoid": lambda p: nn.hard_sigmoid,
        "hardswish": lambda p: nn.hard_swish,
        "leaky_relu": lambda p: partial(nn.leaky_relu, negative_slope=p["negative_slope"]),
        "prelu": lambda p: partial(nn.leaky_relu, negative_slope=p["weight"]),
        "rrelu": lambda p: partial(nn.leaky_relu, negative_slope=(p["lower"] + p["upper"]) / 2),
        "elu": lambda p: partial(nn.elu, alpha=p["alpha"]),
        "selu": lambda p: nn.selu,
        "celu": lambda p: partial(nn.celu, alpha=p["alpha"]),
        "sigmoid": lambda p: nn.sigmoid,
        "silu": lambda p: nn.silu,
        "swish": lambda p: lambda x: x * nn.sigmoid(p["beta"] * x),
        "tanh": lambda p: jnp.tanh,
        "softsign": lambda p: nn.soft_sign,
        "softplus": lambda p: lambda x: nn.softplus(p["beta"] * x) / p["beta"],
        "logsigmoid": lambda p: nn.log_sigmoid,
        "mish": lambda p: nn.mish,
        "gelu": lambda p: partial(nn.gelu, approximate=False),
        "gelu_tanh": lambda p: partial(nn.gelu, approximate=True),
        "softmax": lambda p: nn.softmax,
        "log_softmax": lambda p: nn.log_softmax,
        "maxout": lambda p: lambda x: jnp.max(x.reshape(*x.shape[:-1], -1, p["k"]), axis=-1),
        "mse": lambda p: lambda y, t: jnp.mean((y - t) ** 2),
        "half_squared_error": lambda p: lambda y, t: squares(y, t) / 2,
        "quadratic_cost": lambda p: lambda y, t: squares(y, t) / (2 * y.shape[0]),
        "mae": lambda p: lambda y, t: jnp.mean(jnp.abs(y - t)),
        "mape": lambda p: (
            lambda y, t: p["scale"] * jnp.mean(jnp.abs(y - t) / jnp.maximum(jnp.abs(t), p["eps"]))
        ),
        "huber": lambda p: partial(huber, delta=p["delta"]),
        "quantile": lambda p: lambda y, t: jnp.mean(jnp.maximum(p["q"] * (t - y), (p["q"] - 1) * (t - y))),
        "hinge": lambda p: lambda y, t: jnp.mean(jnp.maximum(0, 1 - t * y)),
        "bce": lambda p: lambda y, t: -jnp.mean(t * jnp.log(y) + (1 - t) * jnp.log1p(-y)),
        "bce_with_logits": lambda p: lambda y, t: -jnp.mean(t * y + nn.log_sigmoid(-y)),
        "cross_entropy": lambda p: cross_entropy,
    }


class JaxJit(Peer):
    """JAX on the CPU, compiled for the shape; results are waited for."""

    name = "jax"
    packages = ("jax", "jaxlib")
    extra = "jax"
    notes: ClassVar = {"prelu": "leaky_relu with the same slope", "ctc_with_logits": "optax.ctc_loss"}

    def __init__(self) -> None:
        self._threads: int | None = None

    def _describe(self) -> Description:
        from jaxlib import version as jaxlib

        return Description(
            version("jax"), f"jaxlib {jaxlib.__version__}", "PJRT_NPROC, a new client", "the host's, by LLVM"
        )

    def set_threads(self, count: int) -> int:
        """Give XLA's client a pool of ``count`` threads; a client that exists is replaced by a new one."""
        if self._threads is not None and self._threads == count:
            return count
        # A client's pool has the size that this says when the client is made, and keeps it.
        os.environ["PJRT_NPROC"] = str(count)
        import jax
        from jax.extend import backend

        backend.clear_backends()
        jax.clear_caches()
        made = started(lambda: jax.jit(lambda x: x + 1)(np.zeros(1)).block_until_ready())
        self._threads = count if made is None else made.count(_POOL)
        return self._threads

    def _tables(self) -> Tables:
        bodies = _bodies()
        return Tables(forward=bodies, backward=bodies)

    def _bind(self, request: Request, body: Any) -> Prepared:
        import jax

        function = body
        if request.pass_ == "backward" and "x" in request.arrays:

            def function(g: Any, x: Any) -> Any:
                return jax.vjp(body, x)[1](g)[0]

        elif request.pass_ == "backward":
            function = jax.grad(body)
        # Only float64 needs 64-bit types. With them optax makes float64 of float32 scores: 7.0 ms for 256 steps of 8
        # sequences, not 1.5.
        jax.config.update("jax_enable_x64", request.dtype == np.float64)
        operands = jax.block_until_ready([jax.numpy.asarray(a) for a in request.operands])

        def compile() -> tuple[Any, float]:
            start = time.perf_counter()
            # What is compiled ahead keeps to these types, however they are set for the next.
            compiled = jax.jit(function).lower(*operands).compile()
            compiled(*operands).block_until_ready()
            return compiled, time.perf_counter() - start

        compiled, seconds = self._once(request, compile, self._threads)

        def call() -> Any:
            return compiled(*operands).block_until_ready()

        note = self.note(request)
        return Prepared(call, lambda: np.asarray(call()), note=note, compile_s=seconds)
