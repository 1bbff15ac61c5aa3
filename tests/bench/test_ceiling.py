"""The ceiling kernels move the bytes of the cell beside them, and do what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from actbench.bench import ceiling as module
from actbench.bench.ceiling import STREAMS, Ceiling, Way, _ways, fastest, kind_of, words_of
from actbench.bench.clock import Call
from actbench.kernels import threads as pool
from actbench.kernels.workload import Workload


def workload(reads: int, writes: int, size: int = 1000) -> Workload:
    arrays = {f"a{i}": np.zeros(size, np.float32) for i in range(reads + writes)}
    return Workload(lambda: None, size, 4 * size * reads, 4 * size * writes, arrays)


def _buffers(call: Call) -> list[np.ndarray]:
    """What a call works on."""
    given = (a if isinstance(a, tuple) else (a,) for a in call.args)
    return [a for arrays in given for a in arrays if isinstance(a, np.ndarray)]


@pytest.mark.parametrize(
    ("reads", "writes", "kind"),
    [(1, 1, "copy"), (2, 1, "triad"), (3, 1, "triad"), (1, 0, "read"), (2, 0, "read2")],
)
@pytest.mark.parametrize("size", [1, 7, 1000, 4096])
def test_the_ceiling_moves_the_same_bytes(reads: int, writes: int, kind: str, size: int) -> None:
    load = workload(reads, writes, size)
    assert kind_of(load) == kind
    moved = 8 * words_of(load) * STREAMS[kind]
    # Streams are whole words: half a word each may be missing or too much.
    assert abs(moved - 4 * size * (reads + writes)) <= 4 * STREAMS[kind] or size == 1


def test_no_two_streams_begin_at_the_same_place_in_a_page() -> None:
    call = next(Ceiling()(workload(2, 1, 2**16)).calls)
    places = {a.ctypes.data % 4096 for a in _buffers(call)}
    assert len(places) == 3, "every load would wait for a store that only looks like its own"


def test_a_loss_of_class_indices_reads_one_stream() -> None:
    arrays = {"pred": np.zeros((100, 1000)), "target": np.zeros(100, int), "out": np.zeros(100)}
    load = Workload(lambda: None, 10**5, 800_800, 800, arrays)
    assert kind_of(load) == "read"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 1000, 5000, 40_000])
def test_every_way_does_what_its_kind_says(size: int, threads: int) -> None:
    # Sums of so few integers are exact in any order.
    aligned = np.empty(size + 8)
    out = aligned[-aligned.ctypes.data // 8 % 8 :][:size]
    a, b = np.arange(float(size)), np.full(size, 3.0)
    for kind, expected in (("copy", a), ("triad", a + b)):
        for way in _ways(kind, threads):
            out[:] = -1
            way((out, a, b)[: STREAMS[kind]], threads)()
            assert np.array_equal(out, expected)
    for kind, operands in (("read", (a,)), ("read2", (a, b))):
        (way,) = _ways(kind, threads)
        call = way(operands, threads)
        call()
        assert call.args[0].sum() == sum(x.sum() for x in operands)


@pytest.mark.parametrize("quick", [0, 1, 2])
def test_the_fastest_way_is_the_ceiling(quick: int) -> None:
    now = 0

    def way(nanoseconds: int) -> Way:
        def move() -> None:
            nonlocal now
            now += nanoseconds

        return lambda arrays, threads: move

    ways = [way(10 if i == quick else 11) for i in range(3)]
    sets = [(np.ones(8), np.ones(8))] * 2
    assert fastest(ways, sets, 1, lambda: now) is ways[quick]


def test_a_size_is_raced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    raced = []
    monkeypatch.setattr(module, "fastest", lambda ways, sets, threads: raced.append(threads) or ways[0])
    ceiling = Ceiling()
    for threads in (1, 1, 2):
        ceiling(workload(1, 1), threads)
    assert raced == [1, 2]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("copies", [1, 3])
def test_an_arm_takes_turns_over_buffers_that_do_not_overlap(threads: int, copies: int) -> None:
    arm = Ceiling()(workload(1, 1, 10_000), threads, copies)
    calls = [next(arm.calls) for _ in range(copies + 1)]
    assert calls[0] is calls[-1]
    assert (arm.name, arm.warm) == ("copy", copies == 1)
    arrays = [a for call in calls[:copies] for a in _buffers(call)]
    assert len(arrays) == 2 * copies
    assert all(a.size == 5000 for a in arrays)
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])
    for call in calls:
        call()
    next(arm.empty)()


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_that_look_out_for_more_are_waited_for(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    Ceiling()(workload(1, 1), threads).settle()
    assert waits == [pool.SETTLES_S] * (threads - 1)
