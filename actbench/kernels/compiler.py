"""Compile a kernel once, keep it on disk, never confuse it with another.

Numba's own cache names a file by the place of the function and numbers its entries. Kernels made by one
template share that place, so that two processes that start cold can write one number for two kernels, and a
scalar edited in another file leaves a stale hit. Here a kernel's file is named by a hash of everything its
machine code depends on: equal names mean equal contents, and a race writes the same bytes twice.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
import platformdirs
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from actbench.catalog.errors import DeclarationError, OutputError, UsageError, told
from actbench.files import write_whole
from actbench.kernels.arrays import compute_dtype
from actbench.kernels.collection import uncollected
from actbench.kernels.headers import Operand
from actbench.kernels.linking import inline
from actbench.kernels.scalar import number_body
from actbench.kernels.specialize import digest, specialize
from actbench.kernels.workload import Compilation

_LOCK = threading.RLock()
_OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False, "no_cfunc_wrapper": True}


@dataclass(frozen=True)
class Kernel:
    """A compiled kernel of one signature, and what it cost to compile."""

    entry: Callable[..., Any]
    """The compiled code without Numba's look at the types, which costs 200 ns and is the caller's to know.

    Those of ``loops`` take (out, params, inputs) and return False where they decline their operands.
    """
    compilation: Compilation
    key: str
    dispatcher: Any


def cache_directory() -> Path:
    """Where compiled kernels are kept: ACTBENCH_CACHE_DIR, or the user's cache folder."""
    chosen = os.environ.get("ACTBENCH_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("actbench")) / "kernels"


@functools.lru_cache(maxsize=1)
def _toolchain() -> str:
    """A hash of what all kernels depend on: this layer's sources, the versions and the processor."""
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        sha.update(path.read_bytes())
    target = cpu_target.target_context.codegen().magic_tuple()
    versions = (sys.version_info[:3], numba.__version__, llvmlite.__version__, np.__version__)
    sha.update(repr((target, versions, os.environ.get("NUMBA_OPT"))).encode())
    return sha.hexdigest()


class _ContentCache(_Cache):  # type: ignore[misc]
    """One kernel's entry: a file named by its key that begins with a hash of its contents."""

    def __init__(self, key: str) -> None:
        self.path = cache_directory() / f"{key}.kernel"
        self.seconds = 0.0
        self.entry = self._read()

    def _read(self) -> tuple[float, Any] | None:
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            return None
        return pickle.loads(content[32:])  # type: ignore[no-any-return]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        if self.entry is None:
            return None
        # Numba would import all that it can compile, and with it SciPy's linear algebra, which takes 0.2 s. What is
        # compiled needs no more than its allocator.
        rtsys.initialize(target_context)
        return CompileResult._rebuild(target_context, *self.entry[1])

    def save_overload(self, sig: Any, data: Any) -> None:
        # As from disk: the parts that a kernel is linked from have no machine code that Numba would do this for.
        for environment in data._find_referenced_environments():
            data.codegen.set_env(environment.env_name, environment)
        body = dumps((self.seconds, data._reduce()))
        with contextlib.suppress(
            OutputError
        ):  # a read-only cache, or a full one, costs time, not correctness
            write_whole(hashlib.sha256(body).digest() + body, self.path)

    @property
    def cache_path(self) -> str:
        return str(self.path.parent)

    def enable(self) -> None: ...

    def disable(self) -> None: ...

    def flush(self) -> None:
        self.path.unlink(missing_ok=True)


class _TimedCache(_ContentCache):
    """Remembers, with the code, how long it took from the first look at the cache to the last byte."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        self.started = time.perf_counter()
        return super().load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        self.seconds = time.perf_counter() - self.started
        super().save_overload(sig, data)


def array(dtype: np.dtype[Any] | type, ndim: int = 1, *, output: bool = False, layout: str = "C") -> Any:
    """The Numba type of an operand; inputs are read-only, so that memory-mapped files pass too."""
    return numba.types.Array(numba.from_dtype(np.dtype(dtype)), ndim, layout, readonly=not output)


def operand(dtype: np.dtype[Any], *, output: bool = False) -> Any:
    """The Numba type of an elementwise operand: an array of any shape that is contiguous."""
    return Operand(dtype.name)


def _explain(error: Exception, bodies: tuple[Callable[..., Any], ...]) -> None:
    """Raise DeclarationError where one of the bodies is a user's, whose mistake it is."""
    ours = str(Path(__file__).parents[1])
    own = [body.__code__ for body in bodies if not body.__code__.co_filename.startswith(ours)]
    if own:
        lines = [line.strip() for line in str(error).splitlines()]
        # Numba tells of every layer, the outermost first; the cause is what follows the last of these.
        last = max((i for i, line in enumerate(lines) if "Failed in" in line), default=-1)
        cause = lines[last + 1].partition(": %")[0] if isinstance(error, NumbaError) else told(error)
        if "readonly array" in str(error):
            cause = "it writes to an input: fill out"
        where = f"{own[0].co_name} in {own[0].co_filename}, line {own[0].co_firstlineno}"
        raise DeclarationError(f"Numba cannot compile {where}: {cause}") from error


def compile_kernel(
    template: Callable[..., Callable[..., Any]],
    bodies: tuple[Callable[..., Any], ...],
    dtype: np.dtype[Any],
    signature: tuple[Any, ...],
    *,
    scalars: int,
    options: tuple[Any, ...] = (),
) -> Kernel:
    """The kernel that ``template`` makes of ``bodies`` in the format ``dtype``, from disk where it is there.

    ``scalars`` is how many leading arguments of the bodies are operands, 0 for bodies with loops.
    ``options`` are further arguments of the template (plain values), part of the kernel's identity.
    """
    if numba.config.DISABLE_JIT:
        raise UsageError("NUMBA_DISABLE_JIT is set: unset it, the kernels exist only compiled")
    identity = (_toolchain(), template.__qualname__, [digest(b) for b in bodies], dtype.name)
    key = hashlib.sha256(repr((*identity, signature, scalars, options)).encode()).hexdigest()[:40]
    declared = bodies
    with _LOCK:
        cache = _TimedCache(key)
        cached = cache.entry is not None
        if not cached:
            # Only now: the vector mathematics takes 60 ms to import, which a kernel from disk does not need.
            from actbench.kernels import lowering
            from actbench.kernels.vecmath import half

            lowering.install()
            compute = compute_dtype(dtype)
            if scalars:
                brief = vars(half.functions) if dtype != compute else {}
                bodies = tuple(number_body(b, compute, scalars, brief) for b in bodies)
            else:
                bodies = tuple(specialize(b, compute, inline, integers=False) for b in bodies)
            # Numba numbers its functions from 1 in every process, and the number is all that tells the symbols of
            # one template's kernels apart: two that were compiled in two processes and are loaded into a third
            # would be one symbol, and the second would silently run the first one's code.
            FunctionIdentity._unique_ids = itertools.count(int(key[:12], 16))
        dispatcher = numba.njit(**_OPTIONS)(template(*bodies, *options))
        dispatcher._cache = cache
        # What Numba makes mostly stays, and looking at it takes a tenth of the time.
        with uncollected():
            try:
                entry = dispatcher.compile(signature)
            except Exception as error:  # Numba stumbles, too, over what it does not know
                _explain(error, declared)
                raise
        dispatcher.disable_compile()
    seconds = cache.entry[0] if cache.entry is not None else cache.seconds
    return Kernel(entry, Compilation(seconds, cached), key, dispatcher)
