"""One side of a gate: a process that holds one version of the code, and calls it when it is told to.

It is run by its path, with the interpreter and the search path of its side, and talks in lines of JSON on stdin and
stdout. So it stands alone: what it imports of actbench is its own side's, any version that has the public calls. Only
``make``, which a process of head's that nothing is timed in is asked for, draws data as that version's benchmark does.
"""

from __future__ import annotations

import gc
import hashlib
import inspect
import json
import math
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
_DECLARED = re.compile(rf"^declare [^@\n]*({_SYMBOL.pattern})", re.M)
_NUMBERED = re.compile(r"(?:![0-9]+|#[0-9]+)")
_MISSING = 'c"missing Environment: '
"""A message of Numba's, with a symbol's name in it."""
_ENTRY = "_Closure"
"""The type of what a function that Numba has compiled is bound to."""
_SIMPLE = (bool, int, float, complex, str, bytes, type(None))
_ADDRESS = 1 << 32
_DOCUMENTED = 0x4000000
"""Of a code object's flags, from Python 3.13 on: its first constant is its docstring."""
_DEEP = 2
"""How many attributes of attributes are followed: what a function reads of self, and of what self holds."""
_EXCUSED = {"TypeError", "ParameterError", "InfeasibleError", "MemoryError", "OSError"}
"""What a call raises that says nothing of its values: it is made otherwise by now, or the machine lacks the room."""
_SETTLES_S = 0.005
"""How long threads that have ended their work keep their cores busy, where a library does not say."""


class Compiled:
    """What Numba has compiled in this process, by the functions that run it."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, Any]] = {}  # which are kept, so that no other gets their identity

    def of(self, called: Mapping[int, Any]) -> list[Any]:
        """The libraries of those of the called functions that are compiled; none where one is of unknown origin."""
        entries = [
            each for each in called.values() if type(getattr(each, "__self__", None)).__name__ == _ENTRY
        ]
        # To look through all objects takes 0.1 s: it is done where there is something new, or it cannot be told.
        if not entries or any(id(each) not in self._known for each in entries):
            dispatcher = import_module("numba.core.dispatcher").Dispatcher
            for each in gc.get_objects():
                if issubclass(type(each), dispatcher):  # a proxy of what is gone answers no isinstance
                    for made in each.overloads.values():
                        self._known[id(made.entry_point)] = made.entry_point, made.library
        if any(id(each) not in self._known for each in entries):
            return []
        return [self._known[each][1] for each in called if each in self._known]


class Arm:
    """What this side holds: the operands, the buffers and the calls of the cells that were loaded."""

    def __init__(self) -> None:
        self._call: Call | None = None
        self._result: Any = None
        self._peers: dict[str, Any] = {}
        self._cpus: list[int] = []
        self._usable: list[int] = []
        self._settles_s = 0.0
        self._threads, self._function = 1, None
        self._compiled = Compiled()

    def hello(self, cpus: list[int], files: list[str], foreign: str | None) -> Mapping[str, Any]:
        """Declare what the files declare, and take to these CPUs; versions, and what is known of every function.

        Also a module that comes from a foreign folder, which holds another side's code.
        """
        actbench = import_module("actbench")
        # Numba's import takes the longest. Before the sides share one CPU, they do it at the same time.
        import_module("numba")
        self._usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._cpus = cpus
        _pin(cpus)
        declared = []
        for path in files:
            declared += [d.name for d in import_module("actbench.catalog.registry").load_file(Path(path))]
        # Rounds must not be told apart by whose garbage is collected in them; buffers go without its help.
        gc.disable()
        found = {
            f.name: {
                "family": f.family,
                "passes": list(f.passes),
                "aliases": list(f.aliases),
                "declared": f.name in declared,
                "signature": _signature(f),
                "origin": f.declaration.origin,
            }
            for f in actbench.functions()
        }
        return {
            "versions": _versions(),
            "functions": found,
            "foreign": _foreign(foreign) if foreign else None,
        }

    def compile(self, function: str, pass_: str, dtype: str) -> Mapping[str, Any]:
        """Make a kernel ready."""
        # Nothing is timed yet: both sides compile at once, each where there is room.
        _pin(self._usable)
        import_module("actbench").get(function).compile(pass_, dtype)
        _pin(self._cpus)
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
        return {"operands": files[: len(operands)], "out": files[len(operands) :]}

    def load(self, cell: Mapping[str, Any], peer: str | None, made: Mapping[str, Any]) -> Mapping[str, Any]:
        """Prepare a cell's call over data from files, and call it once; why a peer has none."""
        self.drop()
        function, threads = import_module("actbench").get(cell["function"]), cell["threads"]
        if not peer:  # libraries take to their CPUs when they are imported
            # A team must find all that it may ever get: it counts them once.
            _pin(self._cpus if threads > 1 else self._cpus[-1:])
        # Private copies of pages that are never written are the very pages that the other side reads.
        operands = [_mapped(file, "c") for file in made["operands"]]
        out = [_mapped(file, "r+") for file in made["out"]]
        self._settles_s = self._settles(peer) if threads > 1 else 0.0
        self._function, self._threads = function, threads
        if peer:
            prepared = self._peer_call(self._peer(peer), function, cell, operands)
            if isinstance(prepared, str):
                return {"missing": prepared}
            self._call, self._result = prepared.call, prepared.result
        else:
            self._call = self._result = _own_call(function, cell, operands, out)
        self._call()
        return {}

    def digest(self) -> Mapping[str, Any]:
        """A hash of the bits of the loaded call's values."""
        values = np.ascontiguousarray(self._result())
        return {"hash": hashlib.sha256(values.tobytes()).hexdigest()}

    def values(self, path: str) -> Mapping[str, Any]:
        """Save the loaded call's values as float64."""
        np.save(path, np.asarray(self._result()).astype(np.float64))
        return {}

    def code(self) -> Mapping[str, Any]:
        """A hash of all that runs in a loaded call: Python code, and compiled code as the compiler left it.

        Two sides of equal versions and equal hashes run the very same code. Nothing where no compiled code was seen.
        """
        found = _code_of(self._call, self._compiled) if self._call else []
        if found and self._threads > 1:
            # What a team's other threads run, no profile of this one sees.
            found += [_python(_compiled_source(path)) for path in _sources("actbench.kernels")]
        if not found:
            return {"code": None}
        defaults = repr(getattr(getattr(self._function, "declaration", None), "defaults", None))
        return {"code": hashlib.sha256("\n".join([defaults, *found]).encode()).hexdigest()}

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
        ns = self._slice(loops)
        # The other side must not be timed beside threads that look out for more work.
        time.sleep(self._settles_s)
        return {"ns": ns}

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

    def _peer(self, name: str) -> Any:
        if name not in self._peers:
            (self._peers[name],) = import_module("actbench.peers").chosen([name])
        return self._peers[name]

    def _settles(self, peer: str | None) -> float:
        """Seconds after which the threads of a call sleep."""
        if peer:
            return max(_SETTLES_S, float(self._peer(peer).settles_s))
        with suppress(ImportError, AttributeError):
            return float(import_module("actbench.kernels.threads").SETTLES_S)
        return _SETTLES_S

    def _peer_call(
        self, peer: Any, function: Any, cell: Mapping[str, Any], operands: list[np.ndarray[Any, Any]]
    ) -> Any:
        """A peer's prepared call, or why it has none."""
        base = import_module("actbench.peers.base")
        used = peer.set_threads(cell["threads"])
        if used != cell["threads"]:
            raise RuntimeError(f"{peer.name} uses {used} threads")
        names = _ORDER[:2] if function.kind == "activation" else _ORDER[2:]
        arrays = dict(zip(names[-len(operands) :], operands, strict=True))
        request = base.Request(cell["function"], cell["pass"], function.declaration.defaults, arrays)
        try:
            return peer.prepare(request) or f"{peer.name} has no such call"
        except base.DifferentFunctionError as error:
            return str(error)


def _signature(function: Any) -> str:
    """How a function is called: its operands, and its parameters with what they are by default."""
    declaration = function.declaration
    given = (f"{name}={value!r}" for name, value in declaration.defaults.items())
    return f"{function.kind} {function.name}({', '.join([*getattr(declaration, 'operands', ()), *given])})"


def _foreign(folder: str) -> str | None:
    """A module that was imported from a folder, and not from an environment in it; None where there is none."""
    environments = [Path(each).resolve() for each in (sys.prefix, sys.base_prefix)]
    for name, module in list(sys.modules.items()):
        path = Path(getattr(module, "__file__", None) or "/").resolve()
        if (
            path.is_relative_to(folder)
            and not any(map(path.is_relative_to, environments))
            and name != "__main__"
        ):
            return str(path)
    return None


def _own_call(
    function: Any,
    cell: Mapping[str, Any],
    operands: list[np.ndarray[Any, Any]],
    out: list[np.ndarray[Any, Any]],
) -> Call:
    call = partial(_method(function, cell["pass"]), *operands, threads=cell["threads"])
    return partial(call, out=out[0]) if out else call


def _pin(cpus: list[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def _method(function: Any, pass_: str) -> Callable[..., Any]:
    return function if pass_ == "forward" else getattr(function, pass_)  # type: ignore[no-any-return]


def _mapped(file: Mapping[str, Any], mode: Any) -> np.ndarray[Any, Any]:
    """An array in a file that both sides map, so that both have it on the same pages of memory.

    Buffers of their own lie on pages that fall together in the caches in another way in each process: the medians of
    two processes of one kernel then differed by 3 to 10 % where three arrays fill three quarters of the second level.
    """
    dtype, shape = _dtype(file["dtype"]), tuple(file["shape"])
    if mode == "w+" and hasattr(os, "posix_fallocate"):
        # A page that memory has no room for kills who writes to it; this says so instead.
        with open(file["path"], "wb") as made:
            os.posix_fallocate(made.fileno(), 0, max(1, file["offset"] + dtype.itemsize * math.prod(shape)))
        mode = "r+"
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


def _code_of(call: Call, compiled: Compiled) -> list[str]:
    """The Python functions that a call goes through, and the modules of the compiled ones that they call.

    Empty where it calls nothing compiled, and so cannot have been followed to its end.
    """
    ran: dict[int, Any] = {}
    told: list[str] = []

    def note(frame: Any, event: str, what: Any) -> None:
        if event == "call" and id(frame.f_code) not in ran:
            ran[id(frame.f_code)] = frame.f_code
            told.append(_python(frame.f_code) + _values(frame))
        elif event == "c_call":
            ran.setdefault(id(what), what)

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    modules = [_normal(str(library._get_module_for_linking())) for library in compiled.of(ran)]
    return [*told, *modules] if modules else []


def _python(code: Any) -> str:
    """A code object without where it stands, and without what documents it."""
    held = code.co_consts
    if held and isinstance(held[0], str):
        documented = code.co_flags & _DOCUMENTED if sys.version_info >= (3, 13) else code.co_name[0] != "<"
        held = held[1:] if documented else held
    constants = list(map(_constant, held))
    return repr((code.co_name, code.co_code.hex(), code.co_names, code.co_varnames, constants))


def _constant(value: Any) -> str:
    if isinstance(value, frozenset):  # each process has its elements in another order
        return repr(sorted(map(_constant, value)))
    if isinstance(value, tuple):
        return repr(tuple(map(_constant, value)))
    return _python(value) if inspect.iscode(value) else repr(value)


def _values(frame: Any) -> str:
    """The plain values that a function finds under its names: globals, what it was called with, and what they hold."""
    names = frame.f_code.co_names
    found = {name: frame.f_globals[name] for name in names if name in frame.f_globals} | frame.f_locals
    for _ in range(_DEEP):
        for owner, value in list(found.items()):
            held = {f"{owner}.{n}": _attribute(value, n) for n in names} if not _plain(value) else {}
            found = {name: v for name, v in held.items() if v is not None} | found
    return repr(sorted((name, _told(value)) for name, value in found.items() if _plain(value)))


def _attribute(value: Any, name: str) -> Any:
    """What a module, a class or an object has under a name, without running any code; None where it has nothing."""
    held = inspect.getattr_static(value, name, None)
    if inspect.ismemberdescriptor(held) and not inspect.isclass(value):  # a slot, which may be empty
        with suppress(AttributeError):
            return held.__get__(value)
    return held


def _plain(value: Any) -> bool:
    """Whether a value is the same in every process; an address is not."""
    if isinstance(value, dict):
        return all(_plain(key) and _plain(held) for key, held in value.items())
    if isinstance(value, tuple | list | set | frozenset):
        return all(map(_plain, value))
    return isinstance(value, _SIMPLE) and not (isinstance(value, int) and abs(value) >= _ADDRESS)


def _told(value: Any) -> str:
    """A plain value in the same words in every process."""
    if isinstance(value, dict):
        return repr([(_told(key), _told(held)) for key, held in value.items()])
    if isinstance(value, set | frozenset):  # each process has its elements in another order
        return repr(sorted(map(_told, value)))
    return repr(list(map(_told, value))) if isinstance(value, tuple | list) else repr(value)


def _sources(package: str) -> list[str]:
    """The files of a package's loaded modules."""
    loaded = [module for name, module in sys.modules.items() if name.startswith(f"{package}.")]
    return sorted(path for path in (getattr(m, "__file__", None) for m in loaded) if path)


def _compiled_source(path: str) -> Any:
    return compile(Path(path).read_bytes(), "", "exec", dont_inherit=True, optimize=2)


def _normal(module: str) -> str:
    """A module's text with symbols and attributes in the place of their names, which tell of places and processes."""
    names = {name: name for name in _DECLARED.findall(module)}  # intrinsics, and what is defined elsewhere
    # Of the attributes those of intrinsics, which name no processor, are written otherwise once they were on disk.
    lines = [
        line
        for line in module.splitlines()
        if not line.startswith((";", "source_filename", "!"))
        and not (line.startswith("attributes") and '"' not in line)
        and _MISSING not in line
    ]
    text = _SYMBOL.sub(lambda m: names.setdefault(m[0], f"@{len(names)}"), "\n".join(lines))
    return _NUMBERED.sub("", text)


def _excused(error: Exception) -> bool:
    return not _EXCUSED.isdisjoint(kind.__name__ for kind in type(error).__mro__)


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
            said = " ".join(f"{type(error).__name__}: {error}".split())
            answer = {"error": said, "excused": _excused(error)}
        print(json.dumps(answer), file=replies, flush=True)


if __name__ == "__main__":
    serve()
