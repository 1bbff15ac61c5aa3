"""Hold what was measured against the limits the kernels aim at: ``python results/limits/measure.py RUN.json...``.

Takes the cells of runs of ``actbench bench --all --preset peers``, measures what such a run does not hold (long and
short rows, CTC, calls on 1 and 64 elements, two threads against one, 16-bit formats, compilation), adds what
accuracy.py found, and writes limits.json and limits.md beside itself: a row a target with its figure, the figure
wanted, and where it is worst.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

from actbench.bench import runner
from actbench.bench.clock import Arm, interleave
from actbench.bench.comparison import Comparison, closest, comparisons, geometric_mean
from actbench.bench.config import Config
from actbench.bench.machine import this_machine
from actbench.bench.plan import expand
from actbench.bench.run import Measurement, Store, load_run
from actbench.bench.session import Session
from actbench.bench.statistics import ratio
from actbench.catalog.registry import declarations
from actbench.kernels import function
from actbench.peers import chosen
from actbench.peers.base import Peer
from actbench.present import quantity
from actbench.present.labels import distinct
from actbench.present.output import write_text
from actbench.present.table import Column, Table, markdown

HERE = Path(__file__).parent
LARGE, IN_L2 = 2**24, 2**15
RELUS = ("relu", "leaky_relu", "prelu", "rrelu", "relu6")
CURVES = ("sigmoid", "tanh", "silu", "elu", "softplus", "mish")
REDUCED = ("mse", "mae", "huber", "hinge", "quantile", "mape")
ROWS = ("softmax", "log_softmax", "cross_entropy")
SHAPES = ((100_000, 10), (1000, 1000), (20, 50_000))
CTC = (200, 32, 64)  # steps, sequences, classes
SINGLES = ("float32", "float64")
HALVES = ("float16", "bfloat16")
TEMPLATES = {d.name: d.template for d in declarations()}
REPEATS = 7


@dataclass(frozen=True)
class Row:
    """One target: the worst figure found, the figure wanted, and whether it must be reached or not be passed."""

    target: str
    where: str
    figure: float | None  # None where nothing was measured
    wanted: float
    sense: Literal["at least", "at most"] = "at least"
    worst: str = ""
    unit: str = ""

    @property
    def verdict(self) -> str:
        """Met or short."""
        if self.figure is None:
            return "not measured"
        met = self.figure >= self.wanted if self.sense == "at least" else self.figure <= self.wanted
        return "met" if met else "short"


def worst(target: str, where: str, figures: Mapping[str, float], wanted: float, **more: Any) -> Row:
    """The row of the figure that is furthest from what is wanted, and how many of them are short."""
    if not figures:
        return Row(target, where, None, wanted, **more)
    pick = max if more.get("sense") == "at most" else min
    name = pick(figures, key=figures.__getitem__)
    short = sum(Row("", "", figure, wanted, **more).verdict == "short" for figure in figures.values())
    return Row(target, where, figures[name], wanted, worst=f"{name}; {short} of {len(figures)} short", **more)


def hardest(cells: Iterable[Measurement], provider: str | None = None) -> dict[str, float]:
    """The ratio to the hardest peer by function, of cells of one pass, dtype, size and number of threads."""
    found = {m.cell.function: closest(m, provider) for m in cells}
    return {name: known_ratio(c) for name, c in found.items() if c}


def known_ratio(comparison: Comparison) -> float:
    """The ratio; where its interval holds 1 the two are the same, which is 1."""
    return 1.0 if comparison.verdict == "same" else comparison.ratio.value


def select(cells: Iterable[Measurement], **wanted: Any) -> list[Measurement]:
    """The cells whose fields have these values."""
    return [m for m in cells if all(getattr(m.cell, name) == value for name, value in wanted.items())]


def against_peers(cells: Sequence[Measurement]) -> Iterator[Row]:
    """Every cell beside the best peer, and the means beside eager PyTorch."""
    keys = distinct((m.cell.pass_, m.cell.dtype, m.cell.size, m.cell.threads) for m in cells)
    for pass_, dtype, size, threads in keys:
        found = select(cells, pass_=pass_, dtype=dtype, size=size, threads=threads)
        where = f"{pass_} {dtype} {quantity.elements(size)} {threads}t"
        yield worst("ahead of every peer", where, hardest(found), 1.0)
    for (pass_, mean), dtype in product((("forward", 3.0), ("backward", 2.0)), SINGLES):
        found = select(cells, pass_=pass_, dtype=dtype, size=IN_L2, threads=1)
        ratios = [c.ratio.value for c in (closest(m, "torch") for m in found) if c]
        figure = geometric_mean(ratios) if ratios else None
        where = f"{pass_} {dtype} {quantity.elements(IN_L2)}, {len(ratios)} cells"
        yield Row("geometric mean against torch", where, figure, mean)


def of_the_ceiling(cells: Sequence[Measurement]) -> Iterator[Row]:
    """How near the kernels come to a copy, and losses to a sum, of the same bytes."""
    single = select(cells, pass_="forward", threads=1)
    floats = select(single, dtype="float32")
    mapped = [m.cell.function for m in floats if TEMPLATES.get(m.cell.function) == "elementwise"]
    for names, size, wanted in ((mapped, LARGE, 0.95), (RELUS, IN_L2, 0.9), (CURVES, IN_L2, 0.35)):
        what = "elementwise" if names is mapped else f"{names[0]} and its kin"
        yield worst(
            "share of a copy",
            f"{what} float32 {quantity.elements(size)}",
            shares(floats, names, size),
            wanted,
        )
    for dtype in SINGLES:
        figures = shares(select(single, dtype=dtype), REDUCED, LARGE)
        yield worst("share of a sum", f"losses {dtype} {quantity.elements(LARGE)}", figures, 0.9)


def shares(cells: Iterable[Measurement], names: Sequence[str], size: int) -> dict[str, float]:
    """The share of the ceiling by function, of cells of one size."""
    found = {m.cell.function: m.share for m in cells if m.cell.size == size and m.cell.function in names}
    return {name: share.value for name, share in found.items() if share}


def measure(
    names: Iterable[str], peers: Sequence[Peer] = (), data: np.ndarray | None = None, **options: Any
) -> tuple[Measurement, ...]:
    """The cells of a bench of the functions that exist, with the options of a configuration file."""
    functions = [function(name) for name in names if name in TEMPLATES]
    config = Config.model_validate(options)
    if data is not None:
        config = config.model_copy(update={"sizes": (data.size,), "dtypes": (data.dtype.name,)})
    start = runner.begin([f.name for f in functions], config, command="measure")
    with tempfile.TemporaryDirectory() as folder:
        plan = expand(functions, config)
        bench = Session(config, peers=peers, data=data)
        return runner.run(plan, config, start, Store(folder), bench).cells


def rows_and_sequences(peers: Sequence[Peer], **options: Any) -> Iterator[Row]:
    """Rows of 10, 1000 and 50 000, and CTC, beside torch and JAX."""
    rng = np.random.default_rng(0)
    for dtype in SINGLES:
        for shape in SHAPES:
            data = (2 * rng.standard_normal(shape)).astype(dtype)
            yield from _each(ROWS, data, f"rows of {shape[1]} {dtype}", peers, options)
        scores = rng.standard_normal(CTC)
        scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
        names = ("ctc", "ctc_with_logits")
        yield from _each(names, scores.astype(dtype), f"T, N, C = {CTC} {dtype}", peers, options)


def _each(
    names: Iterable[str], data: np.ndarray, where: str, peers: Sequence[Peer], options: Mapping[str, Any]
) -> Iterator[Row]:
    cells = measure(names, peers, data, **{**options, "pass": ("forward", "backward")})
    for m, peer in product(cells, peers):
        ratios = hardest([m], peer.name)
        if ratios:
            what = f"{m.cell.function} {m.cell.pass_}, {where}"
            yield worst(f"ahead of {peer.name}", what, ratios, 1.0)


def small_calls(torch: Sequence[Peer], **options: Any) -> Iterator[Row]:
    """What a call on 1 and on 64 elements costs beside torch's."""
    names = [name for name, template in TEMPLATES.items() if template == "elementwise"]
    more = {"size": (1, 64), "dtype": "float32", "pass": ("forward", "backward")}
    cells = measure(names, torch, **{**options, **more})
    for size, pass_, allocates in product((1, 64), ("forward", "backward"), (True, False)):
        found = {
            f"{m.cell.function} {quantity.duration(c.ours.median_ns)}": known_ratio(c)
            for m in select(cells, size=size, pass_=pass_)
            for c in comparisons(m)
            if c.peer.allocates is allocates
        }
        kind = "allocating" if allocates else "out="
        yield worst("call ahead of torch's", f"{pass_} {kind}, {size} elements", found, 1.0)


def two_threads(rounds: int) -> Iterator[Row]:
    """Two threads against one in the same rounds, and whether the bits are the same."""
    x = (2 * np.random.default_rng(0).standard_normal(LARGE)).astype(np.float32)
    out = np.empty_like(x)
    gains, same = {}, {}
    for name in CURVES:
        f = function(name)
        calls = [partial(f, x, out=out, threads=n) for n in (1, 2)]
        arms = [Arm(name, [call]) for call in calls]
        step = this_machine().clock_ns or 1.0
        one, two = interleave(arms, slice_ns=1e6, rounds=rounds, timer=time.perf_counter_ns, step_ns=step)
        gains[name] = ratio(one.samples_ns, two.samples_ns).value
        same[name] = float(np.array_equal(f(x, threads=1).view(np.int32), f(x, threads=2).view(np.int32)))
    where = f"{quantity.elements(LARGE)} float32"
    yield worst("two threads against one", where, gains, 1.8)
    yield worst("two threads, the same bits", where, same, 1.0)


def half_formats(torch: Sequence[Peer], **options: Any) -> Iterator[Row]:
    """16-bit formats beside float32, and beside torch's."""
    more = {"size": LARGE, "dtype": ("float32", *HALVES), "pass": "forward"}
    cells = measure((*RELUS, *CURVES), torch, **{**options, **more})
    floats = {m.cell.function: m.ns_per_element for m in select(cells, dtype="float32")}
    for dtype in HALVES:
        found = select(cells, dtype=dtype)
        where = f"{dtype} {quantity.elements(LARGE)}"
        gains = {m.cell.function: floats[m.cell.function] / m.ns_per_element for m in found}
        yield worst("elements/s against float32", where, gains, 1.5)
        yield worst("ahead of torch", where, hardest(found, "torch"), 1.0)


_COMPILE = """
import json, time, actbench
found = {}
for f in actbench.functions():
    for pass_ in f.passes:
        for dtype in ("float32", "float64"):
            begun = time.perf_counter()
            made = f.compile(pass_, dtype)
            seconds = time.perf_counter() - begun if made.cached else made.seconds
            found[f"{f.name} {pass_} {dtype}"] = seconds, made.cached
print(json.dumps(found))
"""
_FIRST_CALL = "import numpy, actbench; actbench.get('silu')(numpy.ones(8, 'float32'))"


def compilation() -> Iterator[Row]:
    """Kernels compiled and loaded again, and a process that calls one of them."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"ACTBENCH_CACHE_DIR": folder}
        start: Callable[..., Any] = partial(
            subprocess.run, env=environment, check=True, capture_output=True, text=True
        )
        for cached, wanted, what in ((False, 0.4, "compiled"), (True, 0.01, "from the cache")):
            found = json.loads(start([sys.executable, "-c", _COMPILE]).stdout)
            # The first one of a process loads Numba too.
            times = {name: s for name, (s, was) in list(found.items())[1:] if was is cached}
            yield worst("a kernel", what, times, wanted, sense="at most", unit="s")
        seconds = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            start([sys.executable, "-c", _FIRST_CALL])
            seconds.append(time.perf_counter() - begun)
    yield Row(
        "import and first call", "from the cache", statistics.median(seconds), 0.45, "at most", unit="s"
    )


def accuracy(rows: Iterable[Mapping[str, Any]]) -> Iterator[Row]:
    """The largest errors that accuracy.py found."""
    rows = list(rows)
    kinds = (
        ("forward", 1.0, SINGLES),
        ("derivative", 2.0, SINGLES),
        ("forward", 0.51, HALVES),
        ("derivative", 0.51, HALVES),
        ("sum", 1.0, SINGLES),
        ("rows", 1.0, SINGLES),
    )
    for pass_, wanted, dtypes in kinds:
        for dtype in dtypes:
            found = [row for row in rows if (row["pass"], row["dtype"]) == (pass_, dtype)]
            errors = {row["name"]: math.inf if row["wrong"] else row["largest"] for row in found}
            where = f"{pass_} {dtype}, {max((row['inputs'] for row in found), default=0)} inputs each"
            yield worst("error", where, errors, wanted, sense="at most", unit="ULP")


def table(rows: Sequence[Row]) -> Table:
    """The rows, as they are published."""
    met = sum(row.verdict == "met" for row in rows)
    columns = (
        *(Column(title, align="left") for title in ("target", "where")),
        *(Column(title) for title in ("figure", "wanted")),
        *(Column(title, align="left") for title in ("verdict", "worst")),
    )
    lines = tuple(
        (
            *(row.target, row.where, f"{quantity.number(row.figure)} {row.unit}".rstrip()),
            *(f"{row.sense} {row.wanted:g} {row.unit}".rstrip(), row.verdict, row.worst),
        )
        for row in rows
    )
    caption = "Ratios are the peer's time by ours, above 1 ours is faster; 1 where the interval holds 1."
    return Table(f"{met} of {len(rows)} targets met", columns, lines, caption)


def main() -> None:
    """Measure what the runs do not hold, and write both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN.json")
    parser.add_argument("--rounds", type=int, default=20, help="of what is measured here")
    parser.add_argument(
        "--accuracy", type=Path, default=HERE / "accuracy.json", help="what accuracy.py wrote"
    )
    parser.add_argument("--output", type=Path, default=HERE)
    given = parser.parse_args()
    cells = [m for path in given.runs for m in load_run(path).sized]
    options = {"rounds": given.rounds}
    torch, both = chosen(["torch"]), chosen(["torch", "jax"])
    rows = [
        *against_peers(cells),
        *of_the_ceiling(cells),
        *rows_and_sequences(both, **options),
        *small_calls(torch, **options),
        *two_threads(given.rounds),
        *half_formats(torch, **options),
        *compilation(),
        *(accuracy(json.loads(given.accuracy.read_text())["rows"]) if given.accuracy.exists() else ()),
    ]
    document = {
        "machine": asdict(this_machine()),
        "runs": [str(path) for path in given.runs],
        "rows": [{**asdict(row), "verdict": row.verdict} for row in rows],
    }
    write_text(json.dumps(document, indent=1) + "\n", given.output / "limits.json")
    write_text(markdown(table(rows)), given.output / "limits.md")
    print(markdown(table(rows)))


if __name__ == "__main__":
    main()
