"""Carry out a plan: compile, measure cell by cell, keep every cell as soon as it is measured."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from actbench import kernels
from actbench.bench import statistics
from actbench.bench.clock import Timer
from actbench.bench.config import Config
from actbench.bench.machine import Machine, available_memory, now, this_machine, versions
from actbench.bench.plan import Cell, Plan, check_memory
from actbench.bench.run import (
    SCHEMA,
    Input,
    Measurement,
    Roof,
    Run,
    Skipped,
    Store,
    load_run,
    run_folders,
    settings_apart,
)
from actbench.bench.session import Bench, Lookup, LostError, memory_of
from actbench.catalog.errors import ActbenchError, OutputError, UsageError, told
from actbench.peers.base import Description
from actbench.wording import counted

_POOL_FROM = 4  # kernels: fewer compile sooner than a worker has imported Numba


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


def begin(
    names: Sequence[str],
    config: Config,
    *,
    command: str,
    source: Input | None = None,
    machine: Machine | None = None,
    peers: Mapping[str, Description] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """A run that holds no cells yet: what it will measure, where, and with which versions."""
    return Run(
        schema=SCHEMA,
        created=now(),
        command=command,
        config={"function": list(names), **config.record()},
        machine=machine or this_machine(),
        versions=versions(),
        input=source,
        cells=(),
        skipped=(),
        complete=False,
        peers=peers or {},
        environment=environment or {},
    )


def run(
    plan: Plan,
    config: Config,
    start: Run,
    store: Store,
    bench: Bench,
    *,
    progress: Progress = lambda event: None,
    declared_in: Sequence[str] = (),
    lookup: Lookup = kernels.function,
    timer: Timer = time.perf_counter_ns,
    memory: int | None = None,
) -> Run:
    """Have `bench` measure the cells of `plan` that `start` does not hold; the run, as it is then in `store`.

    A cell that raises is recorded as skipped. Ctrl-C stores what was measured and goes on as
    KeyboardInterrupt. `declared_in` are the files of functions that the package does not know.
    Raises InfeasibleError, before anything is allocated, for a cell that would not fit in memory, and OutputError
    where the disk takes no more; what was measured by then is in the store.
    """
    known = {m.cell.key for m in start.cells} | {s.cell for s in start.skipped}
    # One thread count at a time: some peers need a new process for another. Small cells first: what they leave of a
    # budget goes to those that need more.
    todo = sorted((c for c in plan.cells if c.key not in known), key=lambda cell: (cell.threads, cell.size))
    peers = sum(not d.fault for d in start.peers.values())
    need = {cell.key: memory_of(cell, lookup(cell.function), start.machine, peers) for cell in todo}
    check_memory(need, available_memory() if memory is None else memory)
    compile_kernels(todo, lookup, progress, declared_in)
    begun = timer()
    if config.roofline and todo and not start.roofs:
        start = replace(start, roofs=_roofs(todo, bench, progress))
    record = _Record(plan, start, store)
    try:
        for i, cell in enumerate(todo):
            progress(Event("measure", cell.key, i, len(todo)))
            left = inf if config.budget is None else config.budget * 1e9 - (timer() - begun)
            record.add(_measured(bench, cell, left / (len(todo) - i)))
        progress(Event("measure", "", len(todo), len(todo)))
    except OutputError:
        raise  # nothing more can be written
    except BaseException:
        record.close(False)
        raise
    spent = (timer() - begun) / 1e9
    if config.budget is not None and spent > config.budget:
        progress(
            Event(
                "note",
                f"the budget of {config.budget:g} s was too small: {counted(len(todo), 'cell')} at "
                f"{statistics.MINIMUM_ROUNDS} rounds or more took {spent:.3g} s",
            )
        )
    return record.close(True)


class _Record:
    """What was measured so far, in the store as soon as it is there."""

    def __init__(self, plan: Plan, start: Run, store: Store) -> None:
        self._places = {cell.key: i for i, cell in enumerate(plan.cells)}
        self._start, self._store = start, store
        self._cells, self._skipped = list(start.cells), list(start.skipped)
        store.open(start)

    def add(self, found: Measurement | Skipped) -> None:
        if isinstance(found, Measurement):
            self._cells.append(found)
        else:
            self._skipped.append(found)
        self._store.add(found)

    def close(self, complete: bool) -> Run:
        """The run, with its cells in the order of the plan."""
        run = replace(
            self._start,
            cells=tuple(sorted(self._cells, key=lambda m: self._places[m.cell.key])),
            skipped=tuple(sorted(self._skipped, key=lambda s: self._places[s.cell])),
            complete=complete,
        )
        self._store.close(run)
        return run


def _measured(bench: Bench, cell: Cell, allowance_ns: float) -> Measurement | Skipped:
    try:
        return bench.measure(cell, allowance_ns)
    except Exception as error:
        expected = isinstance(error, ActbenchError) and not isinstance(error, LostError)
        return Skipped(cell.key, told(error), not expected)


def _roofs(cells: Sequence[Cell], bench: Bench, progress: Progress) -> tuple[Roof, ...]:
    counts = sorted({cell.threads for cell in cells})
    found: list[Roof] = []
    for count in counts:
        threads = counted(count, "thread")
        progress(Event("measure", f"the machine's roofs in {threads}", 0, len(cells)))
        try:
            found += bench.roofs(count)
        except Exception as error:  # cells are worth more than what they are drawn under
            progress(Event("note", f"no roofs in {threads}: {told(error)}"))
    return tuple(found)


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
    name = f"{start.stamp}-{start.config['preset']}"
    folder, count = Path(parent) / name, 2
    while folder.exists():
        folder, count = Path(parent) / f"{name}-{count}", count + 1
    return folder


def resume(parent: str | os.PathLike[str], start: Run) -> tuple[Run, Path]:
    """The newest unfinished run in `parent` that `start` would repeat, and its folder.

    Raises UsageError where there is none, or where all differ in configuration, machine or versions.
    """
    refusal = f"there is no unfinished run in {parent}: leave out --resume"
    unfinished = [
        (earlier, f) for f in run_folders(parent) if (earlier := _loaded(f)) and not earlier.complete
    ]
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
    free = ("budget", "output", "timeout")  # decide where and how long, not what
    for key, was, is_now in settings_apart(earlier, start, free):
        return f"its {key} was {was}, now it is {is_now}"
    if earlier.data != start.data:
        return "its --input was another"
    before, after = (
        {**r.versions, **{k: "left out" if d.fault else d.version for k, d in r.peers.items()}}
        for r in (earlier, start)
    )
    for package in before | after:
        if before.get(package) != after.get(package):
            return f"{package} was {before.get(package)}, now it is {after.get(package)}"
    if earlier.environment != start.environment:
        return "its process had other pages of memory"
    machine = earlier.machine.differences(start.machine)
    return f"it was measured on another machine ({', '.join(machine)})" if machine else None
