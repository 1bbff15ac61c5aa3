"""Peers in processes of their own: whatever one of them does, the others' cells are measured."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path

import plugin_peers
import pytest

from actbench import peers
from actbench.bench.config import Config
from actbench.bench.plan import Cell
from actbench.bench.run import Measurement
from actbench.bench.session import Session
from actbench.bench.worker import Isolated, LostError, Setup, _ending, measuring
from actbench.catalog.errors import UsageError

CONFIG = Config.model_validate({"rounds": 6, "slice": 1e-5, "timeout": 60})


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution that registers the peers of ``plugin_peers``."""
    kinds = {kind.name: kind for kind in vars(plugin_peers).values() if hasattr(kind, "vice")}
    points = "\n".join(f"{name} = plugin_peers:{kind.__name__}" for name, kind in kinds.items())
    installed = tmp_path / "plugin_peers-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-peers\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(f"[{peers.ENTRY_POINTS}]\n{points}\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path), str(Path(__file__).parent)])
    peers.peers.cache_clear()
    yield
    peers.peers.cache_clear()


class Told(list[str]):
    """The notes of a bench."""


def bench(*names: str, memory: int | None = None, **changes: object) -> tuple[Isolated, Told]:
    told = Told()
    config = CONFIG.model_copy(update=changes)
    return Isolated(Setup(config, names), told.append, memory), told


def cell(size: int = 1000, threads: int = 1) -> Cell:
    return Cell("relu", "forward", "float32", size, threads)


def standing(measurement: Measurement) -> dict[str, str]:
    """What became of each peer: "timed" or the note."""
    return {
        c.provider: "timed" if c.samples_ns else c.note
        for c in measurement.contenders
        if c.provider != "actbench"
    }


def test_what_is_measured_comes_back(plugins: None) -> None:
    isolated, told = bench("good")
    with isolated:
        described = isolated.descriptions()
        found = isolated.measure(cell(), inf)
    assert described["good"].version == "1"
    assert standing(found) == {"good": "timed"}
    assert found.cell == cell()
    assert told == []


@pytest.mark.parametrize(
    ("vicious", "reason"),
    [
        ("crashing", "was ended by SIGSEGV"),
        ("leaving", "ended the process with code 3"),
        ("hanging", "gave no answer in 3 s"),
        ("greedy", "GiB of memory"),
    ],
)
def test_a_peer_takes_only_its_own_cell_with_it(vicious: str, reason: str) -> None:
    # Long for a good peer's turn on a busy machine, and no longer to wait for than must be.
    isolated, told = bench(vicious, "good", memory=2**30, timeout=3.0 if vicious == "hanging" else 60.0)
    with isolated:
        isolated.descriptions()
        hit, next_one = isolated.measure(cell(), inf), isolated.measure(cell(2000), inf)
    assert standing(hit)["good"] == "timed"
    assert reason in standing(hit)[vicious]
    assert standing(next_one) == {"good": "timed", vicious: "timed"}
    (note,) = told
    assert note.startswith(f"{vicious} ")
    assert note.endswith(f"at {cell().key}: left out of this cell")


def test_a_peer_that_fails_again_and_again_is_left_out() -> None:
    isolated, told = bench("leaving", "good")
    with isolated:
        isolated.descriptions()
        notes = [standing(isolated.measure(cell(), inf))["leaving"] for _ in range(4)]
    assert len(told) == 3
    assert told[-1].endswith("and of all others after 3 times")
    assert notes == ["ended the process with code 3"] * 3 + [
        "left out: it ended the process with code 3, 3 times"
    ]


def test_a_peer_that_cannot_be_loaded_there_takes_no_part() -> None:
    isolated, _ = bench("gone", "good")
    with isolated:
        described = isolated.descriptions()
        assert standing(isolated.measure(cell(), inf)) == {"good": "timed"}
    assert described["gone"].fault == "it cannot be loaded in the process that measures"


def test_a_peer_that_leaves_by_an_exception_is_out_of_its_cell_alone() -> None:
    isolated, told = bench("quitting", "good")
    with isolated:
        isolated.descriptions()
        hit, next_one = isolated.measure(cell(), inf), isolated.measure(cell(2000), inf)
    assert standing(hit) == {"quitting": "SystemExit: 1", "good": "timed"}
    assert standing(next_one) == {"quitting": "timed", "good": "timed"}
    assert told == []


def test_a_peer_that_does_not_survive_its_description_takes_no_part() -> None:
    isolated, _ = bench("mute", "good")
    with isolated:
        described = isolated.descriptions()
        found = isolated.measure(cell(), inf)
    assert described["mute"].fault == "was ended by SIGABRT"
    assert described["good"].fault == ""
    assert standing(found) == {"good": "timed"}
    assert "--against good " in found.command


def test_a_process_that_ends_without_a_peers_fault_gets_a_second_chance() -> None:
    isolated, told = bench("good")
    with isolated:
        isolated.descriptions()
        isolated._process.kill()
        assert standing(isolated.measure(cell(), inf)) == {"good": "timed"}
    assert told == []


def test_what_ends_in_our_own_code_is_no_peers_fault(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text("import os\nos._exit(7)\n")
    isolated = Isolated(Setup(CONFIG, ("good",), declared_in=(str(tmp_path / "my.py"),)), print)
    with isolated:
        for ask in (isolated.descriptions, lambda: isolated.measure(cell(), inf)):
            with pytest.raises(LostError, match="the process that measures ended the process with code 7"):
                ask()


def test_another_number_of_threads_has_another_process() -> None:
    isolated, _ = bench("good")
    with isolated:
        seen = []
        for threads in (1, 1, 2):
            isolated.measure(cell(threads=threads), inf)
            seen.append(isolated._process.pid)
    assert seen[0] == seen[1] != seen[2]


def test_what_a_session_raises_is_raised_here() -> None:
    isolated, _ = bench("good")
    with isolated, pytest.raises(UsageError, match="has no pass"):
        isolated.measure(replace(cell(), pass_="sideways"), inf)


def test_without_peers_nothing_is_isolated() -> None:
    with measuring(Setup(CONFIG), print) as session:
        assert isinstance(session, Session)
    with measuring(Setup(CONFIG, ("good",)), print) as isolated:
        assert isinstance(isolated, Isolated)


def test_the_process_begins_with_what_decides_on_its_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "THP_MEM_ALLOC_ENABLE": "1"}
    monkeypatch.setattr("actbench.bench.worker.asking", lambda: pages)
    before = dict(os.environ)
    isolated, _ = bench("telling")
    with isolated:
        assert isolated.descriptions()["telling"].build == pages["GLIBC_TUNABLES"]
        assert isolated.environment == pages
    assert dict(os.environ) == before


def test_what_a_peer_forked_ends_with_its_process() -> None:
    isolated, _ = bench("telling")
    with isolated:
        left = Path("/proc") / isolated.descriptions()["telling"].version / "stat"
        assert left.is_file()
    ended = time.monotonic() + 60
    while time.monotonic() < ended and left.is_file() and ") Z" not in left.read_text():
        time.sleep(0.01)
    assert not left.is_file() or ") Z" in left.read_text()  # nobody may be there to wait for an orphan


def test_no_process_is_left() -> None:
    isolated, _ = bench("good")
    with isolated:
        isolated.descriptions()
        process = isolated._process
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (-11, "was ended by SIGSEGV"),
        (1, "ended the process with code 1"),
        (-99, "ended the process with code -99"),
    ],
)
def test_how_a_process_ended(code: int, told: str) -> None:
    assert _ending(code) == told
