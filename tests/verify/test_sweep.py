"""Exhaustive audits go on where they were interrupted, and only there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from actbench.catalog.errors import UsageError
from actbench.verify import sweep
from actbench.verify.findings import FORWARD, Case
from actbench.verify.sweep import run

pytest.importorskip("flint", reason="the oracle is the extra 'audit'")

SILU = Case("silu", FORWARD, "float32")
FILE = "silu-forward-float32.json"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four slices of the least numbers, half of which are ties but for their square, in this process."""
    monkeypatch.setattr(sweep, "SLICE", 1 << 10)
    monkeypatch.setattr(sweep, "_ALL", 4 << 10)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)


class Interrupted:
    """Ctrl-C after so many tasks."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, text: str, done: int, total: int) -> None:
        if done == self.after:
            raise KeyboardInterrupt


@pytest.mark.usefixtures("small")
class TestResume:
    def test_an_interrupted_audit_goes_on_and_ends_as_if_it_had_not_been(self, tmp_path: Path) -> None:
        (whole,) = run([SILU], exhaustive=tmp_path / "whole")
        with pytest.raises(KeyboardInterrupt):
            run([SILU], exhaustive=tmp_path / "parts", progress=Interrupted(3))
        kept = json.loads((tmp_path / "parts" / FILE).read_text())
        assert len(kept["done"]) == 2
        seen: list[tuple[str, int, int]] = []
        (found,) = run(
            [SILU], exhaustive=tmp_path / "parts", resume=True, progress=lambda *event: seen.append(event)
        )
        assert seen == [(str(SILU), 1, 2), (str(SILU), 2, 2)]
        assert found == whole
        assert found.inputs == 4 << 10
        assert found.undecided == 0
        assert 0.45 < found.share < 0.8
        assert found.verdict == "within"

    def test_a_case_that_is_named_twice_is_audited_once(self, tmp_path: Path) -> None:
        (found,) = run([SILU, SILU], exhaustive=tmp_path)
        assert found.inputs == 4 << 10

    def test_what_is_done_is_not_done_again(self, tmp_path: Path) -> None:
        first = run([SILU], exhaustive=tmp_path)
        again = run([SILU], exhaustive=tmp_path, resume=True, progress=Interrupted(1))
        assert again == first

    def test_without_resume_it_begins_anew(self, tmp_path: Path) -> None:
        run([SILU], exhaustive=tmp_path)
        with pytest.raises(KeyboardInterrupt):
            run([SILU], exhaustive=tmp_path, progress=Interrupted(2))
        assert len(json.loads((tmp_path / FILE).read_text())["done"]) == 1

    @pytest.mark.parametrize(
        ("name", "value"),
        [("kernels", ["another", "one"]), ("versions", ["python-flint 0.1"]), ("slice", 1), ("case", "relu")],
    )
    def test_another_kernel_or_toolchain_is_refused(self, name: str, value: Any, tmp_path: Path) -> None:
        run([SILU], exhaustive=tmp_path)
        document = json.loads((tmp_path / FILE).read_text())
        document["identity"][name] = value
        (tmp_path / FILE).write_text(json.dumps(document))
        with pytest.raises(UsageError, match=f"its {name} was"):
            run([SILU], exhaustive=tmp_path, resume=True)

    @pytest.mark.parametrize("text", ["", "{}", '{"identity": 1, "ledger": {}}', "[1]"])
    def test_a_damaged_file_is_one_line(self, text: str, tmp_path: Path) -> None:
        (tmp_path / FILE).write_text(text)
        with pytest.raises(UsageError, match="cannot resume from"):
            run([SILU], exhaustive=tmp_path, resume=True)

    def test_the_file_is_whole_or_not_there(self, tmp_path: Path) -> None:
        run([SILU], exhaustive=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_several_functions_take_a_process_a_core_and_keep_their_order() -> None:
    cases = [Case(name, FORWARD, "bfloat16") for name in ("relu", "identity", "step")]
    notes: list[str] = []
    seen: list[int] = []
    found = run(cases, progress=lambda text, done, total: seen.append(done), tell=notes.append)
    assert [audit.case for audit in found] == cases
    assert {audit.verdict for audit in found} == {"within"}
    assert seen == [1, 2, 3]
    assert notes == []
