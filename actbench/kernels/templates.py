"""The loops over elements: each factory takes jitable bodies and returns what a kernel is made of.

``params`` is a tuple of the body's scalar parameters; arrays are contiguous, inputs come after outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actbench.kernels.linking import inline
from actbench.kernels.loops import Loop
from actbench.kernels.operands import (
    LANES,
    PEELED,
    elements,
    extent,
    flush_stream,
    give,
    load,
    room,
    shifted,
    store,
    stream,
    streams,
    take,
)
from actbench.kernels.vecmath.intrinsics import interleave, wide_vectors

Body = Callable[..., Any]


def among_members(body: Body, *members: float) -> Body:
    """A body of two numbers: NaN for a second one outside the members, if there are any."""
    if not members:
        return body
    low, high = members
    NAN = float("nan")

    @inline
    def member_value(a: Any, b: Any, *params: Any) -> Any:
        return body(a, b, *params) if b in (low, high) else NAN

    return member_value


def product(body: Body) -> Body:
    @inline
    def product(g: Any, x: Any, *params: Any) -> Any:
        return g * body(x, *params)

    return product


def _scaled(body: Body, *members: float) -> Body:
    value = among_members(body, *members)

    @inline
    def scaled(a: Any, b: Any, scale: Any, *params: Any) -> Any:
        return scale * value(a, b, *params)

    return scaled


def _with_array(body: Body, position: int) -> Body:
    """A body whose parameter at ``position`` comes elementwise from an array, right after x."""

    @inline
    def value(x: Any, w: Any, *params: Any) -> Any:
        return body(x, *params[:position], w, *params[position:])

    return value


def _product_with_array(body: Body, position: int) -> Body:
    value = _with_array(body, position)

    @inline
    def product(g: Any, x: Any, w: Any, *params: Any) -> Any:
        return g * value(x, w, *params)

    return product


def _elementwise(value: Body) -> Loop:
    """The loop over elements: ``value`` of the inputs' and the parameters.

    It runs piece by piece over whole steps, so that every element goes through the same vector code. The first piece
    ends at a cache line of the output, the last has what remains: both are computed on a copy padded with zeros.
    """

    @inline
    def measure(out: Any, params: Any, inputs: Any) -> Any:
        return extent(out, inputs)

    @inline
    def gather(out: Any, params: Any, inputs: Any, size: Any) -> Any:
        y, xs = elements(out), elements(inputs)
        return y, xs, params, streams(y, xs, size)

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        y, xs, params, past = work
        y, xs, size = shifted(y, first), shifted(xs, first), stop - first
        past = (
            past and size >= PEELED
        )  # what is shorter, such as a team's last part, may begin within a cache line
        spare, spares = room(y), room(xs)
        done = 0
        while done < size:
            count, target, sources = take(y, xs, spare, spares, done, size)
            if past and count % LANES == 0:
                # LLVM keeps the results of one step, and no more, in registers: relu of 2^24 runs at 6.5 G float32/s.
                # By way of 1 KiB of memory, in bursts, it ran at 3.1 to 4.7, as the buffers happened to lie.
                for step in range(0, count, LANES):
                    these = shifted(sources, step)
                    for i in range(LANES):
                        store(spare, i, value(*load(these, i), *params))
                    interleave()
                    stream(shifted(target, step), spare)
            else:
                for i in range((count + LANES - 1) & -LANES):
                    store(target, i, value(*load(sources, i), *params))
                interleave()
            done = give(y, spare, done, count)
        if past:
            flush_stream()

    return Loop(measure, gather, run)


def forward(body: Body) -> Loop:
    """out = f(x)."""
    return _elementwise(body)


def backward(body: Body) -> Loop:
    """out = g f'(x)."""
    return _elementwise(product(body))


def forward_with_array(body: Body, position: int) -> Loop:
    """out = f(x, w), one parameter an array."""
    return _elementwise(_with_array(body, position))


def backward_with_array(body: Body, position: int) -> Loop:
    """out = g f'(x, w), one parameter an array."""
    return _elementwise(_product_with_array(body, position))


def loss_elements(body: Body, *members: float) -> Loop:
    """out = l(pred, target)."""
    return _elementwise(among_members(body, *members))


def loss_backward(body: Body, *members: float) -> Loop:
    """out = scale l'(pred, target); the scale is the first parameter."""
    return _elementwise(_scaled(body, *members))
