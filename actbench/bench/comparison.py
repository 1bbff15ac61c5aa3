"""Who is faster on a cell: like calls compared round by round, a verdict only where the interval allows one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from actbench.bench import statistics
from actbench.bench.run import OURS, Contender, Measurement, Times
from actbench.bench.statistics import Estimate

Verdict = Literal["ahead", "same", "behind"]


@dataclass(frozen=True)
class Comparison:
    """A peer's call beside ours of the same kind: both allocate, or both write to a buffer they are given."""

    peer: Contender
    ours: Contender
    ratio: Estimate
    """The peer's time by ours, of the pairs within the rounds: above 1 ours is faster."""

    @property
    def verdict(self) -> Verdict:
        """From our side; "same" where the interval holds 1."""
        if self.ratio.low <= 1 <= self.ratio.high:
            return "same"
        return "ahead" if self.ratio.value > 1 else "behind"


def comparisons(measurement: Measurement) -> tuple[Comparison, ...]:
    """Every timed call of a peer beside ours; a mismatch, or a kind of call we lack, is not compared."""
    timed = [c for c in measurement.contenders if c.samples_ns and not c.mismatch]
    ours = {c.allocates: c for c in timed if c.provider == OURS}
    return tuple(
        Comparison(c, ours[c.allocates], _ratio(c.samples_ns, ours[c.allocates].samples_ns))
        for c in timed
        if c.provider != OURS and c.allocates in ours
    )


@lru_cache(2**16)  # every table of a run asks for it again, at 40 us each
def _ratio(peer: Times, ours: Times) -> Estimate:
    return statistics.ratio(peer, ours)


def closest(measurement: Measurement, provider: str | None = None) -> Comparison | None:
    """The comparison that is hardest on us: of one peer, or of all; None where nothing was compared."""
    found = [c for c in comparisons(measurement) if provider in (None, c.peer.provider)]
    return min(found, key=lambda c: c.ratio.value, default=None)


def geometric_mean(ratios: Sequence[float]) -> float:
    """The geometric mean; raises ValueError for none."""
    if not ratios:
        raise ValueError("no ratios")
    return math.exp(math.fsum(map(math.log, ratios)) / len(ratios))


def providers(cells: Iterable[Measurement]) -> tuple[str, ...]:
    """The peers that were timed in any of the cells, in the order of their first one."""
    found = (c.provider for m in cells for c in m.contenders if c.samples_ns and c.provider != OURS)
    return tuple(dict.fromkeys(found))
