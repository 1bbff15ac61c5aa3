"""Losses: pairs of elements with a reduction, rows of logits with a class, sequences with labels."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy import ndarray

from actbench.catalog import primitives
from actbench.catalog.declaration import REDUCTIONS, Declaration
from actbench.catalog.errors import InfeasibleError, UsageError
from actbench.kernels import arrays
from actbench.kernels.arrays import Array, compute_dtype, contiguous
from actbench.kernels.base import ROW_LENGTH, Function, Remembering, prepared_call
from actbench.kernels.reduce import rounded_once, spans, total
from actbench.kernels.rowwise import SHORT, as_axis, check_axis, row_pieces, takes_blocks
from actbench.kernels.workload import Order, Workload

if TYPE_CHECKING:
    from actbench.kernels.sharable import Sharable


class Loss(Function):
    """What all losses share: two passes and a reduction."""

    passes: ClassVar[tuple[str, ...]] = ("forward", "backward")
    _own = "pred"

    def _reduction(self, given: str | None) -> str:
        chosen = self.declaration.default_reduction if given is None else given
        if chosen not in REDUCTIONS:
            raise UsageError(f"{self.name}: reduction={chosen!r} is not one of {', '.join(REDUCTIONS)}")
        return chosen

    def _out_is_too_much(self) -> UsageError:
        return UsageError(f"{self.name}: out= goes with reduction='none' only")

    @abstractmethod
    def __call__(self, pred: Any, target: Any, reduction: str | None = None, **params: Any) -> Any: ...


_CHEAP = {"fabs", "floor", "copysign", "maximum", "minimum"}
_CLASS = np.dtype(np.int64)
_COMMON = (np.dtype(np.float32), np.dtype(np.float64))


def _is_arithmetic(body: Callable[..., Any]) -> bool:
    """Whether a body names no function that takes longer in float64 than memory takes to deliver its operands."""
    return not ({*primitives.SCALARS} - _CHEAP) & {*body.__code__.co_names}


class PairwiseLoss(Remembering, Loss):
    """A loss of one prediction and one target at a time."""

    _scalars = 2
    _streams: ClassVar = {"forward": 2, "backward": 3}
    _templates: ClassVar = {"forward": "loss_sum", "backward": "loss_backward"}

    def __init__(self, declaration: Declaration) -> None:
        super().__init__(declaration)
        self._sums: dict[np.dtype[Any], Sharable] = {}
        self._defaults: dict[np.dtype[Any], tuple[Any, ...]] = {}

    def __call__(
        self,
        pred: Any,
        target: Any,
        reduction: str | None = None,
        out: Array | None = None,
        threads: int | None = None,
        **params: Any,
    ) -> Any:
        """The loss of arrays of one shape: a scalar, or with reduction ``"none"`` an array of that shape, or ``out``.

        Sums are accumulated in float64. Raises UsageError for unequal shapes or labels outside their domain.
        """
        chosen = self._reduction(reduction)
        if chosen == "none":
            return self._call(("loss_elements",), pred, (pred, target), out, threads, params)
        if out is not None:
            raise self._out_is_too_much()
        pred, target, dtype = self._operands(pred, target)
        compute = compute_dtype(dtype)
        value = self._sum(pred, target, compute, self._numbers(params, compute), threads)
        if self._members:
            self._check_members(target, value)
        return arrays.rounded_number(value / self._count(chosen, pred), dtype)

    def backward(
        self,
        pred: Any,
        target: Any,
        reduction: str | None = None,
        wrt: str = "pred",
        out: Array | None = None,
        threads: int | None = None,
        **params: Any,
    ) -> Any:
        """The gradient of the reduced loss (of the sum, for ``"none"``), in the shape of pred."""
        pass_ = "loss_backward", self._reduction(reduction), wrt
        return self._call(pass_, pred, (pred, target), out, threads, params)

    def _map(
        self,
        pass_: Any,
        operands: tuple[Any, ...],
        out: Array | None,
        threads: int | None,
        given: Mapping[str, Any],
    ) -> Any:
        template, *reduced = pass_
        pred, target, dtype = self._operands(*operands)
        numbers = self._numbers(given, compute_dtype(dtype))
        kernel, params = self._element_kernel(template, dtype, numbers, pred, *reduced)
        result = arrays.output(self.name, pred, dtype, out)
        arrays.elementwise(kernel, params, result, (pred, target), threads, dtype)
        if self._members:
            self._check_members(target, np.add.reduce(result, axis=None))
        runs = self._at_once(kernel.alone, *reduced), self._at_once(kernel.shared, *reduced)
        self._remember(pass_, dtype, given, runs, tuple(map(float, numbers)))
        return arrays.result(result, out)

    def _element_kernel(
        self,
        template: str,
        dtype: np.dtype[Any],
        numbers: tuple[Any, ...],
        pred: Array,
        reduction: str = "none",
        wrt: str = "pred",
    ) -> tuple[Sharable, tuple[Any, ...]]:
        """The kernel of the losses or of their gradients, and its parameters."""
        body = self.declaration.forward
        if template == "loss_backward":
            body = self._gradient_body(wrt)
            numbers = (compute_dtype(dtype).type(1 / self._count(reduction, pred)), *numbers)
        kernel = self._kernel(
            template,
            (body,),
            dtype,
            lambda array, d: (array(d, output=True), array(d), array(d)),
            numbers,
            options=self._members,
        )
        return kernel, numbers

    def _at_once(self, run: Callable[..., bool], reduction: str = "", wrt: str = "") -> Callable[..., bool]:
        """How a kernel is run, with what a call adds to it: the factor of the reduction, a look at the labels."""
        members = self._members
        if not (reduction or members):
            return run

        def call(out: Array, numbers: tuple[Any, ...], operands: tuple[Array, ...], *threads: int) -> bool:
            if reduction:
                numbers = (1.0 / self._count(reduction, operands[0]), *numbers)
            done = run(out, numbers, operands, *threads)
            if done and members:
                self._check_members(operands[1], np.add.reduce(out, axis=None))
            return done

        return call

    def _operands(self, pred: Any, target: Any) -> tuple[Array, Array, np.dtype[Any]]:
        if type(pred) is not ndarray or type(target) is not ndarray:
            pred, target = arrays.operand(self.name, pred), arrays.operand(self.name, target)
        if pred.shape != target.shape:
            raise UsageError(
                f"{self.name}: pred has shape {pred.shape} but target has {target.shape}: they must be equal, "
                "because broadcasting (N, 1) against (N,) is a well-known mistake"
            )
        if pred.dtype is target.dtype and pred.dtype in _COMMON:
            return pred, target, pred.dtype
        return pred, target, arrays.result_dtype(self.name, pred, target)

    @functools.cached_property
    def _members(self) -> tuple[float, ...]:
        return self.declaration.target.members

    def _check_members(self, target: Array, value: Any) -> None:
        """Raise UsageError for a label outside the target's members: the kernels have turned it into NaN.

        Looking only where ``value``, the sum of a kernel's results, is NaN spares every call a pass over the labels.
        """
        members = self._members
        if value != value and not np.isin(target, members).all():
            listed = " and ".join(f"{m:g}" for m in members)
            raise UsageError(
                f"{self.name}: labels must be {listed}, but target holds "
                f"{target[~np.isin(target, members)].flat[0]!s}; map 0/1 labels by 2*target - 1"
            )

    def _count(self, reduction: str, pred: Array) -> float:
        """What the reduction divides by; NaN for the mean of nothing."""
        if reduction != "mean":
            return 1.0
        over = pred.shape[0] if self.declaration.mean_over == "samples" and pred.ndim else pred.size
        return float(over or math.nan)

    def _numbers(self, given: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[Any, ...]:
        """The parameters in the dtype; the defaults are resolved once, which takes as long as 10 000 elements."""
        if not given and dtype in self._defaults:
            return self._defaults[dtype]
        values = self.declaration.numbers(self.declaration.resolve(given))
        numbers = tuple(dtype.type(value) for value in values.values())
        if not given:
            self._defaults[dtype] = numbers
        return numbers

    def _sum_kernel(self, dtype: np.dtype[Any], params: tuple[Any, ...]) -> Sharable:
        kernel = self._sums.get(dtype)
        if kernel is None:
            body = self.declaration.forward
            template, compute = "loss_sum", dtype
            if _is_arithmetic(body):
                template = "wide_loss_sum" if dtype.itemsize == 4 else "arithmetic_loss_sum"
                compute = np.dtype(np.float64)
            kernel = self._sums[dtype] = self._kernel(
                template,
                (body,),
                compute,
                lambda array, d: (array(dtype, output=True), array(dtype), array(dtype)),
                params,
                options=self._members,
                pieces=spans,
            )
        return kernel

    def _sum(
        self, pred: Array, target: Array, dtype: np.dtype[Any], params: tuple[Any, ...], threads: int | None
    ) -> np.float64:
        return total(self._sum_kernel(dtype, params), params, (pred, target), dtype, threads)

    def _pass_kernel(self, pass_: str, dtype: np.dtype[Any]) -> Sharable:
        numbers = self._numbers({}, compute_dtype(dtype))
        if pass_ == "forward":
            return self._sum_kernel(compute_dtype(dtype), numbers)
        return self._element_kernel("loss_backward", dtype, numbers, np.zeros(1, dtype))[0]

    def _workload(self, order: Order) -> Workload:
        pred = order.operand(self.declaration.domain)
        target = order.draw(pred.size, self.declaration.target).reshape(pred.shape)
        compute = compute_dtype(order.dtype)
        numbers = self._numbers({}, compute)
        nbytes = pred.size * order.dtype.itemsize
        if order.pass_ == "forward":
            total_ = functools.partial(self._sum, pred, target, compute, numbers, order.threads)
            return Workload(total_, pred.size, 2 * nbytes, 0, {"pred": pred, "target": target})
        out = np.zeros(pred.shape, order.dtype)
        kernel, params = self._element_kernel("loss_backward", order.dtype, numbers, pred, "mean")
        call = prepared_call(kernel, params, out, (pred, target), order)
        return Workload(call, pred.size, 2 * nbytes, nbytes, {"pred": pred, "target": target, "out": out})


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
        chosen = self._reduction(reduction)
        if out is not None and chosen != "none":
            raise self._out_is_too_much()
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
            or target.dtype is not _CLASS
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
            self.target = contiguous(flat, _CLASS)
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
            mass = np.float64(np.sum(self.weight[self.target] * self.counted))
        else:
            mass = np.float64(self.counted.sum())
        return mass if mass else np.float64(np.nan)


class SequenceLoss(Loss):
    """A loss of a score matrix over time against a label sequence, in batches."""

    _streams: ClassVar = {"forward": 1, "backward": 2}
    _templates: ClassVar = {"forward": "sequences", "backward": "sequences_backward"}

    def __init__(self, declaration: Declaration) -> None:
        super().__init__(declaration)
        self._defaults: dict[np.dtype[Any], tuple[Any, ...]] = {}

    def __call__(
        self,
        pred: Any,
        target: Any,
        reduction: str | None = None,
        threads: int | None = None,
        out: Array | None = None,
        **params: Any,
    ) -> Any:
        """The loss of scores of shape (T, N, C), or (T, C) for one, against labels of shape (N, S) or (S,).

        ``input_lengths`` and ``target_lengths`` default to T and S. The mean divides each loss by its target
        length first (``mean_by="batch"``: not); ``out`` takes the losses of ``"none"``. Raises UsageError for shapes,
        lengths or labels that do not fit.
        """
        batch = _Batch(self, pred, target, params)
        chosen = self._reduction(reduction)
        if out is not None and chosen != "none":
            raise self._out_is_too_much()
        losses = self._losses(batch, threads)
        if chosen == "none":
            losses = arrays.rounded(losses, batch.dtype)
            return arrays.handed(self.name, losses if batch.batched else losses[0], out)
        if chosen == "mean":
            losses = losses / batch.divisors() if losses.size else np.full(1, np.nan)
        return arrays.rounded_number(np.add.reduce(losses), batch.dtype)

    def backward(
        self,
        pred: Any,
        target: Any,
        reduction: str | None = None,
        wrt: str = "pred",
        threads: int | None = None,
        out: Array | None = None,
        **params: Any,
    ) -> Any:
        """The gradient of the reduced loss (of the sum, for ``"none"``), in the shape of pred; 0 beyond T_n."""
        batch = _Batch(self, pred, target, params)
        body = self._gradient_body(wrt)
        scale = np.ones(batch.scores.shape[1])
        if self._reduction(reduction) == "mean":
            scale = scale / batch.divisors()
        if batch.zero_infinity:
            scale[np.isinf(self._losses(batch, threads, raw=True))] = 0
        gradient = np.empty(batch.scores.shape, batch.compute)
        self._run("sequences_backward", body, batch, gradient, (scale.astype(batch.compute),), threads)
        return arrays.handed(self.name, arrays.rounded(gradient.reshape(batch.full_shape), batch.dtype), out)

    def numbers_of(self, values: Mapping[str, Any], dtype: np.dtype[Any], *, plain: bool) -> tuple[Any, ...]:
        """The bodies' parameters in the dtype; ``plain`` ones, the defaults, are converted once: it takes 5 us."""
        numbers = self._defaults.get(dtype) if plain else None
        if numbers is None:
            numbers = self.row_params(self.declaration.numbers(values), dtype)
            if plain:
                self._defaults[dtype] = numbers
        return numbers

    def _losses(self, batch: _Batch, threads: int | None, *, raw: bool = False) -> Array:
        losses = np.empty(batch.scores.shape[1])
        self._run("sequences", self.declaration.forward, batch, losses, (), threads)
        if batch.zero_infinity and not raw:
            losses[np.isinf(losses)] = 0
        return losses

    def _run(
        self,
        template: str,
        body: Any,
        batch: _Batch,
        out: Array,
        scale: tuple[Array, ...],
        threads: int | None,
    ) -> None:
        kernel = self._sequence_kernel(template, body, batch.compute, batch.params)
        inputs = *scale, batch.scores, batch.labels, batch.input_lengths, batch.target_lengths
        if not kernel.run(out, batch.params, inputs, threads, batch.scores.size):
            raise batch.wrong_label()

    def _sequence_kernel(
        self, template: str, body: Any, dtype: np.dtype[Any], params: tuple[Any, ...]
    ) -> Sharable:
        backward = template == "sequences_backward"
        return self._kernel(
            template,
            (body,),
            dtype,
            lambda array, d: (
                array(d, 3, output=True, layout="A") if backward else array(np.float64, output=True),
                *((array(d),) if backward else ()),
                array(d, 3, layout="A"),
                array(np.int64, 2),
                array(np.int64),
                array(np.int64),
            ),
            params,
            pieces=_sequences,
        )

    def _pass_kernel(self, pass_: str, dtype: np.dtype[Any]) -> Sharable:
        template, body = self._pass(pass_)
        dtype = compute_dtype(dtype)
        params = self.row_params(self.declaration.numbers(self.declaration.defaults), dtype)
        return self._sequence_kernel(template, body, dtype, params)

    def _workload(self, order: Order) -> Workload:
        data = order.data
        if data is None:
            classes = 32
            steps = int(np.clip(order.size // classes, 1, 256))
            count = max(1, order.size // (steps * classes))
            data = order.draw(steps * count * classes).reshape(steps, count, classes)
            if self.declaration.domain.high == 0:
                data = data - np.log(np.exp(data, dtype=np.float64).sum(-1, keepdims=True))
                data = np.minimum(data, 0).astype(order.dtype)
        elif data.ndim != 3 or data.shape[2] < 2:
            raise InfeasibleError(
                f"{self.name} needs scores of shape (T, N, C); the data has shape {data.shape}"
            )
        steps, count, classes = data.shape
        labels = order.rng.integers(1, classes, (count, max(1, steps // 4)))
        batch = _Batch(self, data, labels, {})
        template, body = self._pass(order.pass_)
        if order.pass_ == "forward":
            out, scale = np.zeros(count), tuple[Array, ...]()
        else:
            out, scale = np.zeros(data.shape, batch.compute), (np.ones(count, batch.compute),)
        call = functools.partial(self._run, template, body, batch, out, scale, order.threads)
        return Workload(
            call,
            data.size,
            bytes_read=data.size * order.dtype.itemsize + labels.nbytes,
            bytes_written=out.nbytes,
            arrays={"pred": data, "target": labels, "out": out},
        )


@functools.lru_cache(maxsize=16)
def _all_alike(count: int, length: int) -> Array:
    """The lengths of sequences that have none of their own."""
    lengths = np.full(count, length, np.int64)
    lengths.flags.writeable = False
    return lengths


def _sequences(out: Array, inputs: tuple[Array, ...]) -> tuple[int, int]:
    """The pieces of a batch."""
    return inputs[-1].size, 1


class _Batch:
    """The checked operands of a sequence loss."""

    def __init__(self, loss: SequenceLoss, pred: Any, target: Any, given: dict[str, Any]) -> None:
        name = loss.name
        pred, target = arrays.operand(name, pred), arrays.operand(name, target)
        values = loss.declaration.resolve(given)
        self.dtype = arrays.result_dtype(name, pred)
        self.compute = compute_dtype(self.dtype)
        self.full_shape, self.batched = pred.shape, pred.ndim == 3
        if pred.ndim == 2:
            pred, target = pred[:, None, :], target[None]
        if pred.ndim != 3 or target.ndim != 2 or target.shape[0] != pred.shape[1]:
            raise UsageError(
                f"{name}: scores of shape {self.full_shape} and labels of shape {np.shape(target)} do not fit: "
                "give (T, N, C) and (N, S), or (T, C) and (S,)"
            )
        if target.dtype.kind not in "iu" and target.size:
            raise UsageError(f"{name}: labels must be integers, not {target.dtype}")
        steps, count, classes = pred.shape
        self.scores = contiguous(pred, self.compute)
        self.labels = contiguous(target, _CLASS)
        self.input_lengths = self._lengths(name, "input_lengths", values["input_lengths"], count, steps)
        self.target_lengths = self._lengths(
            name, "target_lengths", values["target_lengths"], count, target.shape[1]
        )
        self.name, self.blank = name, int(values["blank"])
        if not 0 <= self.blank < classes:
            raise UsageError(f"{name}: blank={self.blank} is outside the {classes} classes")
        self.params = loss.numbers_of(values, self.compute, plain=not given)
        self.zero_infinity = bool(values["zero_infinity"])
        self.by_length = values["mean_by"] == "target_lengths"

    def divisors(self) -> Any:
        """What the mean divides each loss by."""
        count = self.scores.shape[1] if self.batched else 1
        return (
            np.maximum(self.target_lengths, 1) * float(count)
            if self.by_length
            else np.full(count, float(count))
        )

    def wrong_label(self) -> UsageError:
        """What to say of a label that is none."""
        classes = self.scores.shape[2]
        used = self.labels[np.arange(self.labels.shape[1]) < self.target_lengths[:, None]]
        wrong = used[(used < 0) | (used >= classes) | (used == self.blank)]
        return UsageError(
            f"{self.name}: label {wrong[0]} is outside 0..{classes - 1} or is the blank ({self.blank})"
        )

    def _lengths(self, function: str, name: str, given: Any, count: int, longest: int) -> Array:
        if given is None:
            return _all_alike(count, longest)
        lengths = np.atleast_1d(np.asarray(given))
        if lengths.shape != (count,) or lengths.dtype.kind not in "iu":
            raise UsageError(f"{function}: {name} must be {count} integers, one a sequence")
        if lengths.size and (lengths.min() < 0 or lengths.max() > longest):
            raise UsageError(
                f"{function}: {name} must lie in 0..{longest}, not {lengths.min()}..{lengths.max()}"
            )
        return contiguous(lengths, _CLASS)
