"""The clock of one cell: how long a slice must last, when it is warm, and the rounds themselves.

Everything reads time through an injected timer, so that it can be tested without any time passing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from math import ceil, inf, log10
from random import Random

from actbench.bench.statistics import MINIMUM_ROUNDS, median
from actbench.kernels.collection import uncollected

Call = Callable[[], object]
Timer = Callable[[], int]  # nanoseconds
_WARM_UPS = 4  # attempts to see two halves agree, before the rounds tell that they do not
_LONG = 5  # slices: a call that long warms itself, its first touches are lost in it
_FIRST_CALLS = 4  # that must all be so long
_EMPTY_CALLS = 1000  # a quarter of a millisecond a round tells their cost to 1 %
_AGREE = 0.05


class Arm:
    """One side of a comparison: the calls that take turns in its slices.

    One call is the warm state: its buffers are touched before every slice. Several take turns, so
    that each finds its buffers evicted. `empty` is a call of the same signature that does nothing,
    whose cost is subtracted; without it nothing is. `settles_s` is how long the arm's own threads
    keep the cores busy after a slice, which is waited for. A `foreign` arm's own fault are even
    the SystemExit and the KeyboardInterrupt that its calls raise.
    """

    def __init__(
        self,
        name: str,
        calls: Sequence[Call],
        empty: Call | None = None,
        settles_s: float = 0.0,
        foreign: bool = False,
    ) -> None:
        self.name = name
        self.settles_s = settles_s
        self.foreign = foreign
        self.calls: Iterator[Call] = cycle(calls)
        self.warm = len(calls) == 1
        self.empty: Iterator[Call] | None = cycle([empty] * len(calls)) if empty else None

    def settle(self) -> None:
        """Wait until the next arm has the cores to itself."""
        if self.settles_s:
            time.sleep(self.settles_s)


class ArmError(Exception):
    """What a call of `arm` raised while it was timed is this error's cause."""

    def __init__(self, arm: Arm) -> None:
        super().__init__(arm.name)
        self.arm = arm


@dataclass(frozen=True)
class Timing:
    """The samples of one arm: nanoseconds of one call, a round each."""

    samples_ns: tuple[float, ...]
    loops: int
    overhead_ns: float
    tick_ns: float  # what the timer's step means for one call


def settling(seconds: float, threads: int) -> float:
    """The wait for threads that keep their cores busy so long after a call: none where there is but one."""
    return seconds if threads > 1 else 0.0


def time_slice(calls: Iterator[Call], loops: int, timer: Timer) -> int:
    """The nanoseconds that `loops` calls take."""
    turns = islice(calls, loops)
    start = timer()
    for call in turns:
        call()
    return timer() - start


def calibrate(calls: Iterator[Call], slice_ns: float, timer: Timer, loops: int = 1) -> int:
    """The number of calls, from `loops` upwards, that a slice of `slice_ns` needs: checked twice.

    The second check is there because the first may have met a page fault or another process.
    """
    while True:
        elapsed = min(time_slice(calls, loops, timer), time_slice(calls, loops, timer))
        if elapsed >= slice_ns:
            return loops
        wanted = ceil(loops * 1.05 * slice_ns / max(elapsed, 1))
        loops = max(loops + 1, min(wanted, 10 * loops))  # tenfold at most: a first slice misleads


def warm_up(calls: Iterator[Call], loops: int, timer: Timer) -> None:
    """Run short slices until the first and the second half of them agree within 5 %."""
    part = max(1, loops // 4)
    for _ in range(_WARM_UPS):
        times = [time_slice(calls, part, timer) for _ in range(4)]
        first, second = sum(times[:2]), sum(times[2:])
        if abs(first - second) <= _AGREE * max(first, second):
            return


def interleave(
    arms: Sequence[Arm],
    *,
    slice_ns: float,
    rounds: int,
    timer: Timer,
    step_ns: float,
    allowance_ns: float = inf,
    seed: int = 0,
    turn: Callable[[Arm], None] = lambda arm: None,
) -> tuple[Timing, ...]:
    """Time `arms` in the same rounds, a slice each a round in random order; a Timing for each.

    `turn` is told of an arm before its calls, outside of what is timed. The median cost of an empty
    call in the same rounds is subtracted. `allowance_ns` cuts the rounds, but never below
    `MINIMUM_ROUNDS`; samples are rounded to what the timer's `step_ns` allows. Raises ArmError where
    a call raises.
    """
    begun = timer()
    with uncollected():
        prepared = []
        for arm in arms:
            turn(arm)
            with _blame(arm):
                prepared.append(_prepare(arm, slice_ns, timer))
                arm.settle()
        loops = [n for n, _ in prepared]
        order, random = list(range(len(arms))), Random(seed)
        times: list[list[int]] = [[] for _ in arms]
        empties: list[list[float]] = [[] for _ in arms]
        done = 0
        while done < rounds:
            random.shuffle(order)
            started = timer()
            for i in order:
                arm, part = arms[i], min(loops[i], _EMPTY_CALLS)
                turn(arm)
                with _blame(arm):
                    if arm.empty:
                        empties[i].append(time_slice(arm.empty, part, timer) / part)
                    if prepared[i][1]:
                        time_slice(arm.calls, 1, timer)
                    times[i].append(time_slice(arm.calls, loops[i], timer))
                    arm.settle()
            done += 1
            ended = timer()
            with_another = 2 * ended - started - begun
            if done >= MINIMUM_ROUNDS and with_another > allowance_ns:
                break
    return tuple(
        _timing(raw, n, median(empty).value if empty else 0.0, step_ns)
        for raw, n, empty in zip(times, loops, empties, strict=True)
    )


def _prepare(arm: Arm, slice_ns: float, timer: Timer) -> tuple[int, bool]:
    """Warm up; the number of calls in a slice, and whether an untimed call goes before each."""
    calls = arm.calls
    # A call that was kept waiting looks long: one that is short is seen to be so by its first that was not.
    for _ in range(_FIRST_CALLS):
        if time_slice(calls, 1, timer) < _LONG * slice_ns:
            break
    else:
        return 1, False
    loops = calibrate(calls, slice_ns, timer)
    warm_up(calls, loops, timer)
    if loops > 1:
        loops = calibrate(calls, slice_ns, timer, loops // 2)
    return loops, arm.warm


def _timing(raw: Sequence[int], loops: int, overhead: float, step_ns: float) -> Timing:
    tick = step_ns / loops
    digits = max(0, ceil(-log10(tick)))
    # No call is shorter than the timer can tell: a smaller difference is the noise of the overhead.
    samples = (max(time / loops - overhead, tick) for time in raw)
    return Timing(
        samples_ns=tuple(max(round(s, digits), 10.0**-digits) for s in samples),
        loops=loops,
        overhead_ns=round(overhead, digits),
        tick_ns=tick,
    )


@contextmanager
def _blame(arm: Arm) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if not arm.foreign and not isinstance(error, Exception):
            raise
        raise ArmError(arm) from error
