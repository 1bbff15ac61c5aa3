"""What tells the cells of a run apart, what they have in common, and where they were measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from actbench.bench.run import Measurement, Run
from actbench.present import quantity
from actbench.wording import printable

T = TypeVar("T")
_L2 = 2**20  # bytes; where the run does not tell the size of its machine's second-level cache


def distinct(values: Iterable[T]) -> tuple[T, ...]:
    """The values without repetitions, in their order."""
    return tuple(dict.fromkeys(values))


def settings(cells: Sequence[Measurement]) -> Callable[[int, str], str]:
    """What a number of threads and a state of the cache are called where the cells differ in them, as ``2t cold``."""
    threads = len({m.cell.threads for m in cells}) > 1
    caches = len({m.cell.cache for m in cells}) > 1
    return lambda n, cache: " ".join([*([f"{n}t"] if threads else []), *([cache] if caches else [])])


def variants(run: Run) -> Callable[[Measurement], str]:
    """What tells a cell from its neighbours beside function, pass and size: the dtype, and what varies."""
    setting = settings(run.sized or run.cells)
    return lambda m: f"{m.cell.dtype} {setting(m.cell.threads, m.cell.cache)}".rstrip()


def dtypes(cells: Iterable[Measurement]) -> str:
    """The dtypes of the cells, as ``float32, float64``."""
    return ", ".join(distinct(m.cell.dtype for m in cells))


def threads(cells: Iterable[Measurement]) -> str:
    """The numbers of threads of the cells, as ``1 thread`` or ``1 and 2 threads``."""
    held = sorted({m.cell.threads for m in cells})
    return f"{' and '.join(map(str, held))} thread{'s' if held != [1] else ''}"


def span(cells: Iterable[Measurement]) -> str:
    """The sizes of the cells, as ``1000 elements`` or ``3 sizes, 1000 to 1Mi elements``."""
    sizes = sorted({m.cell.size for m in cells})
    if len(sizes) == 1:
        return f"{quantity.elements(sizes[0])} elements"
    return f"{len(sizes)} sizes, {quantity.elements(sizes[0])} to {quantity.elements(sizes[-1])} elements"


def cached(run: Run, cells: Iterable[Measurement]) -> int | None:
    """The largest size at which all of the cells stay in the second-level cache; None where there is none."""
    worst: dict[int, int] = {}
    for m in cells:
        worst[m.cell.size] = max(worst.get(m.cell.size, 0), m.bytes)
    held = run.machine.caches.get("L2", _L2)
    return max((size for size, moved in worst.items() if moved <= held), default=None)


def processor(run: Run) -> str:
    """What the run was measured on, by the name of its CPU where it tells one."""
    return printable(run.machine.cpu or run.machine.architecture or "an unknown machine")
