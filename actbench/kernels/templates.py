"""The loops: each factory takes jitable bodies and returns the Python function that Numba compiles.

``params`` is a tuple of the body's scalar parameters; arrays are contiguous, inputs come after outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import register_jitable

from actbench.kernels.operands import LANES, LIGHT, elements, extent, give, load, store, streams, take, tile
from actbench.kernels.reduce import BLOCK
from actbench.kernels.vecmath.intrinsics import wide_vectors

Kernel = Callable[..., Any]
Body = Callable[..., Any]
ELEMENTWISE = frozenset(
    {"forward", "backward", "forward_with_array", "backward_with_array", "loss_elements", "loss_backward"}
)
_inline: Callable[[Body], Body] = register_jitable(forceinline=True, **LIGHT)
_reordered: Callable[[Body], Body] = register_jitable(fastmath={"reassoc"})


def _value(body: Body) -> Body:
    """NaN in, NaN out, said once for all elementwise bodies: comparisons would turn it into a number."""

    @_inline
    def value(x: Any, *params: Any) -> Any:
        return body(x, *params) if x == x else x

    return value


def _value_of_two(body: Body) -> Body:
    @_inline
    def value(a: Any, b: Any, *params: Any) -> Any:
        return body(a, b, *params) if (a == a and b == b) else a + b

    return value


def _product(body: Body) -> Body:
    value = _value(body)

    @_inline
    def product(g: Any, x: Any, *params: Any) -> Any:
        return g * value(x, *params)

    return product


def _scaled(body: Body) -> Body:
    value = _value_of_two(body)

    @_inline
    def scaled(a: Any, b: Any, scale: Any, *params: Any) -> Any:
        return scale * value(a, b, *params)

    return scaled


def _with_array(body: Body, position: int) -> Body:
    """A body whose parameter at ``position`` comes elementwise from an array, right after x."""

    @_inline
    def value(x: Any, w: Any, *params: Any) -> Any:
        return body(x, *params[:position], w, *params[position:]) if x == x else x

    return value


def _product_with_array(body: Body, position: int) -> Body:
    value = _with_array(body, position)

    @_inline
    def product(g: Any, x: Any, w: Any, *params: Any) -> Any:
        return g * value(x, w, *params)

    return product


def _elementwise(value: Body) -> Body:
    """The loop over elements: ``value`` of the inputs' and the parameters.

    It runs piece by piece over whole steps, so that every element goes through the same vector code. The first piece
    ends at a cache line of the output, the last has what remains: both are computed on a copy padded with zeros.
    """

    def kernel(out: Any, params: Any, inputs: Any) -> Any:
        wide_vectors()
        size = extent(out, inputs)
        y, xs = elements(out), elements(inputs)
        room, rooms = tile(y), tile(xs)
        past = streams(y, xs, size)
        done = 0
        while done < size:
            count, target, sources = take(y, xs, room, rooms, done, size, past)
            for i in range((count + LANES - 1) & -LANES):
                store(target, i, value(*load(sources, i), *params))
            done = give(y, room, done, size, count, past)
        return size >= 0

    return kernel


def _sum2(value: Body) -> Kernel:
    # A block is a slice of its own: an index that might wrap round from the end makes LLVM gather elements one
    # by one, at a quarter of the speed.
    @_reordered
    def block(params: Any, a: Any, b: Any) -> Any:
        total = np.float64(0.0)
        for i in range(a.size):
            total += np.float64(value(a[i], b[i], *params))
        return total

    def kernel(partials: Any, params: Any, a: Any, b: Any) -> None:
        for k in range(partials.size):
            part = slice(k * BLOCK, (k + 1) * BLOCK)
            partials[k] = block(params, a[part], b[part])

    return kernel


def forward(body: Body) -> Kernel:
    """out = f(x)."""
    return _elementwise(_value(body))


def backward(body: Body) -> Kernel:
    """out = g f'(x)."""
    return _elementwise(_product(body))


def forward_with_array(body: Body, position: int) -> Kernel:
    """out = f(x, w), one parameter an array."""
    return _elementwise(_with_array(body, position))


def backward_with_array(body: Body, position: int) -> Kernel:
    """out = g f'(x, w), one parameter an array."""
    return _elementwise(_product_with_array(body, position))


def sum_of_products(body: Body) -> Kernel:
    """Partial sums of g df/dp(x), a block each."""
    return _sum2(_product(body))


def loss_elements(body: Body) -> Kernel:
    """out = l(pred, target)."""
    return _elementwise(_value_of_two(body))


def loss_sum(body: Body) -> Kernel:
    """Partial sums of l(pred, target), a block each."""
    return _sum2(_value_of_two(body))


def loss_backward(body: Body) -> Kernel:
    """out = scale l'(pred, target); the scale is the first parameter."""
    return _elementwise(_scaled(body))


def rows(body: Body) -> Kernel:
    """Each row of out from the same row of x."""

    def kernel(out: Any, params: Any, x: Any) -> None:
        for r in range(x.shape[0]):
            body(x[r], out[r], *params)

    return kernel


def rows_backward(body: Body) -> Kernel:
    """Each row of the gradient from the same rows of g and x."""

    def kernel(out: Any, params: Any, g: Any, x: Any) -> None:
        for r in range(x.shape[0]):
            body(g[r], x[r], out[r], *params)

    return kernel


def row_losses(body: Body) -> Kernel:
    """out[r] = scale[r] l(pred[r], target[r], weight); a row of scale 0 is not looked at."""

    def kernel(out: Any, params: Any, scale: Any, pred: Any, target: Any, weight: Any) -> None:
        for r in range(pred.shape[0]):
            out[r] = body(pred[r], target[r], weight, *params) * scale[r] if scale[r] != 0.0 else 0.0

    return kernel


def row_losses_backward(body: Body) -> Kernel:
    """out[r] = scale[r] dl/dpred[r]; a row of scale 0 gets zeros."""

    def kernel(out: Any, params: Any, scale: Any, pred: Any, target: Any, weight: Any) -> None:
        for r in range(pred.shape[0]):
            if scale[r] == 0.0:
                out[r, :] = 0.0
            else:
                body(pred[r], target[r], weight, out[r], *params)
                for c in range(pred.shape[1]):
                    out[r, c] *= scale[r]

    return kernel


def sequences(body: Body) -> Kernel:
    """out[n] = l(scores[:T_n, n, :], targets[n, :L_n])."""

    def kernel(
        out: Any, params: Any, scores: Any, targets: Any, input_lengths: Any, target_lengths: Any
    ) -> None:
        for n in range(out.size):
            out[n] = body(scores[: input_lengths[n], n, :], targets[n, : target_lengths[n]], *params)

    return kernel


def sequences_backward(body: Body) -> Kernel:
    """out[:T_n, n, :] = scale[n] dl/dscores; steps beyond T_n get zeros, and so do rows of scale 0."""

    def kernel(
        out: Any, params: Any, scale: Any, scores: Any, targets: Any, input_lengths: Any, target_lengths: Any
    ) -> None:
        for n in range(scale.size):
            length = input_lengths[n]
            out[length:, n, :] = 0.0
            if scale[n] == 0.0:
                out[:length, n, :] = 0.0
                continue
            body(scores[:length, n, :], targets[n, : target_lengths[n]], out[:length, n, :], *params)
            for t in range(length):
                for c in range(scores.shape[2]):
                    out[t, n, c] *= scale[n]

    return kernel
