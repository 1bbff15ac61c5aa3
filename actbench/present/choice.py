"""Which cells of a run a picture shows: some functions, and one pass, dtype, thread count and cache state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from actbench.bench.run import Measurement, Run
from actbench.catalog.errors import UsageError
from actbench.catalog.registry import declarations
from actbench.present.labels import distinct
from actbench.wording import counted


@dataclass(frozen=True)
class Choice:
    """What all cells of a picture have in common; None where they have not, or where it is still open."""

    pass_: str | None = None
    dtype: str | None = None
    threads: int | None = None
    cache: str | None = None

    def holds(self, m: Measurement) -> bool:
        """Whether the cell is one of those."""
        cell = m.cell
        asked = (self.pass_, self.dtype, self.threads, self.cache)
        found = (cell.pass_, cell.dtype, cell.threads, cell.cache)
        return all(want in (None, have) for want, have in zip(asked, found, strict=True))

    def __str__(self) -> str:
        threads = counted(self.threads, "thread") if self.threads else None
        cache = f"{self.cache} cache" if self.cache else None
        return ", ".join(part for part in (self.pass_, self.dtype, threads, cache) if part)


OPEN = Choice()
_FIRST = {"pass_": "forward", "dtype": "float32", "cache": "warm"}
"""What is shown where nothing else is asked for and the run holds it, or else the first that it holds."""


def functions(run: Run, names: Iterable[str] = ()) -> tuple[str, ...]:
    """The functions that names, aliases, globs and families pick, or all of the run.

    Raises UsageError for what picks none that it holds, and where it holds no cells.
    """
    held = distinct(m.cell.function for m in run.cells)
    picked = {name: _picked(name, held) for name in names}
    for name, found in picked.items():
        if not found:
            raise UsageError(f"the run holds no {name}; it holds {', '.join(held) or 'no cells at all'}")
    wanted = distinct(name for found in picked.values() for name in found) or held
    if not wanted:
        raise UsageError("the run holds no cells: there is nothing to draw")
    return wanted


def _picked(pattern: str, held: Sequence[str]) -> tuple[str, ...]:
    """Those of the held functions that a name, an alias, a glob or a family picks."""
    if pattern in held:
        return (pattern,)
    if any(c in pattern for c in "*?["):
        return tuple(name for name in held if fnmatchcase(name, pattern))
    # A run may hold functions that are declared nowhere here, and be without those of a family.
    known = {d.name for d in declarations() if pattern in (f"@{d.family}", *d.aliases)}
    return tuple(name for name in held if name in known)


def only(cells: Sequence[Measurement], asked: Choice) -> tuple[Measurement, ...]:
    """The cells that are asked for; raises UsageError where there are none, and says what there is."""
    words: tuple[tuple[str, str, Callable[[Measurement], object]], ...] = (
        ("--pass", "pass_", lambda m: m.cell.pass_),
        ("--dtype", "dtype", lambda m: m.cell.dtype),
        ("--threads", "threads", lambda m: m.cell.threads),
    )
    found = tuple(cells)
    for option, field, value in words:
        want = getattr(asked, field)
        held = distinct(map(value, found))
        if want is not None and want not in held:
            raise UsageError(
                f"{option} {want}: there are no such cells to draw; there is {', '.join(map(str, held)) or 'nothing'}"
            )
        found = tuple(m for m in found if want in (None, value(m)))
    return found


def settle(cells: Sequence[Measurement], asked: Choice, *, every_pass: bool = False) -> Choice:
    """One of each that is still open: forward, float32, the fewest threads and a warm cache, where they are held.

    Raises UsageError where the cells hold nothing that was asked for.
    """
    chosen = asked
    for field in ("threads", "dtype", "pass_", "cache"):
        held = distinct(getattr(m.cell, field) for m in only(cells, chosen) if chosen.holds(m))
        if getattr(chosen, field) is None and held and not (every_pass and field == "pass_"):
            first: Any = min(held) if field == "threads" else _FIRST[field]
            changed: dict[str, Any] = {field: first if first in held else held[0]}
            chosen = replace(chosen, **changed)
    return chosen
