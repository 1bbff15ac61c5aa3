"""How many floating-point operations a kernel does: its optimised code is made to count them as it runs.

Additions, multiplications, divisions and roots count one a lane, a fused multiply-add two; comparisons and selections
none. A processor's own counters would tell much the same, but virtual machines hide them.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from ctypes import addressof, c_int64
from typing import Any

from llvmlite import binding

from actbench.catalog.errors import OutputError
from actbench.files import write_whole
from actbench.kernels.compiler import Kernel, cache_directory

_PLAIN = re.compile(r" = (?:fadd|fsub|fmul|fdiv|frem)\b[^%<]*?(?:<(?P<lanes>\d+) x )?(?:float|double)\b")
_CALLED = re.compile(
    r" call .*@llvm\.(?P<name>fma|fmuladd|sqrt|vector\.reduce\.fadd)\.(?:v(?P<lanes>\d+))?f\d"
)
_BEGIN = re.compile(r"define |[\w.$-]+:|\"[^\"]+\":")
_END = re.compile(r"  (?:br|ret|switch|unreachable|indirectbr)\b")


_TOTALS: list[c_int64] = []
"""Of all that count: what is compiled stays in the process, and so must the number that it adds to."""


class Counting:
    """A kernel again, whose calls also add up the floating-point operations that they do in ``value``."""

    def __init__(self, kernel: Kernel) -> None:
        self._total = c_int64(0)
        _TOTALS.append(self._total)
        self.entry = _rebuilt(kernel, addressof(self._total), f"counting{len(_TOTALS)}")
        """Takes and returns what the kernel's own entry does."""

    @property
    def value(self) -> int:
        """The operations of all calls so far."""
        return self._total.value


def kept(kernel: Kernel, count: Callable[[Kernel], float]) -> float:
    """What ``count`` says of a kernel, from beside it on disk where it was asked before: counting takes a second."""
    path = cache_directory() / f"{kernel.key}.operations"
    with suppress(OSError, ValueError):
        return float(path.read_text())
    counted = count(kernel)
    with suppress(OutputError):  # as with kernels, a read-only cache costs time only
        write_whole(repr(counted).encode(), path)
    return counted


def _rebuilt(kernel: Kernel, address: int, suffix: str) -> Callable[..., Any]:
    """The kernel's code once more, counting at an address, under symbols that nothing else in the process has."""
    (made,) = kernel.dispatcher.overloads.values()
    described = copy.copy(made.fndesc)
    described.mangled_name += suffix
    text = str(made.library._get_module_for_linking())
    for of in ("llvm_func_name", "llvm_cpython_wrapper_name"):
        text = text.replace(f"@{getattr(made.fndesc, of)}", f"@{getattr(described, of)}")
    module = binding.parse_assembly("\n".join(_counting(text.splitlines(), address)))
    context = made.target_context
    library = context.codegen().unserialize_library((made.library.name, "bitcode", module.as_bitcode()))
    entry: Callable[..., Any] = context.get_executable(library, described, made.environment)
    return entry


def _counting(lines: list[str], address: int) -> Iterator[str]:
    """The lines of a module, with the addition of its operations at the end of every block."""
    place = f"ptr inttoptr (i64 {address} to ptr), align 8"
    operations = blocks = 0
    for line in lines:
        if _BEGIN.match(line):
            operations = 0
        elif operations and _END.match(line):
            yield f"  %counted.{blocks} = load i64, {place}"
            yield f"  %counting.{blocks} = add i64 %counted.{blocks}, {operations}"
            yield f"  store i64 %counting.{blocks}, {place}"
            operations, blocks = 0, blocks + 1
        operations += _operations(line)
        yield line


def _operations(line: str) -> int:
    """The floating-point operations of an instruction."""
    found = _PLAIN.search(line) or _CALLED.search(line)
    if not found:
        return 0
    lanes = int(found["lanes"] or 1)
    return 2 * lanes if found.groupdict().get("name", "").startswith("fm") else lanes
