"""Formulas for plots and for the terminal."""

from __future__ import annotations

import ast

import pytest
from matplotlib.mathtext import MathTextParser

from actbench.catalog.formula import Formula
from actbench.present.formula import mathtext, plain


def formulas(declaration):
    return [f for f in (declaration.formula, declaration.derivative_formula) if f]


def test_matplotlib_parses_every_formula(declaration):
    parser = MathTextParser("path")
    for formula in formulas(declaration):
        for branch in mathtext(formula):
            for text in filter(None, branch):
                parser.parse(text)


def test_every_name_of_a_formula_is_in_both_renderings(declaration):
    for formula in formulas(declaration):
        text = "\n".join(plain(formula))
        drawn = " ".join(t for branch in mathtext(formula) for t in branch).replace(r"\_", "_")
        for name in formula.names - {"eps"}:
            assert name in text
            assert name in drawn


def test_plain_elementwise_formulas_still_mean_the_same(elementwise):
    """What a terminal shows can be copied back: branches apart, it is the expression that was declared."""
    for formula in formulas(elementwise):
        if isinstance(formula.tree.body, ast.IfExp):
            continue
        (text,) = plain(formula)
        again = ast.parse(text.replace("^", "**").replace("ln(", "log("), mode="eval")
        assert ast.dump(again) == ast.dump(formula.tree)


CASES = [
    ("x / (1 + exp(-x))", r"\dfrac{x}{1 + e^{-x}}", "x / (1 + exp(-x))"),
    ("alpha*(exp(x) - 1)", r"\alpha\,(e^{x} - 1)", "alpha * (exp(x) - 1)"),
    ("exp(-x)**2", r"(e^{-x})^{2}", "exp(-x)^2"),
    ("tanh(x)**2", r"\tanh^{2}(x)", "tanh(x)^2"),
    ("-x**2", "-x^{2}", "-x^2"),
    ("(-x)**2", "(-x)^{2}", "(-x)^2"),
    ("a - (b - c)", "a - (b - c)", "a - (b - c)"),
    ("a - -b", "a - (-b)", "a - (-b)"),
    ("a*-b", r"a\,(-b)", "a * (-b)"),
    ("2*3", r"2 \cdot 3", "2 * 3"),
    ("a/(b*c)", r"\dfrac{a}{b\,c}", "a / (b * c)"),
    ("a/b/c", r"\dfrac{\dfrac{a}{b}}{c}", "a / b / c"),
    ("a/(b/c)", r"\dfrac{a}{\dfrac{b}{c}}", "a / (b / c)"),
    ("exp(x/2)", "e^{x/2}", "exp(x / 2)"),
    ("sqrt(2/pi)", r"\sqrt{\dfrac{2}{\pi}}", "sqrt(2 / pi)"),
    ("abs(x)", "|x|", "abs(x)"),
    ("log(x)", r"\ln(x)", "ln(x)"),
    ("1e-7*x", r"10^{-7}\,x", "10^-7 * x"),
    ("x[i, j]", "x_{i,j}", "x[i, j]"),
    ("sum(x[j], j) * y", r"\left(\sum_{j}\,x_{j}\right)\,y", "(sum_j x[j]) * y"),
    ("-sum(x[j], j)", r"-\sum_{j}\,x_{j}", "-sum_j x[j]"),
    ("max(x[j], j)", r"\max_{j}\,x_{j}", "max_j x[j]"),
    ("max(x, 0)", r"\max(x, 0)", "max(x, 0)"),
    ("y*(i == j)", r"y\,[i = j]", "y * [i = j]"),
    ("negative_slope*x", r"\mathrm{negative\_slope}\,x", "negative_slope * x"),
    ("(a if x > 0 else b) + 1", None, "(a if x > 0, b otherwise) + 1"),
]


@pytest.mark.parametrize(("source", "drawn", "text"), CASES, ids=[c[0] for c in CASES])
def test_rendering(source, drawn, text):
    if drawn is not None:
        assert mathtext(Formula(source)) == ((f"${drawn}$", ""),)
    assert plain(Formula(source)) == (text,)


def test_branches_are_lines():
    formula = Formula("1 if x > 0 else 0 if x <= -beta else c")
    assert mathtext(formula) == (
        ("$1$", r"$\mathrm{if}\ \ x > 0$"),
        ("$0$", r"$\mathrm{if}\ \ x \leq -\beta$"),
        ("$c$", r"$\mathrm{otherwise}$"),
    )
    assert plain(formula, "f(x)") == (
        "f(x) = 1  if x > 0",
        "       0  if x <= -beta",
        "       c  otherwise",
    )
