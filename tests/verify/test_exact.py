"""The formulas at high precision, and derivatives that owe nothing to the declared ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from actbench.catalog.declaration import Declaration
from actbench.catalog.formula import Formula
from actbench.catalog.registry import find
from actbench.verify import exact
from actbench.verify.derivative import settings

pytest.importorskip("mpmath", reason="high precision is the extra 'audit'")


def scalars(declaration: Declaration, given: dict[str, object]) -> dict[str, object]:
    values = declaration.resolve(given)
    if declaration.prepare is not None:
        values = dict(declaration.prepare(np.zeros(1), **values))
    return {n: v for n, v in values.items() if not isinstance(v, str)}


def agree(declaration: Declaration, points: list[dict[str, object]], wrt: str) -> None:
    formula = declaration.derivative_formula
    assert formula is not None
    for point in points:
        expected = exact.derivative(declaration, point, wrt)  # type: ignore[arg-type]
        with exact.context().workprec(exact.precision(point)):
            printed = float(exact.evaluate(formula, point))
        # Both are rounded once from hundreds of bits.
        assert printed == pytest.approx(expected, rel=1e-15, abs=1e-300), (declaration.name, point)


def test_the_printed_derivative_is_that_of_the_printed_formula(elementwise: Declaration) -> None:
    x = [-300.5, -40.25, -3.25, -0.7, -1e-9, 1e-9, 0.3, 1.7, 5.0, 60.0]
    for given in settings(elementwise):
        agree(elementwise, [{**scalars(elementwise, given), "x": v} for v in x], "x")


def test_the_printed_gradient_is_that_of_the_printed_loss(pairwise: Declaration) -> None:
    targets = pairwise.target.members or (
        (0.0, 0.3, 1.0) if math.isfinite(pairwise.target.high) else (-2.0, 0.0, 1.5)
    )
    bounded = math.isfinite(pairwise.domain.high)
    x = [0.01, 0.2, 0.55, 0.999] if bounded else [-30.0, -1.3, -1e-6, 0.4, 2.2, 70.0]
    for given in settings(pairwise):
        points = [{**scalars(pairwise, given), "pred": v, "target": t} for v in x for t in targets]
        agree(pairwise, points, "pred")


def test_numbers_in_formulas_are_exact() -> None:
    third = exact.evaluate(Formula("1/3"), {})
    tenth = exact.evaluate(Formula("0.1"), {})
    assert abs(third * 3 - 1) < 1e-15
    assert tenth != exact.context().mpf(0.1) or exact.context().prec == 53


def test_cancelling_formulas_keep_their_digits() -> None:
    tanh = find("tanh")
    assert exact.value(tanh, {"x": 1e-200}) == 1e-200
    assert exact.derivative(tanh, {"x": 300.0}, "x") == pytest.approx(4 * math.exp(-600), rel=1e-15)
    assert exact.value(find("softplus"), {"x": -700.0, "beta": 1.0, "threshold": math.inf}) == pytest.approx(
        math.exp(-700), rel=1e-13
    )


def test_rows() -> None:
    row = [float(v) for v in exact.rows(find("softmax"), [[1.0, 2.0, 700.0]])]
    assert row[1] == pytest.approx(math.exp(-698), rel=1e-13)
    slope = exact.gradient(lambda x: x[0] * x[1] ** 2, [3.0, 2.0])
    assert slope == pytest.approx([4.0, 12.0], rel=1e-15)
