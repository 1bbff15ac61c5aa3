"""A loop that several threads share: every part once, by whoever is free, whoever calls."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import actbench
from actbench.catalog.errors import UsageError
from actbench.kernels import lanes, rowwise, team
from actbench.kernels import threads as pool
from actbench.kernels.operands import STREAMED

SIZES = (pool.SHARED, pool.SHARED + 1, 3 * pool.SHARED + 517, 1 << 20)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


@pytest.mark.parametrize("threads", [2, 3, 7, 255, 300])
@pytest.mark.parametrize("size", SIZES)
def test_every_part_is_made(size: int, threads: int) -> None:
    f = actbench.get("silu")
    x = np.random.default_rng(size).normal(size=size).astype(np.float32)
    for _ in range(3):
        out = np.full_like(x, np.nan)
        f(x, out=out, threads=threads)
        assert same(out, f(x))


def test_what_is_streamed_is_there_when_the_call_returns() -> None:
    f = actbench.get("relu")
    x = np.random.default_rng(0).normal(size=STREAMED // 4 + 12345).astype(np.float32)
    for _ in range(3):
        out = np.full_like(x, np.nan)
        f(x, out=out, threads=2)
        assert same(out, f(x))


@pytest.mark.parametrize("pause", [0, 0.02])
def test_a_thread_that_has_slept_takes_its_share_again(pause: float) -> None:
    f = actbench.get("sigmoid")
    x = np.linspace(-9, 9, 1 << 22)
    f(x, threads=2)

    def helped() -> bool:
        """Whether another thread has drawn a part, by the mailbox."""
        time.sleep(pause)
        f(x, threads=2)
        assert pool._team is not None
        return bool(int(pool._team.words[team._STATE // 8]) >> team._BACK & (1 << team._PART_BITS) - 1)

    # Not in every call: its core may have other work just then.
    assert any(helped() for _ in range(1000))


def test_callers_at_the_same_time_get_their_own_results() -> None:
    f, g = actbench.get("sigmoid"), actbench.get("softmax")
    x = np.random.default_rng(1).normal(size=(1 << 17)).astype(np.float32)
    expected, rows = f(x), g(x.reshape(-1, 64))

    def call(i: int) -> bool:
        if i % 3:
            return same(f(x, threads=2 + i % 2), expected)
        return same(g(x.reshape(-1, 64), threads=2), rows)

    with ThreadPoolExecutor(4) as callers:
        assert all(callers.map(call, range(60)))


def test_the_gil_is_free_while_parts_are_made() -> None:
    f = actbench.get("mish")
    x = np.linspace(-9, 9, 1 << 22)
    f(x, threads=2)
    assert pool._team is not None
    left = pool._team.words[team._LEFT // 8 :]
    seen = threading.Event()

    def call() -> None:
        for _ in range(1000):
            if seen.is_set():
                break
            f(x, threads=2)

    caller = threading.Thread(target=call)
    caller.start()
    # No Python code can find a part that has not ended while a call holds the GIL.
    while caller.is_alive() and not seen.is_set():
        if left[0]:
            seen.set()
        time.sleep(0)
    caller.join()
    assert seen.is_set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_has_a_team_of_its_own() -> None:
    f = actbench.get("tanh")
    x = np.linspace(-4, 4, 1 << 18)
    expected = f(x)
    assert same(f(x, threads=2), expected)
    assert same(f(x, threads=2), expected)
    pool._lock.acquire()  # as if another thread were making a team: none would release it in the child
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        right = all(same(f(x, threads=2), expected) for _ in range(3))
        os._exit(0 if right else 1)
    pool._lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert same(f(x, threads=2), expected)


@pytest.mark.parametrize("name", ["mse", "bce_with_logits"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sum_in_parts_is_the_same(name: str, dtype: type) -> None:
    f, rng = actbench.get(name), np.random.default_rng(2)
    pred, target = rng.uniform(0.1, 0.9, (2, 700_001)).astype(dtype)
    assert {f(pred, target, threads=n) for n in (1, 2, 3, 5)} == {f(pred, target)}


def test_parts_of_short_rows_are_whole_blocks() -> None:
    assert rowwise.BLOCK_ROWS == lanes.COUNT


@pytest.mark.parametrize("width", [3, 32, 33, 1000])
def test_rows_in_parts_are_the_same(width: int) -> None:
    f, rng = actbench.get("log_softmax"), np.random.default_rng(3)
    x, g = rng.normal(size=(2, 100_000 // width, width))
    assert same(f(x, threads=2), f(x))
    assert same(f(x, threads=2), f(x))
    assert same(f.backward(g, x, threads=3), f.backward(g, x))


@pytest.mark.parametrize("width", [3, 32, 33, 1000])
@pytest.mark.parametrize("soft", [False, True])
def test_classes_in_parts_are_the_same(width: int, soft: bool) -> None:
    f, rng = actbench.get("cross_entropy"), np.random.default_rng(4)
    pred = rng.normal(size=(100_000 // width, width)).astype(np.float32)
    target = (
        rng.dirichlet(np.ones(width), len(pred)).astype(np.float32)
        if soft
        else rng.integers(0, width, len(pred))
    )
    weight = rng.uniform(0.5, 2, width).astype(np.float32)
    for given in ({}, {"weight": weight}, {"weight": weight}):
        for reduction in ("none", "mean"):
            alone, parts = (f(pred, target, reduction, threads=n, **given) for n in (1, 3))
            assert same(alone, parts)
        alone, parts = (f.backward(pred, target, threads=n, **given) for n in (1, 3))
        assert same(alone, parts)


def test_a_row_without_a_class_counts_for_nothing_in_parts() -> None:
    f, rng = actbench.get("cross_entropy"), np.random.default_rng(5)
    pred, target = rng.normal(size=(5000, 10)), rng.integers(0, 10, 5000)
    assert f(pred, target, threads=2) == f(pred, target)  # the next call is made at once
    target[4321] = -100
    kept = np.delete(pred, 4321, 0), np.delete(target, 4321)
    assert f(pred, target, "none", threads=2)[4321] == 0
    assert f(pred, target, threads=2) == pytest.approx(f(*kept), rel=1e-15)
    target[4321] = 10
    with pytest.raises(ValueError, match="outside"):
        f(pred, target, threads=2)


def test_sequences_in_parts_are_the_same() -> None:
    f, rng = actbench.get("ctc_with_logits"), np.random.default_rng(6)
    scores, labels = rng.normal(size=(60, 17, 40)), rng.integers(1, 40, (17, 9))
    given = {"input_lengths": rng.integers(30, 61, 17), "target_lengths": rng.integers(0, 10, 17)}
    for call in (f, f.backward):
        assert same(call(scores, labels, threads=3, **given), call(scores, labels, **given))


@pytest.mark.parametrize("pass_", ["forward", "backward"])
def test_an_array_among_the_parameters_is_shared_out_too(pass_: str) -> None:
    f, rng = actbench.get("prelu"), np.random.default_rng(7)
    x = rng.normal(size=(40, 3, 1000))
    operands = (x,) if pass_ == "forward" else (rng.normal(size=x.shape), x)
    alone, parts = (getattr(f, pass_)(*operands, weight=np.array([0.1, 0.2, 0.3]), threads=n) for n in (1, 3))
    assert same(alone, parts)


@pytest.mark.parametrize("threads", [0, -1, 2.5, "two", 1025])
@pytest.mark.parametrize("size", [8, 2 * pool.SHARED])
def test_threads_that_cannot_be(threads: object, size: int) -> None:
    x = np.zeros(size)
    for call in (
        lambda: actbench.get("relu")(x, threads=threads),
        lambda: actbench.get("mse")(x, x, threads=threads),
    ):
        with pytest.raises(UsageError, match="give an integer from 1 to 1024"):
            call()
