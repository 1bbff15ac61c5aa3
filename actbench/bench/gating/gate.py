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
from actbench.bench.gating.decision import CONFIRM_ROUNDS, LOOKS, Rule, Verdict
from actbench.bench.gating.pairing import AbsentError, Injection, NoValuesError, Pair, differs
from actbench.bench.gating.process import Process, RefusedError, SideError, started
from actbench.bench.gating.record import Judgement
from actbench.bench.gating.side import Side
from actbench.bench.plan import Cell

SCREENED, SCREEN_ROUNDS = 2, 12
"""Process pairs that a screening takes, and rounds a pair; as many more pairs where the first disagree."""
CONTROLS = 8
"""Unchanged cells that are measured beside the suspects: what moves them is the machine."""
FEWEST, MOST = 3, 12
"""Cells of a family whose mean is tested for what no cell shows alone, and so many of them tell it."""
FAMILY = 0.5
"""What matters in a family's mean, as a part of the least that matters in its cells; from half on it is suspect."""
_TRIES = 2
"""A process that dies may have met what kills processes; one that dies again has a reason of its own."""
_ENOUGH = 0.75
"""The part of the pairs that were asked for, below which what is left calls nothing the same."""


class DisturbedError(SideError):
    """Something on the machine that stopped what was timed."""


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
    budget_s: float | None = None  # for measuring, when all is compiled
    injection: Injection = field(default_factory=Injection)


@dataclass(frozen=True)
class Found:
    """What a gate's measurement came to."""

    judgements: tuple[Judgement, ...]
    controls: int | None  # cells of unchanged code beside the suspects; None where none was looked for
    drift: str  # how unchanged code moved; "" where it did not
    pairs: int  # of processes that were started


@dataclass(frozen=True)
class _Sample:
    """What one process pair told of a cell."""

    rounds: tuple[float, ...] = ()
    same_code: bool = False
    incorrect: str = ""
    fault: str = ""
    absent: str = ""


@dataclass
class _Case:
    """What is known of a cell so far."""

    key: Key
    rule: Rule
    family: str
    same_code: bool = False
    incorrect: str = ""
    fault: str = ""
    absent: str = ""
    screened: list[tuple[float, ...]] = field(default_factory=list)
    confirmed: dict[int, float] = field(default_factory=dict)  # by process pair
    lost: dict[int, str] = field(default_factory=dict)  # why a pair told nothing

    @property
    def group(self) -> tuple[str | None, str]:
        """Whose family it is of."""
        return self.key.peer, self.family

    @property
    def measured(self) -> bool:
        return len(self.screened) >= SCREENED


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

    @property
    def lost(self) -> str:
        """Why too few pairs told enough to call it anything but slower; "" where they did."""
        lost = {pair: why for case in self.members for pair, why in case.lost.items()}
        held = len(self.values)
        too_few = self.verdict != "slower" and lost and held < _ENOUGH * (held + len(lost))
        return next(iter(lost.values())) if too_few else ""


class Gate:
    """Two sides, and how they are measured.

    ``timer`` tells how long a slice can have lasted. ``watch`` begins to look at the machine; what it gives tells in
    the end what disturbed it, or "".
    """

    def __init__(
        self,
        base: Side,
        head: Side,
        options: Options,
        timer: Timer,
        progress: Callable[[Event], None] = lambda event: None,
        watch: Callable[[], Callable[[], str]] = lambda: lambda: "",
    ) -> None:
        self._sides, self._options, self._timer = (base, head), options, timer
        self._progress, self._watch = progress, watch
        self._random = Random(options.seed)
        self._pairs = 0
        self._maker: Process | None = None
        self._begun = 0

    def start(self) -> Pair:
        """A fresh process pair; raises SideError where a side cannot be imported."""
        self._pairs += 1
        o = self._options
        if self._maker is None:
            self._maker = started(self._sides[1], o.cpus, self._random, o.timeout_s)
        return Pair(*self._sides, self._maker, o.cpus, self._random, o.timeout_s, self._timer)

    def close(self) -> None:
        """End the process that makes data."""
        if self._maker is not None:
            self._maker.close()
            self._maker = None

    def run(self, keys: Sequence[Key], rule: Callable[[Key], Rule], family: Callable[[Key], str]) -> Found:
        """Measure and judge the cells of functions that both sides have."""
        try:
            return self._run([_Case(key, rule(key), family(key)) for key in keys])
        finally:
            self.close()

    def _run(self, cases: Sequence[_Case]) -> Found:
        self._compile([case.key for case in cases])
        self._begun = self._timer()
        self._screen(cases)
        tested = [case for case in cases if case.measured]
        suspicions = [*_seeming(tested), *_families(tested)]
        controls = _spread([case for case in cases if case.same_code and not case.measured], CONTROLS)
        self._confirm(suspicions, controls)
        between = decision.between_pairs([case.screened for case in tested])
        slowest = [s.rule for s in suspicions if s.verdict == "slower"]
        of_cells = {s.members[0].key: s for s in suspicions if not s.family}
        judgements = [_judgement(case, of_cells.get(case.key), between, len(suspicions)) for case in cases]
        slower = {case.group for case, j in zip(cases, judgements, strict=True) if j.outcome == "slower"}
        # A family whose mean one of its cells has moved says nothing more.
        judgements += [_of_family(s) for s in suspicions if s.family and s.members[0].group not in slower]
        asked = len(controls) if suspicions and not self._options.everything else None
        return Found(tuple(judgements), asked, _drift(controls, slowest), self._pairs)

    def _compile(self, keys: Sequence[Key]) -> None:
        """Compile before anything is measured, both sides at once: with an empty cache it takes the longest."""
        kernels = list(
            dict.fromkeys((k.cell.function, k.cell.pass_, k.cell.dtype) for k in keys if not k.peer)
        )
        # A process that is lost at it is lost again where it is measured, and told of there.
        with suppress(SideError), self.start() as pair:
            for i, kernel in enumerate(kernels):
                self._progress(Event("compile", "/".join(kernel), i, len(kernels)))
                pair.compile(*kernel)

    def _screen(self, cases: Sequence[_Case]) -> None:
        self._screened(cases, first=True)
        doubtful = [c for c in cases if c.measured and decision.disagree(c.screened, c.rule)]
        self._screened(doubtful, first=False)

    def _screened(self, wanted: Sequence[_Case], *, first: bool) -> None:
        for number in range(SCREENED):
            kept, compare = [], first and not number
            for i, (case, sample) in enumerate(self._turn(wanted, SCREEN_ROUNDS, compare=compare)):
                done = number * len(wanted) + i + 1
                self._progress(Event("screen", str(case.key), done, SCREENED * len(wanted)))
                case.same_code = case.same_code or sample.same_code
                case.incorrect, case.fault, case.absent = sample.incorrect, sample.fault, sample.absent
                if sample.rounds:
                    case.screened.append(sample.rounds)
                    kept.append(case)
            wanted = kept

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
                    elif sample.fault or sample.incorrect:
                        case.lost[pair] = sample.fault or sample.incorrect
            _judge(suspicions, look)

    def _turn(self, cases: Sequence[_Case], rounds: int, *, compare: bool) -> Iterator[tuple[_Case, _Sample]]:
        """A fresh pair's samples of every cell; a pair that is lost is replaced, and its cell tried again."""
        pair: Pair | None = None
        try:
            for case in cases:
                sample = _Sample()
                for _ in range(_TRIES):
                    if self._late():
                        sample = _Sample(
                            fault=f"the time that --budget gives, {self._options.budget_s:g} s, is over"
                        )
                        break
                    try:
                        pair = pair or self.start()
                        sample = self._sample(pair, case, rounds, compare)
                        break
                    except AbsentError as error:
                        sample = _Sample(absent=str(error))
                        break
                    except NoValuesError as error:
                        sample = _Sample(incorrect=str(error))
                        break
                    except RefusedError as error:
                        sample = _Sample(fault=str(error))
                        break
                    except SideError as error:
                        sample = _Sample(fault=str(error))
                        if not isinstance(error, DisturbedError):
                            if pair is not None:
                                pair.close()
                            pair = None
                            self.close()
                yield case, sample
        finally:
            if pair is not None:
                pair.close()

    def _sample(self, pair: Pair, case: _Case, rounds: int, compare: bool) -> _Sample:
        o, key = self._options, case.key
        loaded = pair.load(key.cell, key.peer, o.slice_ns, o.injection, compare=compare)
        if differs(key.cell, key.peer, loaded.difference):
            return _Sample(incorrect=_difference(loaded.difference))
        if loaded.same_code and not o.everything:
            return _Sample(same_code=True)
        disturbed = self._watch()
        found = tuple(pair.rounds(loaded, rounds))
        why = disturbed()
        if why:
            raise DisturbedError(why)
        return _Sample(found, loaded.same_code)

    def _late(self) -> bool:
        """Whether the time is over."""
        budget = self._options.budget_s
        return budget is not None and self._timer() - self._begun > 1e9 * budget


def _difference(part: float) -> str:
    if np.isfinite(part):
        return f"head's values differ from base's by {part:.2g} of the largest"
    return "head's values are not base's: of another shape, or not numbers where base's are"


def _seeming(tested: Sequence[_Case]) -> Iterator[_Suspicion]:
    for case in tested:
        seems = decision.suspected(case.screened, case.rule)
        if seems != "same":
            yield _Suspicion((case,), case.rule, seems)


def _families(tested: Sequence[_Case]) -> Iterator[_Suspicion]:
    """The families that seem slower on average."""
    groups: dict[tuple[str | None, str], list[_Case]] = {}
    for case in tested:
        groups.setdefault(case.group, []).append(case)
    for (_, name), cases in groups.items():
        mean = float(np.mean([decision.middle(case.screened) for case in cases]))
        rule = Rule(FAMILY * min(case.rule.threshold for case in cases))
        if len(cases) >= FEWEST and mean > log(1 + rule.threshold / 2):
            yield _Suspicion(tuple(_spread(cases, MOST)), rule, "slower", name)


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


def _judgement(case: _Case, suspicion: _Suspicion | None, between: float, suspects: int) -> Judgement:
    known = Judgement("same", case.key.cell, case.family, peer=case.key.peer, threshold=case.rule.threshold)
    if case.incorrect:
        return replace(known, outcome="incorrect", reason=case.incorrect)
    if case.measured:
        rounds = [r for pair in case.screened for r in pair]
        known = replace(
            known,
            screened=tuple(tuple(round(r, 5) for r in pair) for pair in case.screened),
            ratio=decision.estimate(rounds),
            detectable=decision.detectable(case.screened, between, case.rule, max(1, suspects)),
        )
    values = suspicion.values if suspicion else []
    if values:
        known = replace(known, ratio=decision.estimate(values), confirmed=tuple(round(v, 5) for v in values))
    if case.absent:
        return replace(known, outcome="absent", reason=case.absent)
    if case.fault:
        return replace(known, outcome="inconclusive", reason=case.fault)
    if not case.measured:
        return replace(known, outcome="unchanged", reason="both sides run the same code")
    if suspicion and suspicion.lost:
        return replace(known, outcome="inconclusive", reason=suspicion.lost)
    if suspicion and suspicion.verdict:
        return replace(known, outcome=suspicion.verdict, reason=_evidence(suspicion))
    return replace(
        known, reason=f"no suspect: {100 * np.expm1(decision.middle(case.screened)):+.1f} % when screened"
    )


def _of_family(s: _Suspicion) -> Judgement:
    return Judgement(
        outcome="inconclusive" if s.lost else s.verdict or "inconclusive",
        family=s.family,
        peer=s.members[0].key.peer,
        reason=s.lost or _evidence(s),
        ratio=decision.estimate(s.values) if s.values else None,
        threshold=s.rule.threshold,
        confirmed=tuple(round(v, 5) for v in s.values),
    )


def _evidence(s: _Suspicion) -> str:
    values = s.values
    sign = -1 if s.seems == "faster" else 1
    beyond = sum(sign * v > s.rule.tolerated for v in values)
    return f"{beyond} of {len(values)} pairs {s.seems} by over {100 * np.expm1(s.rule.tolerated):.2g} %"


def _drift(controls: Sequence[_Case], slower: Sequence[Rule]) -> str:
    """How unchanged code moved, where it surely did by what makes something slower, or usually would."""
    rule = min(slower, key=lambda rule: rule.tolerated, default=Rule())
    most = max((len(case.confirmed) for case in controls), default=0)
    known = [case for case in controls if case.confirmed and len(case.confirmed) >= _ENOUGH * most]
    if not known:
        return ""
    values = _Suspicion(tuple(known), rule, "same").values
    for sign, word in ((1, "slower"), (-1, "faster")):
        turned = [sign * v for v in values]
        if decision.sign_test(turned, rule.tolerated) < decision.ERROR / 2:
            moved = 100 * np.expm1(np.median(turned))
            return f"code that is the same on both sides ran {moved:.1f} % {word} in head's processes"
    return ""
