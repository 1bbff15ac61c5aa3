"""What a gate found, as one JSON document: every verdict with the numbers that it rests on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from actbench.bench.machine import Machine
from actbench.bench.plan import Cell
from actbench.bench.statistics import Estimate
from actbench.catalog.errors import InputFileError
from actbench.files import parsed, text_of

SCHEMA = 1
Outcome = Literal[
    "slower", "incorrect", "inconclusive", "faster", "same", "unchanged", "added", "removed", "absent"
]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""What a cell may come to, what a reader must know first."""
EXIT: Mapping[str, int] = {"red": 1, "inconclusive": 3, "green": 0}
BROKEN = 2
"""What it ends with where head cannot be built or imported."""


@dataclass(frozen=True)
class Judgement:
    """A cell, or a family of cells, and what became of it."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    outcome: Outcome
    cell: Cell | None = None
    family: str = ""  # the cell's, or what is judged itself
    peer: str | None = None
    reason: str = ""
    ratio: Estimate | None = None  # head's time by base's
    detectable: float | None = None  # the slowdown found in four cases of five, as a part
    threshold: float | None = None  # the slowdown that matters, as a part
    screened: tuple[tuple[float, ...], ...] = ()  # logarithms of ratios, a round each, by process pair
    confirmed: tuple[float, ...] = ()  # the medians of fresh process pairs
    origin: str = ""  # the file of head's repository that declares the function

    @property
    def key(self) -> str:
        """Its name within a gate."""
        name = self.cell.key if self.cell else f"@{self.family}"
        return f"{self.peer}: {name}" if self.peer else name


@dataclass(frozen=True)
class Version:
    """One side, as the gate found it."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    label: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """A gate from its command to its verdict."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    command: str
    created: str  # ISO 8601, UTC
    seconds: float
    machine: Machine
    base: Version
    head: Version
    config: Mapping[str, Any]
    judgements: tuple[Judgement, ...]
    fault: str = ""  # why nothing was measured
    broken: bool = False  # whether that is head's fault, which is to be mended
    disturbed: tuple[str, ...] = ()  # why nothing slower can be believed
    controls: int | None = (
        None  # cells of unchanged code that stood beside the suspects; None without suspects
    )
    pairs: int = 0  # process pairs that were started
    injected: tuple[str, ...] = ()  # cells in which head was given extra work
    schema: int = field(default=SCHEMA)

    @property
    def verdict(self) -> Literal["red", "inconclusive", "green"]:
        """Of the whole: a wrong value is red on any machine, a slow one only on a sound one."""
        if self.broken or any(map(self.failed, self.judgements)):
            return "red"
        doubtful = any(j.outcome in ("slower", "inconclusive") for j in self.judgements)
        return "inconclusive" if self.fault or doubtful else "green"

    def failed(self, judgement: Judgement) -> bool:
        """Whether a judgement makes the whole red: other values, and what is slower on an undisturbed machine."""
        return judgement.outcome == "incorrect" or (judgement.outcome == "slower" and not self.disturbed)

    @property
    def exit_code(self) -> int:
        """What the command ends with."""
        return BROKEN if self.broken else EXIT[self.verdict]


_REPORT = TypeAdapter(Report)


def dumps(report: Report) -> str:
    """The report as JSON, and its verdict, which follows from the rest."""
    plain = {"verdict": report.verdict} | _REPORT.dump_python(report, mode="json", by_alias=True)
    return json.dumps(plain, separators=(",", ":")) + "\n"


def load(path: str | os.PathLike[str]) -> Report:
    """A report from its file; raises InputFileError where it is missing or malformed."""
    plain = parsed(text_of(Path(path)), Path(path))
    if isinstance(plain, dict):
        plain.pop("verdict", None)  # which follows from the rest
    try:
        return _REPORT.validate_python(plain)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise InputFileError(f"{path} is no report of a gate: {where}: {first['msg']}") from error
