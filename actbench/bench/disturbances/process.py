"""How this process is set up: threads, CPUs, arithmetic."""

from __future__ import annotations

import re

from actbench.bench.disturbances.evidence import Check, Evidence, Finding
from actbench.wording import counted

_POOLS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
_COMMON_POOLS = _POOLS[:4]


def _threads(e: Evidence) -> Finding:
    effect = (
        "Threads that outnumber the CPUs take turns: a gelu of PyTorch over 2^20 elements took 0.43 ms in 4 threads "
        "on 2 CPUs, and 0.27 in 2."
    )
    if not e.cpus:
        return Finding("threads", "unknown", None, effect=effect)
    quota = e.system.quota()
    room = max(1, min(len(e.cpus), int(quota.cpus) if quota else len(e.cpus)))
    wanted = {name: count for name in _POOLS if (count := _count(e.environment.get(name, "")))}
    # Where nothing is said, a pool has a thread for each CPU; none looks at quotas.
    wanted |= {name: len(e.cpus) for name in _COMMON_POOLS if name not in wanted and room < len(e.cpus)}
    many = {name: count for name, count in wanted.items() if count > room}
    given = ", ".join(
        f"{name}={e.environment[name]}" if name in e.environment else f"{name} unset"
        for name in many or wanted
    )
    return Finding(
        "threads",
        "disturbs" if many else "fine",
        max(wanted.values(), default=len(e.cpus)),
        "threads",
        f"for {counted(room, 'CPU')}" + (f": {given}" if given else ""),
        effect,
        f"export {' '.join(f'{name}={room}' for name in many)}" if many else "",
    )


def _count(text: str) -> int | None:
    """The number of threads that a variable means; OpenMP's has one for each level of nesting."""
    match = re.match(r"\s*([1-9]\d{0,8})\s*(,|$)", text)
    return int(match[1]) if match else None


def _affinity(e: Evidence) -> Finding:
    effect = "Memory of another node is further away: a process that moves there meets two speeds of the same buffer."
    online = len(e.during.after.ticks)
    if not e.cpus or not online:
        return Finding("affinity", "unknown", None, effect=effect)
    nodes = [
        node.rpartition("node")[2]
        for node in e.system.paths("sys/devices/system/node/node*")
        if not e.system.numbers(f"{node}/cpulist").isdisjoint(e.cpus)
    ]
    apart = len(nodes) > 1
    return Finding(
        "affinity",
        "disturbs" if apart else "fine",
        len(e.cpus),
        f"of {online} CPUs",
        f"on {len(nodes)} memory nodes" if apart else "",
        effect,
        f"numactl --cpunodebind={nodes[0]} --membind={nodes[0]} $SHELL" if apart else "",
        "which begins a shell in which everything stays on one node" if apart else "",
    )


def _subnormals(e: Evidence) -> Finding:
    effect = (
        "Values below the smallest normal number become zero, and what is slow elsewhere is fast here: where they are "
        "kept, tanh of 2048 of them took 39 us, of others 0.9."
    )
    flushed = [
        name for name, is_so in (("operands", e.flushing.operands), ("results", e.flushing.results)) if is_so
    ]
    if not flushed:
        return Finding("subnormals", "fine", "kept", effect=effect)
    preload = e.environment.get("LD_PRELOAD")
    return Finding(
        "subnormals",
        "disturbs",
        "flushed to zero",
        detail=" and ".join(flushed),
        effect=effect,
        command="unset LD_PRELOAD" if preload else "",
        advice=("if that is not it, " if preload else "")
        + "leave out the plug-in or library that sets the mode: one linked with -ffast-math, or a call of "
        "torch.set_flush_denormal",
    )


CHECKS: tuple[Check, ...] = (_threads, _affinity, _subnormals)
