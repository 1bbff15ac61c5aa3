"""A session of audits: its file, and what it shows as tables, Markdown and CSV."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ConfigDict, TypeAdapter, ValidationError

from actbench.bench.machine import Machine, now, this_machine, versions
from actbench.catalog.errors import InputFileError
from actbench.files import parsed, text_of
from actbench.present import quantity, table
from actbench.present.labels import distinct
from actbench.present.table import Column, Table
from actbench.verify.findings import DERIVATIVE, FORWARD, OURS, Audit, Coordinate

if TYPE_CHECKING:
    from rich.console import RenderableType

SCHEMA = 1
_SHORT = ("float16", "bfloat16")
_WIDE = ("float64", "float32")
_ASTRAY = "!: with NaN, or an infinity, where there should be none, or the other way round"
_JUDGED = "largest: of losses and rows in units of a ULP and of what one of the operands is worth"


@dataclass(frozen=True)
class Session:
    """Audits that were made together: how, where and of what."""

    __pydantic_config__ = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    schema: int
    created: str  # ISO 8601, UTC
    command: str
    machine: Machine
    versions: Mapping[str, str | None]
    audits: tuple[Audit, ...]

    @property
    def verdict(self) -> str:
        """``"beyond"`` where one of ours is beyond its bound, else ``"undecided"`` where one is, else ``"within"``."""
        found = {audit.verdict for audit in self.audits if audit.provider == OURS}
        return next(
            (verdict for verdict in ("beyond", "undecided") if verdict in found),
            "within" if found else "undecided",
        )


def session(audits: Iterable[Audit], command: str, peers: Mapping[str, str]) -> Session:
    """The session of audits that were made here and now, with the versions of peers."""
    return Session(SCHEMA, now(), command, this_machine(), {**versions(), **peers}, tuple(audits))


@cache
def _adapter() -> TypeAdapter[Session]:
    return TypeAdapter(Session)


def dump(session: Session) -> str:
    """A session as the text of its file: strict JSON, an audit a line, with the verdicts that follow from them."""
    document = json.loads(_adapter().dump_json(session))
    listed = document.pop("audits")
    document |= {"verdict": session.verdict, "verdicts": [audit.verdict for audit in session.audits]}
    head = [f"{json.dumps(key)}:{_line(value)}" for key, value in document.items()]
    return "{\n" + ",\n".join([*head, '"audits":[\n' + ",\n".join(map(_line, listed)) + "\n]"]) + "\n}\n"


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def load(path: str | os.PathLike[str]) -> Session:
    """The session in a file, also gzipped; raises InputFileError where it is missing, no JSON, or no session."""
    document = parsed(text_of(Path(path)), Path(path))
    if isinstance(document, dict) and document.get("schema", SCHEMA) != SCHEMA:
        raise InputFileError(f"{path} has schema {document['schema']} and this actbench reads {SCHEMA}")
    derived = ("verdict", "verdicts")
    plain = (
        {k: v for k, v in document.items() if k not in derived} if isinstance(document, dict) else document
    )
    try:
        return _adapter().validate_python(plain)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise InputFileError(f"{path} holds no audits: {first['loc']}: {first['msg']}") from error


def terminal(session: Session) -> RenderableType:
    """All tables, for a rich console."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for shown in tables(session):
        parts += [Text(""), table.terminal(shown)] if parts else [table.terminal(shown)]
    return Group(*parts)


def markdown(session: Session) -> str:
    """All tables, in GitHub's Markdown."""
    return "\n".join(map(table.markdown, (*tables(session), *_further(session))))


def tables(session: Session) -> tuple[Table, ...]:
    """What was found: each audit of one function, a line a function of several; beside peers, who errs by how much."""
    if not session.audits:
        return ()
    if any(audit.provider != OURS for audit in session.audits):
        return tuple(standings(session))
    return (summary(session),) if len(_subjects(session.audits)) > 1 else tuple(details(session))


def _further(session: Session) -> Iterator[Table]:
    """What Markdown has room for beside ``tables``."""
    if len(_subjects(session.audits)) > 1 or len(distinct(a.provider for a in session.audits)) > 1:
        yield from details(session)


def _subjects(audits: Iterable[Audit]) -> tuple[str, ...]:
    """The functions, each with its parameters."""
    return distinct(map(subject, audits))


def subject(audit: Audit) -> str:
    """The function of an audit, with its parameters."""
    given = "".join(f", {name}={value}" for name, value in audit.case.settings)
    return f"{audit.case.function}{given}"


def details(session: Session) -> Iterator[Table]:
    """A table a function, with a line for each audit of it."""
    for name in _subjects(session.audits):
        audits = [audit for audit in session.audits if subject(audit) == name]
        alone = all(audit.provider == OURS for audit in audits)
        columns = (
            *((Column("by", align="left"),) if not alone else ()),
            Column("pass", align="left"),
            Column("dtype", align="left"),
            Column("inputs"),
            Column("largest", "ULP"),
            Column("correct", "%"),
            Column("at", align="left"),
            *((Column("verdict", align="left"),) if alone else ()),
        )
        rows = []
        for a in audits:
            cells = (
                a.case.pass_,
                a.case.dtype,
                quantity.count(a.inputs),
                worst([a]),
                share(a),
                _place(a.where),
            )
            rows.append((*cells, a.verdict) if alone else (a.provider, *cells))
        yield Table(name, columns, tuple(rows), "\n".join(_remarks(audits)))


def summary(session: Session) -> Table:
    """A line a function: the largest errors of its passes."""
    rows = []
    for name in _subjects(session.audits):
        audits = [a for a in session.audits if subject(a) == name and a.provider == OURS]
        cells = [
            worst([a for a in audits if (a.case.pass_ == DERIVATIVE, a.case.dtype) == (pass_, dtype)])
            for pass_ in (False, True)
            for dtype in _WIDE
        ]
        cells.append(worst([a for a in audits if a.case.dtype in _SHORT]))
        verdicts = {a.verdict for a in audits}
        verdict = next(v for v in ("beyond", "undecided", "unbounded", "within") if v in verdicts)
        rows.append((name, *cells, verdict))
    columns = (
        Column("function", align="left"),
        *(Column(f"{pass_}\n{dtype}", "ULP") for pass_ in (FORWARD, DERIVATIVE) for dtype in _WIDE),
        Column("both\n16 bits", "ULP"),
        Column("verdict", align="left"),
    )
    return Table("", columns, tuple(rows), "\n".join(_remarks(session.audits)))


def standings(session: Session) -> Iterator[Table]:
    """A table a pass and dtype: the largest errors of each function, ours and the peers'."""
    providers = distinct(audit.provider for audit in session.audits)
    for pass_, dtype in distinct((a.case.pass_, a.case.dtype) for a in session.audits):
        found = {
            (subject(a), a.provider): a
            for a in session.audits
            if (a.case.pass_, a.case.dtype) == (pass_, dtype)
        }
        rows = tuple(
            (
                subject,
                *(worst([found[key]] if (key := (subject, who)) in found else []) for who in providers),
            )
            for subject in distinct(subject for subject, _ in found)
        )
        columns = Column("function", align="left"), *(Column(who, "ULP") for who in providers)
        yield Table(f"{pass_}, {dtype}: largest error", columns, rows, "\n".join(_remarks(found.values())))


def worst(audits: Sequence[Audit]) -> str:
    """The largest error of some audits, as it is judged, marked where results are wrong."""
    if not audits:
        return "-"
    mark = "!" if any(a.wrong for a in audits) else ""
    return mark + quantity.number(max(a.judged for a in audits))


def share(audit: Audit) -> str:
    """How many per cent of the results are the nearest number."""
    # All of them is 100; all but one is not.
    percent = quantity.percent(audit.share, 4)
    return "<100" if percent == "100.0" and audit.correct < audit.inputs else percent.removesuffix(".0")


def _place(where: Sequence[Coordinate]) -> str:
    if len(where) == 1:
        return where[0].hex
    return ", ".join(f"{c.name} {quantity.number(c.value)}" for c in where)


def _remarks(audits: Iterable[Audit]) -> Iterator[str]:
    """What the figures mean, and what they rest on."""
    shown = list(audits)
    if any(len(a.where) > 1 for a in shown):
        yield _JUDGED
    if any(a.wrong for a in shown):
        yield _ASTRAY
    references = [a.reference for a in shown if a.reference is not None]
    if references:
        yield f"the float64 kernels that others are held against err by {quantity.number(max(references))} ULP"
    open_ = sum(a.undecided for a in shown)
    if open_:
        yield f"{quantity.count(open_)} roundings undecided"
    zeros = sum(a.zeros for a in shown if a.provider == OURS)
    if zeros:
        yield f"{quantity.count(zeros)} zeros of the wrong sign"


def csv(session: Session) -> str:
    """A line an audit, with every figure in full."""
    heading = (
        *(
            "function",
            "parameters",
            "pass",
            "dtype",
            "by",
            "judged by",
            "inputs",
            "largest (ULP)",
            "judged (ULP)",
        ),
        *("at", "mean (ULP)", "nearest", "undecided", "wrong", "first wrong at", "zeros of the wrong sign"),
        *("reference (ULP)", "control", "bound (ULP)", "verdict"),
    )
    lines = [heading]
    for a in session.audits:
        given = " ".join(f"{name}={value}" for name, value in a.case.settings)
        where, astray = (" ".join(f"{c.name}={c.hex}" for c in place) for place in (a.where, a.astray))
        about = a.case.function, given, a.case.pass_, a.case.dtype, a.provider, a.judge
        counts = a.correct, a.undecided, a.wrong, astray, a.zeros
        judged = "" if a.reference is None else a.reference, a.control, a.bound, a.verdict
        lines.append((*about, a.inputs, a.largest, a.judged, where, a.mean, *counts, *judged))  # type: ignore[arg-type]
    return table.csv_text(lines)
