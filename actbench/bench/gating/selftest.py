"""What a gate is worth on this machine: how often it cries wolf, and what it does not miss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import comb
from random import Random
from statistics import median
from typing import Literal

from pydantic import ConfigDict

from actbench.bench.config import Config
from actbench.bench.gating import job
from actbench.bench.gating.decision import CONFIRM_ROUNDS
from actbench.bench.gating.gate import Event
from actbench.bench.gating.pairing import Injection
from actbench.bench.gating.record import Outcome, Report
from actbench.bench.gating.side import Side
from actbench.bench.plan import Cell
from actbench.bench.statistics import CONFIDENCE, Estimate

PARTS = (0.0, 0.03, 0.05, 0.10)
"""The slowdowns that are injected: none, and those that a gate is asked for."""


@dataclass(frozen=True)
class Trial:
    """A gate of a version against itself, with so much extra work in some of head's cells."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    injected: float
    verdict: Literal["red", "inconclusive", "green"]
    slowed: Mapping[str, Outcome]  # the cells with extra work, and what the gate said of them
    false: tuple[str, ...]  # what was called slower or incorrect without it; a family has what its cells have
    cells: int
    seconds: float
    disturbed: tuple[str, ...] = ()
    detectable: Mapping[str, float] = field(
        default_factory=dict
    )  # of every cell that was measured, as a part
    pairs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Of the screened pairs of every cell without extra work, the medians of as many rounds as confirm: logarithms."""

    @property
    def caught(self) -> bool:
        """Whether the gate went red, for the right cells and no other."""
        return self.verdict == "red" and set(self.slowed.values()) == {"slower"} and not self.false_alarm

    @property
    def false_alarm(self) -> bool:
        """Whether the gate went red for what had no extra work."""
        return self.verdict == "red" and bool(self.false)


@dataclass(frozen=True)
class Rate:
    """So many of so many, with the exact interval of Clopper and Pearson at 95 %."""

    found: int
    of: int

    @property
    def estimate(self) -> Estimate:
        """The part, between the ends of its interval."""
        if not self.of:
            raise ValueError("a part of nothing")
        tail = (1 - CONFIDENCE) / 2
        low = _quantile(self.found, self.of, tail) if self.found else 0.0
        high = _quantile(self.found + 1, self.of, 1 - tail) if self.found < self.of else 1.0
        return Estimate(self.found / self.of, low, high)


def _quantile(found: int, of: int, chance: float) -> float:
    """The probability of a success with which `found` or more of so many trials succeed with this chance."""
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        more = sum(comb(of, k) * p**k * (1 - p) ** (of - k) for k in range(found, of + 1))
        low, high = (p, high) if more < chance else (low, p)
    return low


def trials(
    side: Side,
    config: Config,
    names: Sequence[str],
    parts: Sequence[float],
    *,
    slowed: int = 1,
    command: str = "",
    progress: Callable[[Event], None] = lambda event: None,
    run: Callable[..., Report] = job.run,
) -> Iterator[Trial]:
    """A gate of a side against itself for each of the parts, which slows so many cells of it, drawn at random."""
    base, head = replace(side, name="base"), replace(side, name="head")
    random = Random(config.seed)
    for number, part in enumerate(parts):
        seeded = config.model_copy(update={"seed": config.seed + number})

        def drawn(cells: Sequence[Cell], part: float = part) -> Injection:
            chosen = random.sample(cells, min(slowed, len(cells))) if part else []
            return Injection(part, frozenset(cell.key for cell in chosen))

        report = run(
            base, head, seeded, names, command=command, everything=True, inject=drawn, progress=progress
        )
        yield _trial(part, report)


def _trial(part: float, report: Report) -> Trial:
    slowed = set(report.injected)
    outcomes = {j.key: j.outcome for j in report.judgements}
    known = slowed | {f"@{j.family}" for j in report.judgements if j.key in slowed}
    return Trial(
        injected=part,
        verdict=report.verdict,
        slowed={key: outcomes[key] for key in sorted(slowed)},
        false=tuple(j.key for j in report.judgements if report.failed(j) and j.key not in known),
        cells=sum(j.cell is not None for j in report.judgements),
        seconds=report.seconds,
        disturbed=report.disturbed,
        detectable={j.key: round(j.detectable, 4) for j in report.judgements if j.detectable is not None},
        pairs={
            j.key: tuple(round(median(rounds[:CONFIRM_ROUNDS]), 5) for rounds in j.screened)
            for j in report.judgements
            if j.screened and j.key not in slowed
        },
    )
