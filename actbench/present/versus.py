"""A run beside its peers: who is faster where, by how much, and what could not be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actbench.bench import statistics
from actbench.bench.comparison import Comparison, Verdict, closest, geometric_mean, providers
from actbench.bench.run import Contender, Measurement, Run
from actbench.bench.statistics import ADVICE
from actbench.present import quantity
from actbench.present.labels import distinct, dtypes, settings, span, threads, variants
from actbench.present.table import Column, Table
from actbench.wording import counted

BEST = "best of them"
"""Against whom a standing is that takes the hardest peer of every cell."""
VERDICTS: tuple[Verdict, ...] = ("ahead", "same", "behind")
_MEANING = (
    "ratio: the peer's time by actbench's, both allocating or both given out=; above 1 actbench is faster"
)


@dataclass(frozen=True)
class Standing:
    """How we stand beside a peer in one pass, number of threads and state of the cache."""

    peer: str  # BEST for the hardest of each cell
    pass_: str
    threads: int
    cache: str
    cells: int  # that were compared
    ahead: int
    same: int
    behind: int
    mean: float | None  # geometric, of the ratios; None where nothing was compared


def standing(run: Run) -> tuple[Standing, ...]:
    """How we stand beside each peer, and beside the hardest of every cell, over all functions, dtypes and sizes."""
    found = []
    for group in distinct((m.cell.pass_, m.cell.threads, m.cell.cache) for m in run.sized):
        cells = [m for m in run.sized if (m.cell.pass_, m.cell.threads, m.cell.cache) == group]
        found += [_standing(peer, group, [closest(m, peer) for m in cells]) for peer in providers(cells)]
        found.append(_standing(BEST, group, [closest(m) for m in cells]))
    return tuple(found)


def _standing(peer: str, group: tuple[str, int, str], found: Sequence[Comparison | None]) -> Standing:
    compared = [c for c in found if c]
    verdicts = Counter(c.verdict for c in compared)
    mean = geometric_mean([c.ratio.value for c in compared]) if compared else None
    ahead, same, behind = (verdicts[verdict] for verdict in VERDICTS)
    return Standing(peer, *group, len(compared), ahead, same, behind, mean)


def standings(run: Run) -> Table:
    """A line for each of ``standing``: how often ahead, and the mean ratio."""
    setting = settings(run.sized)
    rows = tuple(
        (
            *(s.peer, f"{s.pass_} {setting(s.threads, s.cache)}".rstrip(), str(s.cells)),
            *(str(getattr(s, verdict)) for verdict in VERDICTS),
            quantity.number(s.mean),
        )
        for s in standing(run)
    )
    columns = (
        Column("against", align="left"),
        Column("pass", align="left"),
        Column("cells"),
        *(Column(verdict) for verdict in VERDICTS),
        Column("geometric mean", "ratio"),
    )
    caption = f"{_MEANING}; same: the 95 % interval holds 1"
    if run.sized:
        caption += f"; a line pools all functions in {dtypes(run.sized)} at {span(run.sized)}"
    return Table("", columns, rows, caption)


def duels(run: Run) -> tuple[Table, ...]:
    """A table for each pass, every cell on a line: ours, the peer that is hardest on us, and their ratio."""
    variant = variants(run)
    columns = (
        *(Column(title, align="left") for title in ("function", "dtype")),
        Column("size"),
        Column("actbench", "ns/el."),
        Column("best peer", "ns/el.", align="left", wrap=False),
        Column("ratio", "95 %"),
    )
    tables = []
    for pass_ in distinct(m.cell.pass_ for m in run.sized):
        cells = [m for m in run.sized if m.cell.pass_ == pass_]
        rows = tuple(
            (m.cell.function, variant(m), quantity.elements(m.cell.size), *_duel(m, closest(m)))
            for m in cells
        )
        timed = [c for m in cells if (found := closest(m)) for c in (found.ours, found.peer)]
        tables.append(Table(pass_, columns, rows, _advice(timed)))
    return tuple(tables)


def _duel(m: Measurement, best: Comparison | None) -> tuple[str, str, str]:
    if best is None:
        return "-", "-", "-"
    return _time(best.ours, m), f"{_time(best.peer, m)} {best.peer.label}", _ratio(best)


def by_function(run: Run) -> Table:
    """A line for each function and dtype: the ratio to the best peer, its mean over the cells and the least."""
    variant = variants(run)
    passes = [p for p in distinct(m.cell.pass_ for m in run.sized) if _compared(run.sized, p)]
    rows = []
    for function, which in distinct((m.cell.function, variant(m)) for m in run.sized):
        cells = [m for m in run.sized if (m.cell.function, variant(m)) == (function, which)]
        found = [_compared(cells, pass_) for pass_ in passes]
        if any(found):
            figures = [text for ratios in found for text in _mean_and_least(ratios)]
            rows.append((function, which, *figures, _counts([len(ratios) for ratios in found])))
    columns = (
        Column("function", align="left"),
        Column("dtype", align="left"),
        *(Column(f"{pass_}\n{what}", "ratio") for pass_ in passes for what in ("mean", "least")),
        Column("sizes"),
    )
    caption = "mean: geometric, over the sizes that were compared, each against the best peer there"
    return Table("", columns, tuple(rows), caption)


def _compared(cells: Iterable[Measurement], pass_: str) -> list[float]:
    found = (closest(m) for m in cells if m.cell.pass_ == pass_)
    return [c.ratio.value for c in found if c]


def _counts(each: Sequence[int]) -> str:
    """How many there are of each pass, said once where they are as many in all."""
    return "/".join(map(str, each if len({*each}) > 1 else each[:1]))


def _mean_and_least(ratios: Sequence[float]) -> tuple[str, str]:
    if not ratios:
        return "-", "-"
    return quantity.number(geometric_mean(ratios)), quantity.number(min(ratios))


def libraries(run: Run) -> Table:
    """The build of every library, ours and those of the peers, and what each makes of subnormal numbers."""
    titles = ("library", "version", "build", "threads set by", "vector instructions", "subnormals")
    ours = [(name, v, "", "", "", "") for name, v in run.versions.items() if v and name not in run.peers]
    peers = [
        (name, d.version, f"left out: {d.fault}" if d.fault else d.build, d.threads, d.vector, d.subnormals)
        for name, d in run.peers.items()
    ]
    return Table("", tuple(Column(title, align="left") for title in titles), (*ours, *peers))


def calls(run: Run) -> Table:
    """What a call on one element costs each provider: a line for each kind of call, the median over the cells.

    A call whose values are not ours is left out.
    """
    passes = distinct(m.cell.pass_ for m in run.calls)
    found: dict[str, dict[str, list[float]]] = {}
    for m in run.calls:
        for c in m.contenders:
            if c.samples_ns and not c.mismatch:
                found.setdefault(c.label, {}).setdefault(m.cell.pass_, []).append(c.median_ns)
    rows = []
    for label, by_pass in found.items():
        each = [by_pass.get(pass_, []) for pass_ in passes]
        figures = [text for times in each for text in _middle_and_ends(times)]
        rows.append((label, *figures, _counts(list(map(len, each)))))
    columns = (
        Column("a call on one element", align="left"),
        *(Column(f"{pass_}\n{what}", "us") for pass_ in passes for what in ("median", "range")),
        Column("cells"),
    )
    caption = (
        f"median: over the functions, of each call's median; {dtypes(run.calls)}, {threads(run.calls)}"
        if rows
        else ""
    )
    return Table("", columns, tuple(rows), caption)


def _middle_and_ends(times_ns: Sequence[float]) -> tuple[str, str]:
    if not times_ns:
        return "-", "-"
    middle, low, high = (
        quantity.number(t / 1000) for t in (statistics.median(times_ns).value, min(times_ns), max(times_ns))
    )
    return middle, low if low == high else f"{low}..{high}"


def everything(run: Run) -> Table:
    """Every cell that tells of speed on a line with every call that was timed in it."""
    variant = variants(run)
    labels = distinct(c.label for m in run.sized for c in m.contenders if c.samples_ns)
    rows = []
    for m in run.sized:
        timed = {c.label: _time(c, m) for c in m.contenders if c.samples_ns}
        rows.append(
            (
                *(m.cell.function, m.cell.pass_, variant(m), quantity.elements(m.cell.size)),
                *(timed.get(label, "-") for label in labels),
                _ratio(closest(m)),
            )
        )
    columns = (
        *(Column(title, align="left") for title in ("function", "pass", "dtype")),
        Column("size"),
        *(Column(label, "ns/el.") for label in labels),
        Column("ratio"),
    )
    return Table("", columns, tuple(rows), _advice(c for m in run.sized for c in m.contenders))


def _advice(contenders: Iterable[Contender]) -> str:
    """What the mark of times means, for those that have it."""
    raised = Counter(flag for c in contenders for flag in c.flags)
    return "\n".join(f"~ {flag} ({counted(n, 'call')}): {ADVICE[flag]}" for flag, n in raised.items())


def notes(run: Run) -> Table:
    """Why a peer was not timed, or where its call differs from ours: a line for each reason."""
    cells: dict[tuple[str, str, bool], list[str]] = {}
    for m in run.cells:
        for c in m.contenders:
            if c.note:
                cells.setdefault((c.provider, c.note, not c.samples_ns), []).append(m.cell.function)
    rows = tuple(
        (
            provider,
            "not timed" if untimed else "timed",
            note,
            ", ".join(distinct(functions)),
            str(len(functions)),
        )
        for (provider, note, untimed), functions in cells.items()
    )
    titles = ("peer", "", "why", "functions")
    return Table("", (*(Column(t, align="left") for t in titles), Column("cells")), rows)


def mismatches(run: Run) -> list[str]:
    """A line for each peer and function whose values are not ours."""
    return [
        f"mismatch {c.provider} {m.cell.key}: {c.note}" for m in run.cells for c in m.contenders if c.mismatch
    ]


def _time(contender: Contender, m: Measurement) -> str:
    found = statistics.median(contender.samples_ns)
    value, low, high = (v / m.elements for v in (found.value, found.low, found.high))
    return f"{'~' if contender.flags else ''}{quantity.known(value, low, high)}"


def _ratio(comparison: Comparison | None) -> str:
    if comparison is None:
        return "-"
    if comparison.verdict == "same":
        return "same"
    r = comparison.ratio
    return f"{quantity.known(r.value, r.low, r.high)} ({quantity.interval(r.low, r.high, 2)})"
