"""A side's process, as the gate sees it: asked in turns, with an end to its patience, and a reason when it dies."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from random import Random
from typing import Any, Self

from actbench.bench.gating.record import BROKEN
from actbench.bench.gating.side import Side
from actbench.catalog.errors import ActbenchError
from actbench.wording import in_one_line

_ARM = Path(__file__).with_name("arm.py")
_PADDING = 4096
"""Bytes: the length of the environment moves the stack, which alone makes processes differ by some per cent."""
# One thread where one is asked for, whatever else a library would take.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class SideError(ActbenchError):
    """A side that cannot be measured, by no fault of what it computes."""

    exit_code = 3


class LostSideError(SideError):
    """A process that died, or gave no answer in time."""


class RefusedError(SideError):
    """What a side's code raised when it was called; excused where that says nothing of its values."""

    def __init__(self, side: str, said: str, *, excused: bool = True) -> None:
        self.said, self.excused = in_one_line(said), excused
        super().__init__(f"{side}: {self.said}")


class Process:
    """A side's arm in a process of its own, pinned to CPUs; a context that ends it."""

    def __init__(self, side: Side, cpus: Sequence[int], random: Random, timeout_s: float) -> None:
        self.side, self._cpus, self._timeout_s = side, list(cpus), timeout_s
        self._told = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        inherited = dict(os.environ)
        threads = {name: str(len(cpus)) for name in _THREADS}
        own = {
            "PYTHONPATH": os.pathsep.join([*side.paths, *side.beside]),
            "ACTBENCH_CACHE_DIR": str(side.cache),
            "ACTBENCH_PADDING": "x" * random.randrange(_PADDING),
        }
        try:
            self._process = subprocess.Popen(
                [side.python, "-P", str(_ARM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._told,
                env=inherited | threads | own,
                start_new_session=True,
            )
        except OSError as error:
            self._told.close()
            raise SideError(f"{side.name}: cannot run {side.python}: {error.strerror or error}") from error
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, with what libraries have started in it."""
        if os.name == "posix":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._told):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def begin(self) -> None:
        """Have the side's code imported, and not wait for it."""
        foreign = str(self.side.foreign) if self.side.foreign else None
        self.tell("hello", cpus=self._cpus, files=list(self.side.files), foreign=foreign)

    def begun(self) -> Mapping[str, Any]:
        """The side's versions and functions. Raises SideError where its code cannot be imported, or is another's."""
        try:
            said = self.answer()
        except RefusedError as error:
            raise SideError(
                f"{self.side.name} ({self.side.label}) cannot be imported: {error.said}"
            ) from error
        if said["foreign"]:
            raise SideError(
                f"{self.side.name} ({self.side.label}) imports {said['foreign']}, which is the working tree's: "
                "run the gate in the folder of the project that the file belongs to"
            )
        return said

    def ask(self, do: str, **what: object) -> Mapping[str, Any]:
        """What the arm's method `do` returns. Raises RefusedError for what it raised, LostSideError for no answer."""
        self.tell(do, **what)
        return self.answer()

    def tell(self, do: str, **what: object) -> None:
        """Have the arm do something, and not wait for its answer. Raises LostSideError where it is gone."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **what}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise LostSideError(f"{self.side.name} {self._ending()}") from error

    def answer(self) -> Mapping[str, Any]:
        """The answer to what it was told; raises as ``ask`` does."""
        try:
            answer: Mapping[str, Any] = json.loads(self._line())
        except (OSError, EOFError, json.JSONDecodeError) as error:
            raise LostSideError(f"{self.side.name} {self._ending()}") from error
        if "error" in answer:
            raise RefusedError(self.side.name, str(answer["error"]), excused=answer["excused"])
        return answer

    def _line(self) -> bytes:
        try:
            line = self._answers.get(timeout=self._timeout_s)
        except queue.Empty:
            raise LostSideError(f"{self.side.name} gave no answer in {self._timeout_s:g} s") from None
        if not line:
            raise EOFError
        return line

    def _read(self) -> None:
        """Pass lines on as they come, and at the end an empty one."""
        assert self._process.stdout is not None
        with suppress(ValueError, OSError):  # closed by who ends the process
            for line in self._process.stdout:
                self._answers.put(line)
        self._answers.put(b"")

    def _ending(self) -> str:
        """How the process ended, and the last that it said."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "closed its pipes"
        self._told.seek(0)
        lines = self._told.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{how}: {in_one_line(last)}" if last else how


def started(side: Side, cpus: Sequence[int], random: Random, timeout_s: float) -> Process:
    """A process that has imported its side; raises SideError where it cannot."""
    process = Process(side, cpus, random, timeout_s)
    try:
        process.begin()
        process.begun()
    except BaseException:
        process.close()
        raise
    return process


def describe(sides: Sequence[Side], cpus: Sequence[int], timeout_s: float) -> Mapping[str, Mapping[str, Any]]:
    """Each side's versions and functions, by its name.

    Raises SideError where one cannot be imported: of base that leaves the question open, head is to be mended, also
    where neither can.
    """
    with ExitStack() as stack:
        both = [stack.enter_context(Process(side, cpus, Random(0), timeout_s)) for side in sides]
        for process in both:
            process.begin()
        found = {}
        for process in sorted(both, key=lambda process: process.side.name != "head"):
            try:
                found[process.side.name] = process.begun()
            except SideError as error:
                error.exit_code = BROKEN if process.side.name == "head" else error.exit_code
                raise
        return found
