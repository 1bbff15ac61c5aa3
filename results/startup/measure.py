"""Time whole commands, from the shell's point of view: ``python results/startup/measure.py``.

Writes startup.json and startup.md beside itself. "warm" is the median of REPEATS runs with filled caches; "cold" is
one run with empty kernel and font caches, as on a machine that has just installed the package.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from actbench.bench.machine import this_machine
from actbench.present.output import write_text
from actbench.present.table import Column, Table, markdown

HERE = Path(__file__).parent
REPEATS = 7
COMMANDS = {
    # command: targets in seconds, cold and warm
    "actbench --help": (None, 0.2),
    "actbench list": (None, 0.2),
    "actbench plot relu --deriv": (2.0, 1.2),
    "actbench check relu": (None, None),
    "actbench bench --all --preset quick": (150.0, 60.0),
}


def _seconds(command: str, folder: Path, caches: Path) -> float:
    environment = os.environ | {
        "ACTBENCH_CACHE_DIR": str(caches / "kernels"),
        "MPLCONFIGDIR": str(caches / "matplotlib"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    start = time.perf_counter()
    subprocess.run(command.split(), cwd=folder, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def measure() -> list[dict[str, object]]:
    """Each command's seconds, cold and warm, with its targets."""
    rows: list[dict[str, object]] = []
    for command, (cold_target, warm_target) in COMMANDS.items():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            cold = _seconds(command, folder, folder / "caches")
            repeats = 1 if "--all" in command else REPEATS
            warm = statistics.median(_seconds(command, folder, folder / "caches") for _ in range(repeats))
        rows.append(
            {"command": command, "cold_s": round(cold, 2), "cold_target_s": cold_target}
            | {"warm_s": round(warm, 3), "warm_target_s": warm_target, "repeats": repeats}
        )
    return rows


def table(rows: list[dict[str, object]]) -> Table:
    """The rows as a table for the README."""
    columns = (
        Column("command", align="left"),
        *(Column(c, "s") for c in ("cold", "target", "warm", "target")),
    )

    def text(value: object) -> str:
        return "" if value is None else f"{value:g}"

    keys = ("cold_s", "cold_target_s", "warm_s", "warm_target_s")
    cells = tuple((str(row["command"]), *(text(row[key]) for key in keys)) for row in rows)
    return Table("Start-up times", columns, cells)


if __name__ == "__main__":
    measured = measure()
    document = {"machine": this_machine().__dict__, "rows": measured}
    write_text(json.dumps(document, indent=1, default=str) + "\n", HERE / "startup.json")
    write_text(markdown(table(measured)), HERE / "startup.md")
    print(markdown(table(measured)))
