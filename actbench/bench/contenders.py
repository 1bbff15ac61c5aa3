"""The whole calls that a cell is compared by: ours, as a user makes it, and each peer's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.bench.agreement import EXPLAINED, Inputs, at_kinks, difference, tolerance
from actbench.bench.clock import Arm, settling
from actbench.bench.plan import Cell, Function
from actbench.bench.run import OURS, Contender
from actbench.catalog.errors import told
from actbench.kernels import threads as pool
from actbench.kernels.workload import Workload
from actbench.peers.base import PASSES, Peer, Prepared, Request
from actbench.wording import counted

Array = NDArray[Any]


@dataclass(frozen=True)
class Entry:
    """A contender, and the arm that times it unless it was refused."""

    contender: Contender
    arm: Arm | None = None
    again: Callable[[], Contender | None] | None = None
    """Compares a peer's values once more: the contender refused where they are ours no longer."""


def enter(
    function: Function,
    cell: Cell,
    workloads: Sequence[Workload],
    peers: Sequence[Peer],
    without: Mapping[str, str],
    watch: Callable[[str], None],
) -> list[Entry]:
    """The contenders of a cell, ours first; none where no peer has the function, or for a derivative alone.

    All of a peer's values are compared with ours before it may be timed. One that raises, that cannot be given as many
    threads, that has another function under the name, that writes to its inputs, or is among those to do ``without``,
    is entered with the reason in the place of an arm. ``watch`` is told whose code runs.
    """
    if cell.pass_ not in PASSES:
        return []
    judge = _Judge(function, cell, workloads)
    theirs: list[Entry] = []
    for peer in peers:
        if peer.name in without:
            theirs.append(Entry(Contender(peer.name, True, note=without[peer.name])))
            continue
        watch(peer.name)
        theirs += _peer_entries(peer, cell, judge)
        watch("")
    if not theirs:
        return []
    calls = {True: [_ours(function, cell, w) for w in workloads]}
    if _takes_out(function, cell, workloads[0]):
        calls[False] = [partial(_ours(function, cell, w), out=w.arrays["out"]) for w in workloads]
    rest = settling(pool.SETTLES_S, cell.threads)
    ours = [Entry(Contender(OURS, made), Arm(OURS, c, settles_s=rest)) for made, c in calls.items()]
    return [*ours, *theirs]


def failed(entry: Entry, error: BaseException) -> Entry:
    """The entry of a contender that raised while it was timed."""
    return Entry(replace(entry.contender, note=told(error)))


def refused(entries: Sequence[Entry], watch: Callable[[str], None]) -> dict[Entry, Contender]:
    """The contenders that were timed and that are refused after all: their values are ours no longer; by entry."""
    found = {}
    for entry in entries:
        if entry.arm and entry.again:
            watch(entry.contender.provider)
            contender = entry.again()
            watch("")
            if contender:
                found[entry] = contender
    return found


def _ours(function: Function, cell: Cell, workload: Workload) -> Callable[..., object]:
    """The public call on a workload's arrays."""
    call = function if cell.pass_ == "forward" else function.backward
    return partial(call, *_request(function, cell, workload).operands, threads=cell.threads)


def _takes_out(function: Function, cell: Cell, workload: Workload) -> bool:
    """Whether the public call writes its result to ``out=``: not where it reduces to a number."""
    call = function.__call__ if cell.pass_ == "forward" else function.backward
    reduces = cell.pass_ == "forward" and "pred" in workload.arrays
    return not reduces and "out" in inspect.signature(call).parameters


def _request(function: Function, cell: Cell, workload: Workload) -> Request:
    return Request(function.name, cell.pass_, function.declaration.defaults, workload.arrays)


class _Judge:
    """What a peer's calls are held against: our values, and the inputs as they were."""

    def __init__(self, function: Function, cell: Cell, workloads: Sequence[Workload]) -> None:
        self._function, self._cell = function, cell
        self.requests = [_request(function, cell, w) for w in workloads]
        self._inputs = Inputs([r.operands for r in self.requests])
        self._reference = np.asarray(_ours(function, cell, workloads[0])())
        self._kinks: list[Array | None] = []

    def verdict(self, peer: Peer, contender: Contender, values: Array) -> Contender:
        """The contender with its error, as a mismatch where that is more than rounding explains."""
        error, notes = difference(values, self._reference), [contender.note]
        allowed = tolerance(self._function, self._cell)
        if not error <= allowed and (kinks := self._at_kinks()) is not None:
            elsewhere = difference(values, self._reference, kinks)
            if elsewhere <= allowed:
                error = elsewhere
                notes.append("takes another slope at kinks")

        reason = peer.coarse.get((self._function.name, self._cell.dtype))
        if reason and allowed < error <= EXPLAINED[self._cell.dtype]:
            notes.append(f"{reason}: its values differ by {error:.0e} of the largest one")
        elif not error <= allowed:
            note = f"its values differ by {error:.2g} of the largest one"
            return replace(contender, error=_finite(error), mismatch=True, note=note)
        return replace(contender, error=error, note="; ".join(filter(None, notes)))

    def restored(self) -> bool:
        """Whether the inputs had been changed; they are as before."""
        return self._inputs.restored()

    def again(self, peer: Peer, contender: Contender, prepared: Prepared) -> Contender | None:
        """The contender refused, where after its rounds it is not what it was before."""
        self.restored()
        try:
            found = self.verdict(peer, contender, np.asarray(prepared.result()))
        except BaseException as error:
            found = replace(contender, mismatch=True, note=told(error))
        if self.restored():
            return changing(contender)
        return replace(found, note=f"after its rounds: {found.note}") if found.mismatch else None

    def _at_kinks(self) -> Array | None:
        if not self._kinks:
            self._kinks.append(at_kinks(self._function, self._cell, self.requests[0].arrays))
        return self._kinks[0]


def changing(contender: Contender) -> Contender:
    """The contender refused for what it does to its inputs."""
    return replace(contender, error=None, mismatch=True, note="changes its input")


def _peer_entries(peer: Peer, cell: Cell, judge: _Judge) -> Iterator[Entry]:
    notes = set[str]()
    for out in (False, True):
        contender = Contender(peer.name, not out)
        try:
            entry = _peer_entry(peer, contender, cell, judge, out)
        # Whatever another library raises is its own cell's matter, sys.exit() too. Ctrl-C never comes here: the
        # process in which peers run ignores it.
        except BaseException as error:
            entry = Entry(replace(contender, note=told(error)))
        if judge.restored():
            entry = Entry(changing(contender))
        # One reason why neither kind of call was timed is told once.
        if entry is not None and (entry.arm or entry.contender.note not in notes):
            notes.add(entry.contender.note)
            yield entry


def _peer_entry(peer: Peer, contender: Contender, cell: Cell, judge: _Judge, out: bool) -> Entry | None:
    threads = peer.set_threads(cell.threads)
    prepared = [p for r in judge.requests if (p := peer.prepare(replace(r, out=out))) is not None]
    if not prepared:
        return None
    first = prepared[0]
    threads = threads if first.threads is None else first.threads
    if threads != cell.threads:
        return Entry(replace(contender, note=f"uses {counted(threads, 'thread')}"))
    begun = replace(contender, note=first.note, compile_s=round(first.compile_s, 3))
    values, dtype = np.asarray(first.result()), judge.requests[0].dtype
    if values.dtype != dtype:
        return Entry(replace(contender, note=f"gives {values.dtype} for {dtype}"))
    found = judge.verdict(peer, begun, values)
    if found.mismatch:
        return Entry(found)
    arm = Arm(
        contender.label,
        [p.call for p in prepared],
        settles_s=settling(peer.settles_s, cell.threads),
        foreign=True,
    )
    return Entry(found, arm, partial(judge.again, peer, begun, first))


def _finite(error: float) -> float | None:
    return error if np.isfinite(error) else None
