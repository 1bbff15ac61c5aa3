"""Measure what the gate is worth: ``python results/gate/measure.py``, two hours on an idle machine.

Gates of this version against itself, with nothing changed and with extra work injected into one cell, on an idle
machine and with the other core busy; one gate over the quick preset for its duration; and, from the pairs of all gates
in which nothing was injected, simulated gates, with nothing and with a slowed cell, for what real ones are too few for.
Writes gate.json and gate.md beside itself, after every gate, and goes on from there; what another version or machine
began it refuses.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from math import log1p
from pathlib import Path
from typing import Any

import actbench
from actbench.bench.config import resolve
from actbench.bench.gating import job, selftest
from actbench.bench.gating.decision import Rule
from actbench.bench.gating.gate import SCREENED, Gate, Key, Options
from actbench.bench.gating.pairing import Injection, Loaded, Pair
from actbench.bench.gating.selftest import Rate, Trial
from actbench.bench.gating.side import Side, side
from actbench.bench.machine import Machine, this_machine
from actbench.bench.plan import Cell
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
JUDGED_BY = ("arm", "process", "pairing", "gate", "decision", "job", "record", "selftest")
_BUSY = """
import os
parent, x = os.getppid(), 0.5
while os.getppid() == parent:  # ends with it, also where that is killed
    for _ in range(1_000_000):
        x = x * x + 0.1 if x < 2 else 0.5
"""
SIMULATED, SLOWED = 20_000, (0.05, 0.10)


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


class Recorded(Pair):
    """A process pair whose medians were recorded."""

    def __init__(self, medians: Mapping[str, float]) -> None:
        self._medians, self._median = medians, 0.0

    def compile(self, function: str, pass_: str, dtype: str) -> None:
        """Nothing is to be compiled."""

    def load(
        self, cell: Cell, peer: str | None, slice_ns: float, injection: Injection, *, compare: bool
    ) -> Loaded:
        """What was recorded of a cell."""
        self._median = self._medians[cell.key]
        return Loaded((1, 1), same_code=False, difference=0.0)

    def rounds(self, loaded: Loaded, count: int) -> list[float]:
        """Rounds of that median."""
        return [self._median] * count

    def close(self) -> None:
        """Nothing was begun."""


class Replayed(Gate):
    """The gate, on pairs drawn from those of trials in which nothing was injected, whole ones with either sign.

    Sides of the same code are exchangeable; cells of a pair, which share its processes, are not independent.
    """

    signs = (-1, 1)

    def __init__(
        self, side: Side, pairs: Sequence[Mapping[str, float]], seed: int, slowed: str = "", part: float = 0.0
    ) -> None:
        super().__init__(side, side, Options(seed=seed), lambda: 0)
        self._recorded, self._added = pairs, {slowed: log1p(part)}

    def start(self) -> Pair:
        """A pair that was recorded, and in the slowed cell its part more."""
        sign, recorded = self._random.choice(self.signs), self._random.choice(self._recorded)
        return Recorded({key: sign * v + self._added.get(key, 0.0) for key, v in recorded.items()})


def simulated(trials: Mapping[str, Sequence[Trial]], side: Side, gates: int, part: float = 0.0) -> Rate:
    """Of gates that measure again what was recorded, half of them on each kind of machine: how many are red.

    With a part, by which each cell in turn is slowed: how many find that cell slower.
    """
    families = {f.name: f.family for f in actbench.functions()}
    states = []
    for found in trials.values():
        pairs = [
            {key: medians[i] for key, medians in trial.pairs.items()}
            for trial in found
            for i in range(SCREENED)
        ]
        common = set.intersection(*map(set, pairs))  # a cell may have been lost in a trial
        states.append((pairs, [Key(_cell(key)) for key in sorted(common)]))
    red = 0
    for number in range(gates):
        pairs, keys = states[number % len(states)]
        slowed = keys[number // len(states) % len(keys)].cell.key
        gate = Replayed(side, pairs, number, slowed, part)
        outcomes = gate.run(keys, lambda _: Rule(), lambda key: families[key.cell.function]).judgements
        red += any(j.outcome == "slower" and (not part or j.key == slowed) for j in outcomes)
    return Rate(red, gates)


def _cell(key: str) -> Cell:
    function, pass_, dtype, size, *_ = key.split("/")
    return Cell(function, pass_, dtype, int(size))


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
    caught = [
        f"{100 * float(part):g} % slower: caught in {100 * n / tail['gates']:.2f} %"
        for part, n in tail["caught"].items()
    ]
    caption = (
        f"On {on['cpu']}, {on['cores']} cores. In brackets exact 95 % intervals. "
        "Loaded: another process keeps the other core busy. "
        f"{tail['gates']} gates replayed from pairs that were recorded with nothing injected: {tail['red']} red. "
        f"As many with one cell {' and '.join(caught)} of them. "
        f"A gate over the preset quick ({quick['cells']} cells, all measured): {quick['seconds']:.0f} s, "
        f"{quick['verdict']}."
    )
    return markdown(
        Table("What the gate is worth", (Column("machine", align="left"), *WORTH), tuple(rows), caption)
    )


def version() -> str:
    """What tells one way of measuring and judging from another."""
    modules = [importlib.import_module(f"actbench.bench.gating.{name}") for name in JUDGED_BY]
    return hashlib.sha256(b"".join(Path(str(m.__file__)).read_bytes() for m in modules)).hexdigest()[:16]


def main() -> None:
    """Do what is left to do, and write both files after each gate."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--report", action="store_true", help="measure nothing more: make the table again")
    given = parser.parse_args()
    path = given.output / "gate.json"
    document: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"trials": []}
    phases = () if given.report else PHASES
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # what was begun is cleared away
    here = this_machine()
    if phases and not document["trials"]:
        document |= {"gate": version(), "machine": asdict(here)}
    if phases and document.get("gate") != version():
        parser.error(f"{path} was begun with another version of the gate: give an empty --output")
    if phases and Machine(**document["machine"]).differences(here):
        parser.error(f"{path} was begun on another machine: give an empty --output")

    def keep() -> None:
        write_text(json.dumps(document, separators=(",", ":")) + "\n", path)

    with tempfile.TemporaryDirectory() as scratch:
        this = side("head", str(HERE.parents[1]), sys.executable, [], Path(scratch))
        if "quick" not in document:
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
    null: dict[str, list[Trial]] = {}
    for trial in document["trials"]:
        if not trial["trial"]["injected"]:
            null.setdefault(trial["state"], []).append(Trial(**trial["trial"]))
    document["simulated"] = {
        "gates": SIMULATED,
        "red": simulated(null, this, SIMULATED).found,
        "caught": {str(part): simulated(null, this, SIMULATED, part).found for part in SLOWED},
    }
    keep()
    write_text(table(document), path.with_suffix(".md"))
    print(table(document))


if __name__ == "__main__":
    main()
