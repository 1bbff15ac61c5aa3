"""The clock of one cell, on a timer that only moves when a call is made."""

from __future__ import annotations

import gc
from functools import partial
from itertools import cycle

import pytest
from fakes import Clock

from actbench.bench.clock import Arm, ArmError, calibrate, interleave, time_slice, warm_up
from actbench.bench.statistics import MINIMUM_ROUNDS

SLICE = 1e6  # nanoseconds


def timed(clock: Clock, *arms: Arm, rounds: int = 10, **options: float):
    return interleave(arms, slice_ns=SLICE, rounds=rounds, timer=clock, step_ns=10, **options)


@pytest.mark.parametrize("ns", [1, 30, 999_999, 1_000_000, 5_000_000])
def test_calibrated_slices_last_long_enough_and_not_much_longer(clock: Clock, ns: int) -> None:
    call = cycle([partial(clock.work, ns)])
    loops = calibrate(call, SLICE, clock)
    assert time_slice(call, loops, clock) >= SLICE
    assert (loops - 1) * ns <= 1.1 * SLICE


def test_a_slow_first_call_does_not_mislead_the_calibration(clock: Clock) -> None:
    costs = iter([SLICE])  # a page fault, once
    call = cycle([lambda: clock.work(next(costs, 100))])
    assert calibrate(call, SLICE, clock) >= SLICE / 100


def test_warm_up_goes_on_until_the_halves_agree(clock: Clock) -> None:
    costs, calls = iter([900, 800, 500, 200]), []

    def call() -> None:
        calls.append(1)
        clock.work(next(costs, 100))

    warm_up(cycle([call]), 4, clock)
    assert len(calls) == 8  # the first four disagree, the next four agree


def test_warm_up_gives_up_on_what_never_settles(clock: Clock) -> None:
    costs = cycle([100, 100, 200, 200])
    warm_up(cycle([lambda: clock.work(next(costs))]), 4, clock)


def test_the_empty_call_is_subtracted(clock: Clock) -> None:
    arm = Arm("f", [partial(clock.work, 350)], partial(clock.work, 100))
    (timing,) = timed(clock, arm)
    assert timing.overhead_ns == 100
    assert set(timing.samples_ns) == {250.0}
    assert len(timing.samples_ns) == 10


def test_what_is_shorter_than_the_timer_tells_is_not_below_zero(clock: Clock) -> None:
    (timing,) = timed(clock, Arm("f", [partial(clock.work, 100)], partial(clock.work, 150)))
    assert min(timing.samples_ns) > 0


def test_samples_have_the_digits_that_the_timer_knows(clock: Clock) -> None:
    costs = cycle([333, 334, 336, 341, 352])
    (timing,) = timed(clock, Arm("f", [lambda: clock.work(next(costs))]))
    assert timing.tick_ns == 10 / timing.loops
    assert 0.001 < timing.tick_ns < 0.01
    assert max(len(str(s).partition(".")[2]) for s in timing.samples_ns) == 3


def test_arms_are_interleaved_in_a_random_but_repeatable_order(clock: Clock) -> None:
    def order(seed: int) -> list[str]:
        turns: list[str] = []

        def call(name: str) -> None:
            turns.append(name)
            clock.work(SLICE)

        timed(clock, *(Arm(n, [partial(call, n)]) for n in "ab"), rounds=20, seed=seed)
        return turns[-80:]  # two calls a slice: one warms, one is timed

    rounds = [tuple(order(0)[i : i + 4]) for i in range(0, 80, 4)]
    assert set(rounds) == {("a", "a", "b", "b"), ("b", "b", "a", "a")}
    assert order(0) == order(0) != order(1)


def test_a_call_of_many_slices_is_neither_calibrated_nor_warmed_for_long(clock: Clock) -> None:
    (timing,) = timed(clock, Arm("f", [partial(clock.work, 100 * SLICE)]), rounds=6)
    assert timing.loops == 1
    assert clock.now == (4 + 6) * 100 * SLICE


@pytest.mark.parametrize("stalled", [1, 2, 3])
def test_first_calls_that_were_kept_waiting_do_not_pass_for_long_ones(clock: Clock, stalled: int) -> None:
    waits = iter([100 * SLICE] * stalled)
    (timing,) = timed(clock, Arm("f", [lambda: clock.work(next(waits, 1000))]))
    assert timing.loops >= SLICE / 1000
    assert set(timing.samples_ns) == {1000.0}


def test_cold_calls_take_turns_and_are_not_warmed(clock: Clock) -> None:
    turns: list[int] = []

    def call(i: int) -> None:
        turns.append(i)
        clock.work(SLICE)

    timed(clock, Arm("f", [partial(call, i) for i in range(3)]))
    assert turns == [i % 3 for i in range(len(turns))]


@pytest.mark.parametrize(
    ("allowance", "expected"),
    [(0, MINIMUM_ROUNDS), (30 * 2 * SLICE, 20), (1e12, 40)],
    ids=["floor", "cut", "all"],
)
def test_an_allowance_cuts_rounds_but_not_below_the_floor(
    clock: Clock, allowance: float, expected: int
) -> None:
    arm = Arm("f", [partial(clock.work, SLICE)])
    (timing,) = timed(clock, arm, rounds=40, allowance_ns=allowance)
    rounds = len(timing.samples_ns)
    # Calibration and warm-up take about ten slices of the allowance.
    assert rounds == expected or (expected == 20 and 20 <= rounds <= 30)
    assert clock.now <= max(allowance, 30 * SLICE)


def test_no_garbage_is_collected_while_timing(clock: Clock) -> None:
    states: list[bool] = []

    def call() -> None:
        states.append(gc.isenabled())
        clock.work(SLICE)

    timed(clock, Arm("f", [call]))
    assert not any(states)
    assert gc.isenabled()


def test_collection_is_on_again_after_an_interrupt(clock: Clock) -> None:
    def call() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        timed(clock, Arm("f", [call]))
    assert gc.isenabled()


def test_an_arm_settles_after_its_slices_untimed(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: clock.work(1e9 * seconds))
    arm = Arm("f", [partial(clock.work, 100)], settles_s=0.007)
    (timing,) = timed(clock, arm)
    assert set(timing.samples_ns) == {100.0}
    assert clock.now > 10 * 7e6


@pytest.mark.parametrize("calls", [0, 30_000])
def test_what_an_arm_raises_names_the_arm(clock: Clock, calls: int) -> None:
    left = iter(range(calls))

    def call() -> None:
        next(left)
        clock.work(100)

    good, bad = Arm("good", [partial(clock.work, 100)]), Arm("bad", [call])
    with pytest.raises(ArmError) as raised:
        timed(clock, good, bad)
    assert raised.value.arm is bad
    assert isinstance(raised.value.__cause__, StopIteration)
    assert gc.isenabled()
