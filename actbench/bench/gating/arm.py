"""One side of a gate: a process that holds one version of the code, and calls it when it is told to.

It is run by its path, with the interpreter and the search path of its side, and talks in lines of JSON on stdin and
stdout. So it stands alone: what it imports of actbench is its own side's, any version that has the public calls. Only
``make``, which the head alone is asked for, draws data as that version's benchmark does.
"""

from __future__ import annotations

import gc
import hashlib
import inspect
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib import import_module, metadata
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[[], Any]
_ORDER = ("grad_output", "x", "pred", "target")
_PAGE, _LINE = 4096, 64
_VERSIONS = (
    *("actbench", "numba", "llvmlite", "numpy"),
    *("torch", "jax", "onnxruntime", "tensorflow", "keras", "scipy", "numexpr"),
)
_SYMBOL = re.compile(r"@(?:\"[^\"]*\"|[\w.$-]+)")
_NUMBERED = re.compile(r"(?:![0-9]+|#[0-9]+)")


class Arm:
    """What this side holds: the operands, the buffers and the calls of the cells that were loaded."""

    def __init__(self) -> None:
        self._call: Call | None = None
        self._result: Any = None
        self._peers: dict[str, Any] = {}

    def hello(self, cpus: list[int], files: list[str]) -> Mapping[str, Any]:
        """Declare what the files declare, and take to these CPUs; versions, and every function with its passes."""
        actbench = import_module("actbench")
        # Numba's import takes the longest. Before the sides share one CPU, they do it at the same time.
        import_module("numba")
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cpus)
        if files:
            registry = import_module("actbench.catalog.registry")
            for path in files:
                registry.load_file(Path(path))
        # Rounds must not be told apart by whose garbage is collected in them; buffers go without its help.
        gc.disable()
        found = {
            f.name: {"kind": f.kind, "family": f.family, "passes": list(f.passes)}
            for f in actbench.functions()
        }
        return {"versions": _versions(), "functions": found}

    def compile(self, function: str, pass_: str, dtype: str) -> Mapping[str, Any]:
        """Make a kernel ready."""
        import_module("actbench").get(function).compile(pass_, dtype)
        return {}

    def make(self, cell: Mapping[str, Any], seed: int, folder: str, offset: int) -> Mapping[str, Any]:
        """Draw a cell's data into files that both sides map; how to call it with them, as ``load`` takes it."""
        function = import_module("actbench").get(cell["function"])
        work = function.workload(
            cell["pass"], cell["dtype"], cell["size"], seed=seed, threads=cell["threads"]
        )
        operands = [work.arrays[name] for name in _ORDER if name in work.arrays]
        reduces = cell["pass"] == "forward" and "pred" in work.arrays
        call = _method(function, cell["pass"])
        takes_out = not reduces and "out" in inspect.signature(call).parameters
        arrays = [*operands, *([work.arrays["out"]] if takes_out else [])]
        start = offset % _PAGE // _LINE * _LINE
        files = []
        for i, array in enumerate(arrays):
            file = {
                "path": str(Path(folder) / f"array{i}"),
                "dtype": str(array.dtype),
                "shape": list(array.shape),
                "offset": start,
            }
            _mapped(file, "w+")[...] = array
            files.append(file)
        return {"operands": files[: len(operands)], "out": files[len(operands) :], "elements": work.elements}

    def load(self, cell: Mapping[str, Any], peer: str | None, made: Mapping[str, Any]) -> Mapping[str, Any]:
        """Prepare a cell's call over data from files, and call it once; a hash of its values."""
        self.drop()
        # Private copies of pages that are never written are the very pages that the other side reads.
        operands = [_mapped(file, "c") for file in made["operands"]]
        out = [_mapped(file, "r+") for file in made["out"]]
        self._call, self._result = (
            self._peer_call(peer, cell, operands) if peer else _own_call(cell, operands, out)
        )
        values = np.asarray(self._result())
        return {"hash": hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()}

    def values(self, path: str) -> Mapping[str, Any]:
        """Save the loaded call's values as float64."""
        np.save(path, np.asarray(self._result()).astype(np.float64))
        return {}

    def code(self) -> Mapping[str, Any]:
        """A hash of all that runs in a loaded call: Python code, and compiled code as the compiler left it.

        Two sides of equal versions and equal hashes run the very same code.
        """
        return {"code": _code_of(self._call)} if self._call else {}

    def calibrate(self, slice_ns: int) -> Mapping[str, Any]:
        """How many calls a slice needs."""
        loops = 1
        while True:
            elapsed = min(self._slice(loops), self._slice(loops))
            if elapsed >= slice_ns:
                return {"loops": loops}
            loops = max(loops + 1, min(int(loops * 1.05 * slice_ns / max(elapsed, 1)) + 1, 10 * loops))

    def time(self, loops: int) -> Mapping[str, Any]:
        """The nanoseconds of so many calls, after one that warms the caches."""
        self._slice(1)
        return {"ns": self._slice(loops)}

    def drop(self) -> Mapping[str, Any]:
        """Forget the loaded call and its buffers."""
        self._call = self._result = None
        return {}

    def _slice(self, loops: int) -> int:
        call = self._call
        assert call is not None
        turns = repeat(None, loops)
        start = time.perf_counter_ns()
        for _ in turns:
            call()
        return time.perf_counter_ns() - start

    def _peer_call(
        self, name: str, cell: Mapping[str, Any], operands: list[np.ndarray[Any, Any]]
    ) -> tuple[Call, Call]:
        base = import_module("actbench.peers.base")
        if name not in self._peers:
            (self._peers[name],) = import_module("actbench.peers").chosen([name])
        peer = self._peers[name]
        function = import_module("actbench").get(cell["function"])
        used = peer.set_threads(cell["threads"])
        if used != cell["threads"]:
            raise RuntimeError(f"{name} uses {used} threads")
        names = _ORDER[:2] if function.kind == "activation" else _ORDER[2:]
        arrays = dict(zip(names[-len(operands) :], operands, strict=True))
        request = base.Request(cell["function"], cell["pass"], function.declaration.defaults, arrays)
        prepared = peer.prepare(request)
        if prepared is None:
            raise RuntimeError(f"{name} has no such call")
        return prepared.call, prepared.result


def _own_call(
    cell: Mapping[str, Any], operands: list[np.ndarray[Any, Any]], out: list[np.ndarray[Any, Any]]
) -> tuple[Call, Call]:
    function = import_module("actbench").get(cell["function"])
    call = partial(_method(function, cell["pass"]), *operands, threads=cell["threads"])
    if out:
        call = partial(call, out=out[0])
    return call, call


def _method(function: Any, pass_: str) -> Callable[..., Any]:
    return function if pass_ == "forward" else getattr(function, pass_)  # type: ignore[no-any-return]


def _mapped(file: Mapping[str, Any], mode: Any) -> np.ndarray[Any, Any]:
    """An array in a file that both sides map, so that both have it on the same pages of memory.

    Buffers of their own lie on pages that fall together in the caches in another way in each process: the medians of
    two processes of one kernel then differed by 3 to 10 % where three arrays fill three quarters of the second level.
    """
    dtype, shape = _dtype(file["dtype"]), tuple(file["shape"])
    mapped = np.memmap(file["path"], dtype, mode, offset=file["offset"], shape=shape)
    return np.asarray(mapped)  # a memmap is an array of another class, which kernels do not take at once


def _dtype(name: str) -> np.dtype[Any]:
    known: np.dtype[Any] = np.dtype(import_module("ml_dtypes").bfloat16 if name == "bfloat16" else name)
    return known


def _versions() -> Mapping[str, str]:
    found = {"python": platform.python_version()}
    for name in _VERSIONS:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _code_of(call: Call) -> str:
    """The Python functions that a call goes through, and the modules of the compiled ones that they call."""
    ran: dict[int, Any] = {}

    def note(frame: Any, event: str, what: Any) -> None:
        if event == "call":
            ran.setdefault(id(frame.f_code), frame.f_code)
        elif event == "c_call":
            ran.setdefault(id(what), what)

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    compiled = _compiled()
    parts = []
    for each in ran.values():
        if inspect.iscode(each):
            parts.append(_python(each))
        elif id(each) in compiled:
            parts.append(_normal(str(compiled[id(each)]._get_module_for_linking())))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _python(code: Any) -> str:
    """A code object without where it stands."""
    constants = [_python(c) if inspect.iscode(c) else repr(c) for c in code.co_consts]
    return repr((code.co_name, code.co_code.hex(), code.co_names, code.co_varnames, constants))


def _compiled() -> Mapping[int, Any]:
    """What Numba has compiled in this process, by the identity of the function that runs it."""
    dispatcher = import_module("numba.core.dispatcher").Dispatcher
    known = [each for each in gc.get_objects() if isinstance(each, dispatcher)]
    return {id(made.entry_point): made.library for each in known for made in each.overloads.values()}


def _normal(module: str) -> str:
    """A module's text with symbols and attributes in the place of their names, which tell of places and processes."""
    names: dict[str, str] = {}
    # Of the attributes those of intrinsics, which name no processor, are written otherwise once they were on disk.
    lines = [
        line
        for line in module.splitlines()
        if not line.startswith((";", "source_filename", "!"))
        and not (line.startswith("attributes") and '"' not in line)
    ]
    text = _SYMBOL.sub(lambda m: names.setdefault(m[0], f"@{len(names)}"), "\n".join(lines))
    return _NUMBERED.sub("", text)


def serve() -> None:
    """Answer a line of JSON for each that comes."""
    # Whatever a library prints must not be taken for an answer.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    arm = Arm()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = getattr(arm, asked.pop("do"))(**asked)
        except Exception as error:
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
        print(json.dumps(answer), file=replies, flush=True)


if __name__ == "__main__":
    serve()
