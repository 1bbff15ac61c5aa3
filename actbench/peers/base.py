"""What the bench asks of another library: the same function, on the same data, with as many threads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import metadata
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from actbench.catalog.errors import ActbenchError

T = TypeVar("T")
Array = NDArray[Any]
Params = Mapping[str, Any]
Call = Callable[[], object]
Table = Mapping[str, Callable[[Params], Any]]
"""From our function's name, and then its parameters, to what the library calls it."""
PASSES = ("forward", "backward")
"""What a peer can be asked for: frameworks have no call for a derivative without its product."""
_OPERANDS = ("grad_output", "x", "pred", "target")


class DifferentFunctionError(ActbenchError):
    """The peer has a function of that name, but not with these parameters, or not for this dtype."""


@dataclass(frozen=True)
class Request:
    """One pass of one function over given arrays.

    ``arrays`` are named as in a workload: x, grad_output, pred, target, all of one dtype but for labels.
    ``out`` asks for a call that writes to a buffer made before, the other kind makes its result anew.
    The backward pass of an activation is the vector-Jacobian product of (grad_output, x); of a loss, the gradient
    of its reduced value in pred.
    """

    function: str
    pass_: str
    params: Params
    arrays: Mapping[str, Array]
    out: bool = False

    @property
    def operands(self) -> tuple[Array, ...]:
        """The inputs, in the order of the call."""
        return tuple(self.arrays[name] for name in _OPERANDS if name in self.arrays)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the main input, which is the result's too."""
        return self.arrays["x" if "x" in self.arrays else "pred"].dtype


@dataclass(frozen=True)
class Prepared:
    """A call that returns when its result is there, and that result as an array of our dtype."""

    call: Call
    result: Callable[[], Array]
    allocates: bool = True
    note: str = ""
    compile_s: float = 0.0
    threads: int | None = None
    """How many the call uses, where that is not what the library was set to."""


@dataclass(frozen=True)
class Description:
    """Which build of a peer took part."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    version: str
    build: str
    threads: str  # how their number is set
    vector: str  # the instructions that its kernels use, as far as it tells
    subnormals: Literal["kept", "flushed to zero", "unknown"] = "unknown"
    fault: str = ""  # why it takes no part after all

    @classmethod
    def of_fault(cls, fault: str) -> Description:
        """That of a peer which cannot even tell its version."""
        return cls("unknown", "unknown", "unknown", "unknown", fault=fault)


@dataclass(frozen=True)
class Tables:
    """What a library has, by pass and kind of call."""

    forward: Table
    backward: Table = field(default_factory=dict)
    forward_out: Table = field(default_factory=dict)
    backward_out: Table = field(default_factory=dict)

    def of(self, request: Request) -> Table:
        """The table that a request is looked up in; an empty one for a pass that no peer has."""
        name = f"{request.pass_}_out" if request.out else request.pass_
        table: Table = getattr(self, name, {})
        return table


class Peer(ABC):
    """A library that can be timed beside ours; its package is imported by ``prepare`` and not before."""

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    """What must be installed, by the names under which it is imported."""
    extra: ClassVar[str]
    """What pip installs it with: ``actbench[extra]``."""
    notes: ClassVar[Mapping[str | tuple[str, str], str]] = {}
    """Where a call differs from ours, by our function's name, or by that and the pass."""
    coarse: ClassVar[Mapping[tuple[str, str], str]] = {}
    """Why a call is less exact than its dtype, by our function's name and the dtype: what is told beside its size."""
    settles_s: ClassVar[float] = 0.0
    """How long its idle threads keep their cores busy after a call."""
    _kept: tuple[object, Any] | None = None

    @classmethod
    def available(cls) -> bool:
        """Whether the library is installed; imports nothing of it."""
        return all(find_spec(package) for package in cls.packages)

    @classmethod
    def missing(cls) -> str:
        """The line for a user who names a peer that is not installed."""
        return f"{cls.name} is not installed: pip install 'actbench[{cls.extra}]'"

    @abstractmethod
    def set_threads(self, count: int) -> int:
        """Let calls that are prepared from now on use ``count`` threads; the number found in force."""

    def describe(self, threads: int = 1) -> Description:
        """Version, build, thread setting, vector instructions, and what a call makes of a subnormal number.

        Such a call is made by ``threads`` threads: the first one of a process may settle their number for good.
        """
        return replace(self._describe(), subnormals=self._subnormals(threads))

    def _subnormals(self, threads: int) -> Literal["kept", "flushed to zero", "unknown"]:
        x = np.full(64, 1e-40, np.float32)  # half of it, silu of so small a number, is subnormal too
        try:
            self.set_threads(threads)
            calls = (self.prepare(Request("silu", "forward", {}, {"x": x}, out)) for out in (False, True))
            values = next(np.asarray(call.result()) for call in calls if call)
        except Exception:  # has no silu, or does not work: every cell will say so
            return "unknown"
        return "kept" if values.all() else "flushed to zero"

    def prepare(self, request: Request) -> Prepared | None:
        """The call for a request; None for a function or a kind of call that the library does not have.

        Raises DifferentFunctionError where it has one that is not the same.
        """
        entry = self.tables.of(request).get(request.function)
        return None if entry is None else self._bind(request, entry(request.params))

    def note(self, request: Request) -> str:
        """Where the call for a request differs from ours."""
        keys = request.function, (request.function, request.pass_)
        return "; ".join(self.notes[key] for key in keys if key in self.notes)

    @cached_property
    def tables(self) -> Tables:
        """What the library has; made once, because that imports it."""
        return self._tables()

    def _once(self, request: Request, make: Callable[[], T], *state: object) -> T:
        """What ``make`` compiles, kept for buffers of the same shape until something else is asked for.

        Cold cells have hundreds of sets of buffers.
        """
        shapes = [(a.shape, a.dtype) for a in request.operands]
        key = (request.function, request.pass_, dict(request.params), shapes, state)
        if self._kept is None or self._kept[0] != key:
            self._kept = key, make()
        made: T = self._kept[1]
        return made

    @abstractmethod
    def _describe(self) -> Description: ...

    @abstractmethod
    def _tables(self) -> Tables: ...

    @abstractmethod
    def _bind(self, request: Request, body: Any) -> Prepared:
        """The call of what the table holds on the request's arrays."""


def version(package: str) -> str:
    """The installed version of a package."""
    return metadata.version(package)
