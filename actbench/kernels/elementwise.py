"""Elementwise activations: one scalar body, any shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from actbench.catalog.errors import InfeasibleError, ParameterError, UsageError
from actbench.kernels import arrays
from actbench.kernels.arrays import Array, compute_dtype
from actbench.kernels.base import Remembering, prepared_call
from actbench.kernels.reduce import spans, total
from actbench.kernels.workload import Order, Workload

if TYPE_CHECKING:
    from actbench.kernels.sharable import Sharable


class Elementwise(Remembering):
    """An activation that maps each element by itself."""

    passes: ClassVar[tuple[str, ...]] = ("forward", "derivative", "backward")
    _scalars = 1
    _streams: ClassVar = {"forward": 2, "derivative": 2, "backward": 3}
    _templates: ClassVar = {"forward": "forward", "derivative": "forward", "backward": "backward"}
    _own = "x"

    def __call__(self, x: Any, out: Array | None = None, threads: int | None = None, **params: Any) -> Any:
        """f(x): an array of x's shape and dtype (float64 for integers), or a scalar for a scalar.

        ``out`` may be x itself. Raises TypeError for a dtype without real numbers, ParameterError for a
        parameter outside its range, UsageError for an ``out`` of another shape or dtype.
        """
        return self._call("forward", x, (x,), out, threads, params)

    def derivative(
        self, x: Any, *, out: Array | None = None, threads: int | None = None, **params: Any
    ) -> Any:
        """dy/dx at every x, with the declared convention at kinks; shapes and dtypes as in ``forward``."""
        return self._call("derivative", x, (x,), out, threads, params)

    def backward(
        self,
        grad_output: Any,
        x: Any,
        wrt: str = "x",
        out: Array | None = None,
        threads: int | None = None,
        **params: Any,
    ) -> Any:
        """The vector-Jacobian product: grad_output * dy/dx, or the gradient of a learnable parameter.

        ``wrt`` names the parameter; its gradient is summed to the parameter's own shape. Raises UsageError
        where grad_output and x differ in shape.
        """
        if wrt == "x":
            return self._call("backward", x, (grad_output, x), out, threads, params)
        g, x = self._arrays(grad_output, x)
        return arrays.handed(self.name, self._parameter_gradient(g, x, wrt, threads, params), out)

    def _arrays(self, *operands: Any) -> tuple[Array, ...]:
        """The operands as arrays; UsageError unless they are of one shape."""
        found = tuple(arrays.operand(self.name, o) for o in operands)
        if found[0].shape != found[-1].shape:
            raise UsageError(
                f"{self.name}.backward: grad_output has shape {found[0].shape}, x has {found[-1].shape}"
            )
        return found

    def _numbers(self, x: Array, given: Mapping[str, Any]) -> dict[str, Any]:
        """The bodies' parameters: numbers, and at most one array."""
        declaration = self.declaration
        values = declaration.resolve(given)
        if declaration.prepare is not None:
            values = dict(declaration.prepare(x, **values))
        values = declaration.numbers(values)
        many = [name for name, value in values.items() if np.ndim(value)]
        if len(many) > 1:
            raise ParameterError(f"{self.name}: give only one of {', '.join(many)} as an array")
        return values

    def _aligned(self, name: str, value: Any, x: Array) -> Array:
        """An array parameter broadcast to x's shape; a one-dimensional one runs along the channels (axis 1)."""
        value = np.asarray(value)
        if value.ndim == 1 and x.ndim > 1:
            value = value.reshape((-1,) + (1,) * (x.ndim - 2))
        try:
            return np.broadcast_to(value, x.shape)
        except ValueError:
            raise InfeasibleError(
                f"{self.name}: {name} of shape {value.shape} does not fit x of shape {x.shape} "
                "(a one-dimensional one runs along axis 1)"
            ) from None

    def _map(
        self,
        pass_: str,
        operands: tuple[Any, ...],
        out: Array | None,
        threads: int | None,
        given: Mapping[str, Any],
        wrt: str = "x",
    ) -> Any:
        operands = self._arrays(*operands)
        dtype = arrays.result_dtype(self.name, *operands)
        kernel, params, streams = self._prepared(pass_, wrt, dtype, operands, given)
        target = arrays.output(self.name, operands[-1], dtype, out)
        arrays.elementwise(kernel, params, target, streams, threads, dtype)
        if streams is operands and wrt == "x":
            self._remember(pass_, dtype, given, (kernel.alone, kernel.shared), params)
        return arrays.result(target, out)

    def _prepared(
        self,
        pass_: str,
        wrt: str,
        dtype: np.dtype[Any],
        operands: tuple[Array, ...],
        given: Mapping[str, Any],
    ) -> tuple[Sharable, tuple[Any, ...], tuple[Array, ...]]:
        """The kernel, its scalar parameters, and its operands with an array parameter among them."""
        x = operands[-1]
        values = self._numbers(x, given)
        body = self.declaration.forward if pass_ == "forward" else self._gradient_body(wrt)
        template = self._templates[pass_]
        array = next((name for name, value in values.items() if np.ndim(value)), None)
        options: tuple[Any, ...] = ()
        if array is not None:
            options = (list(values).index(array),)
            operands = (*operands, self._aligned(array, values.pop(array), x))
            template += "_with_array"
        compute = compute_dtype(dtype)
        params = tuple(compute.type(value) for value in values.values())
        streams = len(operands)
        kernel = self._kernel(
            template,
            (body,),
            dtype,
            lambda array, d: (array(d, output=True), *(array(d),) * streams),
            params,
            options,
        )
        # Python's own floats: a NumPy scalar costs 15 ns more to unpack.
        return kernel, tuple(float(p) for p in params), operands

    def _parameter_gradient(
        self, g: Array, x: Array, wrt: str, threads: int | None, given: Mapping[str, Any]
    ) -> Any:
        dtype = arrays.result_dtype(self.name, g, x)
        values = self._numbers(x, given)
        value: Any = values.get(wrt)
        body = self._gradient_body(wrt)
        if np.ndim(value) == 0:
            compute = compute_dtype(dtype)
            params = tuple(compute.type(v) for v in values.values())
            kernel = self._kernel(
                "sum_of_products",
                (body,),
                compute,
                lambda array, d: (array(d, output=True), array(d), array(d)),
                params,
                pieces=spans,
            )
            return arrays.rounded_number(total(kernel, params, (g, x), compute, threads), dtype)
        products = self._map("backward", (g, x), None, threads, given, wrt)
        shape = np.shape(value)
        spread = (1, *shape, *(1,) * (x.ndim - 2)) if len(shape) == 1 and x.ndim > 1 else shape
        spread = (1,) * (x.ndim - len(spread)) + spread
        axes = tuple(i for i in range(x.ndim) if spread[i] == 1)
        sums = np.add.reduce(products, axis=axes, dtype=np.float64, keepdims=True)
        return arrays.rounded(sums.reshape(shape), dtype)

    def _pass_kernel(self, pass_: str, dtype: np.dtype[Any]) -> Sharable:
        few = (np.zeros(1, dtype),) * (self._streams[pass_] - 1)
        return self._prepared(pass_, "x", dtype, few, {})[0]

    def _workload(self, order: Order) -> Workload:
        x = order.operand(self.declaration.domain)
        operands = (x,) if order.pass_ != "backward" else (order.draw(x.size).reshape(x.shape), x)
        out = np.zeros(x.shape, order.dtype)
        kernel, params, streams = self._prepared(order.pass_, "x", order.dtype, operands, {})
        call = prepared_call(kernel, params, out, streams, order)
        nbytes = x.size * order.dtype.itemsize
        return Workload(
            call,
            x.size,
            bytes_read=len(operands) * nbytes,
            bytes_written=nbytes,
            arrays={"x": x, "out": out} | ({"grad_output": operands[0]} if len(operands) == 2 else {}),
        )
