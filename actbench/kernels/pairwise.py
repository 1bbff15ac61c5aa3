"""Losses of one prediction and one target at a time."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy import ndarray

from actbench.catalog import primitives
from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import UsageError
from actbench.kernels import arrays
from actbench.kernels.arrays import Array, compute_dtype
from actbench.kernels.base import Remembering, prepared_call
from actbench.kernels.losses import Loss
from actbench.kernels.reduce import spans, total
from actbench.kernels.workload import Order, Workload

if TYPE_CHECKING:
    from actbench.kernels.sharable import Sharable

_CHEAP = {"fabs", "floor", "copysign", "maximum", "minimum"}
_COMMON = (np.dtype(np.float32), np.dtype(np.float64))


def _is_arithmetic(body: Callable[..., Any]) -> bool:
    """Whether a body names no function that takes longer in float64 than memory takes to deliver its operands."""
    return not ({*primitives.SCALARS} - _CHEAP) & {*body.__code__.co_names}


def _largest(values: Array) -> Any:
    """The largest of 0 and the values; NaN where any is. Unlike their sum it is in the range of their dtype."""
    return np.maximum.reduce(values, axis=None, initial=0)


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
        chosen = self._reduction(reduction, out)
        if chosen == "none":
            return self._call(("loss_elements",), pred, (pred, target), out, threads, params)
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
            self._check_members(target, _largest(result))
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
                self._check_members(operands[1], _largest(out))
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

        Looking only where ``value``, the sum or the largest of a kernel's results, is NaN spares every call a pass
        over the labels.
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
