"""Row-wise activations: a body that fills one contiguous row, along any axis."""

from __future__ import annotations

import dis
import functools
import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy import ndarray

from actbench.catalog.errors import InfeasibleError, UsageError
from actbench.catalog.numeric import integer
from actbench.kernels import arrays
from actbench.kernels import threads as pool
from actbench.kernels.arrays import Array, compute_dtype, contiguous, plain
from actbench.kernels.base import ROW_LENGTH, Remembering
from actbench.kernels.workload import Order, Workload
from actbench.wording import in_one_line

if TYPE_CHECKING:
    from actbench.kernels.sharable import Pieces, Sharable


SHORT = 32
"""Rows up to this length are worked on 16 at a time: above, one at a time is as fast."""
BLOCK_ROWS = 16
"""That many: ``lanes.COUNT``, with which Numba would be imported. A part of less would write rows of the next one."""


def takes_blocks(body: Callable[..., Any]) -> bool:
    """Whether a body looks at no single element of its rows: its primitives then take 16 rows as well as one."""
    return not any(i.opname.endswith("_SUBSCR") for i in dis.get_instructions(body))


def check_axis(function: str, x: Array, axis: int) -> None:
    """Raise UsageError unless x has that axis."""
    if not -x.ndim <= axis < x.ndim:
        raise UsageError(f"{function}: axis={axis} does not exist in an array of shape {x.shape}")


def as_axis(function: str, axis: Any) -> int:
    """An axis as Python's own integer; UsageError for what is none."""
    number = integer(axis)
    if number is None:
        raise UsageError(f"{function}: axis={in_one_line(repr(axis))}: give one integer")
    return number


def row_pieces(template: str, matrix: int) -> Pieces:
    """The pieces of a pass over rows; ``matrix`` is the place of an input whose rows count."""
    least = BLOCK_ROWS if template.startswith("block") else 1

    def pieces(out: Array, inputs: tuple[Array, ...]) -> tuple[int, int]:
        x = inputs[matrix]
        width = max(1, x.shape[-1])
        return x.size // width, -(-max(least, pool.GRAIN // width) // least) * least

    return pieces


class Rowwise(Remembering):
    """An activation whose outputs depend on a whole row."""

    passes: ClassVar[tuple[str, ...]] = ("forward", "backward")
    _streams: ClassVar = {"forward": 2, "backward": 3}
    _templates: ClassVar = {"forward": "rows", "backward": "rows_backward"}
    _own = "x"

    def __call__(
        self, x: Any, out: Array | None = None, threads: int | None = None, axis: int = -1, **params: Any
    ) -> Any:
        """f along ``axis``: an array of x's dtype, whose axis may be shorter (maxout), or a scalar for a scalar.

        Raises UsageError for an axis that x does not have, InfeasibleError for a length that does not fit.
        """
        return self._along("forward", x, (x,), out, threads, axis, params)

    def backward(
        self,
        grad_output: Any,
        x: Any,
        wrt: str = "x",
        out: Array | None = None,
        threads: int | None = None,
        axis: int = -1,
        **params: Any,
    ) -> Any:
        """The vector-Jacobian product of every row along ``axis``, in x's shape.

        Raises UsageError where grad_output does not have the output's shape.
        """
        return self._along("backward", x, (grad_output, x), out, threads, axis, params, wrt)

    @functools.cached_property
    def _short(self) -> dict[str, str]:
        """The template of each pass over short rows."""
        return {pass_: self._template(pass_, self._pass(pass_)[1], SHORT) for pass_ in self.passes}

    def _along(
        self,
        pass_: str,
        x: Any,
        operands: tuple[Any, ...],
        out: Array | None,
        threads: int | None,
        axis: int,
        given: dict[str, Any],
        wrt: str = "x",
    ) -> Any:
        """A pass, at once where its rows lie along the last axis and a call like it was made before."""
        if type(axis) is not int:
            axis = as_axis(self.name, axis)
        if type(x) is ndarray and x.ndim and (axis == -1 or axis == x.ndim - 1) and wrt == "x":
            template = (self._short if x.shape[-1] <= SHORT else self._templates)[pass_]
            return self._call(template, x, operands, out, threads, given)
        return self._map(self._templates[pass_], operands, out, threads, given, axis, wrt)

    def _map(
        self,
        pass_: str,
        operands: tuple[Any, ...],
        out: Array | None,
        threads: int | None,
        given: Mapping[str, Any],
        axis: int = -1,
        wrt: str = "x",
    ) -> Any:
        operands = tuple(arrays.operand(self.name, o) for o in operands)
        gradient = len(operands) == 2
        dtype = arrays.result_dtype(self.name, *operands)
        x = operands[-1]
        rows = np.atleast_1d(x)  # a number is a row of one
        check_axis(self.name, rows, axis)
        width, values = rows.shape[axis], self._values(given)
        like = np.moveaxis(rows, axis, -1)[..., : self._output_length(width, values)]
        like = np.moveaxis(like, -1, axis) if x.ndim else x
        if gradient and operands[0].shape != like.shape:
            raise UsageError(
                f"{self.name}.backward: grad_output has shape {operands[0].shape}, the output has {like.shape}"
            )
        target = arrays.output(self.name, x if gradient else like, dtype, out)
        if target.size:
            body = self._gradient_body(wrt) if gradient else self.declaration.forward
            template = self._template("backward" if gradient else "forward", body, width)
            compute = compute_dtype(dtype)
            params = self.row_params(values, compute)
            kernel = self._row_kernel(template, body, compute, params)
            self._rows(kernel, params, operands, target, axis, threads)
            if dtype == compute and template == pass_ and wrt == "x":
                # Python's own numbers: a NumPy scalar costs 15 ns more to unpack.
                numbers = tuple(p.item() for p in params)
                empty = np.empty_like if gradient else self._empty(numbers)
                self._remember(template, dtype, given, (kernel.alone, kernel.shared), numbers, empty)
        return arrays.result(target, out)

    def _values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        return self.declaration.numbers(self.declaration.resolve(given))

    @functools.cached_property
    def _length(self) -> tuple[Callable[..., int], int]:
        """The rule for an output row's length, and how many parameters it takes after the length of x's.

        These are the first ones; the rule says 0 where they do not divide the row.
        """
        rule = self.declaration.row_output or _as_long
        return rule, len(inspect.signature(rule).parameters) - 1

    def _output_length(self, size: int, values: Mapping[str, Any]) -> int:
        rule, used = self._length
        divisors = dict(itertools.islice(values.items(), used))
        length = rule(size, *divisors.values())
        if size and not length:
            named = ", ".join(f"{name}={value}" for name, value in divisors.items())
            raise InfeasibleError(f"{self.name}: the axis has {size} elements, which {named} does not divide")
        return length

    def _empty(self, params: tuple[Any, ...]) -> Callable[[Array], Array]:
        """What makes the array of the result of x."""
        rule, used = self._length
        if rule is _as_long:
            return np.empty_like
        divisors = params[:used]
        return lambda x: np.empty((*x.shape[:-1], rule(x.shape[-1], *divisors)), x.dtype)

    def _rows(
        self,
        kernel: Sharable,
        params: tuple[Any, ...],
        operands: tuple[Array, ...],
        target: Array,
        axis: int,
        threads: int | None,
    ) -> None:
        dtype = compute_dtype(target.dtype)
        matrices = tuple(_matrix(o, axis, dtype) for o in operands)
        rows = np.moveaxis(np.atleast_1d(target), axis, -1)
        # A row may be read again after it is written: a result in an operand's place is made beside it.
        inside = plain(rows, dtype) and not any(np.may_share_memory(target, m) for m in matrices)
        result = (
            np.asarray(rows).reshape(-1, rows.shape[-1]).view(dtype)
            if inside
            else np.empty((matrices[-1].shape[0], rows.shape[-1]), dtype)
        )
        kernel.apply(result, params, matrices, threads, matrices[-1].size)
        if not inside:
            with np.errstate(over="ignore"):  # what is too large for float16 is infinite there
                rows[...] = result.reshape(rows.shape)

    def _template(self, pass_: str, body: Callable[..., Any], width: int) -> str:
        template = self._templates[pass_]
        return template.replace("rows", "blocks") if width <= SHORT and takes_blocks(body) else template

    def _row_kernel(
        self,
        template: str,
        body: Callable[..., Any],
        dtype: np.dtype[Any],
        params: tuple[Any, ...],
    ) -> Sharable:
        rule, used = self._length
        inputs = 2 if template.endswith("backward") else 1
        return self._kernel(
            template,
            (body, rule),
            dtype,
            lambda array, d: (array(d, output=True), *(array(d),) * inputs),
            params,
            options=(used,),
            pieces=row_pieces(template, -1),
        )

    def _pass_kernel(self, pass_: str, dtype: np.dtype[Any]) -> Sharable:
        template, body = self._pass(pass_)
        dtype = compute_dtype(dtype)
        return self._row_kernel(template, body, dtype, self.row_params(self._values({}), dtype))

    def _workload(self, order: Order) -> Workload:
        values = self._values({})
        if order.data is None:
            width = max(2, min(order.size - order.size % 2, ROW_LENGTH))
            x = order.draw(max(1, order.size // width) * width).reshape(-1, width)
        elif order.data.ndim == 0:
            raise InfeasibleError(f"{self.name} works on rows: the data has no axis")
        else:
            x = order.data
        length = self._output_length(x.shape[-1], values)
        y_shape = (*x.shape[:-1], length)
        out = np.zeros(y_shape if order.pass_ == "forward" else x.shape, order.dtype)
        operands: tuple[Array, ...] = (x,)
        if order.pass_ == "backward":
            operands = (order.draw(x.size // x.shape[-1] * length).reshape(y_shape), x)
        body, compute = self._pass(order.pass_)[1], compute_dtype(order.dtype)
        template = self._template(order.pass_, body, x.shape[-1])
        params = self.row_params(values, compute)
        kernel = self._row_kernel(template, body, compute, params)
        call: Callable[[], object] = functools.partial(
            self._rows, kernel, params, operands, out, -1, order.threads
        )
        # Tried once: it declines the user's data where they are not contiguous.
        if order.dtype == compute and kernel.run(out, params, operands, order.threads, x.size):
            call = functools.partial(kernel.run, out, params, operands, order.threads, x.size)
        return Workload(
            call,
            x.size,
            bytes_read=sum(o.nbytes for o in operands),
            bytes_written=out.nbytes,
            arrays={"x": x, "out": out} | ({"grad_output": operands[0]} if len(operands) == 2 else {}),
        )


def _as_long(size: int) -> int:
    return size


def _matrix(x: Array, axis: int, dtype: np.dtype[Any]) -> Array:
    """x with ``axis`` last, as a contiguous matrix of rows, with that very dtype object."""
    moved = contiguous(np.moveaxis(np.atleast_1d(x), axis, -1), dtype).view(dtype)
    return moved.reshape(-1, moved.shape[-1]) if moved.size else moved.reshape(0, moved.shape[-1])
