"""What an audit is about: a pass of a function in a format, the float64 kernel beside it, and its exact definition."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from actbench.catalog.declaration import Declaration
from actbench.kernels.arrays import compute_dtype, dtype_named
from actbench.kernels.base import Function
from actbench.verify import inputs
from actbench.verify.findings import DERIVATIVE, FORWARD, Case
from actbench.verify.oracle import Definition, UndefinedError
from actbench.verify.rounding import FORMATS, Array
from actbench.verify.section import kinks_of

ELEMENTS = ("elementwise", "pairwise")
"""The templates of a subject."""
_PAIRS = 1 << 12
"""Random pairs of a prediction and a target, beside those of all predictions with typical targets."""


def free(f: Function) -> range:
    """The operands that may move: labels may not."""
    return range(1 if f.declaration.template == "elementwise" or f.declaration.target.members else 2)


def passes(f: Function) -> tuple[str, ...]:
    """What the formula can judge: a derivative that is a difference itself is right to its own accuracy only."""
    return (FORWARD,) if f.declaration.derivative == "numerical" else (FORWARD, DERIVATIVE)


class Subject:
    """A case over arrays, for a function that maps element by element, or pairs of elements without a reduction.

    ``definition`` is None where there is no exact definition, and ``undefined`` says why.
    """

    def __init__(self, f: Function, case: Case) -> None:
        self.f, self.case = f, case
        self.kind = dtype_named(case.dtype)
        self._wide, self._params = in_format(f, case.params, self.kind)
        declaration = self._wide.declaration
        wrt = declaration.operands[0] if case.pass_ == DERIVATIVE else None
        self.definition, self.undefined = None, ""
        try:
            self.definition = Definition(declaration, as_numbers(declaration, self._params), wrt)
        except UndefinedError as error:
            self.undefined = str(error)

    def __call__(self, *operands: Array) -> Array:
        """The pass, on operands of its format."""
        return self._call(self.f, self.case.params, operands)

    def reference(self, *operands: Array) -> Array:
        """The same pass in float64, where the parameters are the numbers that they are in the format."""
        return self._call(self._wide, self._params, operands)

    def _call(self, f: Function, params: Mapping[str, Any], operands: Sequence[Array]) -> Array:
        forward = self.case.pass_ == FORWARD
        with np.errstate(all="ignore"):
            if f.kind == "loss":
                found = (f if forward else f.backward)(*operands, reduction="none", **params)
            else:
                found = (f if forward else f.derivative)(*operands, **params)
        return np.asarray(found)

    def worth(self, operands: Sequence[Array], dtype: str) -> Array | None:
        """How much results move when operands do by a ULP of a format; None where there is one operand only."""
        return None if len(operands) == 1 else worth(self.reference, operands, free(self.f), dtype)

    def operands(self, most: int, elsewhere: int | None, reach: int) -> Iterator[tuple[Array, ...]]:
        """Inputs chunk by chunk: ``most`` of every exponent, ``elsewhere`` of those far from 1, all within ``reach``
        numbers of a place where the result turns, and what is special; a loss with typical targets, and at random.
        """
        declaration = self.f.declaration
        if declaration.template == "elementwise":
            yield from ((x,) for x in self._axis((), most, elsewhere, reach))
            return
        for target in inputs.typical_targets(declaration):
            for x in self._axis((target,), most, elsewhere, reach):
                yield x, np.full_like(x, target)
        rng = np.random.default_rng(1)
        drawn = (inputs.drawn(domain, _PAIRS, rng) for domain in (declaration.domain, declaration.target))
        yield tuple(o.astype(self.kind) for o in drawn)

    def _axis(
        self, others: tuple[float, ...], most: int, elsewhere: int | None, reach: int
    ) -> Iterator[Array]:
        domain = self.f.declaration.domain

        def curve(x: Array) -> Array:
            return self(x, *(np.full_like(x, other) for other in others))

        near = inputs.turns(curve, domain, self.kind)
        kinks = np.asarray(self.kinks(*others), self.kind)
        yield from inputs.axis(domain, np.concatenate([near, kinks]), self.kind, most, elsewhere, reach)

    def kinks(self, *others: float) -> tuple[float, ...]:
        """The declared kinks on the axis of the first operand."""
        named = dict(zip(self.f.declaration.operands[1:], others, strict=True))
        return tuple(kink[0] for kink in kinks_of(self.f, self.case.params, **named))

    def clear(self, curve: Sequence[Array]) -> Array:
        """Which points of a curve lie not so near to a kink that the rounding of its place decides on which side."""
        x = curve[0]
        kinks = self.kinks(*(float(o[0]) for o in curve[1:]))
        near = [np.abs(x.astype(np.float64) - k) <= 4 * np.spacing(np.abs(x.dtype.type(k))) for k in kinks]
        return ~np.any(near, axis=0) if near else np.ones(x.shape, bool)


def worth(
    call: Callable[..., Array],
    operands: Sequence[Array],
    which: Iterable[int],
    dtype: str,
    draws: int = 1,
) -> Array:
    """How much float64 results move, added up, when one operand after the other does by a ULP of a format.

    Where many elements of an operand have a part in one result, they move up and down at random, ``draws`` times, and
    the most counts. The step is longer, and what it moves taken in proportion: float64's last bits play no part.
    """
    step, exact, rng = 2.0**-32, call(*operands), np.random.default_rng(0)
    total = np.zeros(exact.shape)
    with np.errstate(all="ignore"):
        for i in which:
            most = np.zeros(exact.shape)
            for _ in range(draws):
                moved = operands[i] * (1 + step * rng.choice((-1.0, 1.0), operands[i].shape))
                most = np.fmax(most, np.abs(call(*operands[:i], moved, *operands[i + 1 :]) - exact))
            total += np.where(np.isfinite(most), most, 0.0)
    return total * (2.0 ** (1 - FORMATS[dtype].places) / step)


def in_format(f: Function, given: Mapping[str, Any], kind: np.dtype[Any]) -> tuple[Function, dict[str, Any]]:
    """The function with its bodies' own parameters, and their values as a kernel of a format holds them."""
    declaration = f.declaration
    values: Mapping[str, Any] = declaration.resolve(given)
    if declaration.prepare is not None:
        values = declaration.prepare(np.zeros(1), **values)
        own = {name: p for name, p in declaration.params.items() if name in declaration.body_params}
        f = type(f)(replace(declaration, prepare=None, params=own))
    compute = compute_dtype(kind)
    return f, {
        name: float(compute.type(values[name])) if isinstance(values[name], float) else values[name]
        for name in declaration.body_params
    }


def as_numbers(declaration: Declaration, values: Mapping[str, Any]) -> dict[str, float]:
    """The bodies' parameters as the formula takes them.

    Raises UndefinedError for an array, and for a choice other than the first, which departs from the formula.
    """
    for name, value in values.items():
        valid = declaration.describe(name).valid
        if np.ndim(value) or (isinstance(valid, tuple) and value != valid[0]):
            raise UndefinedError(f"{declaration.name}: {name}={value!r} is not what its formula says")
    return {name: float(value) for name, value in values.items() if not isinstance(value, str)}
