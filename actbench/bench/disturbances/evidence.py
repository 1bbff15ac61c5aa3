"""What findings rest on, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from actbench.bench.noise import Noise
from actbench.bench.system import System
from actbench.bench.watch import Interval

State = Literal["fine", "disturbs", "unknown"]
_ASK = "only the host of this virtual machine knows: ask there"


@dataclass(frozen=True)
class Finding:
    """One thing that may disturb timing."""

    name: str
    state: State
    value: str | float | None
    """What was read; None where nothing could be."""
    unit: str = ""
    detail: str = ""
    """What else was read, in words."""
    effect: str = ""
    """What it does to figures where it disturbs."""
    command: str = ""
    """The shell command that mends it; empty where there is none."""
    advice: str = ""
    """What else mends it, or to whom to turn."""


@dataclass(frozen=True)
class Flushing:
    """Whether this thread takes subnormal operands for zero, and makes zero of subnormal results."""

    operands: bool
    results: bool


@dataclass(frozen=True)
class Evidence:
    """All that the findings rest on."""

    system: System
    environment: Mapping[str, str]
    cpus: tuple[int, ...]
    during: Interval
    noise: Mapping[str, Noise]
    flushing: Flushing
    step_ns: float
    reading_ns: float

    @property
    def virtual(self) -> bool:
        """Whether a hypervisor says that it is there."""
        return self.system.hypervisor() not in ("none", None)

    def unknown(self, name: str, effect: str) -> Finding:
        """The finding of a state that the machine does not tell."""
        return Finding(name, "unknown", None, effect=effect, advice=_ASK if self.virtual else "")


Check = Callable[[Evidence], Finding]
