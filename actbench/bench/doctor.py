"""What on a machine disturbs timing: watched for the two seconds in which its noise is measured, then judged."""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from actbench.bench import noise
from actbench.bench.clock import Arm, Timer
from actbench.bench.disturbances import memory, process, processor, scheduling, variation
from actbench.bench.disturbances.evidence import Evidence, Finding, Flushing, State
from actbench.bench.machine import Machine, available_memory, clock_cost, clock_step, this_machine
from actbench.bench.noise import Noise
from actbench.bench.system import SYSTEM, System, usable_cpus
from actbench.bench.watch import Interval, moment


@dataclass(frozen=True)
class Diagnosis:
    """The findings on a machine, and the noise that was measured there."""

    machine: Machine
    noise: tuple[Noise, ...]
    findings: tuple[Finding, ...]

    def of(self, state: State) -> tuple[Finding, ...]:
        """The findings of a state."""
        return tuple(finding for finding in self.findings if finding.state == state)


def flushing() -> Flushing:
    """What two multiplications say: one of a subnormal to a normal number, one of a normal number to a subnormal."""
    # By bits and not by comparison, which takes a subnormal for zero where operands are flushed.
    (subnormal,) = struct.unpack("<d", bytes([1, *7 * [0]]))
    large, quarter = 2.0**1000, 0.25
    zero = struct.pack("<d", 0.0)
    return Flushing(
        operands=struct.pack("<d", subnormal * large) == zero,
        results=struct.pack("<d", sys.float_info.min * quarter) == zero,
    )


@dataclass(frozen=True)
class Sources:
    """Where findings come from."""

    system: System = SYSTEM
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    cpus: tuple[int, ...] = field(default_factory=usable_cpus)
    clock: Timer = time.perf_counter_ns
    own_time: Timer = time.process_time_ns
    arms: Callable[[int | None, int | None], Sequence[Arm]] = noise.arms
    flushing: Callable[[], Flushing] = flushing


def examine(sources: Sources | None = None) -> Diagnosis:
    """Watch a machine while its noise is measured, and judge what was found."""
    given = sources or Sources()
    system, clock = given.system, given.clock
    machine, step = this_machine(system), clock_step(clock)
    arms = given.arms(machine.last_level_cache, available_memory(system))
    before = moment(system, clock, given.own_time)
    measured = noise.measure(arms, clock, step)
    after = moment(system, clock, given.own_time)
    evidence = Evidence(
        system=system,
        environment=given.environment,
        cpus=given.cpus,
        during=Interval(before, after, given.cpus),
        noise={found.kind: found for found in measured},
        flushing=given.flushing(),
        step_ns=step,
        reading_ns=clock_cost(clock),
    )
    modules = (variation, scheduling, processor, process, memory)
    return Diagnosis(
        machine, measured, tuple(check(evidence) for module in modules for check in module.CHECKS)
    )
