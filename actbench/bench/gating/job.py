"""A gate as a job: build both sides, find what both have, measure, and say what disturbed it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from actbench.bench.clock import Timer
from actbench.bench.config import Config
from actbench.bench.gating.decision import Rule
from actbench.bench.gating.gate import Event, Gate, Key, Options
from actbench.bench.gating.pairing import Injection, Pair
from actbench.bench.gating.record import Judgement, Outcome, Report, Version
from actbench.bench.gating.side import INSTALLED, Side, other_needs
from actbench.bench.machine import Machine, this_machine
from actbench.bench.plan import Cell, expand
from actbench.bench.system import SYSTEM, System, usable_cpus
from actbench.bench.watch import Interval, grown, moment
from actbench.catalog.errors import UsageError
from actbench.peers.base import PASSES as COMPARED

STOLEN = 0.02
"""The part of the CPUs' time that a hypervisor may give to others before a slowdown is no longer believed."""


@dataclass(frozen=True)
class Known:
    """A function as a side has it."""

    name: str
    kind: str
    family: str
    passes: tuple[str, ...]


def run(
    base: Side,
    head: Side,
    config: Config,
    names: Sequence[str],
    *,
    command: str,
    peers: Sequence[str] = (),
    everything: bool = False,
    inject: Callable[[Sequence[Cell]], Injection] = lambda cells: Injection(),
    progress: Callable[[Event], None] = lambda event: None,
    machine: Machine | None = None,
    system: System = SYSTEM,
    timer: Timer = time.perf_counter_ns,
    own: Timer = time.process_time_ns,
) -> Report:
    """The report of a gate of the named functions, or of all that either side has where none is named.

    Raises SideError where a side cannot be imported, UsageError where no cell is left.
    """
    begun = timer()
    created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    usable = sorted(usable_cpus())
    # The last ones: what else runs on a machine prefers the first, and the gate itself needs one of its own.
    cpus = tuple(usable[-max(config.threads) :])
    with Pair(base, head, cpus, Random(config.seed), config.timeout, timer) as pair:
        described = pair.described
    sides = {name: _known(found) for name, found in described.items()}
    keys, lone = _plan(sides["base"], sides["head"], config, names, peers)
    injection = inject([key.cell for key in keys])
    options = Options(1e9 * config.slice, cpus, config.seed, config.timeout, everything, injection)
    gate = Gate(base, head, options, timer, progress)
    before = moment(system, timer, own)
    families = {f.name: f.family for f in sides["head"].values()}
    found = gate.run(
        keys,
        lambda key: Rule(config.threshold_of(key.cell.function, families)),
        lambda key: families[key.cell.function],
    )
    watched = Interval(before, moment(system, timer, own), cpus)
    return Report(
        command=command,
        created=created,
        seconds=round((timer() - begun) / 1e9, 1),
        machine=machine or this_machine(),
        base=Version(base.label, described["base"]["versions"]),
        head=Version(head.label, described["head"]["versions"]),
        config={"function": list(names), **config.record(), "threshold": dict(config.threshold)},
        judgements=(*found.judgements, *lone),
        disturbed=tuple(filter(None, (found.drift, *_disturbances(watched)))),
        notes=tuple(filter(None, [other_needs(base, head)])),
        pairs=found.pairs,
        injected=tuple(sorted(injection.cells)),
    )


def _known(described: Mapping[str, Any]) -> Mapping[str, Known]:
    return {
        name: Known(name, about["kind"], about["family"], tuple(about["passes"]))
        for name, about in described["functions"].items()
    }


def _plan(
    base: Mapping[str, Known],
    head: Mapping[str, Known],
    config: Config,
    names: Sequence[str],
    peers: Sequence[str],
) -> tuple[list[Key], list[Judgement]]:
    """The cells that both sides have, and what only one of them has."""
    wanted = list(names) or [*head, *(name for name in base if name not in head)]
    nowhere = [name for name in wanted if name not in head and name not in base]
    if nowhere:
        raise UsageError(f"neither side has a function {nowhere[0]!r}")
    cells = {
        which: {cell.key: cell for cell in _cells([side[name] for name in wanted if name in side], config)}
        for which, side in (("base", base), ("head", head))
    }
    alone = [
        *_lone("added", "head", cells["head"], cells["base"]),
        *_lone("removed", "base", cells["base"], cells["head"]),
    ]
    both = [cell for key, cell in cells["head"].items() if key in cells["base"]]
    if peers:
        keys = [Key(cell, peer) for peer in peers for cell in both if cell.pass_ in COMPARED]
    else:
        keys = [Key(cell) for cell in both]
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


def _disturbances(watched: Interval) -> list[str]:
    """What the machine's counters say against believing in a slowdown."""
    found = []
    if watched.stolen is not None and watched.stolen > STOLEN:
        found.append(f"the hypervisor gave {100 * watched.stolen:.1f} % of the CPUs' time to others")
    stopped = grown(watched.before.throttled, watched.after.throttled)
    if stopped:
        found.append(f"a CPU quota stopped the processes {stopped} times")
    if watched.hot:
        found.append(f"a CPU was throttled for heat {watched.hot} times")
    return found


def sources(
    base: str | None, head: str | None, base_python: str | None, tree: Path | None
) -> tuple[str, str]:
    """What base and head are taken from: of what the user did not say, the most likely."""
    if base is None and base_python is None:
        raise UsageError("--base REV, WHEEL or DIR, or --base-python PYTHON: what is the head compared with?")
    return base or INSTALLED, head or (str(tree) if tree and base else INSTALLED)
