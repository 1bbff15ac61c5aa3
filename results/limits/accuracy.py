"""Measure how exact the kernels are: ``python results/limits/accuracy.py`` (half an hour on two cores).

Every number of float32, float16 and bfloat16 through every elementwise function and its derivative, samples in float64
against the formula at high precision, sums against the exact sum of their terms, rows against the formula. Writes
accuracy.json beside itself, which measure.py takes its rows of accuracy from; ``--only NAME`` measures some again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from actbench.bench.machine import this_machine
from actbench.catalog.registry import declarations
from actbench.kernels import function
from actbench.present.output import write_text
from actbench.verify import exact
from actbench.verify.accuracy import Audit, every_input, judge_of, sampled

HERE = Path(__file__).parent
PASSES = ("forward", "derivative")
SUMS = (1000, 2**16 + 1, 2**20)
ROWS, SPREADS = {2: 100, 10: 50, 300: 5}, (0.1, 1, 4, 30)  # rows of each length and spread
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
    if what == "sum":
        audit, how = _sums(name, dtype), "the exact sum of the terms"
    elif what == "rows":
        audit, how = _rows(name, dtype), "the formula at high precision"
    elif dtype == "float64":
        audit, how = _sample(name, what), "the formula at high precision"
    else:
        audit, how = every_input(getattr(function(name), what), dtype), "the float64 kernel"
    return {"name": name, "pass": what, "dtype": dtype, "against": how, **asdict(audit)}


def _sample(name: str, pass_: str) -> Audit:
    """Forty random points, both signs, in each octave where the result is neither constant nor x itself."""
    f, rng = function(name), np.random.default_rng(0)
    octaves = np.arange(-60.0, 10.0)
    x = np.exp2(octaves[:, None]) * (1 + rng.random((octaves.size, 40)))
    x = np.concatenate([x.ravel(), -x.ravel()])
    x = x[(x > f.declaration.domain.low) & (x < f.declaration.domain.high)]
    return sampled(getattr(f, pass_), x, judge_of(f.declaration, pass_))


def _sums(name: str, dtype: str) -> Audit:
    f, rng = function(name), np.random.default_rng(0)
    found = []
    for size in SUMS:
        work = f.workload("forward", dtype, size, seed=int(rng.integers(1 << 30)))
        pred, target = (np.asarray(work.arrays[key]) for key in ("pred", "target"))
        terms = f(pred.astype(np.float64), target.astype(np.float64), reduction="none")
        true, got = math.fsum(terms.tolist()), f(pred, target, reduction="sum")
        unit = float(np.spacing(np.abs(np.dtype(dtype).type(true))))
        found.append(Audit(abs(float(got) - true) / unit, float(size), sum(SUMS)))
    return max(found, key=lambda audit: audit.largest)


def _rows(name: str, dtype: str) -> Audit:
    """Rows of three lengths whose elements lie near together, and far apart."""
    f, rng = function(name), np.random.default_rng(0)
    found = []
    rows = [length for length, count in ROWS.items() for _ in range(count)]
    for length, spread in product(rows, SPREADS):
        x = (spread * rng.standard_normal((1, length))).astype(dtype)
        if name == "cross_entropy":
            one_hot = np.eye(length)[-1]
            got = np.atleast_1d(f(x, np.array([length - 1])))
            true = [exact.rows(f.declaration, [x[0].tolist(), one_hot.tolist()])]
        else:
            got, true = f(x)[0], exact.rows(f.declaration, [x[0].tolist()])
        units = np.spacing(np.abs(np.array([float(t) for t in true], dtype))).astype(float)
        errors = [abs(float(g) - t) / u for g, t, u in zip(got.tolist(), true, units.tolist(), strict=True)]
        found.append(Audit(float(max(errors)), float(spread), length))
    return replace(max(found, key=lambda audit: audit.largest), inputs=sum(audit.inputs for audit in found))


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
