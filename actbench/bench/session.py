"""One cell measured: the kernel, its ceiling, and the whole calls of ours and of peers, in the same rounds."""

from __future__ import annotations

import shlex
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Protocol

from actbench import kernels
from actbench.bench import data as user_data
from actbench.bench import statistics
from actbench.bench.ceiling import Ceiling
from actbench.bench.clock import Arm, ArmError, Timer, Timing, interleave, settling
from actbench.bench.config import Config
from actbench.bench.contenders import Entry, enter, failed, refused
from actbench.bench.machine import UNKNOWN_CACHE, Machine, available_memory, this_machine
from actbench.bench.plan import Cell, Function
from actbench.bench.roofline import roofs
from actbench.bench.run import OURS, Check, Contender, Input, Measurement, Roof
from actbench.catalog.errors import ActbenchError, InfeasibleError, told
from actbench.kernels import threads as pool
from actbench.kernels.workload import Workload
from actbench.peers.base import Description, Peer

_MOST_SETS = 2**15  # of cold buffers: more take longer to make than to measure
_LONGEST = 8  # times the slices planned: a cell of long calls is measured in fewer rounds
_PAGE = 4096
Lookup = Callable[[str], Function]
CeilingArm = Callable[[Workload, int, int], Arm]
Watch = Callable[[str], None]
"""Is told whose code runs from now on: a peer's name, or "" for ours."""


class Bench(Protocol):
    """What measures the cells of a run: a session in this process, or in one of its own."""

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that the process which measures was given."""
        ...

    def descriptions(self) -> Mapping[str, Description]:
        """The peers that take part."""
        ...

    def roofs(self, threads: int) -> tuple[Roof, ...]:
        """What the machine does at most in so many threads."""
        ...

    def measure(self, cell: Cell, allowance_ns: float) -> Measurement:
        """The cell's timings; raises what its function raises, LostError where it ends the process."""
        ...


class LostError(ActbenchError):
    """The process that measures is gone; ``peer`` is the one to blame, "" where it was ours."""

    def __init__(self, peer: str, reason: str) -> None:
        super().__init__(f"{peer or 'the process that measures'} {reason}")
        self.peer, self.reason = peer, reason


def no_watch(provider: str) -> None:
    """Nobody looks."""


def memory_of(cell: Cell, function: Function, machine: Machine, peers: int) -> int:
    """The bytes that a cell allocates: its buffers, as many for the ceiling and each peer, all sets if cold.

    Beside peers once more: our values and the inputs are kept, to compare with.
    """
    one = function.workload_bytes(cell.pass_, cell.dtype, cell.size)
    return (2 + peers + bool(peers)) * one * _sets(cell, one, machine)


def _sets(cell: Cell, size: int, machine: Machine) -> int:
    """The sets of buffers, `size` bytes each, that take turns: cold ones fill the cache twice."""
    if cell.cache == "warm":
        return 1
    return 1 + ceil(2 * (machine.last_level_cache or UNKNOWN_CACHE) / max(1, size))


@dataclass(frozen=True)
class Session:
    """Measures cells in this process."""

    config: Config
    machine: Machine = field(default_factory=this_machine)
    peers: Sequence[Peer] = ()
    source: Input | None = None  # and its data, which every cell is measured on
    data: user_data.Array | None = None
    declared_in: Sequence[str] = ()  # files of functions that the package does not know
    lookup: Lookup = kernels.function
    ceiling: CeilingArm = field(default_factory=Ceiling)
    timer: Timer = time.perf_counter_ns
    watch: Watch = no_watch

    @property
    def environment(self) -> Mapping[str, str]:
        return {}

    def descriptions(self) -> Mapping[str, Description]:
        return {peer.name: self.describe(peer.name) for peer in self.peers}

    def describe(self, name: str) -> Description:
        """What a peer says of itself; one that raises is described by that."""
        peer = next((p for p in self.peers if p.name == name), None)
        if peer is None:
            return Description.of_fault("it cannot be loaded in the process that measures")
        self.watch(name)
        try:
            return peer.describe(min(self.config.threads))
        except BaseException as error:  # sys.exit() too is a peer's own matter
            return Description.of_fault(f"it does not work: {told(error)}")
        finally:
            self.watch("")

    def roofs(self, threads: int) -> tuple[Roof, ...]:
        return roofs(self.machine, self.config, threads, available_memory(), self.timer)

    def measure(
        self, cell: Cell, allowance_ns: float, without: Mapping[str, str] | None = None
    ) -> Measurement:
        """As ``Bench.measure``; ``without`` are peers that are left out, and why."""
        begun = self.timer()
        function, seed = self.lookup(cell.function), self.config.seed
        compilation = function.compile(cell.pass_, cell.dtype)
        sets = _sets(cell, function.workload_bytes(cell.pass_, cell.dtype, cell.size), self.machine)
        if sets > 1 and self.data is not None:
            raise InfeasibleError("--cache cold needs many buffers: leave out --input")
        if sets > _MOST_SETS:
            raise InfeasibleError(
                f"--cache cold would take {sets} sets of buffers: use a --size of "
                f"{ceil(cell.size * sets / _MOST_SETS)} or more"
            )
        workloads = [
            function.workload(
                cell.pass_,
                cell.dtype,
                cell.size,
                seed=seed + i,
                data=self.data,
                threads=cell.threads,
            )
            for i in range(sets)
        ]
        first = workloads[0]
        # The same call on one element is an empty call: the same path, and next to no work.
        empty = function.workload(cell.pass_, cell.dtype, 1, seed=seed, threads=cell.threads)
        arms = (
            Arm(cell.key, [w.call for w in workloads], empty.call, settling(pool.SETTLES_S, cell.threads)),
            self.ceiling(first, cell.threads, sets),
        )
        entries = (
            enter(function, cell, workloads, self.peers, without or {}, self.watch) if self.peers else []
        )
        (timing, top), contenders = self._race(cell, arms, entries, allowance_ns - (self.timer() - begun))
        return Measurement(
            cell=cell,
            elements=first.elements,
            bytes=first.bytes_read + first.bytes_written,
            samples_ns=timing.samples_ns,
            loops=timing.loops,
            overhead_ns=timing.overhead_ns,
            ceiling_ns=top.samples_ns,
            ceiling=arms[1].name,
            compile_s=round(compilation.seconds, 3),
            flags=statistics.flags(timing.samples_ns, timing.tick_ns, timing.overhead_ns),
            check=self._check(function, cell),
            offsets={name: a.ctypes.data % _PAGE for name, a in first.arrays.items()},
            command=self._command(cell),
            contenders=contenders,
            flops=self._flops(function, cell),
        )

    def _race(
        self, cell: Cell, arms: Sequence[Arm], entries: Sequence[Entry], allowance_ns: float
    ) -> tuple[tuple[Timing, ...], tuple[Contender, ...]]:
        """The timings of `arms` and the contenders with theirs; one that raises is out, and all begin again."""
        timed = {entry.arm: entry for entry in entries if entry.arm}
        theirs = {a: e.contender.provider for a, e in timed.items() if e.contender.provider != OURS}
        racing = (*arms, *timed)
        round_s = sum(self.config.slice + arm.settles_s / _LONGEST for arm in racing)
        planned = self.config.rounds * round_s * 1e9
        begun = self.timer()
        try:
            timings = interleave(
                racing,
                slice_ns=self.config.slice * 1e9,
                rounds=self.config.rounds,
                timer=self.timer,
                step_ns=self.machine.clock_ns or 1.0,
                allowance_ns=min(allowance_ns, _LONGEST * planned),
                seed=zlib.crc32(cell.key.encode(), self.config.seed),
                turn=lambda arm: self.watch(theirs.get(arm, "")),
            )
        except ArmError as error:
            cause = error.__cause__ or error
            if error.arm not in timed:
                raise cause from None
            left = [failed(e, cause) if e.arm is error.arm else e for e in entries]
            return self._race(cell, arms, left, allowance_ns - (self.timer() - begun))
        finally:
            self.watch("")
        if out := refused([*timed.values()], self.watch):
            left = [Entry(out[e]) if e in out else e for e in entries]
            return self._race(cell, arms, left, allowance_ns - (self.timer() - begun))
        found = dict(zip(racing, timings, strict=True))
        return timings[: len(arms)], tuple(
            replace(e.contender, samples_ns=found[e.arm].samples_ns, loops=found[e.arm].loops)
            if e.arm
            else e.contender
            for e in entries
        )

    def _flops(self, function: Function, cell: Cell) -> float | None:
        """None where they were not asked for, or where this Numba's code cannot be made to count."""
        if not self.config.roofline:
            return None
        try:
            return round(function.flops(cell.pass_, cell.dtype), 2)
        except Exception:  # the cell's times are there already, and worth more
            return None

    def _check(self, function: Function, cell: Cell) -> Check | None:
        if self.data is None:
            return None
        return user_data.check(function, cell.pass_, self.data, seed=self.config.seed)

    def _command(self, cell: Cell) -> str:
        """The cell's own command, with everything else that its figures depend on."""
        command, source, config = cell.command, self.source, self.config
        if source is not None:
            ours = f"--dtype {cell.dtype} --size {cell.size}"
            command = command.replace(ours, f"--input {shlex.quote(source.path)}")
        command += "".join(f" --from {shlex.quote(path)}" for path in self.declared_in)
        command += f" --against {','.join(peer.name for peer in self.peers)}" if self.peers else ""
        command += " --roofline" if config.roofline else ""
        return f"{command} --rounds {config.rounds} --slice {config.slice * 1e3:g}ms --seed {config.seed}"
