"""A run in the formats of other tools, read back by those that are there."""

from __future__ import annotations

import json

import pytest

from actbench.present import exchange


def test_pyperf_reads_it(make_run, tmp_path):
    pyperf = pytest.importorskip("pyperf", reason="pyperf is not installed")
    run = make_run(["relu"])
    path = tmp_path / "run.json"
    path.write_text(exchange.pyperf(run))
    benchmarks = pyperf.BenchmarkSuite.load(str(path)).get_benchmarks()
    assert [b.get_name() for b in benchmarks] == [m.cell.key for m in run.cells]
    for benchmark, m in zip(benchmarks, run.cells, strict=True):
        assert benchmark.get_values() == pytest.approx([ns / 1e9 for ns in m.samples_ns])
        assert benchmark.median() == pytest.approx(m.median_ns / 1e9)


def test_github_action_benchmark_gets_names_units_and_numbers(make_run):
    run = make_run(["relu"])
    found = json.loads(exchange.action(run))
    assert [entry["name"] for entry in found] == [m.cell.key for m in run.cells]
    for entry, m in zip(found, run.cells, strict=True):
        assert entry["unit"] == "ns/element"
        assert entry["value"] == pytest.approx(m.ns_per_element, rel=1e-3)
        assert entry["extra"].startswith("actbench bench relu ")
