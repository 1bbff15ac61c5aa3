"""How fast the processor runs, and whose it is: clock, cores, power, virtual machine, timer."""

from __future__ import annotations

import re

from actbench.bench.disturbances.evidence import Check, Evidence, Finding
from actbench.bench.system import CPU

SLOW_READING_NS = 500.0  # of a timer that is a system call; others take 20 to 100
_FAST_CLOCKS = ("tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page", "timebase")
_SLOW_PROFILES = ("low-power", "quiet", "cool", "power-saver")
_COUNTER = r"^flags\s*:.*\btsc\b"
_CLOCKS = "sys/devices/system/clocksource/clocksource0"
_PROFILE = "sys/firmware/acpi/platform_profile"


def _hypervisor(e: Evidence) -> Finding:
    effect = (
        "Neighbours on the host take caches, memory bandwidth and clock without a trace: with no CPU time stolen, "
        "and no other process, the same arithmetic took 29 % less after one second."
    )
    name = e.system.hypervisor()
    if name is None:
        return Finding("hypervisor", "unknown", None, effect=effect)
    clocks = e.system.read(f"{_CLOCKS}/available_clocksource") or ""
    return Finding(
        "hypervisor",
        "fine" if name == "none" else "disturbs",
        "of unknown name" if name == "unknown" else name,
        detail="it has a kvm-clock" if "kvm-clock" in clocks.split() else "",
        effect=effect,
        advice="measure on bare metal, or ask the host for whole cores that nobody else uses"
        if name != "none"
        else "",
    )


def _governor(e: Evidence) -> Finding:
    effect = "The clock follows the load, so that the first slices of a cell are slower than the rest."
    found = [governor for cpu in e.cpus if (governor := e.system.governor(cpu))]
    if not found:
        return e.unknown("CPU governor", effect)
    driver = e.system.read(f"{CPU}/cpu{e.cpus[0]}/cpufreq/scaling_driver")
    fine = set(found) == {"performance"}
    return Finding(
        "CPU governor",
        "fine" if fine else "disturbs",
        ", ".join(sorted(set(found))),
        detail=f"driver {driver}" if driver else "",
        effect=effect,
        command="" if fine else f"echo performance | sudo tee /{CPU}/*/cpufreq/scaling_governor",
    )


def _turbo(e: Evidence) -> Finding:
    effect = "The clock depends on how many cores are busy, and on how warm they are."
    on = e.system.turbo()
    if on is None:
        return e.unknown("turbo", effect)
    intel = e.system.read(f"{CPU}/intel_pstate/no_turbo") is not None
    off = (
        f"echo 1 | sudo tee /{CPU}/intel_pstate/no_turbo"
        if intel
        else f"echo 0 | sudo tee /{CPU}/cpufreq/boost"
    )
    return Finding(
        "turbo", "disturbs" if on else "fine", "on" if on else "off", effect=effect, command=off if on else ""
    )


def _siblings(e: Evidence) -> Finding:
    effect = (
        "Two threads of a core share its units: what runs on the other one takes up to half of the speed."
    )
    most = max(
        (len(e.system.numbers(f"{CPU}/cpu{cpu}/topology/thread_siblings_list")) for cpu in e.cpus), default=0
    )
    if not most or (most == 1 and e.virtual):  # what a hypervisor calls a core may be a thread of one
        return e.unknown("SMT", effect)
    return Finding(
        "SMT",
        "disturbs" if most > 1 else "fine",
        most,
        f"thread{'s' if most > 1 else ''} a core",
        effect=effect,
        command=f"echo off | sudo tee /{CPU}/smt/control" if most > 1 else "",
    )


def _heat(e: Evidence) -> Finding:
    effect = "A processor that gets too hot lowers its clock, so that what is measured last looks slowest."
    ever, times = e.during.hot_ever, e.during.hot or 0
    if ever is None:
        return e.unknown("thermal throttling", effect)
    return Finding(
        "thermal throttling",
        "disturbs" if times else "fine",
        times,
        "times",
        f"{ever} since the start" + (", at the core or package with most" if ever else ""),
        effect,
        advice="let it cool down, free its fans, or lower its load" if times else "",
    )


def _supply(e: Evidence) -> Finding:
    effect = "On battery the clock is lowered to save it."
    folders = e.system.paths("sys/class/power_supply/*")
    batteries = [
        f for f in folders if (e.system.read(f"{f}/type"), e.system.read(f"{f}/scope")) == ("Battery", None)
    ]
    if not e.system.paths("sys/class/power_supply"):
        return e.unknown("power supply", effect)
    drained = any(e.system.read(f"{folder}/status") == "Discharging" for folder in batteries)
    return Finding(
        "power supply",
        "disturbs" if drained else "fine",
        "battery" if drained else "mains" if batteries else "no battery",
        effect=effect,
        advice="plug it in" if drained else "",
    )


def _profile(e: Evidence) -> Finding:
    effect = "The firmware holds the clock down, or lets it fall under load."
    profile = e.system.read(_PROFILE)
    if profile is None:
        return e.unknown("power profile", effect)
    slow = profile in _SLOW_PROFILES
    offered = (e.system.read(f"{_PROFILE}_choices") or "performance").split()
    best = next((name for name in ("performance", "balanced-performance", "balanced") if name in offered), "")
    return Finding(
        "power profile",
        "disturbs" if slow else "fine",
        profile,
        effect=effect,
        command=f"echo {best} | sudo tee /{_PROFILE}" if slow and best else "",
    )


def _timer(e: Evidence) -> Finding:
    effect = "A timer that is slow or coarse makes short slices equal or longer."
    source = e.system.read(f"{_CLOCKS}/current_clocksource")
    offered = (e.system.read(f"{_CLOCKS}/available_clocksource") or "").split()
    slow = max(e.step_ns, e.reading_ns) > SLOW_READING_NS or (
        source is not None and source not in _FAST_CLOCKS
    )
    # Of x86 alone is it known that Linux may leave a fast counter unused; no source is faster than that.
    info = e.system.read("proc/cpuinfo") or ""
    unused = source not in (None, "tsc") and re.search(_COUNTER, info, re.M) is not None
    better = next((name for name in _FAST_CLOCKS if name in offered and name != source), "")
    command, advice = "", ""
    if slow and unused and better:
        command = f"echo {better} | sudo tee /{_CLOCKS}/current_clocksource"
    elif slow and unused:
        advice = "start Linux with tsc=reliable if the processor's counter is (nonstop_tsc in /proc/cpuinfo)"
    elif slow:
        advice = "raise --slice: no clock source that is faster is known here"
    return Finding(
        "timer",
        "disturbs" if slow else "fine",
        e.step_ns,
        "ns",
        f"a reading takes {e.reading_ns:.3g} ns" + (f", clock source {source}" if source else ""),
        effect,
        command,
        advice,
    )


CHECKS: tuple[Check, ...] = (_hypervisor, _governor, _turbo, _siblings, _heat, _supply, _profile, _timer)
