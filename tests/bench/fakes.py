"""A world where time passes only when a fake function is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from actbench.bench import runner
from actbench.bench.clock import Arm
from actbench.bench.config import Config
from actbench.bench.machine import Machine
from actbench.bench.plan import Cell, Plan, expand
from actbench.bench.run import Check, Measurement, Run, Store
from actbench.bench.session import Session
from actbench.bench.system import System
from actbench.kernels.workload import Compilation, Workload
from actbench.peers.base import Description, Peer, Prepared, Request, Tables

MACHINE = Machine(cpu="fake", cores=2, caches={"L1d": 2**15, "L3": 2**20}, clock_ns=10.0)
EMPTY_NS = 100  # what every fake call costs on top of its elements


def measurement(size: int = 1000, **changes: Any) -> Measurement:
    """A cell that was measured, with round figures."""
    given = Measurement(
        cell=Cell("relu", "forward", "float32", size),
        elements=size,
        bytes=8 * size,
        samples_ns=(100.0, 110.0, 90.0, 105.0, 95.0, 100.0),
        loops=10,
        overhead_ns=250.5,
        ceiling_ns=(50.0, 55.0, 45.0, 52.5, 47.5, 50.0),
        ceiling="copy",
        compile_s=0.25,
        flags=("unstable",),
        check=Check(1000, 0.5, 0, 1),
        offsets={"x": 64},
        command="actbench bench relu",
    )
    return replace(given, **changes)


@dataclass
class Clock:
    """A timer that stands still until somebody works."""

    now: int = 0

    def __call__(self) -> int:
        return self.now

    def work(self, ns: float) -> None:
        self.now += round(ns)


def system(root: Path, files: Mapping[str, str]) -> System:
    """A root with these files, beside those that it has already."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return System(root)


@dataclass
class FakeFunction:
    """A function whose call costs EMPTY_NS and `ns` an element."""

    name: str
    clock: Clock
    ns: float = 1.0
    passes: tuple[str, ...] = ("forward", "backward")
    compiled: list[tuple[str, str]] = field(default_factory=list)
    measured: list[int] = field(default_factory=list)  # sizes of the workloads made
    broken: Exception | None = None
    on_call: Callable[[], None] = lambda: None
    declaration: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(defaults={}, template="elementwise", kinks=())
    )

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        self.clock.work(EMPTY_NS + 2 * self.ns * x.size)
        return np.ones_like(x)

    def backward(self, x: np.ndarray, threads: int = 1) -> np.ndarray:
        return self(x)

    def compile(self, pass_: str, dtype: str) -> Compilation:
        self.compiled.append((pass_, dtype))
        return Compilation(0.25, True)

    def flops(self, pass_: str, dtype: str) -> float:
        return 7.0

    def workload_bytes(self, pass_: str, dtype: str, size: int) -> int:
        return 2 * size * np.dtype(dtype).itemsize

    def workload(
        self, pass_: str, dtype: str, size: int, *, seed: int = 0, data: object = None, threads: int = 1
    ) -> Workload:
        if self.broken:
            raise self.broken
        if size > 1:
            self.measured.append(size)
        x = np.zeros(size, dtype)
        work = EMPTY_NS + (self.ns * size if size > 1 else 0)

        def call() -> None:
            self.on_call()
            self.clock.work(work)

        return Workload(call, size, x.nbytes, x.nbytes, {"x": x, "out": x.copy()})


@dataclass
class FakePeer(Peer):
    """A library whose call costs `ns` an element; it has `f` alone, forward, and gives `value` everywhere."""

    clock: Clock
    ns: float = 3.0
    value: float = 1.0
    threads: int = 1
    dtype: str | None = None
    writes: bool = False  # whether it takes out= too
    refuses: BaseException | None = None
    fails_after: float = inf  # calls
    failure: BaseException = field(default_factory=lambda: MemoryError("no more"))
    spoilt: slice = field(default_factory=lambda: slice(0))  # elements that are 10 % too large
    spoils_after: float = -1  # calls
    writes_input_after: float = inf  # calls
    calls: int = 0
    name = "fake"
    packages = ()
    extra = "fake"
    version: str = "1"

    def _describe(self) -> Description:
        return Description(self.version, "fake", "fixed", "none")

    def set_threads(self, count: int) -> int:
        return self.threads

    def _tables(self) -> Tables:
        table = {"f": lambda p: self.ns}
        return Tables(forward=table, forward_out=table if self.writes else {})

    def _bind(self, request: Request, body: float) -> Prepared:
        if self.refuses:
            raise self.refuses
        (x,) = request.operands

        def call() -> None:
            self.calls += 1
            if self.calls > self.fails_after:
                raise self.failure
            if self.calls > self.writes_input_after:
                x[-1] += 1
            self.clock.work(body * x.size)

        def result() -> np.ndarray:
            if self.calls >= self.writes_input_after:
                x[-1] += 1
            y = np.full(x.shape, self.value, self.dtype or x.dtype)
            if self.calls > self.spoils_after:
                y[self.spoilt] *= 1.1
            return y

        return Prepared(call, result, not request.out, "a note")


class Bench:
    """The runner over fake functions: `run` measures, `functions` may be changed before."""

    def __init__(self, clock: Clock, folder: Path) -> None:
        self.clock, self.folder = clock, folder
        self.functions = {name: FakeFunction(name, clock) for name in ("f", "g")}
        self.events: list[runner.Event] = []
        self.peers: list[FakePeer] = []
        self.config = Config.model_validate({"size": (1000, 2000), "dtype": "float32"})

    def ceiling(self, workload: Workload, threads: int, copies: int) -> Arm:
        work = partial(self.clock.work, EMPTY_NS + workload.elements / 2)
        return Arm("copy", [work] * copies, partial(self.clock.work, EMPTY_NS))

    def plan(self) -> Plan:
        return expand(list(self.functions.values()), self.config)

    def session(self) -> Session:
        return Session(
            self.config,
            MACHINE,
            self.peers,
            lookup=self.functions.__getitem__,
            ceiling=self.ceiling,
            timer=self.clock,
        )

    def start(self) -> Run:
        return runner.begin(
            list(self.functions),
            self.config,
            command="actbench bench f g",
            machine=MACHINE,
            peers=self.session().descriptions(),
        )

    def run(self, start: Run | None = None, memory: int = 2**40) -> Run:
        return runner.run(
            self.plan(),
            self.config,
            start or self.start(),
            Store(self.folder),
            self.session(),
            progress=self.events.append,
            lookup=self.functions.__getitem__,
            timer=self.clock,
            memory=memory,
        )
