"""TensorFlow, as graphs: tf.function over what eager TensorFlow calls, for the shape; gradients by tf.gradients."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from actbench.peers.base import Prepared, Request
from actbench.peers.tensorflow_ import Keras


class TensorFlowFunction(Keras):
    """Keras on TensorFlow as a graph without XLA: as Keras runs a model where all devices are CPUs."""

    # XLA is what Keras's jit_compile="auto" leaves off there. Over 2^20 float32 in one thread it is often faster
    # (gelu 1.6 ms, not 4.1; huber backward 0.7, not 4.3), at times slower (mish 3.8 ms, not 1.0), and most often
    # near (relu 0.6 ms and 0.8); the jax peer measures it.

    name = "tf.function"

    def _bind(self, request: Request, body: Any) -> Prepared:
        import tensorflow as tf

        operands = [tf.convert_to_tensor(a) for a in request.operands]
        graph, seconds = self._once(request, partial(_graph, request, body, operands))
        return self._prepared(request, partial(graph, *operands), seconds)


def _graph(request: Request, body: Any, operands: list[Any]) -> tuple[Any, float]:
    """The graph of a pass, as a function of its tensors, and the seconds that tracing and the first call took."""
    import tensorflow as tf

    def product(g: Any, x: Any) -> Any:
        # A copy has no gradient registered.
        return body(g) if request.function == "identity" else tf.gradients(body(x), x, g)[0]

    def gradient(y: Any, t: Any) -> Any:
        return tf.gradients(body(y, t), y)[0]

    # With the operands as its only parameters: where one is left to its default, every call first fails to bind
    # them and prints the tensors into a message that nobody reads, 6 ms for softmax of 1000 numbers.
    wholes: dict[int, Callable[..., Any]] = {1: lambda x: body(x), 2: lambda y, t: body(y, t)}
    backward = product if "x" in request.arrays else gradient
    start = time.perf_counter()
    # The concrete function, for a call through tf.function takes 0.33 ms for one element, not 0.17.
    graph = tf.function(
        wholes[len(operands)] if request.pass_ == "forward" else backward,
        input_signature=[tf.TensorSpec(o.shape, o.dtype) for o in operands],
        autograph=False,
        jit_compile=False,
    ).get_concrete_function()
    graph(*operands)
    return graph, time.perf_counter() - start
