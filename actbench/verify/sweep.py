"""Audits of many cases in a process a core; exhaustive ones in slices, of which those done survive an interruption."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from actbench import kernels, peers
from actbench.catalog.errors import UsageError
from actbench.files import write_whole
from actbench.kernels.base import as_dtype
from actbench.verify.audit import Judge, Tell, audited, judge_of, summed, swept
from actbench.verify.findings import OURS, Audit, Case
from actbench.verify.ledger import Ledger
from actbench.verify.subject import Subject
from actbench.verify.trial import tried

SLICE = 1 << 21
"""Numbers a slice: half a second to ten, so that little is lost, and both cores end at about the same time."""
_ALL = 1 << 32
_MOST = 61
"""Processes that a pool may have on Windows."""
_SAVE_S = 2.0
"""Seconds between two looks at the disk."""
Progress = Callable[[str, int, int], None]
"""Told of what was done last, and how much of how much that makes."""


@dataclass(frozen=True)
class Task:
    """A case over a sample (or all 16-bit numbers), or a slice of all its numbers."""

    case: Case
    slice: int | None = None


@dataclass(frozen=True)
class Found:
    """What a task came to: audits and notes, or a slice's ledger and what judged it."""

    audits: tuple[Audit, ...] = ()
    notes: tuple[str, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)
    judge: str = ""
    reference: float | None = None


@dataclass
class State:
    """An exhaustive audit on its way, and its file."""

    path: Path
    identity: Mapping[str, Any]
    """The case, and all that its results depend on."""
    judge: str = ""
    reference: float | None = None
    done: list[int] = field(default_factory=list)
    ledger: Ledger = field(default_factory=Ledger)

    def add(self, slice: int, found: Found) -> None:
        """Add a slice."""
        self.done.append(slice)
        self.ledger.merge(found.ledger)
        self.judge, self.reference = found.judge, found.reference

    def save(self) -> None:
        """Write the file, whole or not at all; raises OutputError."""
        document = {**vars(self), "path": self.path.name, "ledger": self.ledger.document()}
        write_whole(json.dumps(document).encode(), self.path)

    def load(self) -> None:
        """Go on from the file, if there is one; raises UsageError where it is of something else."""
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            before, ledger = dict(document["identity"]), Ledger.of(document["ledger"])
            found = [document[name] for name in ("judge", "reference", "done")]
        except FileNotFoundError:
            return
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise UsageError(f"cannot resume from {self.path}: {error!r}") from error
        for name, value in self.identity.items():
            if before.get(name) != value:
                raise UsageError(
                    f"cannot resume from {self.path}: its {name} was {before.get(name)}, now it is {value}: "
                    "leave out --resume"
                )
        self.judge, self.reference, self.done = found
        self.ledger = ledger


def run(
    cases: Sequence[Case],
    *,
    against: Sequence[str] = (),
    declared_in: Sequence[str] = (),
    exhaustive: Path | None = None,
    resume: bool = False,
    progress: Progress = lambda text, done, total: None,
    tell: Tell = lambda note: None,
) -> tuple[Audit, ...]:
    """The audits of cases, in their order, those of peers after ours.

    With a folder for ``exhaustive`` every float32 of an elementwise function is tried, and what is done is kept there,
    also where KeyboardInterrupt ends it; ``resume`` goes on from that. ``declared_in`` are the files of functions that
    the package does not know.
    """
    cases = tuple(dict.fromkeys(cases))
    states = {case: _state(case, exhaustive) for case in cases if exhaustive and _sweepable(case)}
    for state in states.values():
        if resume and exhaustive:
            state.load()
    tasks = [task for case in cases for task in _tasks(case, states.get(case))]
    found = dict[Case, tuple[Audit, ...]]()
    saved = time.monotonic()
    try:
        with closing(_carried_out(tasks, tuple(against), tuple(declared_in))) as results:
            for done, (task, result) in enumerate(results, 1):
                progress(str(task.case), done, len(tasks))
                for note in result.notes:
                    tell(note)
                if task.slice is None:
                    found[task.case] = result.audits
                    continue
                state = states[task.case]
                state.add(task.slice, result)
                if len(state.done) == _ALL // SLICE or time.monotonic() - saved > _SAVE_S:
                    state.save()
                    saved = time.monotonic()
    finally:
        for state in states.values():
            if state.done:
                state.save()
    for case, state in states.items():
        f = kernels.function(case.function)
        found[case] = (summed(f, case, OURS, state.judge, state.reference, state.ledger),)
    return tuple(audit for case in cases for audit in found[case])


def _sweepable(case: Case) -> bool:
    return case.dtype == "float32" and kernels.function(case.function).declaration.template == "elementwise"


def _state(case: Case, folder: Path) -> State:
    f = kernels.function(case.function)
    identity = {
        "case": str(case),
        "formula": f.formula,
        "domain": str(f.declaration.domain),
        "kinks": [str(kink) for kink in f.declaration.kinks],
        # A kernel's key is a hash of all that its machine code depends on, Numba and the processor among that.
        "kernels": [
            f._pass_kernel(case.pass_, as_dtype(d)).kernel(False).key for d in ("float32", "float64")
        ],
        "versions": [f"{package} {version(package)}" for package in ("actbench", "python-flint")],
        "slice": SLICE,
    }
    return State(folder / f"{'-'.join(str(case).split())}.json", identity)


def _tasks(case: Case, state: State | None) -> Iterator[Task]:
    if state is None:
        yield Task(case)
    else:
        yield from (Task(case, i) for i in range(_ALL // SLICE) if i not in {*state.done})


def _carried_out(
    tasks: Sequence[Task], against: tuple[str, ...], declared_in: tuple[str, ...]
) -> Generator[tuple[Task, Found]]:
    """The tasks as they end: here where they are of one function and short, else in a process a core."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers == 1 or (len({t.case.function for t in tasks}) < 2 and all(t.slice is None for t in tasks)):
        yield from ((task, _carry_out(task, against)) for task in tasks)
        return
    spawn, others = multiprocessing.get_context("spawn"), {*multiprocessing.active_children()}
    pool = ProcessPoolExecutor(min(workers, _MOST), spawn, _begin_worker, (declared_in,))
    try:
        futures = {pool.submit(_carry_out, task, against): task for task in tasks}
        for future in as_completed([*futures]):
            yield futures.pop(future), future.result()  # and is forgotten: a ledger takes 100 KB
    except BaseException:
        # Who presses Ctrl-C does not wait for slices that take 10 s, and are lost anyway.
        for worker in {*multiprocessing.active_children()} - others:
            worker.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker(declared_in: Sequence[str]) -> None:
    from actbench.catalog.registry import load_file

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for path in declared_in:
        load_file(path)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _carry_out(task: Task, against: tuple[str, ...]) -> Found:
    if task.slice is None:
        notes = list[str]()
        f, chosen = kernels.function(task.case.function), peers.chosen(against)
        audits = audited(f, task.case, chosen, notes.append)
        return Found(tuple(audits), tuple(notes))
    subject, judge = _judged(task.case)
    ledger = swept(subject, judge, task.slice * SLICE, (task.slice + 1) * SLICE)
    return Found(ledger=ledger, judge=judge.name, reference=judge.reference)


@functools.lru_cache(maxsize=8)
def _judged(case: Case) -> tuple[Subject, Judge]:
    subject = Subject(kernels.function(case.function), case)
    tried(subject.f)
    return subject, judge_of(subject)
