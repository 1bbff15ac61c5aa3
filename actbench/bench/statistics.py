"""Statistics of repeated timings that assume no distribution: medians, order statistics, signs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil

import numpy as np

CONFIDENCE = 0.95
MINIMUM_ROUNDS = 6  # the fewest samples whose extremes cover the median with 95 % (96.9 %)

ADVICE: Mapping[str, str] = {
    "unstable": "the median is known to no better than 5 %: raise --rounds, close other programs",
    "multimodal": "two speeds were seen: fix the CPU governor, pin the process (taskset -c 0)",
    "clock-tied": "too short for this timer: raise --slice or --size",
    "call-bound": "the call costs more than the kernel: raise --size",
}


@dataclass(frozen=True)
class Estimate:
    """A value between the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@lru_cache(maxsize=1024)
def median_ranks(n: int, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """The 0-based ranks of the narrowest symmetric order statistics that cover the median.

    Exact: P(x[k] <= median <= x[n-1-k]) = 1 - 2 P(Binomial(n, 1/2) <= k). Below `MINIMUM_ROUNDS`
    the extremes are all there is, and they cover less.
    """
    if n < 1:
        raise ValueError("no samples")
    # Integers throughout: no float holds 2**1024. term = comb(n, k + 1), beyond = sum of comb(n, i) for i <= k.
    most = int(Fraction(1 - confidence) * 2**n)
    beyond, term, k = 1, n, 0
    while 2 * (k + 1) < n and 2 * (beyond + term) <= most:
        k += 1
        beyond, term = beyond + term, term * (n - k) // (k + 1)
    return k, n - 1 - k


def median(samples: Sequence[float]) -> Estimate:
    """The median of `samples` with its distribution-free 95 % interval."""
    ordered = np.sort(np.asarray(samples, np.float64))
    low, high = median_ranks(len(ordered))
    return Estimate(float(np.median(ordered)), float(ordered[low]), float(ordered[high]))


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Estimate:
    """The median of the round-by-round ratios of two interleaved series of positive times.

    Taken of logarithms, so that ratio(a, b) is exactly the inverse of ratio(b, a).
    """
    logs = median(np.log(np.asarray(numerator, float) / np.asarray(denominator, float)).tolist())
    return Estimate(*(float(np.exp(v)) for v in (logs.value, logs.low, logs.high)))


def spread(samples: Sequence[float]) -> float:
    """The interquartile range of `samples` as a part of their median."""
    q1, q2, q3 = np.percentile(samples, [25, 50, 75])
    return float((q3 - q1) / q2)


def outliers(samples: Sequence[float]) -> int:
    """How many samples lie beyond Tukey's fences of 1.5 interquartile ranges; none is dropped."""
    return int(np.count_nonzero(~_inside(np.asarray(samples, np.float64), 1.5)))


def multimodal(samples: Sequence[float]) -> bool:
    """Whether `samples` fall into two groups, each of a quarter or more, 5 % or more apart.

    The best split must explain 90 % of the variance (normal samples: 64 %, uniform ones: 75 %)
    and leave a gap of a quarter of the distance between the groups; it takes 12 samples to tell.
    """
    # 4000 simulated series: .7 % false alarms at 12 normal or log-normal samples and none at 30;
    # of two levels 10 % apart with 1 % noise, 96 % are found at 12 samples and 99.6 % at 30.
    values = np.sort(np.asarray(samples, np.float64))
    values = values[_inside(values, 3)]
    n = len(values)
    if n < 12:
        return False
    least = ceil(n / 4)
    splits = np.arange(least, n - least + 1)
    total = np.cumsum(values)
    left, right = total[splits - 1] / splits, (total[-1] - total[splits - 1]) / (n - splits)
    between = splits * (n - splits) / n * (right - left) ** 2
    best = int(np.argmax(between))
    k, distance = int(splits[best]), right[best] - left[best]
    within_all = float(np.sum((values - values.mean()) ** 2))
    return bool(
        distance >= 0.05 * np.median(values)
        and between[best] >= 0.9 * within_all
        and values[k] - values[k - 1] >= 0.25 * distance
    )


def flags(
    samples: Sequence[float], tick: float, overhead: float, among: Collection[str] = tuple(ADVICE)
) -> tuple[str, ...]:
    """What a reader must know about `samples`, as keys of `ADVICE`, of which those `among` some are looked for.

    `tick` (the timer's step) and `overhead` (an empty call) are per call, in the samples' unit.
    """
    middle = median(samples)
    tied = len(samples) - len(set(samples)) > len(samples) / 2 or middle.value < 100 * tick
    found = {
        "unstable": middle.high - middle.low > 2 * 0.05 * middle.value,
        "multimodal": multimodal(samples),
        "clock-tied": tied,
        "call-bound": overhead > 2 * middle.value,
    }
    return tuple(name for name, present in found.items() if present and name in among)


def _inside(values: np.ndarray, fence: float) -> np.ndarray:
    q1, q3 = np.percentile(values, [25, 75])
    reach = fence * (q3 - q1)
    inside: np.ndarray = (values >= q1 - reach) & (values <= q3 + reach)
    return inside
