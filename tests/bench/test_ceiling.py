"""The ceiling kernels move the bytes of the cell beside them, and do what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from actbench.bench.ceiling import STREAMS, Ceiling, _kernel, kind_of, words_of
from actbench.kernels.workload import Workload


def workload(reads: int, writes: int, size: int = 1000) -> Workload:
    arrays = {f"a{i}": np.zeros(size, np.float32) for i in range(reads + writes)}
    return Workload(lambda: None, size, 4 * size * reads, 4 * size * writes, arrays)


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
    places = {a.ctypes.data % 4096 for a in call.args}
    assert len(places) == 3, "every load would wait for a store that only looks like its own"


def test_a_loss_of_class_indices_reads_one_stream() -> None:
    arrays = {"pred": np.zeros((100, 1000)), "target": np.zeros(100, int), "out": np.zeros(100)}
    load = Workload(lambda: None, 10**5, 800_800, 800, arrays)
    assert kind_of(load) == "read"


def test_the_kernels_do_what_their_names_say() -> None:
    a, b = np.arange(1000, dtype=np.uint64), np.full(1000, 3, np.uint64)
    out = np.zeros(1000, np.uint64)
    _kernel("copy")(out, a)
    assert np.array_equal(out, a)
    _kernel("triad")(out, a, b)
    assert np.array_equal(out, a + b)
    assert _kernel("read")(a) == a.sum()
    assert _kernel("read2")(a, b) == (a ^ b).sum()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("copies", [1, 3])
def test_an_arm_takes_turns_over_buffers_that_do_not_overlap(threads: int, copies: int) -> None:
    arm = Ceiling()(workload(1, 1, 10_000), threads, copies)
    calls = [next(arm.calls) for _ in range(copies + 1)]
    assert calls[0] is calls[-1]
    assert (arm.name, arm.warm) == ("copy", copies == 1)
    if threads == 1:
        arrays = [a for call in calls[:copies] for a in call.args]
        assert len(arrays) == 2 * copies
        assert all(a.size == 5000 for a in arrays)
        assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])
    for call in calls:
        call()
    next(arm.empty)()
