"""Chunks on a pool: all of the work once, wherever it is called from."""

from __future__ import annotations

import itertools
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

import actbench
from actbench.kernels import threads as pool


def _each(work):
    return lambda start, stop: partial(work, start, stop)


@pytest.mark.parametrize("size", [0, 1, 7, 1000, 4096, 100_003])
@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("grain", [1, 8, 1024])
@pytest.mark.parametrize("least", [1, 2000])
def test_chunks_cover_the_range_once(size, threads, grain, least):
    seen, lock = [], threading.Lock()

    def work(start, stop):
        with lock:
            seen.append((start, stop))

    pool.run(_each(work), size, threads, grain=grain, least=least)
    seen.sort()
    assert seen[0][0] == 0
    assert seen[-1][1] == size
    assert all(stop == start for (_, stop), (start, _) in itertools.pairwise(seen))
    assert all(start % grain == 0 for start, _ in seen)
    assert len(seen) == max(1, min(threads, size // max(grain, least)))
    lengths = [stop - start for start, stop in seen]
    assert max(lengths) - min(lengths) <= 2 * grain


@pytest.mark.parametrize("bad", [0, 0.5])
def test_an_error_in_any_chunk_is_raised_after_all_have_ended(bad):
    ended = []

    def work(start, stop):
        if start == int(bad * 8192):
            raise ZeroDivisionError
        ended.append(start)

    with pytest.raises(ZeroDivisionError):
        pool.run(_each(work), 8192, 2)
    assert len(ended) == 1


def test_chunks_run_at_the_same_time():
    barrier = threading.Barrier(2, timeout=30)
    pool.run(lambda a, b: barrier.wait, 2 * pool.GRAIN, 2)


def test_callers_from_many_threads_get_their_own_results():
    f = actbench.get("sigmoid")
    x = np.linspace(-9, 9, 2 * pool.ELEMENTS + 5, dtype=np.float32)
    expected = f(x)
    with ThreadPoolExecutor(4) as callers:
        for y in callers.map(lambda i: f(x, threads=2 + i % 3), range(12)):
            assert y.tobytes() == expected.tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_pool_is_made_anew_after_a_fork():
    pool.run(lambda a, b: int, 2 * pool.GRAIN, 2)
    child = os.fork()
    if child == 0:
        barrier = threading.Barrier(2, timeout=20)
        try:
            pool.run(lambda a, b: barrier.wait, 2 * pool.GRAIN, 2)
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_change_is_seen_and_none_is_not():
    number = np.zeros(1, np.int64)
    assert not pool._watch()(number, 0, 10)
    assert pool._watch()(number, 1, 10)
    # Seen by a look that began before it, at least 10 s of them; the GIL is free meanwhile, or none could make it.
    number.fill(0)
    threading.Timer(0.05, number.fill, [7]).start()
    assert pool._watch()(number, 0, 1 << 30)
    assert number[0] == 7


@pytest.mark.parametrize("pause", [0, 0.02])
def test_a_thread_that_sleeps_and_one_that_looks_out_both_help(pause):
    for _ in range(5):
        barrier = threading.Barrier(2, timeout=30)
        pool.run(lambda a, b, barrier=barrier: barrier.wait, 2 * pool.GRAIN, 2)
        time.sleep(pause)


def test_one_core_is_not_kept_from_who_has_work(monkeypatch):
    monkeypatch.setattr(pool, "_cores", lambda: 1)
    monkeypatch.setattr(pool, "_watch", None)  # would be called
    barrier = threading.Barrier(2, timeout=30)
    pool.run(lambda a, b: barrier.wait, 2 * pool.GRAIN, 2)
