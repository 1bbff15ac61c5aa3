"""What the samples of two versions allow to say: exact tests of process pairs, corrected for how many there are.

A number here is a logarithm of a ratio, head's time by base's: 0 is the same, above it head is slower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from math import comb, exp, log, sqrt
from statistics import NormalDist
from typing import Literal, TypeVar

import numpy as np

from actbench.bench.config import THRESHOLD
from actbench.bench.statistics import Estimate, median

K = TypeVar("K")
Verdict = Literal["slower", "faster", "same", "inconclusive"]
LOOKS = (16, 32)
"""Process pairs after which suspects are judged; each look has an equal part of the error that is allowed."""
CONFIRM_ROUNDS = 8
"""Rounds of a pair that confirms."""
ERROR = 0.05
"""The chance, at most, that a gate in which nothing is slower calls anything slower."""
SUSPICION = 0.02
"""A screened cell is confirmed on fresh processes where it seems slower, or faster, by more."""
TOLERATED = 0.01
"""The test's null hypothesis: processes of the very same code differ by as much, and nobody minds."""
_POWER = 0.8
_LEAST = 1e-9
"""In the place of a deviation of nothing."""


@dataclass(frozen=True)
class Rule:
    """What counts as slower in a cell."""

    threshold: float = THRESHOLD

    @property
    def tolerated(self) -> float:
        """Below it a ratio is no evidence: a third of the threshold where that is less than usual."""
        return log(1 + min(TOLERATED, self.threshold / 3))

    @property
    def suspicious(self) -> float:
        """Beyond it a screened cell is confirmed: earlier where less than usual matters."""
        return log(1 + SUSPICION * min(1.0, self.threshold / THRESHOLD))

    @property
    def matters(self) -> float:
        """From it on a slowdown is one."""
        return log(1 + self.threshold)


def suspected(pairs: Sequence[Sequence[float]], rule: Rule) -> Verdict:
    """What a screened cell seems to be, from the rounds of its pairs: the median of each pair counts."""
    found = middle(pairs)
    return "slower" if found > rule.suspicious else "faster" if found < -rule.suspicious else "same"


def disagree(pairs: Sequence[Sequence[float]], rule: Rule) -> bool:
    """Whether a screened cell's pairs lie further apart than what makes it a suspect.

    Processes of the very same code can differ by more than a slowdown, and two pairs then hide it: over 40 000 gates
    replayed, with one cell 5 or 10 % slower, that was missed in 2.2 and 0.17 % of them.
    """
    medians = [np.median(rounds) for rounds in pairs]
    return bool(max(medians) - min(medians) > rule.suspicious)


def middle(pairs: Sequence[Sequence[float]]) -> float:
    """The median over pairs of each pair's median."""
    return float(np.median([np.median(rounds) for rounds in pairs]))


def sign_test(values: Sequence[float], bound: float) -> float:
    """The chance that so many values, or more, lie above `bound` where their median does not: exact, one-sided.

    A tie with the bound is no evidence, and counts for it.
    """
    n, above = len(values), sum(v > bound for v in values)
    return _tail(n, above, 0.5)


def holm(chances: Mapping[K, float], level: float) -> Set[K]:
    """The hypotheses that Holm's step-down rejects, at most a false one with the chance `level`."""
    rejected: set[K] = set()
    for rank, key in enumerate(sorted(chances, key=chances.__getitem__)):
        if chances[key] > level / (len(chances) - rank):
            break
        rejected.add(key)
    return rejected


def judged(
    pairs: Mapping[K, Sequence[float]], rules: Callable[[K], Rule], look: int, *, slower: bool = True
) -> Mapping[K, Verdict | None]:
    """The verdict on every suspect at a look; None where more pairs may yet tell.

    `pairs` are the medians of fresh process pairs of every suspect that there was, also of those decided before,
    whose fewer pairs then stand. Not slower, at any look, is a cell whose median is tolerated; at the last one every
    cell is decided: one that seems slower by its threshold, but not surely, is inconclusive.
    """
    sign = 1 if slower else -1
    values = {key: [sign * v for v in found] for key, found in pairs.items()}
    chances = {key: sign_test(found, rules(key).tolerated) for key, found in values.items()}
    sure = holm(chances, ERROR / len(LOOKS))
    last = look == len(LOOKS) - 1
    verdicts: dict[K, Verdict | None] = {}
    for key, found in values.items():
        if not found:
            verdicts[key] = "inconclusive"
            continue
        point, rule = float(np.median(found)), rules(key)
        if key in sure and point >= rule.matters:
            verdicts[key] = "slower" if slower else "faster"
        elif point <= rule.tolerated or (last and (point < rule.matters or not slower)):
            verdicts[key] = "same"
        else:
            verdicts[key] = "inconclusive" if last else None
    return verdicts


def estimate(values: Sequence[float]) -> Estimate:
    """The ratio that logarithms of ratios stand for, between the ends of its interval."""
    found = median(values)
    return Estimate(exp(found.value), exp(found.low), exp(found.high))


def detectable(pairs: Sequence[Sequence[float]], between: float, rule: Rule, suspects: int) -> float:
    """The slowdown, as a part, that a screened cell is found at in four cases of five, as one of so many suspects.

    Of normal noise: `between` is the deviation of pairs, of all cells, where the cell's own pairs do not lie further
    apart; that of rounds is its own. A slowdown is found where the screening suspects it, the median of all pairs
    that confirm reaches what matters, and so many of them lie above what is tolerated that the test is sure.
    """
    own = float(np.std([np.median(rounds) for rounds in pairs], ddof=1))
    screening = max(sqrt(_within(pairs, len(pairs[0])) ** 2 + between**2), own) / sqrt(len(pairs))
    of_pairs = max(sqrt(_within(pairs, CONFIRM_ROUNDS) ** 2 + between**2), own, _LEAST)
    n, level = LOOKS[-1], ERROR / len(LOOKS) / suspects
    enough = next((k for k in range(n + 1) if _tail(n, k, 0.5) <= level), n)
    normal, low, high = NormalDist(), 0.0, rule.matters + 10 * (screening + of_pairs)
    for _ in range(40):
        slower = (low + high) / 2
        seen = normal.cdf((slower - rule.suspicious) / max(screening, _LEAST))
        reached = normal.cdf((slower - rule.matters) / (of_pairs * sqrt(np.pi / 2 / n)))
        sure = _tail(n, enough, normal.cdf((slower - rule.tolerated) / of_pairs))
        # The median and the count are of the same pairs, and come together.
        low, high = (slower, high) if seen * min(reached, sure) < _POWER else (low, slower)
    return exp(high) - 1


def _tail(n: int, least: int, chance: float) -> float:
    """The probability of so many successes of n, or more."""
    return float(sum(comb(n, k) * chance**k * (1 - chance) ** (n - k) for k in range(least, n + 1)))


def between_pairs(cells: Sequence[Sequence[Sequence[float]]]) -> float:
    """The deviation of pairs' medians that their rounds do not explain: what processes of a cell differ by."""
    if not cells:
        return 0.0
    apart = [float(np.median(first)) - float(np.median(second)) for first, second, *_ in cells]
    both = float(np.median(np.abs(apart))) / (NormalDist().inv_cdf(0.75) * sqrt(2))
    within = float(np.median([_within(pairs, len(pairs[0])) for pairs in cells]))
    return sqrt(max(0.0, both**2 - within**2))


def _within(pairs: Sequence[Sequence[float]], rounds: int) -> float:
    """The deviation of the median of so many rounds: of n normal values it is sqrt(pi / 2 n) of theirs."""
    deviation = float(np.median([_deviation(found) for found in pairs]))
    return deviation * sqrt(np.pi / 2 / rounds)


def _deviation(rounds: Sequence[float]) -> float:
    """The standard deviation that a normal distribution of this interquartile range has."""
    q1, q3 = np.percentile(rounds, [25, 75])
    return float((q3 - q1) / (2 * NormalDist().inv_cdf(0.75)))
