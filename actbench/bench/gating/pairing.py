"""A process of each side, and the slices in which they take turns: never both at once, each first as often."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from math import ceil, log
from pathlib import Path
from random import Random
from typing import Any, Self

import numpy as np

from actbench.bench.agreement import EXPLAINED, difference
from actbench.bench.clock import Timer
from actbench.bench.gating.process import Process, RefusedError, SideError
from actbench.bench.gating.side import Side
from actbench.bench.plan import Cell

_MEMORY = Path("/dev/shm")
"""Files that no disk is behind: nothing is written back while their pages are timed."""
_ROOM = 1 << 30
"""Bytes that must be free in memory's folder; a container's of 64 MiB holds no large cell."""
_LEFT_S = 3600.0
_ALIKE = 4
"""As many times as long as the other's a side's call may take and make as many calls a slice. Beyond, each fills its
own: a head that was 400 times slower took slices 400 times longer, and six such cells the whole budget of 300 s."""
_FEWEST, _LONG_NS = 3, 10**9
"""Rounds that are made in any case, and what they may take before that is enough: slices of 2 ms never come to it."""
_COMPILED_BY = ("python", "numba", "llvmlite", "numpy")
_ROUNDED = {"float64": 1e-9, "float32": 1e-4, "float16": 4e-3, "bfloat16": 3e-2}
"""The largest difference of ours, as a part of the largest value, that is another rounding and no other function."""


class ClockError(SideError):
    """A slice that cannot have lasted as long as the clock says."""


class AbsentError(SideError):
    """A call that the libraries of both sides lack."""


class NoValuesError(SideError):
    """What head's code raised where base's gives values."""


@dataclass(frozen=True)
class Loaded:
    """A cell that both processes hold."""

    loops: tuple[int, int]  # calls a slice, base's and head's
    same_code: bool
    difference: float  # of the values, as a part of the largest; 0 where all bits are the same
    work: tuple[int, int] = (1, 1)  # what each side's slice stands for


@dataclass(frozen=True)
class Injection:
    """Work that head does in addition, so that a slowdown is there to be found."""

    part: float = 0.0
    cells: frozenset[str] = frozenset()

    def of(self, cell: Cell) -> float:
        """By how much head is slowed in a cell, as a part."""
        return self.part if cell.key in self.cells else 0.0

    def loops(self, cell: Cell, loops: int) -> tuple[int, int]:
        """The calls that base and head make where `loops` fill a slice: whole ones, so many that the part comes out."""
        part = self.of(cell)
        if not part:
            return loops, loops
        whole = max(loops, ceil(1 / part))
        extra = ceil(whole * part)
        return round(extra / part), round(extra / part) + extra


class Pair:
    """A fresh process of each side, and where ``maker`` lays their data; a context that ends both."""

    def __init__(
        self,
        base: Side,
        head: Side,
        maker: Process,
        cpus: Sequence[int],
        random: Random,
        timeout_s: float,
        timer: Timer,
    ) -> None:
        self._random, self._timer, self._maker = random, timer, maker
        self._stack = ExitStack()
        sides = [base, head]
        random.shuffle(sides)  # whichever comes first may get the better pages
        try:
            folder = tempfile.TemporaryDirectory(prefix=f"actbench-{os.getpid()}-", dir=_memory())
            self._folder = Path(self._stack.enter_context(folder))
            started = {s.name: self._stack.enter_context(Process(s, cpus, random, timeout_s)) for s in sides}
            self.base, self.head = started[base.name], started[head.name]
            for process in started.values():
                process.begin()
            self.described = {name: process.begun() for name, process in started.items()}
        except OSError as error:
            self._stack.close()
            raise SideError(f"no processes can be started: {error.strerror or error}") from error
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End both processes."""
        self._stack.close()

    def compile(self, function: str, pass_: str, dtype: str) -> None:
        """Have both sides compile a kernel at the same time, so that it is on their disks."""
        both = self.base, self.head
        for process in both:
            process.tell("compile", function=function, pass_=pass_, dtype=dtype)
        for process in both:
            # What cannot be compiled, or not so, is told where it is called.
            with suppress(RefusedError):
                process.answer()

    def load(
        self, cell: Cell, peer: str | None, slice_ns: float, injection: Injection, *, compare: bool
    ) -> Loaded:
        """Give both processes the same fresh data of a cell, and find how many calls fill a slice.

        Values and code are compared if asked for. Raises RefusedError for what a side raises, NoValuesError where head
        alone does, AbsentError for a call that neither side's library has.
        """
        asked = {
            "function": cell.function,
            "pass": cell.pass_,
            "dtype": cell.dtype,
            "size": cell.size,
            "threads": cell.threads,
        }
        seed, offset = self._random.randrange(2**31), self._random.randrange(4096)
        both = self._random.sample((self.base, self.head), 2)
        for process in both:
            process.ask("drop")  # what it has mapped is written anew
        try:
            made = self._maker.ask("make", cell=asked, seed=seed, folder=str(self._folder), offset=offset)
        except RefusedError:
            if not peer:  # head's kernel is compiled for it, and base's may do what head's does not
                self._answers(both, "compile", function=cell.function, pass_=cell.pass_, dtype=cell.dtype)
            raise
        found = self._answers(both, "load", cell=asked, peer=peer, made=made)
        missing = {name: answer.get("missing") for name, answer in found.items()}
        if all(missing.values()):
            raise AbsentError(f"on neither side: {missing['head']}")
        for name, why in missing.items():
            if why:
                raise RefusedError(name, why)
        apart, same = 0.0, False
        if compare:
            one, other = (p.ask("digest")["hash"] for p in both)
            if one != other:
                apart = self._apart()
            else:
                same = not peer and self._same(self.base.ask("code"), self.head.ask("code"))
        fill = {p.side.name: int(p.ask("calibrate", slice_ns=int(slice_ns))["loops"]) for p in both}
        own = fill["base"], fill["head"]
        if max(own) > _ALIKE * min(own) and not injection.of(cell):
            return Loaded(own, same, apart, own)
        return Loaded(injection.loops(cell, max(own)), same, apart)

    def _answers(self, both: Sequence[Process], do: str, **what: Any) -> Mapping[str, Mapping[str, Any]]:
        """What each side answers, by its name; raises as ``load`` does."""
        found, refused = dict[str, Mapping[str, Any]](), dict[str, RefusedError]()
        for process in both:
            try:
                found[process.side.name] = process.ask(do, **what)
            except RefusedError as error:
                refused[process.side.name] = error
        if "base" in found and "head" in refused and not (what.get("peer") or refused["head"].excused):
            raise NoValuesError(f"head raises {refused['head'].said}, where base gives values")
        if refused:
            raise next(iter(refused.values()))
        return found

    def rounds(self, loaded: Loaded, count: int) -> list[float]:
        """The logarithm of head's time by base's, a round each: base, head, head, base, or the other way about.

        Fewer rounds where a single call takes so long that they would use the time of all other cells up.
        """
        found, begun = list[float](), self._timer()
        for _ in range(count):
            if len(found) >= _FEWEST and self._timer() - begun > _LONG_NS:
                break
            first = self._random.randrange(2)
            spent = [0, 0]
            for which in (first, 1 - first, 1 - first, first):
                spent[which] += self._slice((self.base, self.head)[which], loaded.loops[which])
            found.append(log(spent[1] * loaded.work[0] / (spent[0] * loaded.work[1])))
        return found

    def _slice(self, process: Process, loops: int) -> int:
        begun = self._timer()
        ns = int(process.ask("time", loops=loops)["ns"])
        # Its clock and this one run apart; what it timed lies within what was waited here.
        if not 0 < ns <= self._timer() - begun:
            raise ClockError(f"the clock stepped while {process.side.name} was timed")
        return ns

    def _apart(self) -> float:
        found = []
        for process in (self.base, self.head):
            path = str(self._folder / f"{process.side.name}.npy")
            process.ask("values", path=path)
            found.append(np.load(path))
            os.unlink(path)
        return difference(found[1], found[0])

    def _same(self, base: Mapping[str, Any], head: Mapping[str, Any]) -> bool:
        before, after = (
            [self.described[p.side.name]["versions"].get(name) for name in _COMPILED_BY]
            for p in (self.base, self.head)
        )
        return before == after and base["code"] is not None and base["code"] == head["code"]


def differs(cell: Cell, peer: str | None, apart: float) -> bool:
    """Whether values so far apart are another function's; libraries are allowed what they are as contenders."""
    return not apart <= (EXPLAINED if peer else _ROUNDED)[cell.dtype]


def sweep() -> None:
    """Clear away what gates have left that were killed: folders of processes that are gone, untouched for an hour."""
    if os.name != "posix":
        return
    for folder in {_memory() or Path(tempfile.gettempdir()), Path(tempfile.gettempdir())}:
        for left in folder.glob("actbench-[0-9]*-*"):
            with suppress(OSError, ValueError):
                ours, old = left.stat().st_uid == os.getuid(), time.time() - left.stat().st_mtime > _LEFT_S
                if ours and old and not _alive(int(left.name.split("-")[1])):
                    shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _memory() -> Path | None:
    """The folder that is memory, where it has room; None stands for that of temporary files."""
    usable = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    return _MEMORY if usable and shutil.disk_usage(_MEMORY).free >= _ROOM else None
