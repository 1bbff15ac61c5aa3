"""Row-wise activations: a body that fills one contiguous row, along any axis."""

from __future__ import annotations

import dis
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from actbench.catalog.errors import InfeasibleError, UsageError
from actbench.kernels import arrays
from actbench.kernels import threads as pool
from actbench.kernels.arrays import Array, compute_dtype, contiguous
from actbench.kernels.base import ROW_LENGTH, Function
from actbench.kernels.workload import Workload, draw

if TYPE_CHECKING:
    from actbench.kernels.compiler import Kernel


SHORT = 32
"""Rows up to this length are worked on 16 at a time: above, one at a time is as fast."""


def takes_blocks(body: Callable[..., Any]) -> bool:
    """Whether a body looks at no single element of its rows: its primitives then take 16 rows as well as one."""
    return not any(i.opname.endswith("_SUBSCR") for i in dis.get_instructions(body))


def check_axis(function: str, x: Array, axis: int) -> None:
    """Raise UsageError unless x has that axis."""
    if not -x.ndim <= axis < x.ndim:
        raise UsageError(f"{function}: axis={axis} does not exist in an array of shape {x.shape}")


class Rowwise(Function):
    """An activation whose outputs depend on a whole row."""

    passes: ClassVar[tuple[str, ...]] = ("forward", "backward")
    _streams: ClassVar = {"forward": 2, "backward": 3}
    _templates: ClassVar = {"forward": "rows", "backward": "rows_backward"}
    _own = "x"

    def __call__(
        self, x: Any, out: Array | None = None, threads: int | None = None, axis: int = -1, **params: Any
    ) -> Any:
        """f along ``axis``: an array of x's dtype, whose axis may be shorter (maxout).

        Raises UsageError for an axis that x does not have, InfeasibleError for a length that does not fit.
        """
        x = np.asarray(x)
        check_axis(self.name, x, axis)
        dtype = arrays.result_dtype(self.name, x)
        values = self._values(params)
        like = np.moveaxis(x, axis, -1)
        like = like[..., : self._output_length(x.shape[axis], values)]
        target = arrays.output(self.name, np.moveaxis(like, -1, axis), dtype, out)
        self._rows("rows", self.declaration.forward, (x,), target, axis, values, threads)
        return arrays.result(target, out)

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
        g, x = np.asarray(grad_output), np.asarray(x)
        check_axis(self.name, x, axis)
        values = self._values(params)
        shape = list(x.shape)
        shape[axis] = self._output_length(x.shape[axis], values)
        if g.shape != tuple(shape):
            raise UsageError(
                f"{self.name}.backward: grad_output has shape {g.shape}, the output has {tuple(shape)}"
            )
        dtype = arrays.result_dtype(self.name, g, x)
        target = arrays.output(self.name, x, dtype, out)
        self._rows("rows_backward", self._gradient_body(wrt), (g, x), target, axis, values, threads)
        return arrays.result(target, out)

    def _values(self, given: dict[str, Any]) -> dict[str, Any]:
        return self.declaration.numbers(self.declaration.resolve(given))

    def _output_length(self, length: int, values: dict[str, Any]) -> int:
        rule = self.declaration.row_output
        return length if rule is None else rule(length, *(values[n] for n in values if n in _names(rule)))

    def _rows(
        self,
        template: str,
        body: Any,
        operands: tuple[Array, ...],
        target: Array,
        axis: int,
        values: dict[str, Any],
        threads: int | None,
    ) -> None:
        if target.size == 0:
            return
        dtype = compute_dtype(target.dtype)
        matrices = [_matrix(o, axis, dtype) for o in operands]
        kernel, params = self._row_kernel(template, body, dtype, values, matrices[-1].shape[1])
        direct = axis in (-1, target.ndim - 1) and target.dtype == dtype and target.flags.c_contiguous
        inside = direct and not any(np.may_share_memory(target, m) for m in matrices)
        rows = np.moveaxis(target, axis, -1)
        result = (
            target.reshape(-1, target.shape[-1])
            if inside
            else np.empty((matrices[-1].shape[0], rows.shape[-1]), dtype)
        )
        run_rows(kernel.call, params, result, matrices, threads)
        if not inside:
            rows[...] = result.reshape(rows.shape)

    def _row_kernel(
        self, template: str, body: Any, dtype: np.dtype[Any], values: dict[str, Any], width: int
    ) -> tuple[Kernel, tuple[Any, ...]]:
        params = self.row_params(values, dtype)
        inputs = 2 if template == "rows_backward" else 1
        if width <= SHORT and takes_blocks(body):
            template = template.replace("rows", "blocks")
        kernel = self._kernel(
            template,
            (body,),
            dtype,
            lambda array, d: (array(d, 2, output=True), *(array(d, 2),) * inputs),
            params,
        )
        return kernel, params

    def _pass_kernel(self, pass_: str, dtype: np.dtype[Any]) -> Kernel:
        template, body = self._pass(pass_)
        return self._row_kernel(template, body, dtype, self._values({}), ROW_LENGTH)[0]

    def _workload(
        self,
        pass_: str,
        dtype: np.dtype[Any],
        size: int,
        rng: np.random.Generator,
        data: Array | None,
        threads: int,
    ) -> Workload:
        values = self._values({})
        if data is None:
            width = max(2, min(size - size % 2, ROW_LENGTH))
            x = draw(rng, max(1, size // width) * width, dtype).reshape(-1, width)
        elif data.ndim == 0:
            raise InfeasibleError(f"{self.name} works on rows: the data has no axis")
        else:
            x = data
        length = self._output_length(x.shape[-1], values)
        y_shape = (*x.shape[:-1], length)
        out = np.zeros(y_shape if pass_ == "forward" else x.shape, dtype)
        operands: tuple[Array, ...] = (x,)
        if pass_ == "backward":
            operands = (draw(rng, x.size // x.shape[-1] * length, dtype).reshape(y_shape), x)
        compute = compute_dtype(dtype)
        if dtype == compute:
            template, body = self._pass(pass_)
            kernel, params = self._row_kernel(template, body, compute, values, x.shape[-1])
            matrices = [_matrix(o, -1, compute) for o in operands]
            flat = out.reshape(-1, out.shape[-1])
            call = functools.partial(run_rows, kernel.call, params, flat, matrices, threads)
            if threads == 1:
                call = functools.partial(kernel.call, flat, params, *matrices)
        elif pass_ == "forward":
            call = functools.partial(self, x, out=out, threads=threads)
        else:
            call = functools.partial(self.backward, operands[0], x, out=out, threads=threads)
        return Workload(
            call,
            x.size,
            bytes_read=sum(o.nbytes for o in operands),
            bytes_written=out.nbytes,
            arrays={"x": x, "out": out} | ({"grad_output": operands[0]} if len(operands) == 2 else {}),
        )


def _names(rule: Any) -> tuple[str, ...]:
    return tuple(rule.__code__.co_varnames[1 : rule.__code__.co_argcount])


def _matrix(x: Array, axis: int, dtype: np.dtype[Any]) -> Array:
    """x with ``axis`` last, as a contiguous matrix of rows."""
    moved = contiguous(np.moveaxis(x, axis, -1), dtype)
    return moved.reshape(-1, moved.shape[-1]) if moved.size else moved.reshape(0, moved.shape[-1])


def run_rows(
    kernel: Any, params: tuple[Any, ...], out: Array, matrices: list[Array], threads: int | None
) -> None:
    """Run a row kernel over all rows, in chunks of rows a thread."""

    def work(start: int, stop: int) -> None:
        kernel(out[start:stop], params, *(m[start:stop] for m in matrices))

    width = max(1, matrices[-1].shape[1])
    pool.run(work, out.shape[0], threads, grain=max(1, pool.GRAIN // width))
