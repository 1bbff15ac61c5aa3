"""Losses of scores over time against sequences of labels."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import InfeasibleError, UsageError
from actbench.kernels import arrays
from actbench.kernels.arrays import Array, compute_dtype, contiguous
from actbench.kernels.losses import CLASS, Loss
from actbench.kernels.workload import Order, Workload

if TYPE_CHECKING:
    from actbench.kernels.sharable import Sharable


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
        chosen = self._reduction(reduction, out)
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
        self.labels = contiguous(target, CLASS)
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
        return contiguous(lengths, CLASS)
