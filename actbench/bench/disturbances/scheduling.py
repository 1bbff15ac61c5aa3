"""Who else gets the CPUs: a hypervisor's guests, other processes, a quota."""

from __future__ import annotations

import shlex

from actbench.bench.disturbances.evidence import Check, Evidence, Finding
from actbench.bench.watch import grown
from actbench.wording import counted

STOLEN = 0.005  # one tick of 10 ms in 2 s on two CPUs is half of that
OTHERS = 0.05  # of a CPU: counts of ticks err by as much as 0.02
_WHO = ("ps -eo pcpu,pid,args --sort=-pcpu | head -5", "shows what to end or to wait for")


def _stolen(e: Evidence) -> Finding:
    effect = "Slices that the hypervisor interrupts are longer by the milliseconds that it gives to others."
    part, ever = e.during.stolen, e.during.stolen_ever
    if part is None or ever is None:
        return Finding("stolen time", "unknown", None, effect=effect)
    stolen = part > STOLEN
    return Finding(
        "stolen time",
        "disturbs" if stolen else "fine",
        round(100 * part, 2),
        "%",
        f"{100 * ever:.2g} % since the start",
        effect,
        advice="ask the host for CPUs that it does not promise to others as well" if stolen else "",
    )


def _load(e: Evidence) -> Finding:
    effect = "With more processes than CPUs, the scheduler gives the CPU away for milliseconds at a time."
    waiting = e.during.runnable
    if waiting is None:
        return Finding("load", "unknown", None, effect=effect)
    online = len(e.during.after.ticks) or len(e.cpus)
    busy = waiting >= max(1, online)
    return Finding(
        "load",
        "disturbs" if busy else "fine",
        waiting,
        "ready to run",
        f"beside this one, on {counted(online, 'CPU')}",
        effect,
        *(_WHO if busy else ()),
    )


def _others(e: Evidence) -> Finding:
    effect = (
        "On the same CPU, one busy process hid even a factor of 5 from 12 rounds; on other CPUs they take shared "
        "caches, memory bandwidth and turbo."
    )
    part = e.during.others
    if part is None:
        return Finding("other processes", "unknown", None, effect=effect)
    busy = part > OTHERS
    return Finding(
        "other processes",
        "disturbs" if busy else "fine",
        round(100 * part, 1),
        "% of a CPU",
        f"on the {len(e.cpus)} that may be used",
        effect,
        *(_WHO if busy else ()),
    )


def _quota(e: Evidence) -> Finding:
    effect = (
        "Once the quota of a period (100 ms) is used up, every thread stands still until the next: slices are either "
        "undisturbed or longer by that: with half a CPU, one of 1 ms took 52."
    )
    if e.system.read("proc/self/cgroup") is None:
        return Finding("CPU quota", "unknown", None, effect=effect)
    quota, times = e.system.quota(), grown(e.during.before.throttled, e.during.after.throttled) or 0
    ever = e.during.after.throttled or 0
    detail = f"stopped {times} times now, {ever} in all" if ever else "never stopped" if quota else ""
    if quota is None:
        advice = "ask for the limit of the group above this one, which is hidden here" if times else ""
        return Finding(
            "CPU quota", "disturbs" if times else "fine", "none", "", detail, effect, advice=advice
        )
    short = times > 0 or quota.cpus < len(e.cpus)
    return Finding(
        "CPU quota",
        "disturbs" if short else "fine",
        round(quota.cpus, 2),
        "CPUs",
        f"{detail}; {len(e.cpus)} may be used",
        effect,
        f"echo {quota.none} | sudo tee {shlex.quote(f'/{quota.file}')}" if short else "",
        "or start the container without a CPU limit (docker run without --cpus)" if short else "",
    )


CHECKS: tuple[Check, ...] = (_stolen, _load, _others, _quota)
