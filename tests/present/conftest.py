"""A run without a measurement: times that follow a formula, so that every figure can be foretold."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from actbench.bench.machine import Machine
from actbench.bench.plan import Cell
from actbench.bench.run import Measurement, Run, Skipped, load_run

MACHINE = Machine(cpu="Test CPU", cores=2, caches={"L1d": 2**15, "L2": 2**21, "L3": 2**25})


def synthetic_run(
    functions: Sequence[str] = ("relu", "gelu"),
    *,
    sizes: Sequence[int] = (2**12, 2**16, 2**20),
    dtypes: Sequence[str] = ("float32", "float64"),
    passes: Sequence[str] = ("forward", "backward"),
    threads: Sequence[int] = (1,),
    caches: Sequence[str] = ("warm",),
    ceiling: bool = True,
    flags: Sequence[str] = (),
    skipped: int = 0,
) -> Run:
    """Every cell takes 50 ns and 0.1 ns a byte, give or take 1 %; the ceiling half of that."""
    noise = random.Random(0)

    def times(ns: float) -> tuple[float, ...]:
        return tuple(ns * (1 + 0.01 * noise.random()) for _ in range(12))

    cells = []
    for function in functions:
        for pass_ in passes:
            for dtype in dtypes:
                for size in sizes:
                    for thread_count in threads:
                        for cache in caches:
                            moved = size * int(dtype[-2:]) // 8 * (2 if pass_ == "forward" else 3)
                            cells.append(
                                Measurement(
                                    Cell(function, pass_, dtype, size, thread_count, cache),
                                    elements=size,
                                    bytes=moved,
                                    samples_ns=times(50 + 0.1 * moved),
                                    loops=10,
                                    overhead_ns=20.0,
                                    ceiling_ns=times(25 + 0.05 * moved) if ceiling else (),
                                    ceiling=("copy" if pass_ == "forward" else "triad") if ceiling else "",
                                    compile_s=0.5,
                                    flags=tuple(flags),
                                )
                            )
    return Run(
        schema=1,
        created="2025-01-02T03:04:05Z",
        command="actbench bench relu gelu",
        config={},
        machine=MACHINE,
        versions={"python": "3.11", "numpy": "2.0", "numba": "0.61", "llvmlite": None},
        input=None,
        cells=tuple(cells),
        skipped=tuple(Skipped(f"huge/forward/float32/{i}/1t/warm", "needs 1 PiB") for i in range(skipped)),
        complete=True,
    )


PUBLISHED = Path(__file__).parents[2] / "results" / "bench" / "one-thread" / "run.json.gz"


@pytest.fixture(scope="session")
def published() -> Run:
    """The published run against peers in one thread."""
    return load_run(PUBLISHED)


@pytest.fixture
def make_run() -> Callable[..., Run]:
    return synthetic_run
