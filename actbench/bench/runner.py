"""Carry out a plan: compile, measure cell by cell, keep every cell as soon as it is measured."""

from __future__ import annotations

import os
import shlex
import signal
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil, inf
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from actbench import kernels
from actbench.bench import data as user_data
from actbench.bench import statistics
from actbench.bench.ceiling import Ceiling
from actbench.bench.clock import Arm, ArmError, Timer, Timing, interleave, settling
from actbench.bench.config import Config
from actbench.bench.contenders import Entry, enter, failed
from actbench.bench.machine import Machine, available_memory, this_machine, versions
from actbench.bench.plan import Cell, Function, Plan, check_memory
from actbench.bench.run import SCHEMA, Check, Contender, Input, Measurement, Run, Skipped, Store, load_run
from actbench.catalog.errors import ActbenchError, InfeasibleError, UsageError
from actbench.kernels import threads as pool
from actbench.kernels.workload import Workload
from actbench.peers.base import Description, Peer

_UNKNOWN_CACHE = 64 * 2**20
_MOST_SETS = 2**15  # of cold buffers: more take longer to make than to measure
_POOL_FROM = 4  # kernels: fewer compile sooner than a worker has imported Numba
_LONGEST = 8  # times the slices planned: a cell of long calls is measured in fewer rounds
_PAGE = 4096


@dataclass(frozen=True)
class Event:
    """How far a run is: `done` of `total` kernels or cells, and the one that comes next; or a note."""

    stage: Literal["compile", "measure", "note"]
    text: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Kernel:
    """What is compiled once and timed in many cells."""

    function: str
    pass_: str
    dtype: str


Progress = Callable[[Event], None]
Lookup = Callable[[str], Function]
CeilingArm = Callable[[Workload, int, int], Arm]


def begin(
    names: Sequence[str],
    config: Config,
    *,
    command: str,
    source: Input | None = None,
    machine: Machine | None = None,
    peers: Sequence[Peer] = (),
) -> Run:
    """A run that holds no cells yet: what it will measure, where, and with which versions."""
    return Run(
        schema=SCHEMA,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        command=command,
        config={"function": list(names), **config.record()},
        machine=machine or this_machine(),
        versions=versions(),
        input=source,
        cells=(),
        skipped=(),
        complete=False,
        peers={peer.name: _description(peer) for peer in peers},
    )


def _description(peer: Peer) -> Description:
    try:
        return peer.describe()
    except Exception as error:
        raise UsageError(f"{peer.name} is installed but does not work: {error}") from error


def run(
    plan: Plan,
    config: Config,
    start: Run,
    store: Store,
    *,
    progress: Progress = lambda event: None,
    data: user_data.Array | None = None,
    declared_in: Sequence[str] = (),
    peers: Sequence[Peer] = (),
    lookup: Lookup = kernels.function,
    ceiling: CeilingArm | None = None,
    timer: Timer = time.perf_counter_ns,
    memory: int | None = None,
) -> Run:
    """Measure the cells of `plan` that `start` does not hold; the run, as it is then in `store`.

    A cell that raises is recorded as skipped. Ctrl-C stores what was measured and goes on as
    KeyboardInterrupt. `declared_in` are the files of functions that the package does not know.
    Raises InfeasibleError, before anything is allocated, for a cell that would not fit in memory.
    """
    session = _Session(config, start, lookup, ceiling or Ceiling(), timer, data, declared_in, peers)
    known = {m.cell.key for m in start.cells} | {s.cell for s in start.skipped}
    # Small cells first: what they leave of a budget goes to those that need more. One thread count at a time: a
    # peer may have to start anew for another.
    todo = sorted((c for c in plan.cells if c.key not in known), key=lambda cell: (cell.size, cell.threads))
    need = {cell.key: session.memory(cell) for cell in todo}
    check_memory(need, available_memory() if memory is None else memory)
    done, skipped = list(start.cells), list(start.skipped)
    store.open(start)

    def current(complete: bool) -> Run:
        places = {cell.key: i for i, cell in enumerate(plan.cells)}
        return replace(
            start,
            cells=tuple(sorted(done, key=lambda m: places[m.cell.key])),
            skipped=tuple(sorted(skipped, key=lambda s: places[s.cell])),
            complete=complete,
        )

    try:
        compile_kernels(todo, lookup, progress, declared_in)
        begun = timer()
        for i, cell in enumerate(todo):
            progress(Event("measure", cell.key, i, len(todo)))
            left = inf if config.budget is None else config.budget * 1e9 - (timer() - begun)
            try:
                record = session.measure(cell, left / (len(todo) - i))
                done.append(record)
                store.add(record)
            except Exception as error:
                expected = isinstance(error, ActbenchError)
                reason = str(error) if expected else f"{type(error).__name__}: {error}"
                skipped.append(Skipped(cell.key, " ".join(reason.split()), not expected))
                store.add(skipped[-1])
        progress(Event("measure", "", len(todo), len(todo)))
    except BaseException:
        store.close(current(False))
        raise
    spent = (timer() - begun) / 1e9
    if config.budget is not None and spent > config.budget:
        progress(
            Event(
                "note",
                f"the budget of {config.budget:g} s was too small: {len(todo)} cells at "
                f"{statistics.MINIMUM_ROUNDS} rounds or more took {spent:.3g} s",
            )
        )
    finished = current(True)
    store.close(finished)
    return finished


@dataclass(frozen=True)
class _Session:
    config: Config
    start: Run
    lookup: Lookup
    ceiling: CeilingArm
    timer: Timer
    data: user_data.Array | None
    declared_in: Sequence[str]
    peers: Sequence[Peer]

    def memory(self, cell: Cell) -> int:
        """The bytes that `cell` allocates: its buffers, as many for the ceiling and each peer, all sets if cold."""
        one = self.lookup(cell.function).workload_bytes(cell.pass_, cell.dtype, cell.size)
        return (2 + len(self.peers)) * one * self._sets(cell, one)

    def _sets(self, cell: Cell, size: int) -> int:
        """The sets of buffers, `size` bytes each, that take turns: cold ones fill the cache twice."""
        if cell.cache == "warm":
            return 1
        return 1 + ceil(2 * (self.start.machine.last_level_cache or _UNKNOWN_CACHE) / max(1, size))

    def measure(self, cell: Cell, allowance_ns: float) -> Measurement:
        begun = self.timer()
        function, seed = self.lookup(cell.function), self.config.seed
        compilation = function.compile(cell.pass_, cell.dtype)
        sets = self._sets(cell, function.workload_bytes(cell.pass_, cell.dtype, cell.size))
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
        entries = enter(function, cell, workloads, self.peers) if self.peers else []
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
        )

    def _race(
        self, cell: Cell, arms: Sequence[Arm], entries: Sequence[Entry], allowance_ns: float
    ) -> tuple[tuple[Timing, ...], tuple[Contender, ...]]:
        """The timings of `arms` and the contenders with theirs; one that raises is out, and all begin again."""
        timed = {entry.arm: entry for entry in entries if entry.arm}
        racing = (*arms, *timed)
        planned = self.config.rounds * self.config.slice * 1e9 * len(racing)
        begun = self.timer()
        try:
            timings = interleave(
                racing,
                slice_ns=self.config.slice * 1e9,
                rounds=self.config.rounds,
                timer=self.timer,
                step_ns=self.start.machine.clock_ns or 1.0,
                allowance_ns=min(allowance_ns, _LONGEST * planned),
                seed=zlib.crc32(cell.key.encode(), self.config.seed),
            )
        except ArmError as error:
            cause = error.__cause__ or error
            if error.arm not in timed:
                raise cause from None
            left = [failed(e, cause) if e.arm is error.arm else e for e in entries]
            return self._race(cell, arms, left, allowance_ns - (self.timer() - begun))
        found = dict(zip(racing, timings, strict=True))
        return timings[: len(arms)], tuple(
            replace(e.contender, samples_ns=found[e.arm].samples_ns, loops=found[e.arm].loops)
            if e.arm
            else e.contender
            for e in entries
        )

    def _check(self, function: Function, cell: Cell) -> Check | None:
        if self.data is None:
            return None
        return user_data.check(function, cell.pass_, self.data, seed=self.config.seed)

    def _command(self, cell: Cell) -> str:
        """The cell's own command, with everything else that its figures depend on."""
        command, source, config = cell.command, self.start.input, self.config
        if source is not None:
            ours = f"--dtype {cell.dtype} --size {cell.size}"
            command = command.replace(ours, f"--input {shlex.quote(source.path)}")
        command += "".join(f" --from {shlex.quote(path)}" for path in self.declared_in)
        command += f" --against {','.join(peer.name for peer in self.peers)}" if self.peers else ""
        return f"{command} --rounds {config.rounds} --slice {config.slice * 1e3:g}ms --seed {config.seed}"


def compile_kernels(
    cells: Iterable[Cell], lookup: Lookup, progress: Progress, declared_in: Sequence[str] = ()
) -> None:
    """Have the kernels of `cells` in the cache; one that fails is left for its cell to report.

    The first that is missing sends those after it to a process a core: two halve a cold start.
    """
    wanted = list(dict.fromkeys(Kernel(c.function, c.pass_, c.dtype) for c in cells))
    for i, kernel in enumerate(wanted):
        progress(Event("compile", f"{kernel.function} {kernel.pass_}", i, len(wanted)))
        try:
            made = lookup(kernel.function).compile(kernel.pass_, kernel.dtype)
        except Exception:
            continue
        if not made.cached and len(wanted) - (i + 1) >= _POOL_FROM:
            with suppress(BrokenProcessPool):
                _compile_in_processes(wanted, i + 1, progress, declared_in)
            break
    progress(Event("compile", "", len(wanted), len(wanted)))


def _compile_in_processes(
    wanted: Sequence[Kernel], first: int, progress: Progress, declared_in: Sequence[str]
) -> None:
    workers = min(os.cpu_count() or 1, len(wanted) - first)
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker, (tuple(declared_in),))
    try:
        futures = [pool.submit(_compile, kernel) for kernel in wanted[first:]]
        for i, future in enumerate(futures, first):
            progress(Event("compile", f"{wanted[i].function} {wanted[i].pass_}", i, len(wanted)))
            future.exception()  # waits; what failed fails again, with its reason, in its cell
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker(declared_in: Sequence[str]) -> None:
    from actbench.catalog.registry import load_file

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    for path in declared_in:
        load_file(path)


def _compile(kernel: Kernel) -> None:
    kernels.function(kernel.function).compile(kernel.pass_, kernel.dtype)


def new_folder(parent: str | os.PathLike[str], start: Run) -> Path:
    """A folder for `start` in `parent` that does not exist yet, named by its time and preset."""
    stamp = start.created.translate(str.maketrans("", "", "-:Z")).replace("T", "-")
    name = f"{stamp}-{start.config['preset']}"
    folder, count = Path(parent) / name, 2
    while folder.exists():
        folder, count = Path(parent) / f"{name}-{count}", count + 1
    return folder


def resume(parent: str | os.PathLike[str], start: Run) -> tuple[Run, Path]:
    """The newest unfinished run in `parent` that `start` would repeat, and its folder.

    Raises UsageError where there is none, or where all differ in configuration, machine or versions.
    """
    refusal = f"there is no unfinished run in {parent}: leave out --resume"
    folders = sorted((f for f in Path(parent).glob("*") if f.is_dir()), reverse=True)
    unfinished = [(earlier, f) for f in folders if (earlier := _loaded(f)) and not earlier.complete]
    for i, (earlier, folder) in enumerate(unfinished):
        difference = _difference(earlier, start)
        if difference is None:
            return earlier, folder
        if i == 0:
            refusal = f"cannot resume {folder}: {difference}"
    raise UsageError(refusal)


def _loaded(folder: Path) -> Run | None:
    with suppress(ActbenchError):
        return load_run(folder)
    return None


def _difference(earlier: Run, start: Run) -> str | None:
    free = ("budget", "output")  # decide where and how long, not what
    for key in earlier.config.keys() | start.config.keys():
        before, now = earlier.config.get(key), start.config.get(key)
        if key not in free and before != now:
            return f"its {key} was {_plain(before)}, now it is {_plain(now)}"
    if (earlier.input and earlier.input.sha256) != (start.input and start.input.sha256):
        return "its --input was another"
    before, now = ({**r.versions, **{k: d.version for k, d in r.peers.items()}} for r in (earlier, start))
    for package in before | now:
        if before.get(package) != now.get(package):
            return f"{package} was {before.get(package)}, now it is {now.get(package)}"
    machine = earlier.machine.differences(start.machine)
    return f"it was measured on another machine ({', '.join(machine)})" if machine else None


def _plain(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
