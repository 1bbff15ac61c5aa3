"""Derivatives made from formulas, or from differences, compile in both formats and stand the check."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from actbench.catalog import registry
from actbench.catalog.errors import DeclarationError
from actbench.catalog.registry import load_file
from actbench.kernels import bind
from actbench.kernels.derivation import derive
from actbench.verify.derivative import evidence
from actbench.verify.report import Report

pytest.importorskip("sympy", reason="symbolic derivatives are the extra 'symbolic'")
FUNCTIONS = {
    "softsign": ("x / (1 + abs(x))", "", "x / (1 + abs(x)) if fabs(x) < 1e308 else copysign(1.0, x)"),
    "gated": ("x / (1 + exp(-beta*x))", ", beta=1.5", "damped(x, sigmoid(beta * x))"),
    "smooth": ("log(1 + exp(x)) * tanh(x)", "", "softplus(x) * tanh(x)"),
    "piecewise": ("max(0, min(1, x/6 + 0.5))", "", "max(0.0, min(1.0, x / 6 + 0.5))"),
    "bell": ("exp(-x**2 / 2)", "", "exp(-0.5 * x * x)"),
}
KINKS = {
    "piecewise": "kinks=(Kink(at='-3', left='0', right='1/6', value='0'), "
    "Kink(at='3', left='1/6', right='0', value='0')),"
}


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))


def declared(tmp_path: Path, name: str, how: str) -> object:
    formula, parameters, body = FUNCTIONS[name]
    file = tmp_path / f"{name}.py"
    file.write_text(
        "import actbench\nfrom actbench import Kink\nfrom actbench.catalog.primitives import *\n"
        "from actbench.catalog.primitives import damped\n"
        f"@actbench.activation(name='{how}_{name}', formula={formula!r}, derivative={how!r}, {KINKS.get(name, '')})\n"
        f"def made(x{parameters}):\n    '''Made.'''\n    return {body}\n"
    )
    (declaration,) = load_file(file)
    return declaration


@pytest.mark.parametrize("name", FUNCTIONS)
def test_symbolic(name: str, tmp_path: Path) -> None:
    report = Report(evidence(bind(declared(tmp_path, name, "symbolic"))))  # type: ignore[arg-type]
    assert not report.wrong, [f"{e.check}: {e.counterexample}" for e in report.wrong]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numerical(name: str, tmp_path: Path) -> None:
    f = bind(declared(tmp_path, name, "numerical"))  # type: ignore[arg-type]
    report = Report(evidence(f))
    assert not report.wrong, [f"{e.check}: {e.counterexample}" for e in report.wrong]
    x = np.linspace(-5, 5, 100)
    # Differences in float64, of a forward pass whose literals are those of the format.
    assert np.allclose(f.derivative(x.astype(np.float32)), f.derivative(x), rtol=1e-5, atol=1e-6)


def test_the_body_is_made_once(tmp_path: Path) -> None:
    declaration = declared(tmp_path, "bell", "symbolic")
    assert derive(declaration) is derive(declaration)  # type: ignore[arg-type]


def test_sympy_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declaration = declared(tmp_path, "bell", "symbolic")
    monkeypatch.setitem(sys.modules, "sympy", None)
    with pytest.raises(DeclarationError, match=r"pip install 'actbench\[symbolic\]'"):
        derive(declaration)  # type: ignore[arg-type]


def of_python(tmp_path: Path, formula: str, body: str, domain: str) -> object:
    file = tmp_path / "own.py"
    file.write_text(
        f"import math\nimport actbench\n"
        f"@actbench.activation(formula={formula!r}, derivative='symbolic', domain={domain!r})\n"
        f"def own(x):\n    '''Own.'''\n    return {body}\n"
    )
    (declaration,) = load_file(file)
    return declaration


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("sinh", "[-inf, inf]"),
        ("cosh", "[-inf, inf]"),
        ("atan", "[-inf, inf]"),
        ("tan", "[-1, 1]"),
        ("asin", "[-1, 1]"),
        ("acos", "[-1, 1]"),
    ],
)
def test_symbolic_of_what_pythons_mathematics_has(name: str, domain: str, tmp_path: Path) -> None:
    f = bind(of_python(tmp_path, f"{name}(x)", f"math.{name}(x)", domain))  # type: ignore[arg-type]
    report = Report(evidence(f))
    assert not report.wrong, [f"{e.check}: {e.counterexample}" for e in report.wrong]


def test_a_call_without_a_symbolic_derivative_is_named_with_its_function_and_file(tmp_path: Path) -> None:
    declaration = of_python(tmp_path, "lgamma(x)", "math.lgamma(x)", "(0, inf)")
    with pytest.raises(
        DeclarationError, match=r"own in .*own\.py: .* knows no 'lgamma', which the formula calls"
    ):
        derive(declaration)  # type: ignore[arg-type]
