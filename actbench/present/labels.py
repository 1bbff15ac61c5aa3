"""What tells the cells of a run apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from actbench.bench.run import Measurement, Run

T = TypeVar("T")


def distinct(values: Iterable[T]) -> tuple[T, ...]:
    """The values without repetitions, in their order."""
    return tuple(dict.fromkeys(values))


def variants(run: Run) -> Callable[[Measurement], str]:
    """What tells a cell from its neighbours beside function, pass and size: the dtype, and what varies."""
    threads = len({m.cell.threads for m in run.cells}) > 1
    caches = len({m.cell.cache for m in run.cells}) > 1

    def variant(m: Measurement) -> str:
        parts = [m.cell.dtype]
        parts += [f"{m.cell.threads}t"] if threads else []
        parts += [m.cell.cache] if caches else []
        return " ".join(parts)

    return variant
