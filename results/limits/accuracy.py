"""Measure how exact the kernels are: ``python results/limits/accuracy.py`` (half an hour on two cores).

Every number of float32, float16 and bfloat16 through every elementwise function and its derivative, samples in float64,
rows, and sums against the exact sum of their terms. Writes accuracy.json beside itself, which measure.py takes its rows
of accuracy from; ``--only NAME`` measures some again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from actbench.bench.machine import this_machine
from actbench.catalog.registry import declarations
from actbench.kernels import function
from actbench.present.output import write_text
from actbench.verify.audit import audited, judge_of, summed, swept
from actbench.verify.findings import OURS, Case
from actbench.verify.subject import Subject

HERE = Path(__file__).parent
PASSES = ("forward", "derivative")
SUMS = (1000, 2**16 + 1, 2**20)
Task = tuple[str, str, str]  # what, a pass, a dtype


def tasks() -> Iterator[Task]:
    """The longest ones first, so that no core waits at the end."""
    names = [d.name for d in declarations() if d.template == "elementwise"]
    losses = [d.name for d in declarations() if d.template == "pairwise"]
    yield from product(names, PASSES, ("float32",))
    yield from product(names, PASSES, ("float64",))
    yield from product(losses, ("sum",), ("float32", "float64"))
    yield from product(("softmax", "log_softmax", "cross_entropy"), ("rows",), ("float32", "float64"))
    yield from product(names, PASSES, ("float16", "bfloat16"))


def measure(task: Task) -> dict[str, Any]:
    """A row of the file: how far off, where, and how many inputs were tried."""
    name, what, dtype = task
    figures = _sums(name, dtype) if what == "sum" else _audit(name, what, dtype)
    return {"name": name, "pass": what, "dtype": dtype, **figures}


def _audit(name: str, what: str, dtype: str) -> dict[str, Any]:
    f, case = function(name), Case(name, "forward" if what == "rows" else what, dtype)
    if dtype == "float32" and what in PASSES:
        subject = Subject(f, case)
        judge = judge_of(subject)
        audit = summed(f, case, OURS, judge.name, judge.reference, swept(subject, judge, 0, 1 << 32))
    else:
        (audit,) = audited(f, case, (), print)
    where = next((c.value for c in audit.where), 0.0)
    counts = {"inputs": audit.inputs, "wrong": audit.wrong}
    return {"against": audit.judge, "largest": audit.judged, "where": where, **counts}


def _sums(name: str, dtype: str) -> dict[str, Any]:
    f, rng = function(name), np.random.default_rng(0)
    errors = {}
    for size in SUMS:
        work = f.workload("forward", dtype, size, seed=int(rng.integers(1 << 30)))
        pred, target = (np.asarray(work.arrays[key]) for key in ("pred", "target"))
        terms = f(pred.astype(np.float64), target.astype(np.float64), reduction="none")
        true, got = math.fsum(terms.tolist()), f(pred, target, reduction="sum")
        errors[size] = abs(float(got) - true) / float(np.spacing(np.abs(np.dtype(dtype).type(true))))
    where = max(errors, key=errors.__getitem__)
    figures = {"largest": errors[where], "where": float(where), "inputs": sum(SUMS), "wrong": 0}
    return {"against": "the exact sum of the terms", **figures}


def main() -> None:
    """Measure all of it, a process a core, and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument(
        "--only", nargs="*", metavar="NAME", help="measure these, keep the others as they are"
    )
    given = parser.parse_args()
    path = given.output / "accuracy.json"
    known = json.loads(path.read_text())["rows"] if given.only and path.exists() else []
    found = {(row["name"], row["pass"], row["dtype"]): row for row in known}
    wanted = [task for task in tasks() if not given.only or task[0] in given.only]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for task, row in zip(wanted, pool.map(measure, wanted), strict=True):
            found[task] = row
            print(*task, f"{row['largest']:.4g} ULP", flush=True)
            rows = [found[task] for task in tasks() if task in found]
            document = {"machine": asdict(this_machine()), "rows": rows}
            write_text(json.dumps(document, indent=1) + "\n", path)


if __name__ == "__main__":
    main()
