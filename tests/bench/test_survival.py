"""What was measured outlives the process and the disk: real runs, ended as they end in the field."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actbench.bench.run import JOURNAL_FILE, RUN_FILE, load_run

COMMAND = (
    *(sys.executable, "-m", "actbench", "bench", "relu", "identity", "--dtype", "float32", "--size"),
    ",".join(str(size) for size in range(100, 130)),
    *("--rounds", "6", "--slice", "1ms", "--quiet", "--output"),
)
CELLS = 2 * 3 * 30
# JAX, where an earlier test has imported it, warns of the fork behind preexec_fn.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")


def started(folder: Path, *more: str, file_limit: int | None = None) -> subprocess.Popen[str]:
    def prepare() -> None:
        # A shell that runs the tests in its background has it ignored, and so would the child.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))

    return subprocess.Popen(
        [*COMMAND, str(folder), *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,
    )


def after_cells(folder: Path, process: subprocess.Popen[str], count: int) -> Path:
    """The run's folder, as soon as so many cells are in its journal."""
    while process.poll() is None:
        for journal in folder.glob(f"*/{JOURNAL_FILE}"):
            if journal.read_bytes().count(b"\n") > count:
                return journal.parent
    raise AssertionError(f"it ended by itself: {process.communicate()[1]}")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_run_that_is_ended_goes_on_where_it_was(tmp_path: Path, how: signal.Signals) -> None:
    process = started(tmp_path)
    folder = after_cells(tmp_path, process, 20)
    os.kill(process.pid, how)
    process.communicate()
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    kept = load_run(folder)
    assert 20 <= len(kept.cells) < CELLS
    assert not kept.complete
    again = started(tmp_path, "--resume")
    assert again.communicate()[1] == ""
    whole = load_run(folder)
    assert (len(whole.cells), whole.complete) == (CELLS, True)
    # The journal keeps the order in which they were measured, the finished run that of the plan.
    assert all(cell in whole.cells for cell in kept.cells)


def test_a_disk_that_is_full_keeps_what_it_has(tmp_path: Path) -> None:
    room = 16_384  # bytes: the header and a dozen cells
    process = started(tmp_path, file_limit=room)
    error = process.communicate()[1]
    (folder,) = tmp_path.iterdir()
    assert process.returncode == 2
    assert error.count("\n") == 1
    assert JOURNAL_FILE in error
    assert "--resume" in error
    assert {path.name for path in folder.iterdir()} == {JOURNAL_FILE}
    assert (folder / JOURNAL_FILE).stat().st_size == room, "a line that was cut short"
    kept = load_run(folder)
    assert kept.cells
    started(tmp_path, "--resume").communicate()
    assert load_run(folder).complete
    assert (folder / RUN_FILE).stat().st_size > room
