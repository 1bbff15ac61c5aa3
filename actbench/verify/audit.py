"""How exact a kernel is: its errors in units in the last place (ULP), over every number of a format or over a sample.

float64 is judged by the exact definition. The shorter formats are held against the float64 kernel at the same inputs,
which the exact definition has judged on a sample of them before; a rounding that this leaves open goes to the exact
definition, too. No verdict is given before the judge has caught results that were moved by one ULP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import told
from actbench.kernels.base import Function
from actbench.peers.base import DifferentFunctionError, Peer, Request
from actbench.verify.batches import batch_of
from actbench.verify.findings import (
    DERIVATIVE,
    EXACT,
    FORWARD,
    MEAN,
    OURS,
    USELESS,
    Audit,
    Case,
    Coordinate,
    slack,
)
from actbench.verify.inputs import CHUNK, all_numbers, within
from actbench.verify.ledger import Ledger
from actbench.verify.oracle import Definition, UndefinedError
from actbench.verify.rounding import FORMATS, Array, Target
from actbench.verify.subject import ELEMENTS, Subject
from actbench.verify.trial import tried

_DENSITY: Mapping[tuple[str, str], tuple[int, int | None, int]] = {
    ("elementwise", "float64"): (1 << 8, 2, 64),
    ("elementwise", "float32"): (1 << 14, None, 512),
    ("pairwise", "float64"): (1 << 4, 1, 16),
    ("pairwise", "float32"): (1 << 10, None, 512),
}
"""Inputs of an exponent, of one far from 1, and on either side of a turn; a float64 takes 20 us, a float32 10 ns."""
_ALL = 0, None, 0
"""What is said of 16 bits, where there is no need to choose."""
_SAMPLE = 4, 2, 8
"""The same for the sample on which the reference is judged."""
_JUDGED, _CONTROL, _EVERY = 1 << 10, 1 << 8, 16
"""Results of a chunk on which the reference is judged, those that the control moves, and of every how many chunks."""
Results = Iterable[tuple[Sequence[Array], Array]]
"""Inputs, operand by operand, and what a pass returned for them; chunk by chunk."""
Worth = Callable[[Sequence[Array], str], Array | None]
"""How much results move when operands do by a ULP of a format."""
Tell = Callable[[str], None]


class VoidAuditError(RuntimeError):
    """A judge that does not catch results moved by one ULP: whatever it says means nothing."""


def bound(declaration: Declaration, case: Case) -> float:
    """The largest error in ULP that a pass may have; infinite where none is declared."""
    if declaration.error_bounds is None:
        return math.inf
    # Bounds are proven at the defaults; beside them each parameter rounds once more.
    further = 0.5 * len(case.settings)
    if FORMATS[case.dtype].places < FORMATS["float32"].places:
        return 0.51 + further
    most = 1.0 if case.pass_ == MEAN else declaration.error_bounds[case.pass_ == DERIVATIVE]
    return most + further


class Judge(Protocol):
    """What errors are measured by."""

    @property
    def name(self) -> str:
        """What that is."""

    @property
    def reference(self) -> float | None:
        """The largest error found of the float64 kernel in its own ULP, where it is the judge."""

    def __call__(self, ledger: Ledger, operands: Sequence[Array], got: Array) -> None:
        """Judge results at inputs, into a ledger."""


class Exactly:
    """By the exact definition."""

    name, reference = EXACT, None

    def __init__(self, definition: Definition, dtype: str, worth: Worth) -> None:
        self.definition, self.dtype, self.worth = definition, dtype, worth

    def __call__(self, ledger: Ledger, operands: Sequence[Array], got: Array) -> None:
        columns = _widened(operands)
        target = self.definition.targets(columns, FORMATS[self.dtype])
        ledger.add(columns, got, target, self.worth(columns, self.dtype))


class Known:
    """By exact results that are there already; the last operand tells which of them."""

    name, reference = Exactly.name, None

    def __init__(self, target: Target, worth: Array) -> None:
        self.target, self.worth = target, worth

    def __call__(self, ledger: Ledger, operands: Sequence[Array], got: Array) -> None:
        places = operands[-1]
        ledger.add(operands[:-1], got, self.target.at(places), self.worth[places])


class Beside:
    """By the float64 kernel, and where that leaves a rounding open by the exact definition, if there is one."""

    name = "float64 kernel"

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.reference = None if subject.definition is None else self._errs(subject.definition)

    def _errs(self, definition: Definition) -> float:
        """The float64 kernel's largest error on a sample of the inputs; infinite for a wrong NaN or infinity."""
        judge, ledger = Exactly(definition, "float64", self.subject.worth), Ledger()
        for operands in self.subject.operands(*_SAMPLE):
            some = _widened(o[:: -(-o.size // _JUDGED) or 1] for o in operands)
            judge(ledger, some, self.subject.reference(*some))
        # What the exact definition cannot tell of, says nothing for the kernel, either.
        vague = ledger.undecided > ledger.inputs // 4
        return math.inf if ledger.wrong or vague else ledger.judged

    def __call__(self, ledger: Ledger, operands: Sequence[Array], got: Array) -> None:
        columns, definition = _widened(operands), self.subject.definition
        got = got if got.dtype == np.float32 else got.astype(np.float32)
        dtype = self.subject.case.dtype
        errs = slack(self.reference, dtype)
        exact, worth = self.subject.reference(*columns), self.subject.worth(columns, dtype)
        # One that errs too much gives no verdict, and all it leaves open would take hours.
        left, half, even = ledger.fold(columns, got, exact, worth, dtype, errs if errs <= USELESS else 0.0)
        if definition is None or not left.size:
            ledger.undecided += left.size
            return
        vague, open_, results = np.isnan(half), [c[left] for c in columns], got[left].astype(np.float64)
        sides = definition.sides([o[~vague] for o in open_], half[~vague])
        nearest = (sides == np.sign(results[~vague] - half[~vague])) | ((sides == 0) & even[~vague])
        target = definition.targets([o[vague] for o in open_], FORMATS[dtype])
        met = np.count_nonzero(nearest) + np.count_nonzero(target.met(results[vague]))
        ledger.correct += int(met)
        ledger.undecided += int(np.count_nonzero(np.isnan(sides)) + np.count_nonzero(~target.decided))


def _widened(operands: Iterable[Array]) -> list[Array]:
    with np.errstate(invalid="ignore"):  # signalling NaNs are numbers, too
        return [o.astype(np.float64) for o in operands]


def judge_of(subject: Subject) -> Judge:
    """What a subject is judged by; raises UndefinedError for float64 without an exact definition."""
    if subject.case.dtype != "float64":
        return Beside(subject)
    if subject.definition is None:
        raise UndefinedError(subject.undefined)
    return Exactly(subject.definition, subject.case.dtype, subject.worth)


def held(judge: Judge, results: Results) -> Ledger:
    """What a judge finds in results; raises VoidAuditError."""
    ledger = Ledger()
    for i, (operands, got) in enumerate(results):
        judge(ledger, operands, got)
        if i % _EVERY == 0 or not ledger.control:
            ledger.control += control(judge, operands, got)
    return ledger


def control(judge: Judge, operands: Sequence[Array], got: Array) -> int:
    """Show a judge some results as they are and moved by one ULP; how many, unless it does not catch them.

    Of two neighbours at most one is the nearest number, and one is off by half a ULP or more, give or take what the
    judge errs by. Raises VoidAuditError.
    """
    (wide,) = _widened([got])
    movable = np.flatnonzero(np.abs(wide) < FORMATS[got.dtype.name].greatest)
    some = movable[:: -(-movable.size // _CONTROL) or 1]
    chosen, result = [o[some] for o in operands], got[some]
    before, after = Ledger(), Ledger()
    judge(before, chosen, result)
    judge(after, chosen, (result.view(f"i{result.itemsize}") + 1).view(result.dtype))
    largest = max(before.largest, after.largest)
    if largest < 0:  # nothing that could be judged
        return 0
    # Of two neighbours the errors add up to 1 or more, and to half of that beside a power of 2.
    seen = (
        before.inputs - max(before.wrong, after.wrong) - (before.undecided if judge.reference is None else 0)
    )
    alone = before.judged == before.largest and after.judged == after.largest
    blind = alone and before.totals.sum() + after.totals.sum() < 0.49 * seen
    if before.correct + after.correct > some.size or largest < 0.49 or blind:
        raise VoidAuditError(f"the audit is void: the {judge.name} did not catch results moved by one ULP")
    return int(some.size)


def audited(f: Function, case: Case, peers: Sequence[Peer], tell: Tell) -> list[Audit]:
    """The audit of a case over a sample, of 16 bits over all there are, and those of peers on the same inputs.

    None where there is no exact definition to judge by; ``tell`` is told of that, and why a peer is left out.
    """
    tried(f)
    try:
        if f.declaration.template in ELEMENTS and case.pass_ != MEAN:
            return [*_of_elements(f, case, peers, tell)]
        batch = batch_of(f, case)
    except UndefinedError as error:
        tell(f"{case}: not judged: {error}")
        return []
    judge, columns = Known(batch.target, batch.worth), (*batch.columns, np.arange(batch.got.size))
    ledger = held(judge, [(columns, batch.got)])
    return [summed(f, case, OURS, judge.name, judge.reference, ledger, batch.names)]


def _of_elements(f: Function, case: Case, peers: Sequence[Peer], tell: Tell) -> Iterator[Audit]:
    subject = Subject(f, case)
    judge = judge_of(subject)
    if subject.undefined:
        tell(f"{case}: held against the float64 kernel alone: {subject.undefined}")
    chunks = [*subject.operands(*_DENSITY.get((f.declaration.template, case.dtype), _ALL))]
    ledger = held(judge, ((chunk, subject(*chunk)) for chunk in chunks))
    yield summed(f, case, OURS, judge.name, judge.reference, ledger)
    if not peers or f.declaration.template != "elementwise":
        return
    x = np.concatenate([x for (x,) in chunks])
    if (
        case.pass_ == DERIVATIVE
    ):  # what a peer returns at a kink, and for NaN, is another convention, not an error
        x = x[~np.isin(x, np.asarray(subject.kinks(), x.dtype)) & ~np.isnan(x)]
    for peer in peers:
        try:
            got = _of_peer(peer, f, case, x)
        except Exception as error:  # whatever a library raises
            tell(f"{case}: {peer.name}: {told(error)}")
            continue
        if got is not None:
            parts = (slice(i, i + CHUNK) for i in range(0, x.size, CHUNK))
            ledger = held(judge, (((x[part],), got[part]) for part in parts))
            yield summed(f, case, peer.name, judge.name, judge.reference, ledger)


def _of_peer(peer: Peer, f: Function, case: Case, x: Array) -> Array | None:
    """A peer's results, by whichever kind of call it has; None where it has none."""
    arrays, pass_ = {"x": x}, FORWARD
    if case.pass_ == DERIVATIVE:
        arrays, pass_ = {"grad_output": np.ones_like(x), "x": x}, "backward"
    peer.set_threads(1)
    params = f.declaration.resolve(case.params)
    calls = (peer.prepare(Request(f.name, pass_, params, arrays, out)) for out in (False, True))
    with np.errstate(all="ignore"):
        found = next((np.asarray(call.result()) for call in calls if call), None)
    if found is not None and (found.shape, found.dtype) != (x.shape, x.dtype):
        raise DifferentFunctionError(f"{peer.name}: {x.shape} {x.dtype} became {found.shape} {found.dtype}")
    return found


def swept(subject: Subject, judge: Judge, start: int, stop: int) -> Ledger:
    """What a judge finds at all numbers whose bits lie in a range."""
    domain = subject.f.declaration.domain
    parts = (within(x, domain) for x in all_numbers(subject.kind, start, stop))
    return held(judge, (((x,), subject(x)) for x in parts))


def summed(
    f: Function,
    case: Case,
    provider: str,
    judge: str,
    reference: float | None,
    ledger: Ledger,
    names: Sequence[str] = (),
) -> Audit:
    """The audit that a ledger amounts to; ``names`` are those of its columns, the operands unless others are given."""
    columns = names or f.declaration.operands
    return Audit(
        case=case,
        provider=provider,
        judge=judge,
        inputs=ledger.inputs,
        largest=max(0.0, ledger.largest),
        judged=max(0.0, ledger.judged),
        where=_place(columns, ledger.where),
        mean=ledger.mean,
        correct=ledger.correct,
        undecided=ledger.undecided,
        wrong=ledger.wrong,
        astray=_place(columns, ledger.astray),
        zeros=ledger.zeros,
        reference=reference,
        control=ledger.control,
        bound=bound(f.declaration, case),
        profile=ledger.profile(),
    )


def _place(names: Sequence[str], values: Sequence[float]) -> tuple[Coordinate, ...]:
    return tuple(Coordinate(name, v, v.hex()) for name, v in zip(names, values, strict=False))
