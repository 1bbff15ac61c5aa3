"""Is it right? Checks of a compiled function as a black box, the same for the catalogue's and for users' own.

float64 derivatives are judged by differences of the compiled forward pass, float32 kernels by the float64 ones, and
both by the formula's own exact value, which sees the tails that differences do not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from actbench.catalog.declaration import Declaration
from actbench.catalog.domain import Domain
from actbench.catalog.errors import InfeasibleError, ParameterError
from actbench.kernels.base import Function
from actbench.verify.checker import Params
from actbench.verify.checkers import CHECKERS
from actbench.verify.report import Evidence
from actbench.verify.section import Array
from actbench.verify.trial import tried


def evidence(
    f: Function, params: Iterable[Params] | None = None, points: Array | None = None
) -> tuple[Evidence, ...]:
    """The checks of one function: at the given settings of its parameters, or at those of ``settings``.

    ``points`` are inputs to use in the place of the built-in ones. Raises ParameterError for a parameter that the
    function does not take, InfeasibleError for points of which none lies in its domain.
    """
    if points is not None:
        points = np.asarray(points, np.float64).reshape(-1)
        domain = f.declaration.domain
        points = np.unique([p for p in points.tolist() if math.isfinite(p) and p in domain])
        if not points.size:
            raise InfeasibleError(f"{f.name}: the input holds no finite value in its domain {domain}")
    tried(f)
    chosen = settings(f.declaration) if params is None else [dict(given) for given in params]
    checker = CHECKERS[f.declaration.template](f, points)
    for given in chosen:
        f.declaration.resolve(given)
        with np.errstate(all="ignore"):
            checker.run(given)
            checker.formula(given)
    return tuple(t.evidence() for t in checker.tallies.values() if t.points)


def settings(declaration: Declaration) -> list[dict[str, Any]]:
    """Parameter values to check at: the defaults, each parameter's shown values, and draws from its valid range."""
    names = declaration.defaults if declaration.prepare else declaration.body_params
    rng = np.random.default_rng(0)
    varied: list[dict[str, Any]] = []
    drawn: list[dict[str, Any]] = [{}, {}]
    for name in names:
        default, param = declaration.defaults[name], declaration.describe(name)
        if isinstance(param.valid, tuple):
            # A loss's choice copies what a framework does, which is not always the derivative (torch's bce).
            varied += [{name: c} for c in param.valid if c != default and declaration.kind == "activation"]
        elif isinstance(default, int | float) and isinstance(param.valid, Domain):
            varied += [{name: value} for value in param.shown]
            for together in drawn:
                together[name] = _draw(rng, param.valid, default)
    return [given for given in [{}, *varied, *(d for d in drawn if d)] if _valid(declaration, given)]


def _draw(rng: np.random.Generator, valid: Domain, default: float) -> float:
    if valid.members:
        return float(rng.choice(valid.members))
    low, high = valid.low, valid.high
    if isinstance(default, int) and not isinstance(default, bool):
        return int(rng.integers(int(max(low, default)), int(min(high, default + 4)), endpoint=True))
    if math.isfinite(low) and math.isfinite(high):
        drawn = rng.uniform(low, high)
    elif math.isfinite(low):
        drawn = low + rng.lognormal()
    else:
        drawn = high - rng.lognormal() if math.isfinite(high) else default + rng.normal()
    # Few digits, so that a counter-example can be typed.
    return float(f"{drawn:.3g}")


def _valid(declaration: Declaration, given: Params) -> bool:
    try:
        values = declaration.resolve(given)
        if declaration.prepare is not None:
            declaration.prepare(np.zeros(1), **values)
    except ParameterError:
        return False
    return True
