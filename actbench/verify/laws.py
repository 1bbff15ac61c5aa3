"""Laws that the formula obeys, found by trying them on exact values, and demanded of the kernels.

An odd formula has an odd kernel, to the last bit (but for the sign of a zero); one that increases has no kernel
that decreases by more than its bound; where outputs of rows sum to 1, or do not change when all of x is shifted,
gradients sum to 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from actbench.catalog.errors import InfeasibleError
from actbench.kernels.arrays import dtype_named
from actbench.kernels.base import Function
from actbench.verify import inputs
from actbench.verify.audit import bound
from actbench.verify.findings import FORWARD, Case
from actbench.verify.oracle import Rows, UndefinedError
from actbench.verify.report import Judgement, Place
from actbench.verify.rounding import FORMATS, Array
from actbench.verify.subject import ELEMENTS, Subject, as_numbers, in_format, passes

JUDGE = "law of the formula"
_DTYPES = ("float64", "float32")
_TRIED = 48
"""Points at which a law is tried on exact values: what holds at so many random ones is no coincidence."""
_WIDTHS = (2, 5, 33, 300)
_EXACT = FORMATS["float64"]


def judgements(
    f: Function, given: Mapping[str, Any], curves: Sequence[tuple[Array, ...]]
) -> Iterator[Judgement]:
    """What the laws of the formula say of kernels; ``curves`` are sorted points (and a target) to try.

    Raises UndefinedError where exact arithmetic knows nothing of the function.
    """
    template = f.declaration.template
    if template == "elementwise":
        yield from _symmetry(f, given, curves)
    if template == "pairwise":
        yield from _exchanges(f, given)
    if template in ELEMENTS:
        yield from _order(f, given, curves)
    if template == "rowwise" and f.declaration.exact is not None:
        yield from _sums(f, given)
    if template == "classification":
        yield from _balance(f, given)
    if template == "sequence":
        yield from _balance_of_steps(f, given)


def _subjects(f: Function, given: Mapping[str, Any], pass_: str) -> Iterator[Subject]:
    for dtype in _DTYPES:
        yield Subject(f, Case(f.name, pass_, dtype, tuple(given.items())))


def _exactly(subject: Subject, operands: Sequence[Array]) -> Array:
    """The exact results rounded to float64; NaN where they are not decided."""
    if subject.definition is None:
        raise UndefinedError(subject.undefined)
    target = subject.definition.targets(operands, _EXACT)
    return np.asarray(np.where(target.decided, target.nearest, np.nan))


def _some(points: Array) -> Array:
    return np.asarray(points[np.linspace(0, points.size - 1, min(_TRIED, points.size)).astype(int)])


def _symmetry(
    f: Function, given: Mapping[str, Any], curves: Sequence[tuple[Array, ...]]
) -> Iterator[Judgement]:
    """f(-x) is f(x), or -f(x), the same number, and the derivative the other way round."""
    domain = f.declaration.domain
    if domain.low != -domain.high:
        return
    (exact, _) = _subjects(f, given, FORWARD)
    for (x,) in curves:
        tried = _some(np.abs(x[x != 0]))
        y, mirrored = _exactly(exact, [tried]), _exactly(exact, [-tried])
        sign = next((s for s in (1, -1) if np.array_equal(mirrored, s * y)), 0)
        if not sign:
            return
        for pass_, parity in zip(passes(f), (sign, -sign), strict=False):
            for subject in _subjects(f, given, pass_):
                points = np.setdiff1d(x, [side * kink for kink in subject.kinks() for side in (1, -1)])
                points = np.unique(points.astype(subject.kind))
                name = "odd" if parity < 0 else "even"
                got, expected = subject(-points), parity * subject(points)
                yield Judgement(f"symmetry: {pass_} {name}", JUDGE, got, expected, 0.0, _at(-points))


def _at(x: Array) -> Callable[[int], Place]:
    return lambda i: (("x", float(x[i])),)


_EXCHANGES: Mapping[str, Callable[[Array, Array], tuple[Array, Array]]] = {
    "loss(target, pred) = loss(pred, target)": lambda p, t: (t, p),
    "loss(-pred, -target) = loss(pred, target)": lambda p, t: (-p, -t),
    "loss(-pred, 1 - target) = loss(pred, target)": lambda p, t: (-p, 1 - t),
}


def _exchanges(f: Function, given: Mapping[str, Any]) -> Iterator[Judgement]:
    """What may be exchanged for what, with the same number as the result."""
    declaration, rng = f.declaration, np.random.default_rng(3)
    domain, targets = declaration.domain, declaration.target
    # Few bits, so that 1 - target is exact.
    pred, target = (np.round(64 * inputs.drawn(d, 512, rng)) / 64 for d in (domain, targets))
    (exact, _) = _subjects(f, given, FORWARD)
    for name, exchange in _EXCHANGES.items():
        other = exchange(pred, target)
        inside = [
            np.array([v in d for v in o.tolist()]) for o, d in zip(other, (domain, targets), strict=True)
        ]
        if not np.all(inside):
            continue
        tried = slice(_TRIED)
        ours, theirs = (_exactly(exact, [o[tried] for o in pair]) for pair in ((pred, target), other))
        if not np.array_equal(ours, theirs):
            continue
        for subject in _subjects(f, given, FORWARD):
            a, b = ([o.astype(subject.kind) for o in pair] for pair in ((pred, target), other))

            def place(i: int) -> Place:
                return (("pred", float(pred[i])), ("target", float(target[i])))

            yield Judgement(name, JUDGE, subject(*b), subject(*a), 0.0, place)


def _order(f: Function, given: Mapping[str, Any], curves: Sequence[tuple[Array, ...]]) -> Iterator[Judgement]:
    """A monotone formula, and a convex one, whose slopes are: no kernel turns back by more than its bound allows."""
    for pass_ in passes(f):
        (exact, _) = _subjects(f, given, pass_)
        for curve in curves:
            operands = [o[exact.clear(curve)] for o in curve]
            y = _exactly(exact, operands)
            for sign, name in ((1, "increases"), (-1, "decreases")):
                if np.isnan(y).any() or np.any(np.diff(sign * y) < 0) or y[0] == y[-1]:
                    continue
                for subject in _subjects(f, given, pass_):
                    yield _ordered(subject, operands, sign, f"order: {pass_} {name}")


def _ordered(subject: Subject, operands: Sequence[Array], sign: int, name: str) -> Judgement:
    _, first = np.unique(operands[0].astype(subject.kind), return_index=True)
    narrow = [o[first].astype(subject.kind) for o in operands]
    narrow = [o[subject.clear(narrow)] for o in narrow]
    got = sign * subject(*narrow).astype(np.float64)
    most, format = bound(subject.f.declaration, subject.case), FORMATS[subject.case.dtype]
    before, after = got[:-1], got[1:]
    unit = np.maximum(np.abs(after) * 2.0 ** (1 - format.places), 2.0 ** (format.least - format.places + 1))
    expected = np.where(after < before, before, after)
    room = 2 * (most if np.isfinite(most) else 16.0) * unit

    def place(i: int) -> Place:
        return tuple(
            (n, float(o[i + 1])) for n, o in zip(subject.f.declaration.operands, narrow, strict=True)
        )

    return Judgement(name, JUDGE, sign * after, sign * expected, room, place)


def _matrices(dtype: str) -> Iterator[Array]:
    rng = np.random.default_rng(4)
    for width in _WIDTHS:
        for spread in (0.1, 3.0, 30.0):
            yield (spread * rng.standard_normal((8, width))).astype(dtype_named(dtype))


def _sums(f: Function, given: Mapping[str, Any]) -> Iterator[Judgement]:
    """Outputs that sum to 1, for which a constant cotangent gives 0, and gradients that sum to 0."""
    wide, params = in_format(f, given, np.dtype(np.float64))
    as_numbers(wide.declaration, params)
    exact, rng = Rows(wide.declaration, [*params.values()]), np.random.default_rng(5)
    x = rng.standard_normal(12)
    y, shifted = (exact.targets(row, _EXACT).nearest for row in (x, x + 1.0))
    whole, invariant = bool(abs(y.sum() - 1) < 1e-14), np.allclose(y, shifted, rtol=1e-14, atol=0)
    for dtype in _DTYPES:
        unit = 2.0 ** -FORMATS[dtype].places
        for rows in _matrices(dtype):
            try:
                out = f(rows, **given)
            except InfeasibleError:
                continue
            place = _row_of(rows)
            n, ones = rows.shape[1], np.ones(len(rows))
            if whole:
                yield Judgement("rows sum to 1", JUDGE, _summed(out), ones, 2 * n * unit, place)
                still = _largest(f.backward(np.ones_like(out), rows, **given))
                yield Judgement("backward of ones is 0", JUDGE, still, 0 * ones, 4 * unit, place)
            if invariant:
                g = rng.standard_normal(out.shape).astype(out.dtype)
                gradient = f.backward(g, rows, **given)
                room = 4 * unit * (np.abs(gradient).sum(-1) + np.abs(g).sum(-1))
                yield Judgement("gradients sum to 0", JUDGE, _summed(gradient), 0 * ones, room, place)


def _balance(f: Function, given: Mapping[str, Any]) -> Iterator[Judgement]:
    """A loss of logits that a shift of all of them leaves alone: its gradients sum to 0."""
    wide, params = in_format(f, given, np.dtype(np.float64))
    numbers = as_numbers(wide.declaration, params)
    rng = np.random.default_rng(6)
    x, shares = rng.standard_normal(5), rng.dirichlet(np.ones(5)).tolist()
    exact = Rows(wide.declaration, [shares, *numbers.values()])
    (loss,), (shifted,) = (exact.targets(row, _EXACT).nearest for row in (x, x + 1.0))
    if not abs(loss - shifted) <= 1e-14 * abs(loss):
        return
    for dtype in _DTYPES:
        for rows in _matrices(dtype):
            target = rng.integers(0, rows.shape[1], len(rows))
            gradient = f.backward(rows, target, reduction="none", **given)
            room = 4 * 2.0 ** -FORMATS[dtype].places * rows.shape[1]
            yield Judgement(
                "gradients sum to 0", JUDGE, _summed(gradient), np.zeros(len(rows)), room, _row_of(rows)
            )


def _balance_of_steps(f: Function, given: Mapping[str, Any]) -> Iterator[Judgement]:
    """The same for a loss of sequences, step by step."""
    steps, classes, labels = 3, 4, [1, 2]
    wide, params = in_format(f, {**given, "blank": 0}, np.dtype(np.float64))
    exact, rng = Rows(wide.declaration, [labels, *params.values()], classes), np.random.default_rng(7)
    x = -1 - rng.random((steps, classes))
    (loss,), (shifted,) = (
        exact.targets(v.ravel(), _EXACT).nearest for v in (x, x + np.array([[0], [0.5], [0]]))
    )
    if not abs(loss - shifted) <= 1e-14 * abs(loss):
        return
    for dtype in _DTYPES:
        scores = rng.standard_normal((12, 8, classes)).astype(dtype_named(dtype))
        gradient = f.backward(scores, np.tile(labels, (8, 1)), reduction="none", **{**given, "blank": 0})
        rows, room = scores.reshape(-1, classes), 4 * classes * 2.0 ** -FORMATS[dtype].places
        yield Judgement(
            "gradients sum to 0", JUDGE, _summed(gradient).ravel(), np.zeros(len(rows)), room, _row_of(rows)
        )


def _summed(rows: Array) -> Array:
    return np.asarray(rows.astype(np.float64).sum(axis=-1))


def _largest(rows: Array) -> Array:
    return np.asarray(np.abs(rows.astype(np.float64)).max(axis=-1))


def _row_of(rows: Array) -> Callable[[int], Place]:
    return lambda i: (("width", float(rows.shape[1])), ("x[0]", float(rows[i, 0])))
