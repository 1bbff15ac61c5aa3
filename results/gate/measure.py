"""Measure what the gate is worth: ``python results/gate/measure.py``, two hours on an idle machine.

Gates of this version against itself, with nothing changed and with extra work injected into one cell, on an idle
machine and with the other core busy; one gate over the quick preset for its duration; and, from the pairs of all gates
in which nothing was injected, simulated gates for the tail that real ones cannot reach. Writes gate.json and gate.md
beside itself, after every gate, and goes on from there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from random import Random
from typing import Any

from actbench.bench.config import resolve
from actbench.bench.gating import job, selftest
from actbench.bench.gating.decision import LOOKS, Rule, judged, suspected
from actbench.bench.gating.gate import SCREENED
from actbench.bench.gating.selftest import Rate, Trial
from actbench.bench.gating.side import Side, side
from actbench.bench.machine import this_machine
from actbench.bench.system import usable_cpus
from actbench.present.gating import WORTH, worth
from actbench.present.output import write_text
from actbench.present.table import Column, Table, markdown

HERE = Path(__file__).parent
NAMES = ("relu", "silu", "tanh", "gelu", "softmax", "mse", "cross_entropy", "huber")
"""Of a short gate: memory-bound and compute-bound, elementwise, by rows and reduced."""
PHASES = (
    ("idle", 0.0, 60),
    ("idle", 0.05, 20),
    ("idle", 0.10, 20),
    ("loaded", 0.0, 20),
    ("loaded", 0.05, 20),
    ("loaded", 0.10, 20),
    ("idle", 0.03, 20),
)
_BUSY = "x = 0.5\nwhile True: x = x * x + 0.1 if x < 2 else 0.5"
SIMULATED = 20_000


@contextmanager
def machine(state: str) -> Iterator[None]:
    """Idle as it is, or with a process that keeps the first CPU busy, which the gate's processes do not use."""
    if state == "idle":
        yield
        return
    busy = subprocess.Popen(["taskset", "-c", str(min(usable_cpus())), sys.executable, "-c", _BUSY])
    try:
        yield
    finally:
        busy.kill()
        busy.wait()


def measured(state: str, part: float, number: int, sides: Side) -> Trial:
    """One short gate, with a seed of its own."""
    config = resolve({"preset": "ci", "seed": number})
    with machine(state):
        (trial,) = selftest.trials(sides, config, NAMES, [part])
    return trial


def simulated(trials: Sequence[Trial], gates: int) -> Rate:
    """Gates of the same cells, their pairs drawn from those in which nothing was injected: how many would be red.

    Sides of a pair of the same code are exchangeable, so that each pair is taken with either sign.
    """
    random, rule, red = Random(0), Rule(), 0
    pools: dict[str, list[float]] = {}
    for trial in trials:
        for key, medians in trial.pairs.items():
            pools.setdefault(key, []).extend(medians)

    def drawn(pool: Sequence[float], count: int) -> list[float]:
        return [random.choice((-1, 1)) * random.choice(pool) for _ in range(count)]

    for _ in range(gates):
        suspects = [
            k
            for k, pool in pools.items()
            if suspected([[v] for v in drawn(pool, SCREENED)], rule) == "slower"
        ]
        values = {key: drawn(pools[key], LOOKS[-1]) for key in suspects}
        for look, pairs in enumerate(LOOKS):
            found = judged({key: v[:pairs] for key, v in values.items()}, lambda _: rule, look)
            if "slower" in found.values():
                red += 1
                break
    return Rate(red, gates)


def table(document: Mapping[str, Any]) -> str:
    """What was measured, as it is published."""
    rows = []
    for state, part, _ in PHASES:
        of = [
            Trial(**t["trial"])
            for t in document["trials"]
            if (t["state"], t["trial"]["injected"]) == (state, part)
        ]
        if not of:
            continue
        rows.append((state, *worth(part, of)))
    tail, quick = document["simulated"], document["quick"]
    on = document["machine"]
    caption = (
        f"On {on['cpu']}, {on['cores']} cores. In brackets exact 95 % intervals. "
        "Loaded: another process keeps the other core busy. "
        f"{tail['gates']} gates simulated from the recorded null pairs: {tail['red']} red. "
        f"A gate over the preset quick ({quick['cells']} cells, all measured): {quick['seconds']:.0f} s, "
        f"{quick['verdict']}."
    )
    return markdown(
        Table("What the gate is worth", (Column("machine", align="left"), *WORTH), tuple(rows), caption)
    )


def main() -> None:
    """Do what is left to do, and write both files after each gate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--report", action="store_true", help="measure nothing more: make the table again")
    given = parser.parse_args()
    path = given.output / "gate.json"
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"trials": []}
    phases = () if given.report else PHASES

    def keep() -> None:
        write_text(json.dumps(document, separators=(",", ":")) + "\n", path)

    with tempfile.TemporaryDirectory() as scratch:
        this = side("head", str(HERE.parents[1]), sys.executable, [], Path(scratch))
        if "quick" not in document:
            document["machine"] = asdict(this_machine())
            base, head = replace(this, name="base"), this
            report = job.run(base, head, resolve({"preset": "quick"}), (), command="quick", everything=True)
            cells = sum(j.cell is not None for j in report.judgements)
            document["quick"] = {"cells": cells, "seconds": report.seconds, "verdict": report.verdict}
            keep()
        for state, part, count in phases:
            done = [t for t in document["trials"] if (t["state"], t["trial"]["injected"]) == (state, part)]
            for number in range(len(done), count):
                trial = measured(state, part, number, this)
                document["trials"].append({"state": state, "trial": asdict(trial)})
                keep()
                print(
                    state, part, number, trial.verdict, trial.slowed, trial.false, trial.seconds, flush=True
                )
    null = [Trial(**t["trial"]) for t in document["trials"] if not t["trial"]["injected"]]
    found = simulated(null, SIMULATED)
    document["simulated"] = {"gates": found.of, "red": found.found}
    keep()
    write_text(table(document), path.with_suffix(".md"))
    print(table(document))


if __name__ == "__main__":
    main()
