"""TensorFlow, eager: what Keras calls activations and losses, gradients by tf.GradientTape."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial, reduce
from typing import Any, ClassVar, cast

import numpy as np

from actbench.catalog.errors import ActbenchError
from actbench.peers.base import (
    Call,
    Description,
    DifferentFunctionError,
    Params,
    Peer,
    Prepared,
    Request,
    Table,
    Tables,
)
from actbench.peers.environment import environment
from actbench.peers.threads import started

_EXPRESSION = "an expression of TensorFlow operations"
_OTHER_POOLS = ("tf_Compute", "tf_graph_runner")  # what starts operations, not what shares the work of one
_NO_GRADIENT = ("step",)


def _activations() -> Table:
    import tensorflow as tf
    from keras import activations

    def step(p: Params) -> Any:
        def heaviside(x: Any) -> Any:
            at_zero = tf.constant(p["values"], x.dtype)
            return tf.where(x > 0, tf.ones_like(x), tf.where(x < 0, tf.zeros_like(x), at_zero))

        return heaviside

    def prelu(p: Params) -> Any:
        return lambda x: activations.relu(x) - p["weight"] * activations.relu(-x)

    def softplus(p: Params) -> Any:
        if p["beta"] == 1:
            return activations.softplus
        return lambda x: activations.softplus(p["beta"] * x) / p["beta"]

    def maxout(p: Params) -> Any:
        # The gradient of reduce_max gives tied inputs even parts, that of a chain of maxima all to the first. It is
        # the faster one too: over pairs of 2^20 float32 0.9 ms, not 5.3, and backward 8 ms, not 27.
        def largest(x: Any) -> Any:
            groups = tf.reshape(x, (*x.shape[:-1], -1, p["k"]))
            if p["ties"] == "split":
                return tf.reduce_max(groups, axis=-1)
            return reduce(tf.maximum, tf.unstack(groups, axis=-1))

        return largest

    return {
        "identity": lambda p: lambda x: tf.raw_ops.DeepCopy(x=x),
        "step": step,
        "relu": lambda p: activations.relu,
        "relu6": lambda p: activations.relu6,
        "hardtanh": lambda p: lambda x: tf.clip_by_value(x, p["min_val"], p["max_val"]),
        "hardsigmoid": lambda p: activations.hard_sigmoid,
        "hardswish": lambda p: activations.hard_silu,
        "leaky_relu": lambda p: partial(activations.leaky_relu, negative_slope=p["negative_slope"]),
        "prelu": prelu,
        "rrelu": lambda p: partial(activations.leaky_relu, negative_slope=(p["lower"] + p["upper"]) / 2),
        "elu": lambda p: partial(activations.elu, alpha=p["alpha"]),
        "selu": lambda p: activations.selu,
        "celu": lambda p: partial(activations.celu, alpha=p["alpha"]),
        "sigmoid": lambda p: activations.sigmoid,
        "silu": lambda p: activations.silu,
        "swish": lambda p: partial(tf.nn.silu, beta=p["beta"]),
        "tanh": lambda p: activations.tanh,
        "softsign": lambda p: activations.softsign,
        "softplus": softplus,
        "logsigmoid": lambda p: activations.log_sigmoid,
        "mish": lambda p: activations.mish,
        "gelu": lambda p: partial(activations.gelu, approximate=False),
        "gelu_tanh": lambda p: partial(activations.gelu, approximate=True),
        "softmax": lambda p: activations.softmax,
        "log_softmax": lambda p: activations.log_softmax,
        "maxout": maxout,
    }


def _losses() -> Table:
    import tensorflow as tf
    from keras import losses

    def mean(loss: Any) -> Any:
        """The mean of a Keras loss, which takes the target first and gives a mean for each row."""

        def reduced(y: Any, t: Any) -> Any:
            each = loss(t, y)
            return tf.reduce_mean(each) if each.shape.rank else each

        return reduced

    def mape(p: Params) -> Any:
        return lambda y, t: p["scale"] * tf.reduce_mean(tf.abs(y - t) / tf.maximum(tf.abs(t), p["eps"]))

    def quantile(p: Params) -> Any:
        # The maximum of two products would give the gradient at their tie to the first; here it is 0, as ours.
        def loss(y: Any, t: Any) -> Any:
            return tf.reduce_mean(p["q"] * tf.nn.relu(t - y) + (1 - p["q"]) * tf.nn.relu(y - t))

        return loss

    def ctc(p: Params) -> Any:
        raise DifferentFunctionError("tensorflow: ctc_loss takes logits, not log-probabilities")

    def ctc_with_logits(p: Params) -> Any:
        def loss(x: Any, labels: Any) -> Any:
            if x.dtype == tf.float64:
                raise DifferentFunctionError("tensorflow: ctc_loss computes in float32")
            steps, count, _ = x.shape
            # Dense labels, as Keras gives them, are computed by a loop of operations: 315 ms for 256 steps of 8
            # sequences, where the operator that takes sparse ones needs 24.
            places = np.argwhere(np.ones(labels.shape, bool))
            values = tf.cast(tf.reshape(labels, [-1]), tf.int32)
            each = tf.nn.ctc_loss(
                tf.SparseTensor(places, values, labels.shape),
                tf.cast(x, tf.float32),
                None,
                tf.fill([count], steps),
                blank_index=p["blank"],
            )
            total = tf.reduce_mean(each) / (labels.shape[1] if p["mean_by"] == "target_lengths" else 1)
            return tf.cast(total, x.dtype)

        return loss

    return {
        "mse": lambda p: mean(losses.mean_squared_error),
        "half_squared_error": lambda p: lambda y, t: tf.nn.l2_loss(y - t),
        "quadratic_cost": lambda p: lambda y, t: tf.nn.l2_loss(y - t) / y.shape[0],
        "mae": lambda p: mean(losses.mean_absolute_error),
        "mape": mape,
        "huber": lambda p: mean(partial(losses.huber, delta=p["delta"])),
        "quantile": quantile,
        "hinge": lambda p: mean(losses.hinge),
        "bce": lambda p: mean(losses.binary_crossentropy),
        "bce_with_logits": lambda p: mean(partial(losses.binary_crossentropy, from_logits=True)),
        "cross_entropy": lambda p: mean(partial(losses.sparse_categorical_crossentropy, from_logits=True)),
        "ctc": ctc,
        "ctc_with_logits": ctc_with_logits,
    }


class Keras(Peer):
    """What eager TensorFlow and its graphs share: tensors, and one pool of threads a process."""

    # Its idle threads do not spin: in the 50 ms after a call of two threads the process has 0.08 ms of CPU time, and
    # in the next 50 as much; so settles_s is 0.

    packages = ("tensorflow", "keras")
    extra = "tensorflow"
    notes: ClassVar = {
        "identity": "a copy: keras.activations.linear returns its input",
        "prelu": "what keras.layers.PReLU computes, without the weight's gradient",
        "rrelu": "evaluation: leaky_relu with the mean slope",
        "maxout": _EXPRESSION,
        "half_squared_error": "tf.nn.l2_loss",
        "quadratic_cost": "tf.nn.l2_loss, divided",
        "mape": _EXPRESSION,
        "quantile": _EXPRESSION,
        "hinge": "looks first whether its labels are 0 and 1",
        "bce": "clips predictions to [1e-7, 1 - 1e-7]",
        "ctc_with_logits": "tf.nn.ctc_loss of sparse labels",
    }

    coarse: ClassVar = {
        (name, "float64"): "holds its constants in float32"
        for name in ("gelu", "gelu_tanh", "leaky_relu", "rrelu")
    }

    def _describe(self) -> Description:
        tf, keras = _imported()
        build = f"{tf.version.COMPILER_VERSION}, {tf.version.GIT_VERSION}"
        threads = "intra_op_parallelism_threads, once a process"
        return Description(f"{tf.__version__}, keras {keras.__version__}", build, threads, _vector())

    def set_threads(self, count: int) -> int:
        """Make TensorFlow's pool of ``count`` threads, unless the process has one; how many it has."""
        return _pool(count)

    def _tables(self) -> Tables:
        _imported()
        bodies = {**_activations(), **_losses()}
        return Tables(bodies, {name: body for name, body in bodies.items() if name not in _NO_GRADIENT})

    def _prepared(self, request: Request, call: Call, compile_s: float = 0.0) -> Prepared:
        # In TensorFlow's synchronous mode, its default, a call returns when the result is there: to read that takes
        # 0.05 ms after a call of 1.2 ms.
        note = self.note(request)
        return Prepared(call, lambda: np.asarray(cast(Any, call()).numpy()), note=note, compile_s=compile_s)


class TensorFlow(Keras):
    """Keras on TensorFlow as it is imported, operation by operation; gradients by tf.GradientTape."""

    name = "tensorflow"

    def _bind(self, request: Request, body: Any) -> Prepared:
        tf, _ = _imported()
        operands = [tf.convert_to_tensor(a) for a in request.operands]

        def product(g: Any, x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = body(x)
            # A copy has no gradient registered.
            return body(g) if request.function == "identity" else tape.gradient(y, x, g)

        def gradient(y: Any, t: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(y)
                loss = body(y, t)
            return tape.gradient(loss, y)

        backward = product if "x" in request.arrays else gradient
        call = partial(body if request.pass_ == "forward" else backward, *operands)
        call()  # it refuses here what it does not have
        return self._prepared(request, call)


@cache
def _pool(count: int) -> int:
    """The threads of TensorFlow's pool, which the first call makes."""
    tf, _ = _imported()
    threading = tf.config.threading
    with suppress(RuntimeError):  # its first operation has set them
        threading.set_intra_op_parallelism_threads(count)
        threading.set_inter_op_parallelism_threads(1)
    # The pool's name is too long for a thread's, which leaves it without one.
    made = started(lambda: tf.zeros(()))
    asked = threading.get_intra_op_parallelism_threads() or os.cpu_count() or 1
    return sum(name not in _OTHER_POOLS for name in made) if made else asked


@cache
def _imported() -> tuple[Any, Any]:
    """TensorFlow, and Keras on top of it whatever its settings say; without what they print."""
    # The notice of oneDNN heeds no level, what is printed later does.
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3")
    with environment({"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": level}), _silence():
        import keras
        import tensorflow

        # The processor's kernels are compared. Where the wheel has GPU support, to look for one prints to stderr.
        tensorflow.config.set_visible_devices([], "GPU")
    if keras.backend.backend() != "tensorflow":
        raise ActbenchError(f"keras was imported before, on {keras.backend.backend()}, and cannot change")
    return tensorflow, keras


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing on the process's stderr, also where it is not Python that writes."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _vector() -> str:
    from tensorflow.python.util import _pywrap_util_port

    return "the wheel's" + (", oneDNN's at run time" if _pywrap_util_port.IsMklEnabled() else "")
