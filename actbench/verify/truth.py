"""The formula as a judge: what kernels return beside its exact values, derivatives, gradients and products, in ULP."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from actbench.catalog.domain import Domain
from actbench.kernels.base import Function
from actbench.verify import inputs
from actbench.verify.audit import bound
from actbench.verify.batches import batch_of
from actbench.verify.findings import DERIVATIVE, FORWARD, Case
from actbench.verify.oracle import Definition, UndefinedError
from actbench.verify.report import Judgement, Place
from actbench.verify.rounding import FORMATS, Array, Target
from actbench.verify.subject import ELEMENTS, Subject, as_numbers, free, in_format, passes, worth

JUDGE = "formula"
_FORMATS = ("float64", "float32")
_CHECKS = {FORWARD: "value", DERIVATIVE: "derivative"}
_GRADIENTS = 50
"""Points for a parameter, each of which is a call."""
_ROWS = {2: 4, 5: 3, 12: 2, 17: 1}
"""How many rows of each length."""
_UNPROVEN = 1e-6
"""From where on a value without a bound is wrong, not merely inexact. 1 + erf in a tail, s(1 - s) and exp(x) - 1 lie
beyond; an honest body does not."""


def judgements(
    f: Function, given: Mapping[str, Any], curves: Sequence[tuple[Array, ...]]
) -> Iterator[Judgement]:
    """What the formula says of all passes at one setting; ``curves`` are operands to try, for maps of elements.

    Raises UndefinedError where exact arithmetic knows nothing of the function.
    """
    settings = tuple(given.items())
    cases = [Case(f.name, pass_, dtype, settings) for dtype in _FORMATS for pass_ in passes(f)]
    if f.declaration.template not in ELEMENTS:
        yield from (_of_rows(f, case) for case in cases)
        return
    subjects = [Subject(f, case) for case in cases]
    for subject in subjects:
        for curve in curves:
            operands = [np.asarray(o, subject.kind) for o in curve]
            yield _of_elements(subject, _CHECKS[subject.case.pass_], _kept(subject, operands))
    for subject in subjects:
        yield from _of_specials(subject)
    yield from _of_gradients(f, given, curves)


def _room(f: Function, case: Case, target: Target, moved: Array) -> Array:
    """What the bound allows, in which operands count that cancel; NaN where the exact result is not known."""
    most = bound(f.declaration, case)
    with np.errstate(all="ignore"):
        room = most * (target.ulp + moved) if np.isfinite(most) else _loose(target, moved)
    return _where_known(target, room)


def _where_known(target: Target, room: Array) -> Array:
    """None for what is known to be NaN or infinite; NaN for what is not known."""
    return np.where(target.decided, np.where(np.isfinite(room), room, 0.0), np.nan)


def _beside(check: str, got: Array, target: Target, room: Array, place: Callable[[int], Place]) -> Judgement:
    with np.errstate(all="ignore"):
        error = target.error(got)
        apart = np.where(error == 0, 0.0, error * target.ulp)
    return Judgement(check, JUDGE, got, target.nearest, room, place, apart)


def _loose(target: Target, moved: Array) -> Any:
    """What is allowed where nothing is proven."""
    return _UNPROVEN * np.abs(target.nearest) + target.ulp + 8 * moved


def _of_elements(subject: Subject, check: str, operands: Sequence[Array]) -> Judgement:
    """The pass on operands of its format."""
    if subject.definition is None:
        raise UndefinedError(subject.undefined)
    f, case = subject.f, subject.case
    wide = [o.astype(np.float64) for o in operands]
    target = subject.definition.targets(wide, FORMATS[case.dtype])
    moved = worth(subject.reference, wide, free(f), case.dtype)
    return _beside(check, subject(*operands), target, _room(f, case, target, moved), _among(f, wide))


def _of_specials(subject: Subject) -> Iterator[Judgement]:
    """Both zeros, the least and the largest numbers, infinities, NaN, and the neighbours of kinks, with each target."""
    f, kind = subject.f, subject.kind
    info = ml_dtypes.finfo(kind)
    sizes = [0.0, info.smallest_subnormal, info.tiny, 1.0, info.max, math.inf]
    known = np.array([*sizes, *(-np.array(sizes, np.float64)), math.nan], np.float64).astype(kind)
    pairwise = f.declaration.template == "pairwise"
    for others in [(t,) for t in inputs.typical_targets(f.declaration)] if pairwise else [()]:
        kinks = np.asarray(subject.kinks(*others), kind)
        x = inputs.within(np.concatenate([known, inputs.about(kinks, 2)]), f.declaration.domain)
        x = x[~_beyond(x, f.declaration.domain)]
        operands = [x, *(np.full_like(x, t) for t in others)]
        # At other parameters the place of a kink is rounded, too.
        plain = f.declaration.error_bounds is None or subject.case.settings
        yield _of_elements(subject, "special values", _kept(subject, operands) if plain else operands)


def _beyond(x: Array, domain: Domain) -> Array:
    """Where a zero's sign tells that it lies beyond the end of the domain at 0: there 1/x is the other infinity."""
    negative = np.signbit(x)
    beyond: Array = (x == 0) & ((negative & (domain.low == 0)) | (~negative & (domain.high == 0)))
    return beyond


def _kept(subject: Subject, operands: Sequence[Array]) -> list[Array]:
    """The operands away from kinks; where no bound is declared, which x (1 - s) has none at infinity, finite ones."""
    kept = subject.clear(operands)
    if subject.f.declaration.error_bounds is None:
        kept &= np.isfinite(operands[0])
    return [o[kept] for o in operands]


def _among(f: Function, operands: Sequence[Array]) -> Callable[[int], Place]:
    return lambda i: tuple(
        (name, float(o[i])) for name, o in zip(f.declaration.operands, operands, strict=True)
    )


def _of_rows(f: Function, case: Case) -> Judgement:
    batch = batch_of(f, case, _ROWS)
    room = _room(f, case, batch.target, batch.worth)

    def place(i: int) -> Place:
        return tuple(
            (name, float(column[i])) for name, column in zip(batch.names, batch.columns, strict=True)
        )

    return _beside(_CHECKS[case.pass_], batch.got, batch.target, room, place)


def _of_gradients(
    f: Function, given: Mapping[str, Any], curves: Sequence[tuple[Array, ...]]
) -> Iterator[Judgement]:
    """Gradients with respect to parameters and targets, element by element."""
    declaration = f.declaration
    if declaration.prepare is not None:
        return
    wide, params = in_format(f, given, np.dtype(np.float64))
    for name in declaration.gradients:
        definition = Definition(declaration, as_numbers(wide.declaration, params), name)

        def gradient(*operands: Array, name: str = name) -> Array:
            if f.kind == "loss":
                return np.asarray(f.backward(*operands, reduction="none", wrt=name, **given))
            one, (x,) = np.ones(1), operands
            return np.array([f.backward(one, x[i : i + 1], wrt=name, **given) for i in range(x.size)])

        for curve in curves:
            operands = [o[:: max(1, o.size // _GRADIENTS)] for o in curve]
            target = definition.targets(operands, FORMATS["float64"])
            got, moved = gradient(*operands), worth(gradient, operands, free(f), "float64")
            room = _where_known(target, _loose(target, moved))
            yield _beside(f"gradient wrt {name}", got, target, room, _among(f, operands))
