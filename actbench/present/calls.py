"""Every kernel of a run and every whole call beside it with its figures: what the CSV and the page both show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from actbench.bench import statistics
from actbench.bench.comparison import Comparison, comparisons
from actbench.bench.roofline import bounds
from actbench.bench.run import Contender, Measurement, Run
from actbench.bench.statistics import Estimate
from actbench.present.labels import distinct

KERNEL = "kernel"
"""The provider of a cell itself: the kernel alone, the cost of calling it subtracted."""


@dataclass(frozen=True)
class Call:
    """A kernel, or a whole call that stands in its cell, with its figures by the names of ``NAMES``."""

    measurement: Measurement
    figures: Mapping[str, object]
    contender: Contender | None = None
    """None for the kernel."""
    comparison: Comparison | None = None
    """With our call of the same kind; None where there is none, and for ours."""


@dataclass(frozen=True)
class _Timed:
    """A whole call that was timed, and what more than one of its figures is made of."""

    measurement: Measurement
    contender: Contender
    time: Estimate
    share: Estimate | None
    comparison: Comparison | None


_METRICS: dict[str, Callable[[Measurement], object]] = {
    "function": lambda m: m.cell.function,
    "pass": lambda m: m.cell.pass_,
    "dtype": lambda m: m.cell.dtype,
    "size": lambda m: m.cell.size,
    "threads": lambda m: m.cell.threads,
    "cache": lambda m: m.cell.cache,
    "elements": lambda m: m.elements,
    "bytes": lambda m: m.bytes,
    "median_ns": lambda m: m.median_ns,
    "low_ns": lambda m: m.interval_ns[0],
    "high_ns": lambda m: m.interval_ns[1],
    "minimum_ns": lambda m: m.minimum_ns,
    "spread": lambda m: m.spread,
    "rounds": lambda m: len(m.samples_ns),
    "loops": lambda m: m.loops,
    "overhead_ns": lambda m: m.overhead_ns,
    "ns_per_element": lambda m: m.ns_per_element,
    "elements_per_s": lambda m: m.elements_per_s,
    "gb_per_s": lambda m: m.gb_per_s,
    "ceiling": lambda m: m.ceiling,
    "ceiling_gb_per_s": lambda m: m.ceiling_gb_per_s,
    "share": lambda m: m.share.value if m.share else None,
    "share_low": lambda m: m.share.low if m.share else None,
    "share_high": lambda m: m.share.high if m.share else None,
    "compile_s": lambda m: m.compile_s,
    "flops": lambda m: m.flops,
    "intensity": lambda m: m.intensity,
    "gflop_per_s": lambda m: m.gflop_per_s,
    "flags": lambda m: " ".join(m.flags),
}
_CALL_METRICS: dict[str, Callable[[_Timed], object]] = {
    "median_ns": lambda t: t.time.value,
    "low_ns": lambda t: t.time.low,
    "high_ns": lambda t: t.time.high,
    "minimum_ns": lambda t: min(t.contender.samples_ns),
    "spread": lambda t: statistics.spread(t.contender.samples_ns),
    "rounds": lambda t: len(t.contender.samples_ns),
    "loops": lambda t: t.contender.loops,
    "ns_per_element": lambda t: t.time.value / t.measurement.elements,
    "elements_per_s": lambda t: 1e9 * t.measurement.elements / t.time.value,
    "gb_per_s": lambda t: t.measurement.bytes / t.time.value,
    "share": lambda t: t.share.value if t.share else None,
    "share_low": lambda t: t.share.low if t.share else None,
    "share_high": lambda t: t.share.high if t.share else None,
    "ratio": lambda t: t.comparison.ratio.value if t.comparison else None,
    "ratio_low": lambda t: t.comparison.ratio.low if t.comparison else None,
    "ratio_high": lambda t: t.comparison.ratio.high if t.comparison else None,
}
"""Those of a whole call that was timed; the ratio is its time by ours of the same kind."""
_CALL_FACTS: dict[str, Callable[[Contender], object]] = {
    "provider": lambda c: c.provider,
    "allocates": lambda c: c.allocates,
    "compile_s": lambda c: c.compile_s,
    "error": lambda c: c.error,
    "mismatch": lambda c: c.mismatch,
    "note": lambda c: c.note,
}
_CELL_FACTS = ("function", "pass", "dtype", "size", "threads", "cache", "elements", "bytes")
NAMES = distinct((*_METRICS, "bound", *_CALL_FACTS, *_CALL_METRICS))
"""What a call may have, in the order of the CSV's columns; a figure that it lacks is unknown."""


def calls(run: Run) -> Iterator[Call]:
    """Every cell's kernel, each followed by the whole calls that were entered beside it."""
    bounded = bounds(run)
    for m in run.cells:
        own: dict[str, object] = {"provider": KERNEL, "bound": bounded.get(m.cell.key)}
        yield Call(m, {name: metric(m) for name, metric in _METRICS.items()} | own)
        found = {c.peer: c for c in comparisons(m)}
        for c in m.contenders:
            figures = {name: _METRICS[name](m) for name in _CELL_FACTS}
            figures |= {name: fact(c) for name, fact in _CALL_FACTS.items()}
            if c.samples_ns:
                share = statistics.ratio(m.ceiling_ns, c.samples_ns) if m.share else None
                timed = _Timed(m, c, statistics.median(c.samples_ns), share, found.get(c))
                figures |= {name: metric(timed) for name, metric in _CALL_METRICS.items()}
            yield Call(m, figures, c, found.get(c))
