"""What maps no single elements: rows, sequences and reductions, as batches of results beside the exact ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from actbench.catalog.errors import InfeasibleError
from actbench.kernels.arrays import dtype_named
from actbench.kernels.base import Function
from actbench.verify import inputs
from actbench.verify.findings import FORWARD, MEAN, Case
from actbench.verify.oracle import Definition, Rows, UndefinedError
from actbench.verify.rounding import FORMATS, Array, Target
from actbench.verify.subject import as_numbers, in_format, worth

_SIZES = 1000, (1 << 12) + 1
"""Elements that are averaged: one block, and several."""
ROWS, _SPREADS = {2: 32, 10: 16, 40: 4, 130: 1}, (0.1, 1.0, 4.0, 30.0)
"""How many rows of each length, and how far their elements lie apart."""
_DRAWS = 8
"""How often all elements of a row are moved at random, to see what their rounding is worth."""


@dataclass(frozen=True)
class Batch:
    """Results and exact results, and by which columns of numbers they are told apart."""

    names: tuple[str, ...]
    columns: tuple[Array, ...]
    got: Array
    target: Target
    worth: Array
    """How much the results move by the rounding of the operands."""


@dataclass(frozen=True)
class _Row:
    """One row: its elements, the results of a pass, the exact ones, and how much the operands' rounding moves these."""

    x: Array
    spread: float
    got: Array
    target: Target
    worth: Array


def batch_of(f: Function, case: Case, lengths: Mapping[int, int] = ROWS) -> Batch:
    """The batch of a case, with so many rows of each length; raises UndefinedError without an exact definition."""
    if case.pass_ == MEAN:
        return _means(f, case)
    rows = [*_BUILDERS[f.declaration.template](_Rows(f, case, lengths))]
    if not rows:
        raise UndefinedError(f"{f.name}: these parameters divide no length that is tried")
    return _joined(rows)


def _means(f: Function, case: Case) -> Batch:
    """Means of several sizes over random values."""
    kind, format = dtype_named(case.dtype), FORMATS[case.dtype]
    wide, params = in_format(f, case.params, kind)
    definition = Definition(wide.declaration, as_numbers(wide.declaration, params))
    rng, got, targets = np.random.default_rng(0), [], []
    for size in _SIZES:
        drawn = (inputs.drawn(domain, size, rng) for domain in (f.declaration.domain, f.declaration.target))
        pred, target = (o.astype(kind) for o in drawn)
        got.append(f(pred, target, reduction=MEAN, **case.params))
        targets.append(definition.total([pred, target], size, format))
    sizes = np.array(_SIZES, np.float64)
    return Batch(("size",), (sizes,), np.array(got, kind), Target.joined(targets), np.zeros(sizes.size))


def _joined(rows: Sequence[_Row]) -> Batch:
    """The rows' results one after the other, told apart by an element: the one beside, or the first of the row."""
    beside = [row.x if row.x.size == row.got.size else np.resize(row.x, row.got.size) for row in rows]
    lengths = np.repeat([row.x.size for row in rows], [row.got.size for row in rows])
    spreads = np.repeat([row.spread for row in rows], [row.got.size for row in rows])
    columns = np.concatenate(beside).astype(np.float64), lengths.astype(np.float64), spreads
    got, worth = (np.concatenate([getattr(row, name) for row in rows]) for name in ("got", "worth"))
    target = Target.joined([row.target for row in rows])
    return Batch(("element", "length", "spread"), columns, got, target, worth)


class _Rows:
    """A case over rows: the pass and what its results are worth, and the parameters as its definition takes them."""

    def __init__(self, f: Function, case: Case, lengths: Mapping[int, int]) -> None:
        self.lengths = lengths
        self.f, self.case, self.kind, self.format = f, case, dtype_named(case.dtype), FORMATS[case.dtype]
        self._wide, self._params = in_format(f, case.params, self.kind)
        as_numbers(self._wide.declaration, self._params)  # refuses a choice that departs from the definition
        self.rng = np.random.default_rng(0)

    def exact(self, *others: Any, width: int = 0) -> Rows:
        """The definition, for what it takes beside the row and the parameters."""
        return Rows(self._wide.declaration, [*others, *self._params.values()], width)

    def results(self, *operands: Array, **options: Any) -> tuple[Array, Array]:
        """What the pass returns, and how much it moves by the operands' rounding."""
        wide = [o.astype(np.float64) if o.dtype == self.kind else o for o in operands]
        free = [i for i, o in enumerate(operands) if o.dtype == self.kind]

        def reference(*arrays: Array) -> Array:
            return np.asarray(self._pass(self._wide)(*arrays, **options, **self._params))

        got = np.asarray(self._pass(self.f)(*operands, **options, **self.case.params))
        return got, worth(reference, wide, free, self.case.dtype, _DRAWS)

    def _pass(self, f: Function) -> Callable[..., Array]:
        return f if self.case.pass_ == FORWARD else f.backward

    def of_a_loss(self, exact: Rows, row: Array) -> Target:
        """The exact loss of a row, or its gradient."""
        if self.case.pass_ == FORWARD:
            return exact.targets(row, self.format)
        return exact.products(np.ones(1), row, self.format)


def _rowwise(rows: _Rows) -> Iterator[_Row]:
    exact = rows.exact()
    for (length, count), spread in product(rows.lengths.items(), _SPREADS):
        x = (spread * rows.rng.standard_normal((count, length))).astype(rows.kind)
        try:
            y = rows.f(x, **rows.case.params)
        except InfeasibleError:  # a length that the parameters do not divide
            continue
        if rows.case.pass_ == FORWARD:
            targets = [exact.targets(v, rows.format) for v in x]
            results = rows.results(x)
        else:
            g = rows.rng.standard_normal(y.shape).astype(rows.kind)
            targets = [exact.products(u, v, rows.format) for u, v in zip(g, x, strict=True)]
            results = rows.results(g, x)
        for v, target, got, moved in zip(x, targets, *results, strict=True):
            yield _Row(v, spread, got, target, moved)


def _classification(rows: _Rows) -> Iterator[_Row]:
    """Rows with a class each, and rows with probabilities."""
    for (length, count), spread in product(rows.lengths.items(), _SPREADS):
        pred = (spread * rows.rng.standard_normal((count, length))).astype(rows.kind)
        index = rows.rng.integers(0, length, count)
        soft = rows.rng.dirichlet(np.ones(length), count).astype(rows.kind)
        for target, shares in ((index, np.eye(length)[index]), (soft, soft.astype(np.float64))):
            results = rows.results(pred, target, reduction="none")
            for v, share, *found in zip(pred, shares, *results, strict=True):
                got, moved = map(np.atleast_1d, found)
                yield _Row(v, spread, got, rows.of_a_loss(rows.exact(share.tolist()), v), moved)


def _sequence(rows: _Rows) -> Iterator[_Row]:
    """Sequences of log-probabilities, and their labels."""
    for (steps, classes, labels), spread in product(inputs.ALIGNMENTS, _SPREADS[1:3]):
        scores = spread * rows.rng.standard_normal((steps, 1, classes))
        scores -= np.log(np.exp(scores).sum(-1, keepdims=True))
        scores = np.minimum(scores, 0).astype(rows.kind)
        got, moved = rows.results(scores, np.array([labels], np.int64), reduction="none")
        exact = rows.of_a_loss(rows.exact([*labels], width=classes), scores.ravel())
        yield _Row(scores.ravel(), spread, got.ravel(), exact, moved.ravel())


_BUILDERS: Mapping[str, Callable[[_Rows], Iterator[_Row]]] = {
    "rowwise": _rowwise,
    "classification": _classification,
    "sequence": _sequence,
}
