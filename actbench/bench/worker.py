"""A session in a process of its own: a peer that crashes, hangs or eats the memory takes no more than its cell with it.

The process says whose code it runs in memory that both share, so that the one who is to blame is known. What it had to
do is done again in a new process, without that peer. A new number of threads gets a new process, too: TensorFlow's is
set once.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from actbench.bench.config import Config
from actbench.bench.machine import available_memory
from actbench.bench.pages import asking
from actbench.bench.plan import Cell
from actbench.bench.run import Input, Measurement, Roof
from actbench.bench.session import Bench, LostError, Session, Watch, no_watch
from actbench.peers.base import Description
from actbench.peers.environment import environment

_LOOKS_S = 0.2
"""Seconds between looks at the process; each takes 20 us of a core that it may be measuring on."""
_MOST = 3
"""Cells that a peer may take down before it is left out of all others: a hang costs minutes."""
_TAKEN = 0.9
"""The part of the memory available that the process may take."""
_NAME = 64  # bytes that a peer's name may have
_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Setup:
    """What a session is made of, as another process can be told."""

    config: Config
    peers: tuple[str, ...] = ()
    source: Input | None = None
    declared_in: tuple[str, ...] = ()

    def session(self, watch: Watch = no_watch) -> Session:
        """The session, in a process where the functions are declared."""
        from actbench.bench.data import mapped
        from actbench.peers import chosen

        data = mapped(self.source.path) if self.source else None
        return Session(
            self.config,
            peers=chosen(self.peers, note=lambda line: None),  # the parent has told
            source=self.source,
            data=data,
            declared_in=self.declared_in,
            watch=watch,
        )


class Isolated:
    """A bench whose sessions run in processes of their own, one after the other."""

    def __init__(self, setup: Setup, note: Callable[[str], None], memory: int | None = None) -> None:
        self._setup, self._note, self._memory = setup, note, memory
        self._context = get_context("spawn")
        self._turns, self._name = self._context.RawValue("q", 0), self._context.RawArray("c", _NAME)
        self._process: Any = None
        self._pipe: Connection | None = None
        self._threads: int | None = None
        self._losses = Counter[str]()
        self._out: dict[str, str] = {}
        self.environment: Mapping[str, str] = asking()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def descriptions(self) -> Mapping[str, Description]:
        """What each peer says of itself; those that cannot are left out of what follows."""
        found: dict[str, Description] = {}
        for name in self._setup.peers:
            try:
                found[name] = self._in(min(self._setup.config.threads), "describe", name)
            except LostError as lost:
                if lost.peer != name:
                    raise
                found[name] = Description.of_fault(lost.reason)
        working = tuple(name for name, description in found.items() if not description.fault)
        if working != self._setup.peers:
            self._stop()
            self._setup = replace(self._setup, peers=working)
        return found

    def roofs(self, threads: int) -> tuple[Roof, ...]:
        found: tuple[Roof, ...] = self._ask("roofs", threads)  # no peer's threads take part
        return found

    def measure(self, cell: Cell, allowance_ns: float) -> Measurement:
        without, used = dict(self._out), self._process is not None
        while True:
            try:
                measurement: Measurement = self._in(cell.threads, "measure", cell, allowance_ns, without)
                return measurement
            except LostError as lost:
                if not lost.peer and used:
                    used = False  # what earlier cells left behind may have been too much: once more, from nothing
                    continue
                if lost.peer not in self._setup.peers or lost.peer in without:
                    raise
                without[lost.peer] = lost.reason
                self._losses[lost.peer] += 1
                told = f"{lost} at {cell.key}: left out of this cell"
                if self._losses[lost.peer] >= _MOST:
                    self._out[lost.peer] = f"left out: it {lost.reason.removeprefix('it ')}, {_MOST} times"
                    told += f", and of all others after {_MOST} times"
                self._note(told)

    def _in(self, threads: int, method: str, *arguments: Any) -> Any:
        """The answer of a process that never had another number of threads."""
        if self._threads not in (None, threads):
            self._stop()
        self._threads = threads
        return self._ask(method, *arguments)

    def _ask(self, method: str, *arguments: Any) -> Any:
        """What a session's method returns, or raises; LostError where the process does not live to tell."""
        if self._process is None:
            self._start()
        assert self._pipe is not None
        try:
            self._pipe.send((method, arguments))
            self._wait(self._pipe)
            raised, answer = self._pipe.recv()
        except (EOFError, OSError):
            raise self._lost(_ending(self._joined())) from None
        if raised:
            raise answer
        return answer

    def _wait(self, pipe: Connection) -> None:
        """Return when there is an answer, or an end; raise LostError for what takes too long or too much."""
        turns, since = self._turns.value, time.monotonic()
        timeout = self._setup.config.timeout
        while not pipe.poll(_LOOKS_S):
            now = time.monotonic()
            if self._turns.value != turns or not self._name.value:
                turns, since = self._turns.value, now
            elif now - since > timeout:
                raise self._lost(f"gave no answer in {timeout:g} s")
            taken = _resident(self._process.pid)
            if self._memory is not None and taken is not None and taken > self._memory:
                raise self._lost(f"took {taken / 2**30:.3g} GiB of memory")

    def _lost(self, reason: str) -> LostError:
        peer = self._name.value.decode()
        self._stop()
        return LostError(peer, reason)

    def _start(self) -> None:
        self._name.value = b""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._setup, self._turns, self._name), daemon=True
        )
        # Interrupts are ignored by the child too, from its first moment: Ctrl-C is the parent's to answer.
        with _interrupts_ignored(), environment(self.environment):
            process.start()
        theirs.close()
        self._pipe, self._process = ours, process

    def _joined(self) -> int | None:
        self._process.join(5)
        code: int | None = self._process.exitcode
        return code

    def _stop(self) -> None:
        if self._process is None:
            return
        # Its group too: what a peer forked, and left behind, would take CPU time from the next process.
        with suppress(
            ProcessLookupError, PermissionError, AttributeError
        ):  # it has no group before it begins
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._process.close()
        if self._pipe:
            self._pipe.close()
        self._process = self._pipe = self._threads = None


def measuring(setup: Setup, note: Callable[[str], None]) -> AbstractContextManager[Bench]:
    """The bench for a setup: this process where all code is ours or the user's, else others."""
    if not setup.peers:
        return nullcontext(setup.session())
    memory = available_memory()
    return Isolated(setup, note, None if memory is None else int(_TAKEN * memory))


def _ending(code: int | None) -> str:
    """What an exit code tells."""
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended the process with code {code}"


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # no other may say so
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _resident(pid: int) -> int | None:
    """The bytes of memory that a process has; None where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _serve(pipe: Connection, setup: Setup, turns: Any, name: Any) -> None:
    """Answer the parent's requests until it is gone."""
    from actbench.catalog.registry import load_file

    os.dup2(2, 1)  # stdout is for data, whatever a library likes to print
    with suppress(AttributeError, OSError):
        os.setsid()  # what a peer forks is in the group that ends with it
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)

    def watch(provider: str) -> None:
        name.value = provider.encode()[: _NAME - 1]
        turns.value += 1

    for path in setup.declared_in:
        load_file(path)
    session = setup.session(watch)
    with suppress(EOFError, BrokenPipeError):
        while True:
            method, arguments = pipe.recv()
            try:
                answer = False, getattr(session, method)(*arguments)
            except BaseException as error:
                answer = True, _portable(error)
            pipe.send(answer)


def _portable(error: BaseException) -> Exception:
    """The exception, or one that says the same where it does not get through a pipe, or would end the parent."""
    try:
        if isinstance(error, Exception):
            pickle.loads(pickle.dumps(error))
            return error
    except Exception:
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
