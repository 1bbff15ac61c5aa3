"""What to measure: the cells that names, passes, sizes, dtypes, threads and cache states span."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import ConfigDict, Field

from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import InfeasibleError, UsageError
from actbench.kernels.workload import Compilation, Workload
from actbench.peers.base import PASSES as COMPARED

if TYPE_CHECKING:
    from actbench.bench.config import Config

Pass = Literal["forward", "derivative", "backward"]
PASSES: tuple[Pass, ...] = ("forward", "derivative", "backward")
LARGEST_SIZE = 2**48  # elements: beyond any memory, so 1e999999999 never becomes an integer
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_SIZE = re.compile(r"(?P<number>\d[\d_]*(\.\d+)?(e\+?\d+)?)(?P<unit>k|M|G|Ki|Mi|Gi)?", re.A)


Word = Annotated[str, Field(pattern=r"^\w+$")]
"""A name as a file gives it: it is printed, and becomes a part of commands and of other files' names."""


class Named(Protocol):
    """What a plan needs of a function."""

    @property
    def name(self) -> str: ...
    @property
    def passes(self) -> tuple[str, ...]: ...


class Function(Named, Protocol):
    """What the bench needs of a compiled function."""

    @property
    def declaration(self) -> Declaration: ...
    def __call__(self, *operands: Any, **options: Any) -> Any: ...
    def backward(self, *operands: Any, **options: Any) -> Any: ...
    def compile(self, pass_: str, dtype: str, /) -> Compilation: ...
    def workload(
        self,
        pass_: str,
        dtype: str,
        size: int,
        /,
        *,
        seed: int = 0,
        data: np.ndarray | None = None,
        threads: int = 1,
    ) -> Workload: ...
    def flops(self, pass_: str, dtype: str, /) -> float: ...
    def workload_bytes(self, pass_: str, dtype: str, size: int, /) -> int: ...


@dataclass(frozen=True)
class Cell:
    """One thing to time: a pass of a function at a dtype, size (elements), threads, cache state."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    function: Word
    pass_: Annotated[Word, Field(alias="pass")]
    dtype: Word
    size: int
    threads: int = 1
    cache: Word = "warm"

    @property
    def key(self) -> str:
        """The cell's name within a run, such as "relu/forward/float32/1048576/1t/warm"."""
        return f"{self.function}/{self.pass_}/{self.dtype}/{self.size}/{self.threads}t/{self.cache}"

    @property
    def command(self) -> str:
        """The command that measures this cell alone."""
        return (
            f"actbench bench {self.function} --pass {self.pass_} --dtype {self.dtype} "
            f"--size {self.size} --threads {self.threads} --cache {self.cache}"
        )


@dataclass(frozen=True)
class Plan:
    """The cells to measure, in the order in which they are reported."""

    cells: tuple[Cell, ...]


def parse_size(text: str) -> int:
    """The number of elements that `text` means.

    Written 1000, 1e3, 2^20, with a decimal unit (k, M, G: 32k is 32000) or a binary one (Ki, Mi,
    Gi: 32Ki is 32768). Raises UsageError for anything else and for fractions of an element.
    """
    size = _size(text.strip())
    if size is None:
        raise UsageError(
            f"size {text!r} is not a whole number of elements from 1 up: "
            "write 1000, 1e3, 2^20, 32k (32000) or 32Ki (32768)"
        )
    if size > LARGEST_SIZE:
        raise UsageError(f"size {text!r} is beyond 2^48 elements")
    return int(size)


def _size(text: str) -> Decimal | None:
    base, hat, exponent = text.replace("**", "^").partition("^")
    if hat:
        if not (base.isascii() and base.isdigit() and exponent.isascii() and exponent.isdigit()):
            return None
        # The exponent is capped because an honest power of a huge one would never return.
        power = Decimal(int(base[:20]) ** min(int(exponent[:9]), 64))
        return power if power >= 1 else None
    match = _SIZE.fullmatch(text)
    if not match:
        return None
    try:
        size = Decimal(match["number"].replace("_", "")) * _UNITS[match["unit"] or ""]
    except InvalidOperation:  # more digits in the exponent than decimal holds
        return None
    if size > LARGEST_SIZE:
        return size
    return size if size >= 1 and size == size.to_integral_value() else None


def expand(functions: Sequence[Named], config: Config, *, synthetic: bool = True) -> Plan:
    """The plan that the functions and the configuration span, without the passes that one lacks.

    Against peers, on `synthetic` data, each pass that they have has a cell of one element too, in one dtype and the
    fewest threads: what a call costs.
    Raises UsageError where nothing is left.
    """
    passes = tuple(dict.fromkeys(config.passes))
    calls = [(config.dtypes[0], 1, min(config.threads), "warm")] if config.against and synthetic else []
    spans = list(product(config.dtypes, config.sizes, config.threads, config.caches))
    cells = tuple(
        Cell(function.name, pass_, dtype, size, threads, cache)
        for function in functions
        for pass_ in passes
        if pass_ in function.passes
        for dtype, size, threads, cache in dict.fromkeys([*(calls if pass_ in COMPARED else ()), *spans])
    )
    if not cells:
        has = "; ".join(f"{f.name} has {', '.join(f.passes)}" for f in functions[:3])
        raise UsageError(f"no cell to measure for --pass {','.join(passes)}: {has}")
    return Plan(cells)


def check_memory(need: Mapping[str, int], available: int | None) -> None:
    """Raise InfeasibleError if a cell needs more bytes than are `available`; None is unknown."""
    if available is None or max(need.values(), default=0) <= available:
        return
    worst = max(need, key=need.__getitem__)
    raise InfeasibleError(
        f"{worst} needs {_gib(need[worst])} of memory and {_gib(available)} is available: "
        "use a smaller --size"
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
