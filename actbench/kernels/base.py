"""A declared function over NumPy arrays: the public object, and what every template shares."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy import empty_like, ndarray

from actbench.catalog import registry
from actbench.catalog.declaration import Declaration, Param
from actbench.catalog.errors import ParameterError, UsageError
from actbench.kernels import threads as pool
from actbench.kernels.arrays import Array, dtype_named, elementwise
from actbench.kernels.sharable import Pieces, Sharable, elements
from actbench.kernels.workload import Compilation, Order, Workload

if TYPE_CHECKING:
    from actbench.kernels.compiler import Kernel

_Ready = tuple[Callable[..., bool], Callable[..., bool], tuple[Any, ...], Callable[[Array], Array]]
"""A kernel's call in one thread and in several, its parameters, and what makes the result's array."""
_COUNTED = 2**14
"""Elements of the workload whose operations are counted: branches that few of them take are met."""
_LASTING = (str, float, int, np.generic)
"""Values of parameters that are today what they were yesterday."""
ROW_LENGTH = 1000
"""Elements a row in synthetic workloads: the class count that softmax and cross-entropy are known by."""


class Function(ABC):
    """One activation or loss, callable on arrays; its kernels are compiled on first use."""

    passes: ClassVar[tuple[str, ...]]
    _scalars: ClassVar[int] = 0
    """Operands of a scalar body; 0 for bodies with loops, in which integer literals are counts, not numbers."""
    _streams: ClassVar[Mapping[str, int]]
    """Arrays of the main input's size that a pass reads and writes."""
    _templates: ClassVar[Mapping[str, str]]
    """The kernel template of each pass."""
    _own: ClassVar[str]
    """The operand that the derivative is taken with respect to."""

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self._kernels: dict[tuple[Any, ...], Sharable] = {}

    def __repr__(self) -> str:
        return f"<actbench {self.kind} {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """By name, as functions are pickled: its kernels are compiled, or found on disk, where it is loaded."""
        if registry.declared(self.name) is not self.declaration:
            raise pickle.PicklingError(
                f"{self.name} is no function of the catalogue, so that no name finds it"
            )
        return _by_name, (self.name,)

    @property
    def name(self) -> str:
        """The canonical name."""
        return self.declaration.name

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names it is known by."""
        return self.declaration.aliases

    @property
    def kind(self) -> str:
        """``"activation"`` or ``"loss"``."""
        return self.declaration.kind

    @property
    def family(self) -> str:
        """The family it belongs to."""
        return self.declaration.family

    @property
    def summary(self) -> str:
        """What it is, in one line."""
        return self.declaration.summary

    @property
    def formula(self) -> str:
        """The formula, as an expression."""
        return self.declaration.formula.text

    @property
    def params(self) -> Mapping[str, Param]:
        """Its parameters by name, in the order of the call."""
        return {name: self.declaration.describe(name) for name in self.declaration.defaults}

    @abstractmethod
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The forward pass; see ``forward``."""

    @property
    def forward(self) -> Callable[..., Any]:
        """The forward pass: calling the function itself."""
        return self.__call__

    def derivative(
        self, x: Any, *, out: Array | None = None, threads: int | None = None, **params: Any
    ) -> Any:
        """dy/dx of an elementwise activation; a TypeError for everything else."""
        raise TypeError(
            f"{self.name} is not elementwise, so that it has no derivative dy/dx: "
            "use backward, the vector-Jacobian product"
        )

    @abstractmethod
    def backward(self, *args: Any, **kwargs: Any) -> Any:
        """The gradient; see the template."""

    def workload(
        self,
        pass_: str,
        dtype: Any,
        size: int,
        *,
        seed: int = 0,
        data: Array | None = None,
        threads: int = 1,
    ) -> Workload:
        """A prepared benchmark cell of about ``size`` elements, or over the user's own ``data``.

        Raises UsageError for a pass that the function does not have, InfeasibleError where data does not fit.
        """
        self.check_pass(pass_)
        rng = np.random.default_rng(seed)
        # A memory map is an array of another class, which a kernel would not take for one.
        plain = None if data is None else np.asarray(data)
        return self._workload(Order(pass_, as_dtype(dtype), size, rng, plain, threads))

    @abstractmethod
    def _workload(self, order: Order) -> Workload: ...

    def workload_bytes(self, pass_: str, dtype: Any, size: int) -> int:
        """The memory in bytes that ``workload`` of that size allocates."""
        self.check_pass(pass_)
        return self._streams[pass_] * size * as_dtype(dtype).itemsize

    def compile(self, pass_: str, dtype: Any) -> Compilation:
        """Make the kernel of a pass ready; what its compilation cost, and whether it was on disk."""
        self.check_pass(pass_)
        return self._pass_kernel(pass_, as_dtype(dtype)).kernel(False).compilation

    def flops(self, pass_: str, dtype: Any) -> float:
        """The floating-point operations that the kernel of a pass does for each element of synthetic data."""
        from actbench.kernels import operations

        self.check_pass(pass_)
        dtype = as_dtype(dtype)

        def count(kernel: Kernel) -> float:
            other = type(self)(self.declaration)
            counting = operations.Counting(kernel)
            other._pass_kernel(pass_, dtype).alone = counting.entry
            work = other.workload(pass_, dtype, _COUNTED)  # its preparation may call, too
            before = counting.value
            work.call()
            return (counting.value - before) / work.elements

        return operations.kept(self._pass_kernel(pass_, dtype).kernel(False), count)

    @abstractmethod
    def _pass_kernel(self, pass_: str, dtype: np.dtype[Any]) -> Sharable: ...

    def check_pass(self, pass_: str) -> None:
        """Raise UsageError unless the function has that pass."""
        if pass_ not in self.passes:
            raise UsageError(f"{self.name} has no pass {pass_!r}; it has {', '.join(self.passes)}")

    def row_params(self, values: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[Any, ...]:
        """The parameters of a body with loops: floats in the dtype, counts and choices as integers."""
        defaults = self.declaration.defaults
        return tuple(
            dtype.type(values[name]) if isinstance(defaults[name], float) else np.int64(values[name])
            for name in self.declaration.body_params
        )

    def _pass(self, pass_: str) -> tuple[str, Callable[..., Any]]:
        """The template and the body of a pass."""
        body = self.declaration.forward if pass_ == "forward" else self._gradient_body(self._own)
        return self._templates[pass_], body

    def _gradient_body(self, wrt: str) -> Callable[..., Any]:
        """The scalar body of the derivative with respect to an operand or a learnable parameter."""
        if wrt == self._own:
            return derivative_body(self.declaration)
        if wrt not in self.declaration.gradients:
            known = ", ".join(repr(name) for name in (self._own, *self.declaration.gradients))
            raise ParameterError(f"{self.name} has no gradient wrt={wrt!r}; choose {known}")
        return self.declaration.gradients[wrt]

    def _kernel(
        self,
        template: str,
        bodies: tuple[Callable[..., Any], ...],
        dtype: np.dtype[Any],
        operands: Callable[[Callable[..., Any], np.dtype[Any]], tuple[Any, ...]],
        params: tuple[Any, ...],
        options: tuple[Any, ...] = (),
        variant: object = None,
        pieces: Pieces = elements,
    ) -> Sharable:
        """The kernel of a template; ``operands`` names the array types, the output first.

        The types of the parameters are those of ``params``, the tuple that the kernel will be called with;
        ``variant`` tells apart what ``operands`` may name for one template (class indices or probabilities).
        """
        key = (template, bodies, dtype, tuple(p.dtype for p in params), options, variant)
        kernel = self._kernels.get(key)
        if kernel is None:
            import numba

            from actbench.kernels import compiler, loops, row_templates, templates

            numbers = numba.types.Tuple([numba.from_dtype(p.dtype) for p in params])
            loop = getattr(row_templates, template, None) or getattr(templates, template)
            borrowed = template not in row_templates.TYPED
            out, *inputs = operands(compiler.operand if borrowed else compiler.array, dtype)
            if template in row_templates.SUMS:
                out = compiler.array(np.float64, output=True)
            types = (out, numbers, numba.types.Tuple(inputs))

            def compiled(together: bool) -> Kernel:
                return compiler.compile_kernel(
                    loops.together(loop) if together else loops.alone(loop),
                    bodies,
                    dtype,
                    (*types, *(numba.types.int64,) * (3 * together)),
                    scalars=self._scalars,
                    options=options,
                )

            kernel = self._kernels[key] = Sharable(compiled, pieces)
        return kernel


def _by_name(name: str) -> Function:
    from actbench.kernels import function

    return function(name)


class Remembering(Function):
    """A function whose passes are called at once where one like it was called before."""

    def __init__(self, declaration: Declaration) -> None:
        super().__init__(declaration)
        # Looking up defaults and kernels anew would cost a call on one element 10 us instead of 2.
        self._ready: dict[Any, dict[Any, _Ready]] = defaultdict(dict)

    def _call(
        self,
        pass_: Any,
        x: Any,
        operands: tuple[Any, ...],
        out: Array | None,
        threads: int | None,
        given: Mapping[str, Any],
    ) -> Any:
        """A pass: at once where a call like it was made before, else by way of ``_map``.

        ``pass_`` names all that tells it from others, beside the dtype and the parameters given.
        """
        if type(x) is ndarray:
            try:
                ready = self._ready[pass_].get((x.dtype, *given.items()) if given else x.dtype)
            except TypeError:  # a parameter without a hash, such as an array
                ready = None
            if ready is not None:
                alone, shared, params, empty = ready
                target = empty(x) if out is None else out
                count = pool.default if threads is None else pool.checked(threads)
                # The kernel itself looks at shapes, order and overlap, and declines what it cannot do.
                if count == 1 or x.size < pool.SHARED:
                    if alone(target, params, operands):
                        return target
                elif shared(target, params, operands, count):
                    return target
        if threads is not None:  # which operands that are worked on in one thread never look at
            threads = pool.checked(threads)
        return self._map(pass_, operands, out, threads, given)

    @abstractmethod
    def _map(
        self,
        pass_: Any,
        operands: tuple[Any, ...],
        out: Array | None,
        threads: int | None,
        given: Mapping[str, Any],
    ) -> Any:
        """A pass with all checks and conversions; it may ``_remember`` what the next call like it needs."""

    def _remember(
        self,
        pass_: Any,
        dtype: np.dtype[Any],
        given: Mapping[str, Any],
        runs: tuple[Callable[..., bool], Callable[..., bool]],
        params: tuple[Any, ...],
        empty: Callable[[Array], Array] = empty_like,
    ) -> None:
        """Keep a kernel and its parameters at hand: to check and convert them anew costs a call 15 us.

        ``runs`` are ``alone`` and ``shared`` of a Sharable, or take what these do; ``empty`` makes the result's array
        from x.
        """
        ready = self._ready[pass_]
        if len(ready) > 256:
            ready.clear()
        key: Any = (dtype, *given.items()) if given else dtype
        # -0.0 and 0.0 are one key, but two slopes; an array is no key at all, and a generator differs each time.
        if all(isinstance(value, _LASTING) and value != 0 for value in given.values()):
            ready[key] = *runs, params, empty


def prepared_call(
    kernel: Sharable,
    params: tuple[Any, ...],
    out: Array,
    inputs: tuple[Array, ...],
    order: Order,
) -> Callable[[], object]:
    """The call of an elementwise kernel with the least beside it."""
    run, threads = (
        (kernel.alone, ())
        if order.threads == 1 or out.size < pool.SHARED
        else (kernel.shared, (order.threads,))
    )
    # Tried once: it declines the user's data where they are not contiguous.
    if run(out, params, inputs, *threads):
        return partial(run, out, params, inputs, *threads)
    return partial(elementwise, kernel, params, out, inputs, order.threads, order.dtype)


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """A dtype from a dtype or its name."""
    return dtype_named(dtype) if isinstance(dtype, str) else np.dtype(dtype)


def derivative_body(declaration: Declaration) -> Callable[..., Any]:
    """The declared derivative, or the symbolic or numerical one that the declaration asks for."""
    if callable(declaration.derivative):
        return declaration.derivative
    from actbench.kernels.derivation import derive

    body: Callable[..., Any] = derive(declaration)
    return body
