"""The whole calls that a cell is compared by: ours, as a user makes it, and each peer's."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.bench.clock import Arm, settling
from actbench.bench.data import sample
from actbench.bench.plan import Cell, Function
from actbench.bench.run import OURS, Contender
from actbench.catalog.errors import told
from actbench.kernels import threads as pool
from actbench.kernels.workload import Workload
from actbench.peers.base import PASSES, Peer, Request
from actbench.wording import counted

Array = NDArray[Any]
# As a part of the largest value. A mismatch is another function, not another rounding: float32 sums of 16 Mi
# elements and CTC's sums of logarithms are off by a few 1e-4, frameworks that round a 16-bit format after every
# operation by some of its units, and two of them hold a constant of a float64 function in float32.
EXPLAINED = {"float64": 1e-7, "float32": 1e-3, "float16": 1e-2, "bfloat16": 4e-2}


@dataclass(frozen=True)
class Entry:
    """A contender, and the arm that times it unless it was refused."""

    contender: Contender
    arm: Arm | None = None


def enter(
    function: Function,
    cell: Cell,
    workloads: Sequence[Workload],
    peers: Sequence[Peer],
    without: Mapping[str, str],
    watch: Callable[[str], None],
) -> list[Entry]:
    """The contenders of a cell, ours first; none where no peer has the function, or for a derivative alone.

    A peer's values are compared with ours before it may be timed. One that raises, that cannot be given as many
    threads, that has another function under the name, or is among those to do ``without``, is entered with the reason
    in the place of an arm. ``watch`` is told whose code runs.
    """
    if cell.pass_ not in PASSES:
        return []
    reference = sample_of(_ours(function, cell, workloads[0])())
    theirs: list[Entry] = []
    for peer in peers:
        if peer.name in without:
            theirs.append(Entry(Contender(peer.name, True, note=without[peer.name])))
            continue
        watch(peer.name)
        theirs += _peer_entries(peer, function, cell, workloads, reference)
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


def sample_of(result: object) -> Array:
    """What is compared of a result: all of it, or about a million elements evenly spread."""
    values = np.asarray(result)
    return sample(values) if values.ndim else values


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


def _peer_entries(
    peer: Peer, function: Function, cell: Cell, workloads: Sequence[Workload], reference: Array
) -> Iterator[Entry]:
    requests = [_request(function, cell, w) for w in workloads]
    notes = set[str]()
    for out in (False, True):
        contender = Contender(peer.name, not out)
        try:
            entry = _peer_entry(peer, contender, cell, [replace(r, out=out) for r in requests], reference)
        except Exception as error:  # whatever another library raises is its own cell's matter
            entry = Entry(replace(contender, note=told(error)))
        # One reason why neither kind of call was timed is told once.
        if entry is not None and (entry.arm or entry.contender.note not in notes):
            notes.add(entry.contender.note)
            yield entry


def _peer_entry(
    peer: Peer, contender: Contender, cell: Cell, requests: Sequence[Request], reference: Array
) -> Entry | None:
    threads = peer.set_threads(cell.threads)
    prepared = [p for p in map(peer.prepare, requests) if p is not None]
    if not prepared:
        return None
    if threads != cell.threads:
        return Entry(replace(contender, note=f"uses {counted(threads, 'thread')}"))
    first = prepared[0]
    contender = replace(contender, note=first.note, compile_s=round(first.compile_s, 3))
    values = np.asarray(first.result())
    if values.dtype != requests[0].dtype:
        return Entry(replace(contender, note=f"gives {values.dtype} for {requests[0].dtype}"))
    error = difference(sample_of(values), reference)
    if not error <= EXPLAINED[cell.dtype]:
        note = f"its values differ by {error:.2g} of the largest one"
        return Entry(replace(contender, error=_finite(error), mismatch=True, note=note))
    arm = Arm(contender.label, [p.call for p in prepared], settles_s=settling(peer.settles_s, cell.threads))
    return Entry(replace(contender, error=error), arm)


def difference(values: Array, reference: Array) -> float:
    """The largest difference as a part of the largest reference value; infinite for another shape, NaN or infinity."""
    if values.shape != reference.shape:
        return float("inf")
    got, expected = values.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(expected)
    if not np.array_equal(got[~finite], expected[~finite], equal_nan=True):
        return float("inf")
    largest = np.max(np.abs(expected[finite]), initial=0.0)
    apart = np.max(np.abs(got[finite] - expected[finite]), initial=0.0)
    return float(apart / largest) if largest else float(apart)


def _finite(error: float) -> float | None:
    return error if np.isfinite(error) else None
