"""Losses of rows of logits against classes."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy import ndarray

from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import InfeasibleError, UsageError
from actbench.kernels import arrays
from actbench.kernels.arrays import Array, compute_dtype, contiguous
from actbench.kernels.base import ROW_LENGTH
from actbench.kernels.losses import CLASS, Loss
from actbench.kernels.reduce import rounded_once
from actbench.kernels.rowwise import SHORT, as_axis, check_axis, row_pieces, takes_blocks
from actbench.kernels.workload import Order, Workload

if TYPE_CHECKING:
    from actbench.kernels.sharable import Sharable


class ClassificationLoss(Loss):
    """A loss of a row of logits against a class index, a one-hot row or a soft target."""

    _streams: ClassVar = {"forward": 1, "backward": 2}
    _templates: ClassVar = {"forward": "row_losses", "backward": "row_losses_backward"}

    def __init__(self, declaration: Declaration) -> None:
        super().__init__(declaration)
        # The kernel and its parameters, by pass, whether its rows are short, and dtype.
        self._ready: dict[tuple[str, bool, np.dtype[Any]], tuple[Sharable, tuple[Any, ...]]] = {}

    def __call__(
        self,
        pred: Any,
        target: Any,
        reduction: str | None = None,
        axis: int = -1,
        threads: int | None = None,
        out: Array | None = None,
        **params: Any,
    ) -> Any:
        """The loss of logits whose classes lie along ``axis``: a scalar, or a value a row (in ``out``) for ``"none"``.

        ``target`` holds class indices (of pred's shape without the axis) or probabilities (of pred's shape). The
        weighted mean of index targets divides by the sum of the weights, as in torch. Raises UsageError for
        shapes that do not fit and indices out of range.
        """
        chosen = self._reduction(reduction, out)
        if type(axis) is not int:
            axis = as_axis(self.name, axis)
        losses = self._at_once("forward", pred, target, axis, threads, params)
        if losses is not None:
            if chosen == "none":
                return arrays.handed(self.name, arrays.rounded(losses, pred.dtype), out)
            value = _sum_of_rows(losses)
            return arrays.rounded_number(value / losses.size if chosen == "mean" else value, pred.dtype)
        rows = _ClassRows(self, pred, target, axis, params)
        losses = np.empty(rows.pred.shape[0])
        self._run("forward", self.declaration.forward, rows, losses, threads)
        if chosen == "none":
            return arrays.handed(self.name, arrays.rounded(losses.reshape(rows.shape), rows.dtype)[()], out)
        value = _sum_of_rows(losses) / (rows.mass() if chosen == "mean" else np.float64(1))
        return arrays.rounded_number(value, rows.dtype)

    def backward(
        self,
        pred: Any,
        target: Any,
        reduction: str | None = None,
        wrt: str = "pred",
        axis: int = -1,
        threads: int | None = None,
        out: Array | None = None,
        **params: Any,
    ) -> Any:
        """The gradient of the reduced loss (of the sum, for ``"none"``), in the shape of pred."""
        mean = self._reduction(reduction) == "mean"
        if type(axis) is not int:
            axis = as_axis(self.name, axis)
        if wrt == "pred":
            gradient = self._at_once("backward", pred, target, axis, threads, params, mean)
            if gradient is not None:
                return gradient if out is None else arrays.handed(self.name, gradient, out)
        rows = _ClassRows(self, pred, target, axis, params)
        gradient = np.empty(rows.pred.shape, rows.compute)
        scale = 1 / rows.mass() if mean else 1
        self._run("backward", self._gradient_body(wrt), rows, gradient, threads, scale)
        if axis in (-1, len(rows.full_shape) - 1) and rows.dtype == rows.compute:
            return arrays.handed(self.name, gradient.reshape(rows.full_shape), out)
        result = np.empty(rows.full_shape, rows.dtype)
        moved = np.moveaxis(result, axis, -1)
        moved[...] = arrays.rounded(gradient, rows.dtype).reshape(moved.shape)
        return arrays.handed(self.name, result, out)

    def _at_once(
        self,
        pass_: str,
        pred: Any,
        target: Any,
        axis: int,
        threads: int | None,
        given: Mapping[str, Any],
        mean: bool = False,
    ) -> Array | None:
        """A pass over a matrix whose rows all have a class, if a call like it was made before, else None."""
        if given or type(pred) is not ndarray or type(target) is not ndarray or pred.ndim != 2 or axis == 0:
            return None
        count, classes = pred.shape
        ready = self._ready.get((pass_, classes <= SHORT, pred.dtype))
        if (
            ready is None
            or not count
            or target.dtype is not CLASS
            or target.shape != (count,)
            or not (pred.flags.carray and target.flags.carray)
            or axis not in (-1, 1)
        ):
            return None
        kernel, params = ready
        if pass_ == "forward":
            out = np.empty(count)
        else:
            out, params = np.empty_like(pred), (1 / count if mean else 1.0, *params)
        inputs = pred, target, _ones(classes, pred.dtype), True
        return out if kernel.run(out, params, inputs, threads, pred.size) else None

    def _run(
        self, pass_: str, body: Any, rows: _ClassRows, out: Array, threads: int | None, *scale: float
    ) -> None:
        params = (*map(rows.compute.type, scale), *rows.params)
        short = rows.pred.shape[1] <= SHORT
        kernel = self._row_kernel(pass_, body, rows.compute, rows.target, params, short)
        if rows.plain and body is self._pass(pass_)[1]:
            self._ready[pass_, short, rows.dtype] = kernel, rows.params
        inputs = rows.pred, rows.target, rows.weight, False
        if rows.pred.size:
            kernel.apply(out, params, inputs, threads, rows.pred.size)

    def _row_kernel(
        self,
        pass_: str,
        body: Any,
        dtype: np.dtype[Any],
        target: Array,
        params: tuple[Any, ...],
        short: bool = False,
    ) -> Sharable:
        from numba import types

        template = self._templates[pass_]
        if short and target.ndim == 1 and takes_blocks(body):
            template = template.replace("row", "block")
        return self._kernel(
            template,
            (body,),
            dtype,
            lambda array, d: (
                array(d, 2, output=True) if pass_ == "backward" else array(np.float64, output=True),
                array(d, 2),
                array(target.dtype, target.ndim),
                array(d),
                types.boolean,
            ),
            params,
            variant=(target.dtype.name, target.ndim),
            pieces=row_pieces(template, 0),
        )

    def _pass_kernel(self, pass_: str, dtype: np.dtype[Any]) -> Sharable:
        body, dtype = self._pass(pass_)[1], compute_dtype(dtype)
        params = self.row_params(self.declaration.numbers(self.declaration.defaults), dtype)
        scale = (dtype.type(1),) if pass_ == "backward" else ()
        return self._row_kernel(pass_, body, dtype, np.zeros(1, np.int64), (*scale, *params))

    def _workload(self, order: Order) -> Workload:
        data = order.data
        if data is None:
            width = max(2, min(order.size, ROW_LENGTH))
            data = order.draw(max(1, order.size // width) * width).reshape(-1, width)
        elif data.ndim == 0 or data.shape[-1] == 0:
            raise InfeasibleError(
                f"{self.name} needs a last axis of classes; the data has shape {data.shape}"
            )
        pred = data.reshape(-1, data.shape[-1])
        target = order.rng.integers(0, pred.shape[1], pred.shape[0])
        rows = _ClassRows(self, pred, target, -1, {})
        body = self._pass(order.pass_)[1]
        if order.pass_ == "forward":
            out, scale = np.zeros(pred.shape[0]), tuple[float, ...]()
        else:
            out, scale = np.zeros(pred.shape, rows.compute), (1 / pred.shape[0],)
        params = (*map(rows.compute.type, scale), *rows.params)
        short = pred.shape[1] <= SHORT
        kernel = self._row_kernel(order.pass_, body, rows.compute, rows.target, params, short)
        inputs = rows.pred, rows.target, rows.weight, True
        call = functools.partial(kernel.apply, out, params, inputs, order.threads, pred.size)
        return Workload(
            call,
            pred.size,
            bytes_read=pred.size * order.dtype.itemsize + target.nbytes,
            bytes_written=out.nbytes,
            arrays={"pred": pred, "target": target, "out": out},
        )


def _sum_of_rows(losses: Array) -> float:
    # NumPy's reduction takes 0.7 us to begin, which is as long as the exact sum of 16 numbers.
    return rounded_once(losses) if losses.size <= 16 else float(np.add.reduce(losses))


@functools.lru_cache(maxsize=16)
def _ones(count: int, dtype: np.dtype[Any]) -> Array:
    """The weights of classes that have none."""
    ones = np.ones(count, dtype)
    ones.flags.writeable = False
    return ones


class _ClassRows:
    """The checked operands of a classification loss, as rows."""

    def __init__(
        self, loss: ClassificationLoss, pred: Any, target: Any, axis: int, given: dict[str, Any]
    ) -> None:
        name = loss.name
        pred, target = arrays.operand(name, pred), arrays.operand(name, target)
        arrays.result_dtype(name, pred)
        check_axis(name, pred, axis)
        values = loss.declaration.resolve(given)
        self.full_shape = pred.shape
        moved = np.moveaxis(pred, axis, -1)
        self.shape, classes = moved.shape[:-1], moved.shape[-1]
        if not classes and math.prod(self.shape):
            raise UsageError(f"{name}: pred of shape {pred.shape} has no classes along axis={axis}")
        by_index = target.dtype.kind in "iu" and target.shape == self.shape
        self.dtype = arrays.result_dtype(name, *((pred,) if by_index else (pred, target)))
        self.compute = compute_dtype(self.dtype)
        self.params = loss.row_params(loss.declaration.numbers(values), self.compute)
        self.pred = (
            contiguous(moved, self.compute).reshape(-1, classes)
            if moved.size
            else np.empty((int(np.prod(self.shape)), classes), self.compute)
        )
        self.plain = by_index and not given and self.dtype == self.compute
        self.given_weight = values["weight"] is not None
        self.weight = self._weights(name, values["weight"], classes)
        self.counted = np.ones(self.pred.shape[0])
        if by_index:
            flat = target.reshape(-1)  # in its own dtype: the largest uint64 would turn into negative numbers
            ignored = flat == values["ignore_index"]
            wrong = ~ignored & ((flat < 0) | (flat >= classes))
            if wrong.any():
                raise UsageError(f"{name}: class index {flat[wrong][0]} is outside 0..{classes - 1}")
            self.counted[ignored] = 0
            self.target = contiguous(flat, CLASS)
            if ignored.any():
                self.target = np.where(ignored, -1, self.target)
        elif target.shape == pred.shape:
            self.target = contiguous(np.moveaxis(target, axis, -1), self.compute).reshape(self.pred.shape)
        else:
            raise UsageError(
                f"{name}: target of shape {target.shape} and dtype {target.dtype} fits neither class indices "
                f"{self.shape} (integers) nor probabilities {pred.shape}"
            )

    def _weights(self, name: str, weight: Any, classes: int) -> Array:
        if weight is None:
            return _ones(classes, self.compute)
        weight = np.asarray(weight)
        if weight.shape != (classes,):
            raise UsageError(f"{name}: weight has shape {weight.shape}, but there are {classes} classes")
        return contiguous(weight, self.compute)

    def mass(self) -> np.float64:
        """What the mean divides by: the weights of index targets, or the number of rows; NaN for none."""
        if self.target.ndim == 1 and self.given_weight:
            mass = np.float64(np.sum(self.weight[self.target], where=self.counted != 0))
        else:
            mass = np.float64(self.counted.sum())
        return mass if mass else np.float64(np.nan)
