"""The record of one benchmark session: its dataclasses and its file.

The file is versioned JSON with one cell a line, so that `diff` can compare two runs. While a run
goes on, its cells are appended to a journal beside it, which survives a killed process.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from io import FileIO
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from actbench.bench import statistics
from actbench.bench.machine import Machine
from actbench.bench.plan import Cell
from actbench.bench.statistics import Estimate
from actbench.catalog.errors import InputFileError, OutputError
from actbench.files import parsed, text_of, write_whole
from actbench.peers.base import Description
from actbench.wording import in_one_line

SCHEMA = 4
"""1 had neither contenders nor peers, 2 neither roofs nor operations, 3 no pages."""
RUN_FILE, JOURNAL_FILE = "run.json", "run.jsonl"
_KEPT = f"; what was measured is in {JOURNAL_FILE} beside it, and the same command with --resume goes on from there"
_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
Times = tuple[Annotated[float, Field(gt=0)], ...]
OURS = "actbench"
Label = Annotated[str, Field(pattern=r"^\P{C}+$")]
"""What a plug-in may call itself: any characters that can be printed."""
Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Check:
    """How a cell's output on the user's data compares with float64 kernels on the same data."""

    __pydantic_config__ = _STRICT

    elements: int  # output elements compared, evenly spread over the data
    max_ulp: float | None  # in units of the cell's dtype; None where nothing finite was compared
    nan: int
    inf: int


@dataclass(frozen=True)
class Contender:
    """A whole call on a cell's data, timed in the cell's rounds: ours as a user makes it, or a peer's.

    Without samples it was not timed, and the note says why.
    """

    __pydantic_config__ = _STRICT

    provider: Label  # OURS or the name of a peer
    allocates: bool  # whether the call makes a buffer for its result, or writes to one that it is given
    samples_ns: Times = ()  # one call, nothing of it subtracted
    loops: int = 0
    compile_s: float = 0.0
    error: float | None = None  # the largest difference from our values, as a part of the largest of them
    mismatch: bool = False  # the difference is more than the dtype explains
    note: str = ""  # where the call differs from ours, or why it was not timed

    @property
    def label(self) -> str:
        """The provider, and "out=" for a call that is given its buffer."""
        return self.provider if self.allocates else f"{self.provider} out="

    @cached_property
    def median_ns(self) -> float:
        return statistics.median(self.samples_ns).value

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """What a reader must know about the samples, as of a cell's own."""
        return statistics.flags(self.samples_ns, 0, 0, ("unstable", "multimodal")) if self.samples_ns else ()


@dataclass(frozen=True)
class Measurement:
    """The timings of one cell; everything that can be derived from them is a property."""

    __pydantic_config__ = _STRICT

    cell: Cell
    elements: Count
    bytes: Count  # read and written by one call
    samples_ns: Times  # one call, a round each, the cost of an empty call subtracted
    loops: Count  # calls in the slice behind a sample
    overhead_ns: float  # the empty call
    ceiling_ns: Times  # the ceiling kernel in the same rounds
    ceiling: str  # "copy", "triad", "read", "read2"; "" where none was measured
    compile_s: float
    flags: tuple[str, ...] = ()  # keys of statistics.ADVICE
    check: Check | None = None
    offsets: Mapping[str, int] = field(default_factory=dict)  # bytes of each buffer within its page
    command: str = ""  # repeats this cell
    contenders: tuple[Contender, ...] = ()
    flops: float | None = (
        None  # floating-point operations an element, counted in the machine code; None: unknown
    )

    def __post_init__(self) -> None:
        rounds = len(self.samples_ns)
        if not rounds or len(self.ceiling_ns) not in (0, rounds):
            raise ValueError("a cell needs a sample, and a ceiling time for each or none")
        if any(len(c.samples_ns) not in (0, rounds) for c in self.contenders):
            raise ValueError("a contender is timed in every round of its cell or in none")

    @cached_property
    def _median(self) -> Estimate:
        return statistics.median(self.samples_ns)

    @property
    def median_ns(self) -> float:
        return self._median.value

    @property
    def interval_ns(self) -> tuple[float, float]:
        """The distribution-free 95 % interval of the median."""
        return self._median.low, self._median.high

    @property
    def minimum_ns(self) -> float:
        return min(self.samples_ns)

    @property
    def spread(self) -> float:
        """The interquartile range as a part of the median."""
        return statistics.spread(self.samples_ns)

    @property
    def outliers(self) -> int:
        return statistics.outliers(self.samples_ns)

    @property
    def ns_per_element(self) -> float:
        return self.median_ns / self.elements

    @property
    def elements_per_s(self) -> float:
        return 1e9 / self.ns_per_element

    @property
    def gb_per_s(self) -> float | None:
        """None where the call's cost, which was subtracted, is most of the time: a difference of noise is no speed."""
        return self.bytes / self.median_ns if self._known(self.median_ns) else None

    @property
    def gflop_per_s(self) -> float | None:
        return None if self.flops is None else self.flops * self.elements / self.median_ns

    @property
    def intensity(self) -> float | None:
        """Floating-point operations a byte."""
        return None if self.flops is None else self.flops * self.elements / self.bytes

    @property
    def ceiling_gb_per_s(self) -> float | None:
        if not self._ceiling_known:
            return None
        return self.bytes / statistics.median(self.ceiling_ns).value

    @cached_property
    def _ceiling_known(self) -> bool:
        return bool(self.ceiling_ns) and self._known(statistics.median(self.ceiling_ns).value)

    def _known(self, ns: float) -> bool:
        """Whether a kernel takes long enough beside its call."""
        return 2 * ns > self.overhead_ns

    @cached_property
    def share(self) -> Estimate | None:
        """The cell's speed as a part of the ceiling's, from the ratios within the rounds."""
        if not self._ceiling_known or not self._known(self.median_ns):
            return None
        return statistics.ratio(self.ceiling_ns, self.samples_ns)


@dataclass(frozen=True)
class Roof:
    """The most that the machine does of one thing: traffic with a level of its memory, or arithmetic in a dtype."""

    __pydantic_config__ = _STRICT

    kind: str  # "copy", "triad", "read": bytes; "fma": floating-point operations, two each
    threads: int
    work: Count  # bytes, or operations, of one call
    samples_ns: Times
    level: str = (
        ""  # of the cache that holds the buffers, as in Machine.caches, or "memory"; "" for arithmetic
    )
    dtype: str = ""  # of arithmetic

    @cached_property
    def rate(self) -> Estimate:
        """GB/s, or GFLOP/s."""
        time = statistics.median(self.samples_ns)
        return Estimate(self.work / time.value, self.work / time.high, self.work / time.low)


@dataclass(frozen=True)
class Skipped:
    """A cell that could not be measured, and why."""

    __pydantic_config__ = _STRICT

    cell: str
    reason: str
    failed: bool = False  # an unexpected error, not data or memory that do not fit


@dataclass(frozen=True)
class Input:
    """The user's data file behind a run."""

    __pydantic_config__ = _STRICT

    path: str
    shape: tuple[int, ...]
    dtype: str
    sha256: str


@dataclass(frozen=True)
class Run:
    """One benchmark session: how it was made, on what, and every cell's samples."""

    __pydantic_config__ = _STRICT

    schema: int
    created: str  # ISO 8601, UTC
    command: str
    config: Mapping[str, Any]
    machine: Machine
    versions: Mapping[str, str | None]
    input: Input | None
    cells: tuple[Measurement, ...]
    skipped: tuple[Skipped, ...]
    complete: bool
    peers: Mapping[Label, Description] = field(default_factory=dict)  # that the cells were measured against
    roofs: tuple[Roof, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)  # set for the process that measured

    @cached_property
    def sized(self) -> tuple[Measurement, ...]:
        """The cells that tell of speed."""
        return tuple(m for m in self.cells if m.cell.size > 1)

    @cached_property
    def calls(self) -> tuple[Measurement, ...]:
        """The cells of one element, which tell what a call costs."""
        return tuple(m for m in self.cells if m.cell.size == 1)

    @property
    def stamp(self) -> str:
        """When it began, as names of files have it: 20260131-235959."""
        digits = re.sub(r"\D", "", self.created)
        return f"{digits[:8]}-{digits[8:14]}"

    @property
    def data(self) -> str | None:
        """What tells the data of one --input from another's; None for what is drawn."""
        return self.input.sha256 if self.input else None


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _line(record: Any) -> str:
    plain = _adapter(record.__class__).dump_python(record, mode="json", by_alias=True)
    # ASCII, so that a line that is cut short by a full disk is still text.
    return json.dumps(plain, separators=(",", ":"))


def dump_run(run: Run) -> str:
    """`run` as the text of its file."""

    def value(name: str) -> str:
        content = getattr(run, name)
        if name in ("cells", "skipped", "roofs"):
            return "[" + ",".join("\n" + _line(item) for item in content) + "]"
        if name in ("machine", "input") and content is not None:
            return _line(content)
        if name == "peers":
            return "{" + ",".join(f"\n{json.dumps(k)}:{_line(v)}" for k, v in content.items()) + "}"
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False)

    return "{\n" + ",\n".join(f'"{f.name}":{value(f.name)}' for f in fields(Run)) + "\n}\n"


def save_run(run: Run, path: str | os.PathLike[str]) -> None:
    """Write `run` to `path` as JSON, atomically; raises OutputError."""
    write_whole(dump_run(run).encode(), path)


def load_run(path: str | os.PathLike[str]) -> Run:
    """The run in `path`: its file, also gzipped, the journal of an unfinished one, or the folder of either.

    Raises InputFileError where it is missing, is not JSON, is not a run, or has a newer schema.
    """
    source = Path(path)
    if source.is_dir():
        found = [source / name for name in (JOURNAL_FILE, RUN_FILE) if (source / name).is_file()]
        if not found:
            raise InputFileError(f"{source} holds no {RUN_FILE}")
        source = found[0]
    text = text_of(source)
    plain = _parse_journal(text, source) if source.suffix == ".jsonl" else parsed(text, source)
    if not isinstance(plain, dict) or "schema" not in plain:
        raise InputFileError(f"{source} is not a run: it has no field 'schema'")
    schema = plain["schema"]
    if isinstance(schema, int) and not isinstance(schema, bool) and schema > SCHEMA:
        raise InputFileError(
            f"{source} has schema {schema} and this actbench reads {SCHEMA}: upgrade actbench"
        )
    try:
        run: Run = _adapter(Run).validate_json(json.dumps(plain), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        raise InputFileError(f"{source} is not a run: {in_one_line(where[1:])}: {first['msg']}") from error
    return run


def settings_apart(first: Run, second: Run, free: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """The keys in which the configurations of two runs differ, but for the free ones, and both values as written.

    No value is "none".
    """
    for key in sorted({*first.config, *second.config}.difference(free)):
        values = first.config.get(key), second.config.get(key)
        if values[0] != values[1]:
            yield key, _written(values[0]), _written(values[1])


def _written(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return "none" if value is None else text or "none"


def run_folders(parent: str | os.PathLike[str]) -> list[Path]:
    """The folders in a folder of runs, the newest first."""
    return sorted((f for f in Path(parent).glob("*") if f.is_dir()), reverse=True)


def _parse_journal(text: str, source: Path) -> Any:
    # What stands behind the last line end was cut short when the process was killed.
    lines = [parsed(line, source) for line in text.split("\n")[:-1]]
    if not lines or not isinstance(lines[0], dict):
        raise InputFileError(f"{source} is not a run: its first line is incomplete")
    header, records = lines[0], lines[1:]
    kinds: dict[str, list[Any]] = {"cells": [], "skipped": []}
    for record in records:
        kind = "skipped" if isinstance(record, dict) and "reason" in record else "cells"
        kinds[kind].append(record)
    return header | kinds


class Store:
    """A run on its way to `folder`: every record goes to the journal at once, `close` ends it."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._journal: FileIO | None = None

    @property
    def path(self) -> Path:
        return self.folder / RUN_FILE

    def open(self, run: Run) -> None:
        """Begin with what `run` already holds."""
        records = (replace(run, cells=(), skipped=()), *run.cells, *run.skipped)
        journal = self.folder / JOURNAL_FILE
        # An earlier journal may be all there is of those cells: it goes when the new one is whole.
        partial = journal.with_name(f".{journal.name}.{os.getpid()}")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Without a buffer: the kernel has each line, so that a killed process loses nothing.
            self._journal = FileIO(partial, "w")
            for record in records:
                self._append(_line(record))
            self._end()  # an open file cannot be replaced everywhere
            partial.replace(journal)
            self._journal = FileIO(journal, "a")
        except OSError as error:
            self._end()
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise OutputError(f"cannot write to {self.folder}: {error.strerror}") from error

    def add(self, record: Measurement | Skipped) -> None:
        """Keep a record; raises OutputError where the disk takes no more."""
        try:
            self._append(_line(record))
        except OSError as error:
            self._end()
            raise OutputError(f"cannot write to {self.folder}: {error.strerror}{_KEPT}") from error

    def close(self, run: Run) -> None:
        """Write the whole run and drop the journal, which stays where that cannot be; raises OutputError."""
        self._end()
        try:
            save_run(run, self.path)
        except OutputError as error:
            raise OutputError(f"{error}{_KEPT}") from error
        (self.folder / JOURNAL_FILE).unlink(missing_ok=True)

    def _end(self) -> None:
        if self._journal:
            self._journal.close()
            self._journal = None

    def _append(self, line: str) -> None:
        if self._journal is None:
            raise ValueError("the store is not open")
        left = memoryview(f"{line}\n".encode())
        while left:  # a disk that is nearly full takes a part
            left = left[self._journal.write(left) :]
