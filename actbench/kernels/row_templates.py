"""The loops over rows and sequences: each factory takes a jitable body and returns what Numba compiles.

``params`` is a tuple of the body's scalar parameters; matrices of rows are contiguous, inputs come after outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from actbench.kernels.lanes import (
    COUNT,
    equal,
    load,
    load_columns,
    prefetch,
    row,
    splat,
    store,
    store_columns,
    stretch,
    where,
)
from actbench.kernels.linking import inline
from actbench.kernels.loops import Loop
from actbench.kernels.matrices import matrix, read_only, rows_of, size_of, vector
from actbench.kernels.operands import LINE
from actbench.kernels.reduce import SPAN
from actbench.kernels.row_steps import add, block, counts, of_row, room, stack, totals
from actbench.kernels.templates import among_members, product
from actbench.kernels.vecmath.intrinsics import interleave, wide_vectors

Body = Callable[..., Any]
SUMS = frozenset({"sum_of_products", "loss_sum", "arithmetic_loss_sum", "wide_loss_sum"})
"""Their first operand is an array of partial sums, two numbers a span."""
TYPED = frozenset(
    f"{template}{pass_}"
    for template in ("row_losses", "block_losses", "sequences")
    for pass_ in ("", "_backward")
)
"""They take arrays of given dtypes in C order; the others any of NumPy's arrays, and decline what they cannot do."""
BLOCK = 256
"""Terms at a time: with 1024 memory idles while they are added, 0.37 ns for 0.31 an element of mse."""
AHEAD, AHEAD_FROM = 1024, 1 << 18
"""Elements that sums ask for before they need them, and the size from which they do.

While the terms of a block are added nothing else is read: asked for ahead, mse of 16 Mi elements takes 0.57 ns an
element, not 0.72 (float64 1.05, not 1.38; a loop that only reads 0.66 and 1.06). In the cache it costs 3-10 %.
"""


@inline
def _gather(rows: Any, start: Any, columns: Any) -> None:
    """Rows side by side: lane k of the columns is row start + k; lanes without a row keep what they hold."""
    if start + COUNT <= rows.shape[0]:
        for i in range(0, rows.shape[1], COUNT):
            load_columns(rows, start, i, columns)
    else:
        for i in range(rows.shape[1]):
            for k in range(rows.shape[0] - start):
                columns[i, k] = rows[start + k, i]


@inline
def _scatter(columns: Any, rows: Any, start: Any) -> None:
    if start + COUNT <= rows.shape[0]:
        for i in range(0, rows.shape[1], COUNT):
            store_columns(rows, start, i, columns)
    else:
        for i in range(rows.shape[1]):
            for k in range(rows.shape[0] - start):
                rows[start + k, i] = columns[i, k]


@inline
def _float32_room(partials: Any, a: Any) -> Any:
    """Room for terms in float64 of arrays in float32, and zeros of what is added."""
    return stack(partials), splat(np.float32(0))


@inline
def _same_room(partials: Any, a: Any) -> Any:
    return stack(a), splat(a.dtype.type(0))


@inline
def _as_it_is() -> None: ...


def _sum(value: Body, make_room: Body = _same_room, side_by_side: Body = _as_it_is) -> Loop:
    """``side_by_side`` is ``interleave`` where terms are long: 3.2 ns, not 4.2, for bce_with_logits of float64."""

    @inline
    def measure(partials: Any, params: Any, inputs: Any) -> Any:
        size, spans = size_of(inputs), partials.size // 2
        return spans if 0 <= size <= SPAN * spans else -1

    @inline
    def gather(partials: Any, params: Any, inputs: Any, spans: Any) -> Any:
        size = size_of(inputs)
        return partials, vector(inputs[0], size), vector(inputs[1], size), params

    @inline
    def run(work: Any, first_span: Any, stop: Any) -> None:
        wide_vectors()
        partials, a, b, params = work
        size = a.size
        terms, lost = make_room(partials, a)
        line, large = LINE // a.itemsize, size >= AHEAD_FROM
        for k in range(first_span, stop):
            high, low = splat(np.float64(0.0)), lost
            for start in range(k * SPAN, min((k + 1) * SPAN, size), BLOCK):
                count = min(BLOCK, size - start)
                first, second = stretch(a, start, count), stretch(b, start, count)
                for i in range(count):
                    terms[i] = value(first[i], second[i], *params)
                side_by_side()
                for i in range(count, -(-count // COUNT) * COUNT):
                    terms[i] = 0
                for i in range(0, count, COUNT):
                    if large:
                        for j in range(start + AHEAD + i, start + AHEAD + i + COUNT, line):
                            prefetch(a, j)
                            prefetch(b, j)
                    high, low = add(high, low, load(terms, i), lost)
            partials[2 * k], partials[2 * k + 1] = totals(high, low)

    return Loop(measure, gather, run)


def sum_of_products(body: Body) -> Loop:
    """Partial sums of g df/dp(x), a span each, as a number and what it lacks."""
    return _sum(product(body), side_by_side=interleave)


def loss_sum(body: Body, *members: float) -> Loop:
    """Partial sums of l(pred, target), a span each, as a number and what it lacks."""
    return _sum(among_members(body, *members), side_by_side=interleave)


def arithmetic_loss_sum(body: Body, *members: float) -> Loop:
    """The same of a body without functions: side by side, mse of float64 took 0.47 ns an element, not 0.42."""
    return _sum(among_members(body, *members))


def wide_loss_sum(body: Body, *members: float) -> Loop:
    """The same of that and float32 arrays, with every term in float64: as fast where memory sets the pace."""
    value = among_members(body, *members)

    @inline
    def wide(a: Any, b: Any, *params: Any) -> Any:
        return value(np.float64(a), np.float64(b), *params)

    return _sum(wide, _float32_room)


def _forward(run: Body, length: Body, used: int) -> Loop:
    """A loop over matrices of x and out in their place, where out's rows are as long as ``length`` says.

    That takes the length of x's rows, and as many of the parameters as are ``used``.
    """

    @inline
    def measure(out: Any, params: Any, inputs: Any) -> Any:
        count = rows_of(out, inputs)
        if count < 0:
            return -1
        x, y = matrix(inputs[0], count), matrix(out, count)
        return count if y.shape[1] == length(x.shape[1], *params[:used]) else -1

    @inline
    def gather(out: Any, params: Any, inputs: Any, count: Any) -> Any:
        return read_only(inputs[0], count), matrix(out, count), params

    return Loop(measure, gather, run)


def _backward(run: Body, length: Body, used: int) -> Loop:
    """The same of g, whose rows are as long as ``length`` says, and x and out, whose rows are of one length."""

    @inline
    def measure(out: Any, params: Any, inputs: Any) -> Any:
        count = rows_of(out, inputs)
        if count < 0:
            return -1
        g, x, y = matrix(inputs[0], count), matrix(inputs[1], count), matrix(out, count)
        fits = y.shape[1] == x.shape[1] and g.shape[1] == length(x.shape[1], *params[:used])
        return count if fits else -1

    @inline
    def gather(out: Any, params: Any, inputs: Any, count: Any) -> Any:
        return read_only(inputs[0], count), read_only(inputs[1], count), matrix(out, count), params

    return Loop(measure, gather, run)


def rows(body: Body, length: Body, used: int) -> Loop:
    """Each row of out from the same row of x."""

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        x, y, params = work
        for r in range(first, stop):
            body(row(x, r), row(y, r), *params)

    return _forward(run, length, used)


def rows_backward(body: Body, length: Body, used: int) -> Loop:
    """Each row of the gradient from the same rows of g and x."""

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        g, x, y, params = work
        for r in range(first, stop):
            body(row(g, r), row(x, r), row(y, r), *params)

    return _backward(run, length, used)


def blocks(body: Body, length: Body, used: int) -> Loop:
    """The same for short rows, 16 at a time: one row of 10 leaves 6 lanes idle and sums across the others."""

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        x, y, params = work
        x_block, y_block = block(x), block(y)
        xs, ys = x_block[: x.shape[1]], y_block[: y.shape[1]]
        for start in range(first, stop, COUNT):
            _gather(x, start, x_block)
            body(xs, ys, *params)
            _scatter(y_block, y, start)

    return _forward(run, length, used)


def blocks_backward(body: Body, length: Body, used: int) -> Loop:
    """The gradient of short rows, 16 at a time."""

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        g, x, y, params = work
        g_block, x_block, y_block = block(g), block(x), block(y)
        gs, xs, ys = g_block[: g.shape[1]], x_block[: x.shape[1]], y_block[: y.shape[1]]
        for start in range(first, stop, COUNT):
            _gather(g, start, g_block)
            _gather(x, start, x_block)
            body(gs, xs, ys, *params)
            _scatter(y_block, y, start)

    return _backward(run, length, used)


def _classes(run: Body) -> Loop:
    """A loop over rows of logits, the class of each or its probabilities, and the weights of the classes.

    The last input is whether it is to decline rows without a class.
    """

    @inline
    def measure(out: Any, params: Any, inputs: Any) -> Any:
        pred, target, _, strict = inputs
        count, found = pred.shape[0], 0
        if strict:
            for r in range(count):
                found += counts(target, r, pred.shape[1])
        return count if found == count or not strict else -1

    @inline
    def gather(out: Any, params: Any, inputs: Any, count: Any) -> Any:
        return out, inputs[0], inputs[1], inputs[2], params

    return Loop(measure, gather, run)


def row_losses(body: Body) -> Loop:
    """out[r] = l(pred[r], target[r], weight), 0 where target[r] is no class."""

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        out, pred, target, weight, params = work
        for r in range(first, stop):
            out[r] = 0.0
            if counts(target, r, pred.shape[1]):
                out[r] = body(row(pred, r), of_row(target, r), weight, *params)

    return _classes(run)


def row_losses_backward(body: Body) -> Loop:
    """out[r] = scale dl/dpred[r], zeros where target[r] is no class; the scale is the first parameter."""

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        out, pred, target, weight, params = work
        scale = params[0]
        for r in range(first, stop):
            gradient = row(out, r)
            if counts(target, r, pred.shape[1]):
                body(row(pred, r), of_row(target, r), weight, gradient, *params[1:])
                for c in range(pred.shape[1]):
                    gradient[c] *= scale
            else:
                gradient[:] = 0.0

    return _classes(run)


@inline
def _gather_classes(target: Any, start: Any, size: Any, classes: Any, counted: Any) -> None:
    """The classes of 16 rows, 0 for a row without one, and 1 or 0 for each: whether it has one."""
    for k in range(COUNT):
        valid = start + k < target.size and counts(target, start + k, size)
        classes[k] = target[start + k] if valid else 0
        counted[k] = 1 if valid else 0


def block_losses(body: Body) -> Loop:
    """The losses of short rows against classes, 16 rows at a time."""

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        out, pred, target, weight, params = work
        columns, classes = block(pred), room(np.int64(0))
        logits, weights = columns[: pred.shape[1]], stretch(weight, 0, weight.size)
        values, counted = room(np.float64(0)), room(np.float64(0))
        for start in range(first, stop, COUNT):
            _gather(pred, start, columns)
            _gather_classes(target, start, pred.shape[1], classes, counted)
            store(values, 0, body(logits, classes, weights, *params))
            for k in range(min(COUNT, stop - start)):
                out[start + k] = values[k] if counted[k] != 0.0 else 0.0

    return _classes(run)


def block_losses_backward(body: Body) -> Loop:
    """The gradients of short rows against classes, 16 rows at a time."""

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        out, pred, target, weight, params = work
        columns, result, classes, counted = block(pred), block(out), room(np.int64(0)), room(pred)
        logits, gradient = columns[: pred.shape[1]], result[: pred.shape[1]]
        weights = stretch(weight, 0, weight.size)
        zero, scale = splat(pred.dtype.type(0)), splat(params[0])
        for start in range(first, stop, COUNT):
            _gather(pred, start, columns)
            _gather_classes(target, start, pred.shape[1], classes, counted)
            body(logits, classes, weights, gradient, *params[1:])
            ignored = equal(load(counted, 0), zero)
            for i in range(pred.shape[1]):
                store(gradient, i * COUNT, where(ignored, zero, load(gradient, i * COUNT) * scale))
            _scatter(result, out, start)

    return _classes(run)


def _batches(run: Body) -> Loop:
    """A loop over sequences: the inputs end with scores, labels, and how many of the steps and of the labels count.

    It declines labels that are no class, or the first parameter, the blank.
    """

    @inline
    def measure(out: Any, params: Any, inputs: Any) -> Any:
        scores, labels, _, lengths = inputs[-4:]
        for n in range(lengths.size):
            for j in range(lengths[n]):
                if not 0 <= labels[n, j] < scores.shape[2] or labels[n, j] == params[0]:
                    return -1
        return lengths.size

    @inline
    def gather(out: Any, params: Any, inputs: Any, count: Any) -> Any:
        return out, params, inputs

    return Loop(measure, gather, run)


def sequences(body: Body) -> Loop:
    """out[n] = l(scores[:T_n, n, :], targets[n, :L_n])."""

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        out, params, (scores, targets, input_lengths, target_lengths) = work
        for n in range(first, stop):
            out[n] = body(scores[: input_lengths[n], n, :], targets[n, : target_lengths[n]], *params)

    return _batches(run)


def sequences_backward(body: Body) -> Loop:
    """out[:T_n, n, :] = scale[n] dl/dscores; steps beyond T_n get zeros, and so do rows of scale 0."""

    @inline
    def run(work: Any, first: Any, stop: Any) -> None:
        wide_vectors()
        out, params, (scale, scores, targets, input_lengths, target_lengths) = work
        for n in range(first, stop):
            length = input_lengths[n]
            out[length:, n, :] = 0.0
            if scale[n] == 0.0:
                out[:length, n, :] = 0.0
                continue
            body(scores[:length, n, :], targets[n, : target_lengths[n]], out[:length, n, :], *params)
            for t in range(length):
                for c in range(scores.shape[2]):
                    out[t, n, c] *= scale[n]

    return _batches(run)
