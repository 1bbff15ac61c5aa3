"""The data behind the page of a run: every call with what a reader may ask of it, as compact as a browser takes it.

Words are places in a list of the distinct ones; figures are text, to the digits that are known, a string a column:
4880 calls are 0.46 MB so, and 3.0 MB as a record a call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from actbench.bench.comparison import closest
from actbench.bench.roofline import bounds
from actbench.bench.run import OURS, Measurement, Run
from actbench.bench.statistics import ADVICE
from actbench.catalog.registry import declarations
from actbench.present import quantity, runs
from actbench.present.calls import KERNEL, Call, calls
from actbench.present.labels import distinct

_OF_A_CALL = {"ahead": "slower", "same": "same", "behind": "faster"}
"""Our verdict, as it is said of the peer's call."""
_CELL_WORDS: Mapping[str, Callable[[Measurement], Any]] = {
    "function": lambda m: m.cell.function,
    "pass": lambda m: m.cell.pass_,
    "dtype": lambda m: m.cell.dtype,
    "size": lambda m: m.cell.size,
    "threads": lambda m: m.cell.threads,
    "cache": lambda m: m.cell.cache,
    "flags": lambda m: " ".join(m.flags),
    "bytes": lambda m: m.bytes,
    "ceiling": lambda m: f"{m.ceiling} {quantity.number(m.ceiling_gb_per_s)} GB/s" if m.share else "",
    "flops": lambda m: "" if m.flops is None else quantity.number(m.flops),
}
_ORDERED = ("function", "size", "threads", "bytes")
"""Words that have an order of their own; the others keep that of the run."""
_SHOWN: Mapping[str, Callable[[Any], str]] = {"size": quantity.elements, "bytes": quantity.memory}


def data(run: Run) -> str:
    """Everything that the script shows, as JSON that ends no element of the page."""
    listed = list(calls(run))
    best = {id(found.peer) for m in run.sized if (found := closest(m))}
    document = {
        "cells": _cells(run),
        "counts": [1 + len(m.contenders) for m in run.cells],
        "calls": {
            **{name: _words([word(c) for c in listed]) for name, word in _CALL_WORDS.items()},
            **{name: "|".join(figure(c) for c in listed) for name, figure in _CALL_FIGURES.items()},
        },
        "closest": [i for i, c in enumerate(listed) if id(c.contender) in best],
        "advice": ADVICE,
        "view": _view(run),
    }
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")


def _cells(run: Run) -> Mapping[str, object]:
    kinds = {d.name: d.kind for d in declarations()}
    limits = bounds(run)
    words = {name: [word(m) for m in run.cells] for name, word in _CELL_WORDS.items()}
    words["kind"] = [kinds.get(m.cell.function, "") for m in run.cells]
    words["bound"] = [limits.get(m.cell.key, "") for m in run.cells]
    return {name: _words(column, name) for name, column in words.items()} | {
        "command": [m.command or m.cell.command for m in run.cells]
    }


def _words(column: Sequence[Any], name: str = "") -> list[object]:
    """The distinct words of a column, and the place among them of each of its fields."""
    known = sorted(set(column)) if name in _ORDERED else distinct(column)
    place = {word: i for i, word in enumerate(known)}
    return [[_SHOWN.get(name, str)(word) for word in known], [place[word] for word in column]]


def _verdict(call: Call) -> str:
    if call.comparison:
        return _OF_A_CALL[call.comparison.verdict]
    if call.contender is None or call.contender.provider == OURS:
        return ""
    if call.contender.mismatch:
        return "differs"
    return "" if call.contender.samples_ns else "not timed"


def _form(call: Call) -> str:
    if call.contender is None:
        return "kernel alone"
    return "allocating" if call.contender.allocates else "out="


_CALL_WORDS: Mapping[str, Callable[[Call], str]] = {
    "provider": lambda c: str(c.figures["provider"]),
    "call": _form,
    "verdict": _verdict,
    "note": lambda c: str(c.figures.get("note") or ""),
}


def _number(call: Call, name: str, scale: float = 1.0, digits: int = quantity.DIGITS) -> str:
    value = call.figures.get(name)
    return quantity.number(scale * value, digits) if isinstance(value, int | float) else ""


def _known(call: Call, name: str, low: str, high: str, scale: float = 1.0) -> str:
    found = [f for f in map(call.figures.get, (name, low, high)) if isinstance(f, float)]
    if len(found) < 3:
        return ""
    value, least, most = (scale * f for f in found)
    return quantity.known(value, least, most)


def _part(call: Call) -> float:
    """What a time is multiplied by: it is an element's, but a cell of one element tells what a call costs."""
    m = call.measurement
    return 1.0 if m.cell.size == 1 else 1 / m.elements


def _duration(call: Call) -> str:
    value = call.figures.get("median_ns")
    return quantity.duration(value) if isinstance(value, float) else ""


_CALL_FIGURES: Mapping[str, Callable[[Call], str]] = {
    "time": lambda c: _known(c, "median_ns", "low_ns", "high_ns", _part(c)),
    "low": lambda c: _number(c, "low_ns", _part(c)),
    "high": lambda c: _number(c, "high_ns", _part(c)),
    "duration": _duration,
    "speed": lambda c: _number(c, "gb_per_s") if c.measurement.cell.size > 1 else "",
    "share": lambda c: _number(c, "share", 100) if c.measurement.cell.size > 1 else "",
    "ratio": lambda c: _known(c, "ratio", "ratio_low", "ratio_high"),
    "ratio_low": lambda c: _number(c, "ratio_low"),
    "ratio_high": lambda c: _number(c, "ratio_high"),
    "error": lambda c: _number(c, "error", digits=2),
    "rounds": lambda c: str(c.figures.get("rounds", "")),
    "loops": lambda c: str(c.figures.get("loops", "")),
    "compile": lambda c: _number(c, "compile_s"),
}


def _view(run: Run) -> Mapping[str, str]:
    """What the table shows at first: one pass, dtype and size, each function beside the peer that is hardest on us."""
    if not run.sized:
        return {}
    first = run.sized[0].cell
    same = tuple(m for m in run.sized if (m.cell.pass_, m.cell.dtype) == (first.pass_, first.dtype))
    size = next(iter(runs.sizes(replace(run, cells=same))))
    return {
        "pass": first.pass_,
        "dtype": first.dtype,
        "size": size,
        "threads": str(first.threads),
        "cache": first.cache,
        "provider": "hardest" if any(map(closest, same)) else KERNEL,
    }
