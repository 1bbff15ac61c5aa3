"""The gate: screen every cell that may have changed, confirm the suspects on fresh processes, judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import log
from random import Random
from typing import Literal

import numpy as np

from actbench.bench.clock import Timer
from actbench.bench.gating import decision
from actbench.bench.gating.decision import LOOKS, Rule, Verdict
from actbench.bench.gating.pairing import ClockError, Injection, Pair, differs
from actbench.bench.gating.process import LostSideError, RefusedError
from actbench.bench.gating.record import Judgement
from actbench.bench.gating.side import Side
from actbench.bench.plan import Cell

SCREENED, SCREEN_ROUNDS, CONFIRM_ROUNDS = 2, 12, 8
"""Process pairs that a screening takes, and rounds a pair, there and where suspects are confirmed."""
CONTROLS = 8
"""Unchanged cells that are measured beside the suspects: what moves them is the machine."""
FEWEST, MOST = 3, 12
"""Cells of a family whose mean is tested for what no cell shows alone, and so many of them tell it."""
FAMILY_RULE = Rule(threshold=0.015)
_SEEMS = log(1.0075)
"""A family's mean that is confirmed: half of what matters."""
_TRIES = 2
"""A process that dies may have met what kills processes; one that dies again has a reason of its own."""


@dataclass(frozen=True)
class Key:
    """What is judged: a cell, of ours or of a peer."""

    cell: Cell
    peer: str | None = None

    def __str__(self) -> str:
        return f"{self.peer}: {self.cell.key}" if self.peer else self.cell.key


@dataclass(frozen=True)
class Event:
    """How far a gate is."""

    stage: Literal["compile", "screen", "confirm"]
    text: str
    done: int
    total: int


@dataclass(frozen=True)
class Options:
    """How a gate measures."""

    slice_ns: float = 1e6
    cpus: tuple[int, ...] = ()
    seed: int = 0
    timeout_s: float = 120.0
    everything: bool = False  # also where both sides run the same code
    injection: Injection = field(default_factory=Injection)


@dataclass(frozen=True)
class Found:
    """What a gate's measurement came to."""

    judgements: tuple[Judgement, ...]
    drift: str  # how unchanged code moved; "" where it did not
    pairs: int  # of processes that were started


@dataclass(frozen=True)
class _Sample:
    """What one process pair told of a cell."""

    rounds: tuple[float, ...] = ()
    same_code: bool = False
    incorrect: str = ""
    fault: str = ""


@dataclass
class _Case:
    """What is known of a cell so far."""

    key: Key
    rule: Rule
    family: str
    same_code: bool = False
    incorrect: str = ""
    fault: str = ""
    screened: list[tuple[float, ...]] = field(default_factory=list)
    confirmed: dict[int, float] = field(default_factory=dict)  # by process pair

    @property
    def measured(self) -> bool:
        return len(self.screened) == SCREENED


@dataclass
class _Suspicion:
    """A cell that seems slower or faster, or a family of which that holds on average."""

    members: tuple[_Case, ...]
    rule: Rule
    seems: Verdict
    family: str = ""
    verdict: Verdict | None = None

    @property
    def values(self) -> list[float]:
        """What each process pair told: the mean over the members."""
        pairs = set.intersection(*(set(case.confirmed) for case in self.members))
        return [float(np.mean([case.confirmed[p] for case in self.members])) for p in sorted(pairs)]


class Gate:
    """Two sides, and how they are measured; ``timer`` tells how long a slice can have lasted."""

    def __init__(
        self,
        base: Side,
        head: Side,
        options: Options,
        timer: Timer,
        progress: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._sides, self._options, self._timer = (base, head), options, timer
        self._progress = progress
        self._random = Random(options.seed)
        self._pairs = 0

    def start(self) -> Pair:
        """A fresh process pair; raises SideError where a side cannot be imported."""
        self._pairs += 1
        o = self._options
        return Pair(*self._sides, o.cpus, self._random, o.timeout_s, self._timer)

    def run(self, keys: Sequence[Key], rule: Callable[[Key], Rule], family: Callable[[Key], str]) -> Found:
        """Measure and judge the cells of functions that both sides have."""
        cases = [_Case(key, rule(key), family(key)) for key in keys]
        self._compile(keys)
        self._screen(cases)
        tested = [case for case in cases if case.measured]
        suspicions = [*_seeming(tested), *_families(tested)]
        controls = _spread([case for case in cases if case.same_code and not case.measured], CONTROLS)
        self._confirm(suspicions, controls)
        between = decision.between_pairs([case.screened for case in tested])
        of_cells = {s.members[0].key: s for s in suspicions if not s.family}
        judgements = [_judgement(case, of_cells.get(case.key), between) for case in cases]
        slower = {case.family for case in cases if _is_slower(of_cells.get(case.key))}
        # A family whose mean one of its cells has moved says nothing more.
        judgements += [_of_family(s) for s in suspicions if s.family and s.family not in slower]
        return Found(tuple(judgements), _drift(controls), self._pairs)

    def _compile(self, keys: Sequence[Key]) -> None:
        """Compile before anything is measured, both sides at once: with an empty cache it takes the longest."""
        kernels = list(
            dict.fromkeys((k.cell.function, k.cell.pass_, k.cell.dtype) for k in keys if not k.peer)
        )
        # A process that is lost at it is lost again where it is measured, and told of there.
        with suppress(LostSideError), self.start() as pair:
            for i, kernel in enumerate(kernels):
                self._progress(Event("compile", "/".join(kernel), i, len(kernels)))
                pair.compile(*kernel)

    def _screen(self, cases: Sequence[_Case]) -> None:
        wanted = list(cases)
        for number in range(SCREENED):
            for i, (case, sample) in enumerate(self._turn(wanted, SCREEN_ROUNDS, compare=not number)):
                self._progress(
                    Event("screen", str(case.key), number * len(wanted) + i + 1, SCREENED * len(wanted))
                )
                case.same_code = case.same_code or sample.same_code
                case.incorrect, case.fault = sample.incorrect, sample.fault
                if sample.rounds:
                    case.screened.append(sample.rounds)
            wanted = [case for case in wanted if case.screened]

    def _confirm(self, suspicions: Sequence[_Suspicion], controls: Sequence[_Case]) -> None:
        for look, upto in enumerate(LOOKS):
            doubtful = [s for s in suspicions if s.verdict is None]
            if not doubtful:
                return
            members = {id(c): c for s in doubtful for c in s.members} | {id(c): c for c in controls}
            cases = list(members.values())
            first = LOOKS[look - 1] if look else 0
            for pair in range(first, upto):
                for i, (case, sample) in enumerate(self._turn(cases, CONFIRM_ROUNDS, compare=False)):
                    done = (pair - first) * len(cases) + i + 1
                    self._progress(Event("confirm", str(case.key), done, (upto - first) * len(cases)))
                    if sample.rounds:
                        case.confirmed[pair] = float(np.median(sample.rounds))
                    case.fault = case.fault or sample.fault
            _judge(suspicions, look)

    def _turn(self, cases: Sequence[_Case], rounds: int, *, compare: bool) -> Iterator[tuple[_Case, _Sample]]:
        """A fresh pair's samples of every cell; a pair that is lost is replaced, and its cell tried again."""
        pair: Pair | None = None
        try:
            for case in cases:
                sample = _Sample()
                for _ in range(_TRIES):
                    try:
                        pair = pair or self.start()
                        sample = self._sample(pair, case, rounds, compare)
                        break
                    except RefusedError as error:
                        sample = _Sample(fault=str(error))
                        break
                    except (LostSideError, ClockError) as error:
                        sample = _Sample(fault=str(error))
                        if pair is not None:
                            pair.close()
                        pair = None
                yield case, sample
        finally:
            if pair is not None:
                pair.close()

    def _sample(self, pair: Pair, case: _Case, rounds: int, compare: bool) -> _Sample:
        o, key = self._options, case.key
        loaded = pair.load(key.cell, key.peer, o.slice_ns, o.injection, compare=compare)
        if differs(key.cell, loaded.difference):
            return _Sample(
                incorrect=f"head's values differ from base's by {loaded.difference:.2g} of the largest"
            )
        if loaded.same_code and not o.everything:
            return _Sample(same_code=True)
        return _Sample(tuple(pair.rounds(loaded, rounds)), loaded.same_code)


def _seeming(tested: Sequence[_Case]) -> Iterator[_Suspicion]:
    for case in tested:
        seems = decision.suspected(case.screened, case.rule)
        if seems != "same":
            yield _Suspicion((case,), case.rule, seems)


def _families(tested: Sequence[_Case]) -> Iterator[_Suspicion]:
    """The families that seem slower on average."""
    groups: dict[tuple[str | None, str], list[_Case]] = {}
    for case in tested:
        groups.setdefault((case.key.peer, case.family), []).append(case)
    for (_, name), cases in groups.items():
        mean = float(np.mean([decision.middle(case.screened) for case in cases]))
        if len(cases) >= FEWEST and mean > _SEEMS:
            yield _Suspicion(tuple(_spread(cases, MOST)), FAMILY_RULE, "slower", name)


def _spread(cases: Sequence[_Case], most: int) -> list[_Case]:
    """So many of the cases, evenly spread over them."""
    return [cases[i * len(cases) // most] for i in range(most)] if len(cases) > most else list(cases)


def _judge(suspicions: Sequence[_Suspicion], look: int) -> None:
    """Give a verdict to each suspicion that allows one; what is decided stays so."""
    for seems in ("slower", "faster"):
        known = {i: s for i, s in enumerate(suspicions) if s.seems == seems}
        values = {i: s.values for i, s in known.items()}
        rules = {i: s.rule for i, s in known.items()}
        found = decision.judged(values, rules.__getitem__, look, slower=seems == "slower")
        for i, verdict in found.items():
            known[i].verdict = known[i].verdict or verdict


def _judgement(case: _Case, suspicion: _Suspicion | None, between: float) -> Judgement:
    known = Judgement("same", case.key.cell, peer=case.key.peer, threshold=case.rule.threshold)
    if case.incorrect:
        return replace(known, outcome="incorrect", reason=case.incorrect)
    if case.measured:
        rounds = [r for pair in case.screened for r in pair]
        known = replace(
            known,
            screened=tuple(tuple(round(r, 5) for r in pair) for pair in case.screened),
            ratio=decision.estimate(rounds),
            detectable=decision.detectable(case.screened, between, case.rule),
        )
    values = suspicion.values if suspicion else []
    if values:
        known = replace(known, ratio=decision.estimate(values), confirmed=tuple(round(v, 5) for v in values))
    if case.fault:
        return replace(known, outcome="inconclusive", reason=case.fault)
    if not case.measured:
        return replace(known, outcome="unchanged", reason="both sides run the same code")
    if suspicion and suspicion.verdict:
        return replace(known, outcome=suspicion.verdict, reason=_evidence(suspicion))
    return known


def _is_slower(s: _Suspicion | None) -> bool:
    return s is not None and s.verdict == "slower"


def _of_family(s: _Suspicion) -> Judgement:
    return Judgement(
        outcome=s.verdict or "inconclusive",
        family=s.family,
        peer=s.members[0].key.peer,
        reason=_evidence(s),
        ratio=decision.estimate(s.values) if s.values else None,
        threshold=s.rule.threshold,
        confirmed=tuple(round(v, 5) for v in s.values),
    )


def _evidence(s: _Suspicion) -> str:
    values = s.values
    sign = -1 if s.seems == "faster" else 1
    beyond = sum(sign * v > s.rule.tolerated for v in values)
    return f"{beyond} of {len(values)} pairs {s.seems} by {100 * np.expm1(s.rule.tolerated):.2g} %"


def _drift(controls: Sequence[_Case]) -> str:
    """How unchanged code moved, where it surely did."""
    known = [case for case in controls if case.confirmed]
    if not known:
        return ""
    values = _Suspicion(tuple(known), Rule(), "same").values
    for sign, word in ((1, "slower"), (-1, "faster")):
        turned = [sign * v for v in values]
        if decision.sign_test(turned, Rule().tolerated) < decision.ERROR / 2:
            moved = 100 * np.expm1(np.median(turned))
            return f"code that is the same on both sides ran {moved:.1f} % {word} in head's processes"
    return ""
