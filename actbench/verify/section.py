"""One-dimensional sections: any function, whatever its template, as curves of value and slope over one axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.catalog.domain import REALS, Domain
from actbench.kernels.base import Function

Array = NDArray[Any]


@dataclass(frozen=True)
class Section:
    """A curve: value and slope, in float64, as functions of an array of abscissae."""

    label: str
    """What is held fixed, for instance ``target = 1``; empty where nothing is."""
    axis: str
    """What is varied, for instance ``x`` or ``pred - target``."""
    domain: Domain
    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    kinks: tuple[tuple[float, float, float, float], ...] = ()
    """Place, left slope, right slope and convention of each kink on this axis."""


def sections(f: Function, params: Mapping[str, Any] | None = None) -> tuple[Section, ...]:
    """The sections that show a function: one for an activation, one a typical target for a loss."""
    return _BUILDERS[f.declaration.template](f, dict(params or {}))


def kinks_of(
    f: Function, params: Mapping[str, Any], **more: float
) -> tuple[tuple[float, float, float, float], ...]:
    """Place, left slope, right slope and convention of each kink, for given parameters (and a loss's target)."""
    declaration = f.declaration
    values = declaration.resolve(params)
    if declaration.prepare is not None:
        values = dict(declaration.prepare(np.zeros(1), **values))
    numbers = {name: value for name, value in values.items() if np.ndim(value) == 0}
    found = (kink.evaluate({**numbers, **more}) for kink in declaration.kinks)
    # Equal slopes on both sides (elu with alpha = 1) are no kink, unless the value itself jumps; nor is one at
    # infinity (softplus without a threshold).
    return tuple(
        k
        for k, kink in zip(found, declaration.kinks, strict=True)
        if math.isfinite(k[0]) and (kink.jump or k[1] != k[2])
    )


def _elementwise(f: Function, params: dict[str, Any]) -> tuple[Section, ...]:
    return (
        Section(
            "",
            "x",
            f.declaration.domain,
            lambda x: f(x, **params),
            lambda x: f.derivative(x, **params),
            kinks_of(f, params),
        ),
    )


def _pairwise(f: Function, params: dict[str, Any]) -> tuple[Section, ...]:
    declaration = f.declaration
    bounded = declaration.target.members or (
        (declaration.target.low, declaration.target.high) if np.isfinite(declaration.target.low) else ()
    )
    if not bounded:
        # Over the error; the target is 1, because ratios to a target of 0 have no meaning.
        return (_pair(f, params, 1.0, "pred - target", "", REALS, 1.0),)
    return tuple(_pair(f, params, t, "pred", f"target = {t:g}", declaration.domain, 0.0) for t in bounded)


def _pair(
    f: Function, params: dict[str, Any], target: float, axis: str, label: str, domain: Domain, origin: float
) -> Section:
    def value(x: Array) -> Array:
        return f(x + origin, np.full_like(x, target), reduction="none", **params)  # type: ignore[no-any-return]

    def slope(x: Array) -> Array:
        return f.backward(x + origin, np.full_like(x, target), reduction="none", **params)  # type: ignore[no-any-return]

    kinks = tuple((at - origin, *rest) for at, *rest in kinks_of(f, params, target=target))
    return Section(label, axis, domain, value, slope, kinks)  # type: ignore[arg-type]


def _rowwise(f: Function, params: dict[str, Any]) -> tuple[Section, ...]:
    width = int(f.declaration.resolve(params).get("k", 3))

    def rows(x: Array) -> Array:
        matrix = np.zeros((x.size, width))
        matrix[:, 0] = x
        return matrix

    def slope(x: Array) -> Array:
        y = f(rows(x), **params)
        first = np.zeros_like(y)
        first[:, 0] = 1
        return f.backward(first, rows(x), **params)[:, 0]  # type: ignore[no-any-return]

    return (
        Section(
            f"row (x{', 0' * (width - 1)}), first output",
            "x",
            f.declaration.domain,
            lambda x: f(rows(x), **params)[:, 0],
            slope,
        ),
    )


def _classification(f: Function, params: dict[str, Any]) -> tuple[Section, ...]:
    def rows(x: Array) -> tuple[Array, Array]:
        matrix = np.zeros((x.size, 3))
        matrix[:, 0] = x
        return matrix, np.zeros(x.size, np.int64)

    return (
        Section(
            "logits (z, 0, 0), first class true",
            "z",
            f.declaration.domain,
            lambda x: f(*rows(x), reduction="none", **params),
            lambda x: f.backward(*rows(x), reduction="none", **params)[:, 0],
        ),
    )


def _sequence(f: Function, params: dict[str, Any]) -> tuple[Section, ...]:
    blank = int(f.declaration.resolve(params)["blank"])
    label = 1 if blank == 0 else 0
    classes = max(2, blank + 1)

    def batch(x: Array) -> tuple[Array, Array]:
        scores = np.full((3, x.size, classes), -np.log(classes))
        scores[1, :, label] = x
        return scores, np.full((x.size, 1), label)

    return (
        Section(
            "three steps, one label; its score at the middle step",
            "score",
            f.declaration.domain,
            lambda x: f(*batch(x), reduction="none", **params),
            lambda x: f.backward(*batch(x), reduction="none", **params)[1, :, label],
        ),
    )


_BUILDERS = {
    "elementwise": _elementwise,
    "pairwise": _pairwise,
    "rowwise": _rowwise,
    "classification": _classification,
    "sequence": _sequence,
}
