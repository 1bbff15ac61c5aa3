"""A benchmark run in the formats of other tools."""

from __future__ import annotations

import json
from typing import Any

from actbench.bench.run import Measurement, Run

_PYPERF = "1.0"
"""The version of pyperf's file format; see "Runner JSON" in its documentation."""


def pyperf(run: Run) -> str:
    """The run as pyperf's JSON, a benchmark a cell, seconds a call: ``python -m pyperf stats FILE`` reads it."""
    machine = {
        "cpu_model_name": run.machine.cpu,
        "cpu_count": run.machine.cores,
        "platform": run.machine.os,
        "python_version": run.versions.get("python"),
        "timer": f"time.perf_counter_ns, steps of {run.machine.clock_ns:g} ns"
        if run.machine.clock_ns
        else None,
    }
    document = {
        "version": _PYPERF,
        "metadata": {name: value for name, value in machine.items() if value is not None},
        "benchmarks": [_benchmark(m, run) for m in run.cells],
    }
    return json.dumps(document, separators=(",", ":")) + "\n"


def _benchmark(m: Measurement, run: Run) -> dict[str, Any]:
    about = {
        "date": run.created.replace("T", " ").removesuffix("Z"),
        "loops": m.loops,
        "duration": m.loops * sum(m.samples_ns) / 1e9,
    }
    values = {"values": [ns / 1e9 for ns in m.samples_ns], "metadata": about}
    return {"metadata": {"name": m.cell.key, "unit": "second"}, "runs": [values]}


def action(run: Run) -> str:
    """The run as github-action-benchmark's customSmallerIsBetter: nanoseconds an element by cell."""
    found = [
        {
            "name": m.cell.key,
            "unit": "ns/element",
            "value": float(f"{m.ns_per_element:.4g}"),
            "range": f"{low:.4g}..{high:.4g}",
            "extra": m.command or m.cell.command,
        }
        for m in run.cells
        for low, high in [(end / m.elements for end in m.interval_ns)]
    ]
    return json.dumps(found, indent=1) + "\n"
