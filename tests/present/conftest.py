"""A run without a measurement: times that follow a formula, so that every figure can be foretold."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from actbench.bench.machine import Machine
from actbench.bench.plan import Cell
from actbench.bench.run import Measurement, Roof, Run, Skipped, load_run

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


_FLOPS = {
    "identity": 0, "step": 1, "relu": 1, "leaky_relu": 2, "prelu": 2, "rrelu": 2, "hardtanh": 2, "relu6": 2,
    "hardsigmoid": 4, "hardswish": 5, "softsign": 3, "mse": 3, "half_squared_error": 3, "quadratic_cost": 3, "mae": 3,
    "mape": 5, "hinge": 4, "quantile": 5, "huber": 7, "maxout": 1, "sigmoid": 19, "silu": 20, "swish": 21,
    "tanh": 22, "softmax": 24, "log_softmax": 26, "cross_entropy": 26, "elu": 20, "celu": 22, "selu": 22, "gelu": 31,
    "gelu_tanh": 32, "softplus": 37, "logsigmoid": 37, "mish": 40, "bce": 60, "bce_with_logits": 45, "ctc": 120,
    "ctc_with_logits": 150,
}  # fmt: skip
"""Operations an element, of about the size that the kernels have."""
PUBLISHED = Path(__file__).parents[2] / "results" / "bench" / "one-thread" / "run.json.gz"


def with_roofs(run: Run) -> Run:
    """The run with operations for its kernels, and roofs as a server of 2023 has them."""
    rates = {"L1d": 210.0, "L2": 92.0, "L3": 26.0, "memory": 11.5}
    kinds = {"copy": 1.0, "triad": 1.12, "read": 1.3}

    def times(ns: float) -> tuple[float, ...]:
        return tuple(ns * (1 + 0.002 * i) for i in range(12))

    roofs = [
        Roof(kind, 1, 2**20, times(2**20 / (rate * part)), level=level)
        for level, rate in rates.items()
        for kind, part in kinds.items()
    ]
    fma = {"float32": 152.0, "float64": 76.0}
    roofs += [Roof("fma", 1, 2**20, times(2**20 / rate), dtype=dtype) for dtype, rate in fma.items()]
    cells = tuple(replace(m, flops=float(_FLOPS.get(m.cell.function, 10))) for m in run.cells)
    return replace(run, cells=cells, roofs=tuple(roofs))


@pytest.fixture(scope="session")
def published() -> Run:
    """The published run against peers in one thread."""
    return load_run(PUBLISHED)


@pytest.fixture(scope="session")
def roofed(published) -> Run:
    """That run with roofs."""
    return with_roofs(published)


@pytest.fixture
def make_run() -> Callable[..., Run]:
    return synthetic_run
