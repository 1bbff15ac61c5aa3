"""A gate as a job: find what both sides have, measure it, and say what disturbed it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actbench.bench.config import Config, holds
from actbench.bench.gating.decision import Rule
from actbench.bench.gating.gate import Event, Gate, Key, Options
from actbench.bench.gating.pairing import Injection, sweep
from actbench.bench.gating.process import describe
from actbench.bench.gating.record import BROKEN, Judgement, Outcome, Report, Version
from actbench.bench.gating.side import Side, working_tree
from actbench.bench.machine import now, this_machine
from actbench.bench.plan import Cell, expand
from actbench.bench.system import SYSTEM, usable_cpus
from actbench.bench.watch import Interval, Moment, grown, moment
from actbench.catalog.errors import ActbenchError, UnknownFunction, UsageError
from actbench.peers.base import PASSES as COMPARED
from actbench.wording import suggestion

STOLEN = 0.02
"""The part of the CPUs' time that a hypervisor may give to others before a slowdown is no longer believed."""

_UNUSED = ("against", "cache", "rounds", "roofline", "output")
"""What a configuration says of runs alone."""


@dataclass(frozen=True)
class Known:
    """A function as a side has it."""

    name: str
    family: str
    passes: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    signature: str = ""
    declared: bool = False  # in the user's own file
    origin: str = ""  # the file that declares it


def run(
    base: Side,
    head: Side,
    config: Config,
    names: Sequence[str],
    *,
    command: str,
    peers: Sequence[str] = (),
    everything: bool = False,
    every: bool = False,
    inject: Callable[[Sequence[Cell]], Injection] = lambda cells: Injection(),
    progress: Callable[[Event], None] = lambda event: None,
) -> Report:
    """The report of a gate of the functions that names, globs and families pick on either side.

    Without names it is about what the user's files declare, on either side; about all that either has where there are
    no files, or for ``every``. Raises SideError where a side cannot be imported, UnknownFunction for a name that
    neither side has, UsageError where no cell is left.
    """
    sweep()
    begun = _moment()
    cpus = _cpus(config)
    described = describe([base, head], cpus, config.timeout)
    sides = {name: _known(found) for name, found in described.items()}
    picked = _picked(sides["head"], sides["base"], names, every)
    keys, lone = _plan(sides["base"], sides["head"], config, picked, peers)
    families = {f.name: f.family for side in ("base", "head") for f in sides[side].values()}
    config.check_thresholds(families)
    injection = inject([key.cell for key in keys])
    options = Options(
        1e9 * config.slice, cpus, config.seed, config.timeout, everything, config.budget, injection
    )

    def watch() -> Callable[[], str]:
        before = _moment()
        return lambda: _stopped(Interval(before, _moment(), cpus))

    gate = Gate(base, head, options, time.perf_counter_ns, progress, watch)
    found = gate.run(
        keys,
        lambda key: Rule(config.threshold_of(key.cell.function, families)),
        lambda key: families[key.cell.function],
    )
    watched = Interval(begun, _moment(), cpus)
    origins = _origins(sides["head"], head)
    return Report(
        command=command,
        created=now(),
        seconds=round((watched.after.ns - begun.ns) / 1e9, 1),
        machine=this_machine(),
        base=Version(base.label, described["base"]["versions"]),
        head=Version(head.label, described["head"]["versions"]),
        config=_recorded(config, names),
        judgements=tuple(
            replace(j, origin=origins.get(j.cell.function, "")) if j.cell else j
            for j in (*found.judgements, *lone)
        ),
        disturbed=tuple(filter(None, (found.drift, _stolen(watched)))),
        controls=found.controls,
        pairs=found.pairs,
        injected=tuple(sorted(injection.cells)),
    )


def _origins(known: Mapping[str, Known], head: Side) -> Mapping[str, str]:
    """The files of head's repository that declare functions, by these; not of those that lie elsewhere."""
    top = working_tree(head.tree) if head.tree else None
    paths = {name: Path(function.origin) for name, function in known.items()}
    return {
        name: path.relative_to(top).as_posix()
        for name, path in paths.items()
        if top is not None and path.is_relative_to(top)
    }


def failed(
    error: ActbenchError,
    labels: tuple[str, str],
    config: Config,
    names: Sequence[str],
    *,
    command: str,
) -> Report:
    """The report of a gate that measured nothing, because a side cannot be built or imported."""
    return Report(
        command=command,
        created=now(),
        seconds=0.0,
        machine=this_machine(),
        base=Version(labels[0] or "as installed", {}),
        head=Version(labels[1] or "as installed", {}),
        config=_recorded(config, names),
        judgements=(),
        fault=str(error),
        broken=error.exit_code == BROKEN,
    )


def _moment() -> Moment:
    return moment(SYSTEM, time.perf_counter_ns, time.process_time_ns)


def _recorded(config: Config, names: Sequence[str]) -> Mapping[str, Any]:
    """What of a configuration a gate goes by."""
    used = {key: value for key, value in config.record().items() if key not in _UNUSED}
    return {"function": list(names), **used, "threshold": dict(config.threshold)}


def _cpus(config: Config) -> tuple[int, ...]:
    """The CPUs that both sides run on; raises UsageError where a thread would have none."""
    usable = sorted(usable_cpus())
    most = max(config.threads)
    if most > len(usable):
        raise UsageError(f"--threads {most}: there are {len(usable)} CPUs to use")
    # The last ones: what else runs on a machine prefers the first, and the gate itself needs one of its own.
    return tuple(usable[-most:])


def _known(described: Mapping[str, Any]) -> Mapping[str, Known]:
    return {
        name: Known(
            name,
            about["family"],
            tuple(about["passes"]),
            tuple(about["aliases"]),
            about["signature"],
            about["declared"],
            about["origin"],
        )
        for name, about in described["functions"].items()
    }


def _picked(
    head: Mapping[str, Known], base: Mapping[str, Known], patterns: Sequence[str], every: bool
) -> list[str]:
    """The names of the functions of either side that are meant, head's first."""
    either = {**base, **head}
    order = [*head, *(name for name in base if name not in head)]
    if not patterns:
        declared = [
            name for name in order if any(name in side and side[name].declared for side in (head, base))
        ]
        return declared if declared and not every else order
    found: list[str] = []
    families = {name: known.family for name, known in either.items()}
    for pattern in patterns:
        if pattern.startswith("@") or any(c in pattern for c in "*?["):
            fits = [name for name in order if holds(pattern, name, families)]
        else:
            fits = [name for name in order if pattern == name or pattern in either[name].aliases]
        if not fits:
            known = {*families, *(f"@{family}" for family in families.values())}
            raise UnknownFunction(
                f"neither side has a function {pattern!r}{suggestion(pattern, known, 'see actbench list')}"
            )
        found += fits
    return list(dict.fromkeys(found))


def _plan(
    base: Mapping[str, Known],
    head: Mapping[str, Known],
    config: Config,
    wanted: Sequence[str],
    peers: Sequence[str],
) -> tuple[list[Key], list[Judgement]]:
    """The cells that both sides have alike, and what only one of them has, or has so."""
    if "cold" in config.caches:
        raise UsageError("cache = cold: a gate measures warm caches alone")
    cells = {
        which: {cell.key: cell for cell in _cells([side[name] for name in wanted if name in side], config)}
        for which, side in (("base", base), ("head", head))
    }
    alone = [
        *_lone("added", "head", cells["head"], cells["base"]),
        *_lone("removed", "base", cells["base"], cells["head"]),
    ]
    both = []
    for key, cell in cells["head"].items():
        if key in cells["base"]:
            was, is_now = base[cell.function].signature, head[cell.function].signature
            if was == is_now:
                both.append(cell)
            else:
                changed = f"its signature changed: {was} is now {is_now}"
                alone.append(Judgement("inconclusive", cell, head[cell.function].family, reason=changed))
    if peers:
        keys = [Key(cell, peer) for peer in peers for cell in both if cell.pass_ in COMPARED]
    else:
        keys = [Key(cell) for cell in both]
    if not keys and not alone:
        raise UsageError(f"no cell is left: {', '.join(config.passes)} of {', '.join(wanted)}")
    return keys, alone


def _lone(
    outcome: Outcome, side: str, cells: Mapping[str, Cell], others: Mapping[str, Cell]
) -> list[Judgement]:
    """What only one side has."""
    return [
        Judgement(outcome, cell, reason=f"only {side} has it")
        for key, cell in cells.items()
        if key not in others
    ]


def _cells(functions: Sequence[Known], config: Config) -> tuple[Cell, ...]:
    return expand(functions, config.model_copy(update={"against": ()})).cells if functions else ()


def _stolen(watched: Interval) -> str:
    """What the machine's counters say against believing in any slowdown."""
    if watched.stolen is not None and watched.stolen > STOLEN:
        return f"the hypervisor gave {100 * watched.stolen:.1f} % of the CPUs' time to others"
    return ""


def _stopped(watched: Interval) -> str:
    """What they say against a single sample."""
    if grown(watched.before.throttled, watched.after.throttled):
        return "a CPU quota stopped the processes while they were timed"
    if watched.hot:
        return "a CPU was throttled for heat while it was timed"
    return ""
