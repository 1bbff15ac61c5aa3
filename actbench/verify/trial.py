"""What a declaration can get wrong before anything can be judged: it raises, it is random, it has no values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from actbench.catalog.errors import ActbenchError, InfeasibleError
from actbench.kernels.base import Function
from actbench.verify.section import Array, Section, sections

_LEVELS = np.concatenate([[0.0], np.exp2(np.arange(-30.0, 31.0, 1.5))])
_POINTS = np.unique(np.concatenate([_LEVELS, -_LEVELS, np.linspace(-10, 10, 81)]))


def tried(f: Function) -> None:
    """Call forward and derivative at points of the domain, twice each.

    Raises InfeasibleError that says what is wrong: they raise, differ from call to call, or have no finite value.
    """
    for section in sections(f):
        x = _inside(section)
        for name, curve in (("forward", section.value), ("derivative", section.slope)):
            with np.errstate(all="ignore"):
                y = _called(f, name, curve, section, x)
                again = curve(x)
            differs = ~((y == again) | (np.isnan(y) & np.isnan(again)))
            if differs.any():
                raise InfeasibleError(
                    f"{f.name}: its {name} is not deterministic: {_at(section, x[differs][0])} gave "
                    f"{float(y[differs][0])!r}, then {float(again[differs][0])!r}"
                )
            if not np.isfinite(y).any():
                raise InfeasibleError(
                    f"{f.name}: its {name} has no finite value at any of {x.size} points of its domain "
                    f"{f.declaration.domain}: correct it, or narrow domain="
                )


def _inside(section: Section) -> Array:
    """Points of a section's domain, which may be a narrow interval."""
    low, high = section.domain.low, section.domain.high
    if math.isfinite(low) and math.isfinite(high):
        return low + (high - low) * np.arange(1, 128) / 128
    x = _POINTS + (low if math.isfinite(low) else high if math.isfinite(high) else 0.0)
    return x[(x > low) & (x < high)]


def _called(f: Function, name: str, curve: Callable[[Array], Array], section: Section, x: Array) -> Array:
    try:
        return np.asarray(curve(x))
    except ActbenchError:
        raise
    except Exception as error:
        for i in range(x.size):
            try:
                curve(x[i : i + 1])
            except Exception as alone:
                raise InfeasibleError(
                    f"{f.name}: its {name} raises {type(alone).__name__} at {_at(section, x[i])}: {alone}"
                ) from alone
        raise InfeasibleError(f"{f.name}: its {name} raises {type(error).__name__}: {error}") from error


def _at(section: Section, value: float) -> str:
    held = f" ({section.label})" if section.label else ""
    return f"{section.axis} = {float(value)!r}{held}"
