"""The exact values of formulas: rounded right, at the edges too, and derivatives that owe nothing to the declared ones."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import UsageError
from actbench.catalog.formula import Formula
from actbench.catalog.registry import find
from actbench.kernels import bind
from actbench.verify import inputs, oracle
from actbench.verify.derivative import settings
from actbench.verify.oracle import Definition, Rows, UndefinedError
from actbench.verify.rounding import FORMATS, Target
from actbench.verify.subject import as_numbers, in_format

flint = pytest.importorskip("flint", reason="the oracle is the extra 'audit'")

FLOAT64 = FORMATS["float64"]
EDGES = (
    *(
        0.0,
        -0.0,
        5e-324,
        2.3e-308,
        1e-300,
        1e-20,
        3.0,
        6.0,
        36.9,
        88.8,
        104.5,
        710.0,
        745.5,
        1e4,
        1e40,
        1e100,
    ),
    *(1e200, 1e300, sys.float_info.max, math.inf),
)


def definition(declaration: Declaration, given: dict[str, Any], wrt: str | None = None) -> Definition:
    f, params = in_format(bind(declaration), given, np.dtype(np.float64))
    return Definition(f.declaration, as_numbers(f.declaration, params), wrt)


def exactly(name: str, x: float, wrt: str | None = None, dtype: str = "float64", **params: float) -> float:
    found = definition(find(name), params, wrt).targets([np.array([x])], FORMATS[dtype])
    assert found.decided[0]
    return float(found.nearest[0])


def with_formula(text: str, **changes: Any) -> Definition:
    """The definition of a function of x that is nothing but a formula."""
    declared = replace(find("identity"), formula=Formula(text), **changes)
    return Definition(declared, {}, None)


def comparable(settings_: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [given for given in settings_ if not any(isinstance(v, str) for v in given.values())]


@pytest.mark.parametrize("wrt", [None, "x"], ids=["value", "derivative"])
def test_every_number_is_decided(elementwise: Declaration, wrt: str | None) -> None:
    rng = np.random.default_rng(0)
    scattered = np.ldexp(1 + rng.random(300), rng.integers(-1074, 1024, 300))
    x = np.concatenate([EDGES, scattered])
    found = definition(elementwise, {}, wrt).targets([np.concatenate([x, -x, [math.nan]])], FLOAT64)
    assert found.decided.all()
    assert np.isnan(found.nearest[:-1]).sum() == 0
    assert np.isnan(found.nearest[-1])


def agree(a: Target, b: Target) -> None:
    assert np.array_equal(a.nearest, b.nearest)
    assert a.decided.all()
    assert b.decided.all()


def test_the_printed_derivative_is_that_of_the_printed_formula(elementwise: Declaration) -> None:
    x = np.array([-300.5, -40.25, -3.25, -0.7, -1e-9, 1e-9, 0.3, 1.7, 5.0, 60.0])
    printed = replace(elementwise, formula=elementwise.derivative_formula)
    for given in comparable(settings(elementwise)):
        agree(
            definition(printed, given).targets([x], FLOAT64),
            definition(elementwise, given, "x").targets([x], FLOAT64),
        )


def test_the_printed_gradient_is_that_of_the_printed_loss(pairwise: Declaration) -> None:
    bounded = math.isfinite(pairwise.domain.high)
    x = np.array([0.01, 0.2, 0.55, 0.999] if bounded else [-30.0, -1.3, -1e-6, 0.4, 2.2, 70.0])
    printed = replace(pairwise, formula=pairwise.derivative_formula)
    for given in comparable(settings(pairwise)):
        for target in inputs.typical_targets(pairwise):
            operands = [x, np.full_like(x, target)]
            agree(
                definition(printed, given).targets(operands, FLOAT64),
                definition(pairwise, given, "pred").targets(operands, FLOAT64),
            )


def test_known_values() -> None:
    assert exactly("tanh", 1e-200) == 1e-200
    assert exactly("tanh", 300.0, "x") == pytest.approx(4 * math.exp(-600), rel=1e-13)
    assert exactly("softplus", -700.0) == pytest.approx(math.exp(-700), rel=1e-13)
    assert exactly("gelu", -30.0) == pytest.approx(-30 * math.erfc(30 / math.sqrt(2)) / 2, rel=1e-13)
    assert exactly("sigmoid", 0.0) == 0.5
    assert exactly("sigmoid", -745.0) == 5e-324
    assert exactly("celu", -1.0, alpha=0.5) == pytest.approx(0.5 * math.expm1(-2), rel=1e-15)


@pytest.mark.parametrize(
    ("name", "x", "wrt", "limit"),
    [
        ("sigmoid", math.inf, None, 1.0),
        ("sigmoid", math.inf, "x", 0.0),
        ("tanh", -math.inf, None, -1.0),
        ("softplus", math.inf, None, math.inf),
        ("logsigmoid", -math.inf, None, -math.inf),
        ("gelu", -math.inf, None, 0.0),
        ("gelu_tanh", math.inf, "x", 1.0),
        ("hardswish", -math.inf, "x", 0.0),
        ("elu", -math.inf, None, -1.0),
    ],
)
def test_an_infinite_input_is_a_limit(name: str, x: float, wrt: str | None, limit: float) -> None:
    assert exactly(name, x, wrt) == limit


@pytest.mark.parametrize(
    ("formula", "limit"), [("log(1 + x**2)", math.inf), ("x / sqrt(1 + x**2)", 1.0), ("cos(x)", math.nan)]
)
def test_a_limit_that_comes_slowly_or_not_at_all(formula: str, limit: float) -> None:
    found = with_formula(formula).targets([np.array([math.inf])], FLOAT64)
    assert found.decided[0] == (not math.isnan(limit))
    assert np.array_equal(found.nearest, [limit], equal_nan=True)


def test_an_end_of_the_domain_is_a_limit() -> None:
    ends = [np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])]
    assert definition(find("bce"), {}).targets(ends, FLOAT64).nearest.tolist() == [0, math.inf, math.inf, 0]


def test_a_derivative_at_a_kink_is_the_convention() -> None:
    assert exactly("relu", 0.0, "x") == 0
    assert exactly("relu", 0.0, "x", slope_at_zero=0.5) == 0.5
    assert exactly("hardtanh", 1.0, "x") == 0
    assert exactly("hardswish", 3.0, "x") == 1.5
    assert exactly("relu", 5e-324, "x") == 1


def test_numbers_in_formulas_are_exact() -> None:
    assert (with_formula("3*(x/3) - x").targets([np.array([0.1, 1e-300])], FLOAT64).nearest == 0).all()
    tenth = with_formula("10 * 0.1 - 1 + 0*x").targets([np.array([1.0])], FLOAT64)
    assert (tenth.nearest[0], tenth.rest[0]) == (0, 0)
    assert with_formula("3*sqrt(x)**2/3").targets([np.array([2.0])], FLOAT64).nearest[0] == 2


def test_ties_of_fractions_are_decided() -> None:
    """x/3 + 1/2 lies half-way between two numbers where x is a multiple of 3; 1/6 lies on no number."""
    x = np.array([3.0, 9.0, 15.0]) * 2.0**-54
    found = definition(find("hardswish"), {}, "x").targets([x], FLOAT64)
    assert found.decided.all()
    assert np.abs(found.rest[0]) == 0.5
    assert found.nearest[0] == 0.5


def test_what_no_precision_decides_is_said_to_be_undecided() -> None:
    nothing = with_formula("log(exp(x)) - x")
    found = nothing.targets([np.array([1.0, 2.0])], FLOAT64)
    assert (found.nearest == 0).all()  # within the least subnormal: a zero of unknown sign
    assert (found.rest == 0).all()
    half_way = with_formula("1 + 2**-53 + log(exp(x)) - x").targets([np.array([1.0])], FLOAT64)
    assert not half_way.decided[0]
    assert np.isnan(half_way.error(np.ones(1))[0])


@pytest.mark.parametrize(
    ("name", "slope", "side"), [("silu", 0.5, 1), ("hardswish", 0.5, 1), ("relu6", 1, 0)]
)
def test_sides_of_a_place(name: str, slope: float, side: int) -> None:
    """Near 0 these functions are a line, or a little more than one, of which float64 shows nothing."""
    of, tiny = definition(find(name), {}), 2.0**-148 * np.arange(1, 40)
    assert of.sides([tiny], slope * tiny).tolist() == [side] * tiny.size
    x = np.random.default_rng(1).standard_normal(60)
    found = of.targets([x], FORMATS["float32"])
    exact = found.nearest + found.rest * found.ulp
    for above in (1, -1):
        assert np.array_equal(of.sides([x], exact + above * 2.0**-40), np.full(60, -above))
    assert np.isnan(of.sides([np.array([math.inf])], np.zeros(1))[0])


def test_the_mean_of_exact_values() -> None:
    pred, target = np.array([1.0, 2.0, 4.0]), np.array([0.5, 2.0, 1.0])
    mean = definition(find("mse"), {}).total([pred, target], 3, FLOAT64)
    assert mean.nearest[0] == 9.25 / 3
    assert abs(mean.rest[0]) <= 0.5


def test_precision_is_as_before() -> None:
    before = flint.ctx.prec
    exactly("softplus", -700.0)
    Rows(find("softmax"), []).targets(np.array([1.0, 2.0]), FLOAT64)
    assert flint.ctx.prec == before


class TestRows:
    def test_outputs(self) -> None:
        row = Rows(find("softmax"), []).targets(np.array([1.0, 2.0, 700.0]), FLOAT64)
        assert row.nearest[1] == pytest.approx(math.exp(-698), rel=1e-13)
        assert Rows(find("maxout"), [2, "first"]).targets(np.arange(4.0), FLOAT64).nearest.tolist() == [1, 3]

    def test_products_with_the_jacobian(self) -> None:
        x, g = np.array([0.5, -1.0, 2.0]), np.array([1.0, -2.0, 0.25])
        s = np.exp(x) / np.exp(x).sum()
        found = Rows(find("softmax"), []).products(g, x, FLOAT64)
        assert found.nearest == pytest.approx(s * (g - g @ s), rel=1e-14)

    def test_a_loss_of_rows(self) -> None:
        q = [0.0, 1.0]
        loss = Rows(find("cross_entropy"), [q, 0.0])
        confident = np.array([0.0, 50.0])
        assert loss.targets(confident, FLOAT64).nearest[0] == pytest.approx(math.exp(-50), rel=1e-14)
        gradient = loss.products(np.ones(1), confident, FLOAT64).nearest
        assert gradient == pytest.approx([math.exp(-50), -math.exp(-50)], rel=1e-14)
        smoothed = Rows(find("cross_entropy"), [q, 0.5]).targets(np.zeros(2), FLOAT64)
        assert smoothed.nearest[0] == pytest.approx(math.log(2), rel=1e-15)

    @pytest.mark.parametrize("name", ["ctc", "ctc_with_logits"])
    def test_a_sequence(self, name: str) -> None:
        """One label in two steps: it comes first, second, or both times."""
        p = np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])
        loss = Rows(find(name), [[1], 0], width=3)
        found = loss.targets(np.log(p).ravel(), FLOAT64).nearest[0]
        assert found == pytest.approx(-math.log(0.25 * 0.125 + 0.5 * 0.75 + 0.25 * 0.75), rel=1e-14)
        repeated = Rows(find(name), [[1, 1], 0], width=3).targets(np.log(p).ravel(), FLOAT64)
        assert not repeated.decided[0]  # no alignment: the logarithm of 0


class TestWithoutADefinition:
    def test_an_unknown_function(self) -> None:
        with pytest.raises(UndefinedError, match="identity: its formula calls zeta, which is unknown"):
            with_formula("zeta(x)")

    def test_a_choice_that_departs_from_the_formula(self) -> None:
        with pytest.raises(UndefinedError, match="clamp='torch'"):
            definition(find("bce"), {"clamp": "torch"})

    def test_a_row(self) -> None:
        with pytest.raises(UndefinedError, match="no exact definition"):
            Rows(replace(find("softmax"), exact=None), [])

    def test_no_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "flint", None)
        oracle.library.cache_clear()
        try:
            with pytest.raises(
                UsageError, match="python-flint is not installed: pip install 'actbench\\[audit\\]'"
            ):
                definition(find("relu"), {})
        finally:
            oracle.library.cache_clear()
