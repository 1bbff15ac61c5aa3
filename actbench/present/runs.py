"""A benchmark run as tables, Markdown and CSV.

A run against peers leads with how it stands beside them; every cell's own speed is in the full table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from actbench.bench.comparison import providers
from actbench.bench.run import Measurement, Run
from actbench.bench.statistics import ADVICE
from actbench.present import quantity, roofs, table, versus
from actbench.present.calls import NAMES, calls
from actbench.present.fitting import Words
from actbench.present.labels import cached, distinct, threads, variants
from actbench.present.table import Column, Table
from actbench.wording import counted

if TYPE_CHECKING:
    from rich.console import RenderableType

FEW = 24
"""Up to so many cells the terminal shows each; beyond, a line a function."""
_SHOWN = 5
"""So many mismatches and skipped cells the terminal names."""
_MARKS = {"unstable": "~", "multimodal": "~", "clock-tied": "!", "call-bound": "!"}


def _per_element(m: Measurement | None) -> str:
    if m is None:
        return "-"
    part = 1 if m.cell.size == 1 else m.elements  # one element tells what a call costs
    low, high = (end / part for end in m.interval_ns)
    mark = "".join(distinct(_MARKS[flag] for flag in m.flags if flag in _MARKS))
    return mark + quantity.known(m.median_ns / part, low, high)


def _share(m: Measurement | None) -> str:
    share = m.share if m and m.cell.size > 1 else None
    return quantity.percent(share.value) if share else "-"


def _advice(cells: Iterable[Measurement]) -> str:
    """A line for each flag raised, with what mends it."""
    raised = Counter(flag for m in cells for flag in m.flags)
    return "\n".join(
        f"{_MARKS.get(flag, '')} {flag} ({counted(n, 'cell')}): {ADVICE.get(flag, '')}".strip()
        for flag, n in raised.items()
    )


def _told(run: Run) -> tuple[Measurement, ...]:
    """The cells that tell of speed; where there are none, those that tell what a call costs."""
    return run.sized or run.calls


def _conditions(run: Run) -> str:
    """What all cells have in common, and what is missing."""
    cells = _told(run)
    caches = {m.cell.cache for m in cells}
    parts = [counted(len(cells), "cell")]
    if len({m.cell.threads for m in cells}) == 1:
        parts.append(threads(cells))
    if len(caches) == 1:
        parts.append(f"{next(iter(caches))} cache")
    parts += [f"{len(run.skipped)} skipped"] if run.skipped else []
    parts += [] if run.complete else ["unfinished"]
    return ", ".join(parts)


def machine(run: Run) -> str:
    """The machine and the versions in one line."""
    m = run.machine
    known = [m.cpu, f"{m.cores} cores" if m.cores else None]
    versions = [f"{name} {v}" for name, v in run.versions.items() if v and name != "llvmlite"]
    versions += [
        f"{name} {d.version}" for name, d in run.peers.items() if name not in run.versions and not d.fault
    ]
    return ", ".join([part for part in known if part] + versions)


def details(run: Run) -> Table:
    """Every cell that tells of speed on a line; where there are none, every call on one element."""
    variant = variants(run)
    return Table(
        "",
        (
            Column("function", align="left"),
            Column("pass", align="left"),
            Column("dtype", align="left"),
            Column("size"),
            Column("time", "ns/element" if run.sized else "ns/call"),
            Column("throughput", "GB/s"),
            Column("of ceiling", "%"),
        ),
        tuple(
            (
                m.cell.function,
                m.cell.pass_,
                variant(m),
                quantity.elements(m.cell.size),
                _per_element(m),
                quantity.number(m.gb_per_s) if m.cell.size > 1 else "-",
                _share(m),
            )
            for m in _told(run)
        ),
        "\n".join(filter(None, (_conditions(run), _advice(_told(run))))),
    )


def summary(run: Run) -> Table:
    """Every cell where they are few, else a line for each function and dtype.

    Such a line holds forward and backward, each at the largest size that stays in the second-level
    cache and at the largest of all, in ns/element, and the share of the ceiling at the last one.
    """
    if len(run.sized) <= FEW:
        return details(run)
    variant = variants(run)
    passes = distinct(m.cell.pass_ for m in run.sized)
    passes = tuple(p for p in passes if p != "derivative") or passes
    places = sizes(run)
    cells = {(m.cell.function, variant(m), m.cell.pass_, m.cell.size): m for m in run.sized}
    rows = []
    for function, which in distinct((m.cell.function, variant(m)) for m in run.sized):
        found = {
            (pass_, where): _at(cells, function, which, pass_, wanted)
            for pass_ in passes
            for where, wanted in places.items()
        }
        last = found[passes[0], tuple(places)[-1]]
        rows.append((function, which, *map(_per_element, found.values()), _share(last)))
    columns = (
        Column("function", align="left"),
        Column("dtype", align="left"),
        *(Column(f"{pass_}\n{where}", "ns/el.") for pass_ in passes for where in places),
        Column("of ceiling", "%"),
    )
    caption = (
        f"{_conditions(run)}; of ceiling: {passes[0]} at {quantity.elements(tuple(places.values())[-1])} elements",
        _advice(run.sized),
    )
    return Table("", columns, tuple(rows), "\n".join(filter(None, caption)))


def sizes(run: Run) -> dict[str, int]:
    """The sizes that the summary shows, by what a reader calls them."""
    largest = max(m.cell.size for m in run.sized)
    inner = cached(run, [m for m in run.sized if m.cell.size < largest])
    sizes = {quantity.elements(inner): inner} if inner else {}
    return sizes | {quantity.elements(largest): largest}


def _at(
    cells: dict[tuple[str, str, str, int], Measurement], function: str, which: str, pass_: str, size: int
) -> Measurement | None:
    return cells.get((function, which, pass_, size))


def terminal(run: Run) -> RenderableType:
    """The summary for a rich console; for a run against peers, the comparison in its place."""
    from rich.console import Group
    from rich.text import Text

    tables: tuple[Table, ...] = (summary(run),)
    if _against(run) and run.sized:
        cells = versus.duels(run) if len(run.sized) <= FEW else (versus.by_function(run),)
        tables = (*cells, versus.standings(run))
    if _against(run) and run.calls:
        tables = (*(tables if run.sized else ()), versus.calls(run))
    if run.roofs:
        tables = (*tables, roofs.roofs(run))
    mismatches = versus.mismatches(run)
    lines = [*mismatches[:_SHOWN], *(f"skipped {s.cell}: {s.reason}" for s in run.skipped[:_SHOWN])]
    parts = [part for t in tables for part in (table.terminal(t), Text())]
    return Group(Words(machine(run), "dim"), *parts[:-1], *map(Words, lines))


def _against(run: Run) -> bool:
    return bool(providers(run.cells))


def markdown(run: Run) -> str:
    """The summary, and every cell folded away below it; for a run against peers, the comparison before both."""
    head = f"{machine(run)}; {run.created}\n\n`{run.command}`\n\n"
    if _against(run):
        if run.sized:
            head += f"{table.markdown(versus.standings(run))}\n{table.markdown(versus.by_function(run))}\n"
        head += f"{table.markdown(versus.calls(run))}\n" if run.calls else ""
        if run.sized:
            head += _folded(f"Every call in {counted(len(run.sized), 'cell')}", versus.everything(run)) + "\n"
        head += _folded("The libraries, their builds and threads", versus.libraries(run)) + "\n"
        notes = versus.notes(run)
        head += _folded("What was not timed, and where calls differ", notes) + "\n" if notes.rows else ""
    if run.roofs:
        head += f"{table.markdown(roofs.roofs(run))}\n{table.markdown(roofs.bounded(run))}\n"
    if len(run.sized) <= FEW:
        return head + table.markdown(details(run))
    return f"{head}{table.markdown(summary(run))}\n" + _folded(f"All {len(run.sized)} cells", details(run))


def _folded(title: str, content: Table) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{table.markdown(content)}\n</details>\n"


def csv_rows(run: Run) -> list[Sequence[object]]:
    """Every cell with every metric in full precision, and below each the whole calls that were timed beside it.

    The first row names the metrics, None is an empty field; the provider of a cell itself is "kernel".
    """
    return [list(NAMES), *([call.figures.get(name) for name in NAMES] for call in calls(run))]


def csv(run: Run) -> str:
    """``csv_rows`` as text."""
    return table.csv_text(csv_rows(run))
