"""The check accepts the catalogue and catches every planted fault, each by the judge that should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actbench import get
from actbench.catalog import registry
from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import InfeasibleError, ParameterError
from actbench.catalog.registry import load_file
from actbench.kernels import bind
from actbench.verify.derivative import evidence, settings
from actbench.verify.report import Evidence, Report


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))


def test_the_catalogue_is_right(declaration: Declaration) -> None:
    report = Report(evidence(bind(declaration)))
    assert report.exit_code == 0, [f"{e.check}: {e.counterexample}" for e in report.wrong]
    assert sum(e.points for e in report.evidence) > 1000
    # Differences must decide: what they leave open are tails below the last bit of the value.
    derivative = next(e for e in report.evidence if e.judge == "differences")
    assert derivative.undecided < 0.6 * derivative.points


HEAD = """
import actbench
from actbench import Kink, Param
from actbench.catalog.primitives import *
from actbench.catalog.primitives import sign
"""

# A function with a fault, and the pair of check and judge that must find it.
MUTANTS = {
    "wrong_sign": (
        "x / (1 + exp(-x))", "lambda x: sigmoid(x) * (1 - x * sigmoid(-x))", "x * sigmoid(x)",
        "derivative", "differences",
    ),
    "factor": ("x**2 / 2", "lambda x: 1.0001 * x", "0.5 * x * x", "derivative", "differences"),
    "tail_cut": (
        "tanh(x)", "lambda x: 4.0 * sigmoid(2 * x) * sigmoid(-2 * x) if fabs(x) < 12 else 0.0", "tanh(x)",
        "derivative", "differences",
    ),
    "left_tail_cut": ("exp(x)", "lambda x: exp(x) if x > -30 else 0.0", "exp(x)", "derivative", "differences"),
    "one_minus_s": (
        "1 / (1 + exp(-x))", "lambda x: sigmoid(x) * (1.0 - sigmoid(x))", "sigmoid(x)", "derivative", "formula",
    ),
    "log10": (
        "log(1 + exp(x))", "lambda x: 0.4342944819032518 * sigmoid(x)", "0.4342944819032518 * softplus(x)",
        "value", "formula",
    ),
    "exp_minus_one": (
        "x if x > 0 else exp(x) - 1", "lambda x: 1.0 if x > 0 else exp(x)", "x if x > 0 else exp(x) - 1.0",
        "value, float32", "float64 kernel",
    ),
    "one_plus_erf": (
        "x/2 * erfc(-x/sqrt(2))",
        "lambda x: 0.5 * (1.0 + erf(x * 0.7071067811865476)) + x * 0.3989422804014327 * exp(-0.5 * x * x)",
        "0.5 * x * (1.0 + erf(x * 0.7071067811865476))", "value, float32", "float64 kernel",
    ),
    "undeclared_kink": ("abs(x - 1)", "lambda x: sign(x - 1)", "fabs(x - 1)", "undeclared kinks", "bisection"),
    "undeclared_jump": (
        "x if x < 2 else x + 1", "lambda x: 1.0", "x if x < 2 else x + 1", "undeclared kinks", "bisection",
    ),
    "overflow": (
        "x * tanh(log(1 + exp(x)))", "lambda x: 1.0", "x * (exp(x) * (exp(x) + 2)) / (exp(x) * (exp(x) + 2) + 2)",
        "special values", "limits",
    ),
    "out_of_range": (
        "1.5 * tanh(x)", "lambda x: 6.0 * sigmoid(2 * x) * sigmoid(-2 * x)", "1.5 * tanh(x)",
        "range", "declared range",
    ),
}  # fmt: skip


def declared(tmp_path: Path, text: str) -> tuple[Evidence, ...]:
    file = tmp_path / "mutant.py"
    file.write_text(HEAD + text)
    (declaration,) = load_file(file)
    return evidence(bind(declaration))


def wrong(found: tuple[Evidence, ...]) -> set[tuple[str, str]]:
    return {(e.check, e.judge) for e in Report(found).wrong}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_found(name: str, tmp_path: Path) -> None:
    formula, derivative, body, checked, judge = MUTANTS[name]
    bounds = ", range='[-1, 1]'" if name == "out_of_range" else ""
    found = declared(
        tmp_path,
        f"@actbench.activation(name={name!r}, formula={formula!r}, derivative={derivative}{bounds})\n"
        f"def mutant(x):\n    '''A fault.'''\n    return {body}\n",
    )
    assert (checked, judge) in wrong(found)
    assert Report(found).exit_code == 1
    example = next(e.counterexample for e in found if (e.check, e.judge) == (checked, judge))
    assert example is not None
    assert "0x" in str(example) or "inf" in str(example)


def test_the_smallest_counterexample_is_a_simple_number(tmp_path: Path) -> None:
    found = declared(
        tmp_path,
        "@actbench.activation(name='simple', formula='x**2', derivative=lambda x: 3.0 * x)\n"
        "def mutant(x):\n    '''A fault.'''\n    return x * x\n",
    )
    example = next(e.counterexample for e in found if e.check == "derivative")
    assert example is not None
    assert example.place == (("x", 1.0),) or example.place == (("x", -1.0),)
    assert (abs(example.got), abs(example.expected)) == (3.0, pytest.approx(2.0))


PARAMETERS = {
    "beta_dropped": (
        "x / (1 + exp(-beta*x))", "beta", "lambda x, beta: sigmoid(beta*x) * (1.0 + x * sigmoid(-beta*x))",
        "x * sigmoid(beta * x)", "lambda x, beta: x * x * sigmoid(beta*x) * sigmoid(-beta*x)",
        ("derivative", "differences"),
    ),
    "f_plus_one": (
        "x if x > 0 else alpha*(exp(x) - 1)", "alpha", "lambda x, alpha: 1.0 if x > 0 else alpha * expm1(x) + 1.0",
        "x if x > 0 else alpha * expm1(x)", "lambda x, alpha: expm1(minimum(x, 0.0))", ("derivative", "differences"),
    ),
    "wrong_parameter_gradient": (
        "x / (1 + exp(-beta*x))", "beta", "lambda x, beta: sigmoid(beta*x) * (1.0 + beta * x * sigmoid(-beta*x))",
        "x * sigmoid(beta * x)", "lambda x, beta: x * sigmoid(beta*x) * sigmoid(-beta*x)",
        ("gradient wrt beta", "differences"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_fault_that_the_default_hides_is_found(name: str, tmp_path: Path) -> None:
    formula, parameter, derivative, body, gradient, expected = PARAMETERS[name]
    kink = "kinks=(Kink(at='0', left='alpha', right='1', value='alpha'),)," if parameter == "alpha" else ""
    found = declared(
        tmp_path,
        f"@actbench.activation(name={name!r}, formula={formula!r}, derivative={derivative}, {kink}\n"
        f"    gradients={{{parameter!r}: {gradient}}}, params={{{parameter!r}: Param(shown=(0.5, 2.0))}})\n"
        f"def mutant(x, {parameter}=1.0):\n    '''A fault.'''\n    return {body}\n",
    )
    assert expected in wrong(found)
    if name != "wrong_parameter_gradient":
        example = next(e.counterexample for e in found if e.check == "derivative")
        assert example is not None
        assert parameter in example.params


@pytest.mark.parametrize(
    ("value", "left", "right", "body"),
    [
        ("0", "0", "1", "1.0 if x >= 0 else 0.0"),
        ("2", "0", "1", "1.0 if x > 0 else (0.0 if x < 0 else 2.0)"),
        ("0", "1", "0", "1.0 if x > 0 else 0.0"),
        ("0", "0.5", "1", "1.0 if x > 0 else 0.0"),
    ],
    ids=["convention on the wrong side", "value outside the slopes", "slopes swapped", "left slope wrong"],
)
def test_a_wrong_kink_is_found(value: str, left: str, right: str, body: str, tmp_path: Path) -> None:
    found = declared(
        tmp_path,
        f"@actbench.activation(name='kinked', formula='max(x, 0)', derivative=lambda x: {body},\n"
        f"    kinks=(Kink(at='0', left={left!r}, right={right!r}, value={value!r}),))\n"
        "def mutant(x):\n    '''A fault.'''\n    return maximum(x, 0.0)\n",
    )
    assert ("kinks", "one-sided slopes") in wrong(found)


@pytest.mark.parametrize(
    ("derivative", "expected"),
    [
        ("lambda pred, target: 2.0 * (target - pred)", ("derivative", "differences")),
        ("lambda pred, target: 2.0 * pred - target", ("derivative", "differences")),
        ("lambda pred, target: 2.0 * (pred - target)", None),
    ],
)
def test_losses(derivative: str, expected: tuple[str, str] | None, tmp_path: Path) -> None:
    found = declared(
        tmp_path,
        f"@actbench.loss(name='squares', formula='(pred - target)**2', derivative={derivative})\n"
        "def mutant(pred, target):\n    '''Squares.'''\n    return (pred - target) * (pred - target)\n",
    )
    assert (expected in wrong(found)) if expected else not wrong(found)


def test_a_wrong_vector_jacobian_product_is_found(tmp_path: Path) -> None:
    # The diagonal alone, s(1 - s), in the place of s (g - <g, s>).
    found = declared(
        tmp_path,
        "def diagonal(grad_output, x, out):\n"
        "    total = row_exp(x, row_max(x), out)\n"
        "    for i in range(x.size):\n"
        "        out[i] = out[i] / total * (1.0 - out[i] / total) * grad_output[i]\n"
        "@actbench.activation(name='diagonal', rowwise=True, formula='softmax(x)[i]', derivative=diagonal)\n"
        "def mutant(x, out):\n"
        "    '''Softmax.'''\n"
        "    total = row_exp(x, row_max(x), out)\n"
        "    for i in range(x.size):\n"
        "        out[i] = out[i] / total\n",
    )
    assert ("backward", "differences") in wrong(found)


def test_undecided_is_counted_not_passed_over() -> None:
    derivative = evidence(get("sigmoid"), [{}])[0]
    assert derivative.check == "derivative"
    assert 0 < derivative.undecided < 0.1 * derivative.points


def test_settings_cover_shown_values_and_draws_in_range(declaration: Declaration) -> None:
    chosen = settings(declaration)
    assert chosen[0] == {}
    for name, param in declaration.params.items():
        assert all(any(s.get(name) == v for s in chosen) for v in param.shown)
    for given in chosen:
        declaration.resolve(given)


def test_own_points_and_parameters() -> None:
    points = np.array([0.5, np.nan, 2.0, np.inf])
    found = evidence(get("elu"), [{"alpha": 0.3}], points)
    assert {e.points for e in found if (e.check, e.judge) == ("derivative", "differences")} == {2}
    assert not Report(found).wrong
    with pytest.raises(ParameterError, match="alhpa"):
        evidence(get("elu"), [{"alhpa": 0.3}])
    with pytest.raises(InfeasibleError, match="no finite value"):
        evidence(get("bce"), points=np.array([7.0, np.nan]))


@pytest.mark.parametrize(
    ("formula", "derivative", "more"),
    [
        ("x**2", "lambda x: 2.0 * x", ", domain='[0, inf)'"),
        ("x * cos(x)", "lambda x: cos(x) - x * sin(x)", ""),
        ("x * x if x > 0 else x / 10", "lambda x: 2.0 * x if x > 0 else 0.1", ", kinks=(Kink('0', '1/10', '0', '1/10'),)"),
    ],
)  # fmt: skip
def test_what_is_right_is_not_called_wrong(tmp_path: Path, formula: str, derivative: str, more: str) -> None:
    found = declared(
        tmp_path,
        "from actbench.catalog.primitives import cos, sin\nfrom actbench.catalog.declaration import Kink\n"
        f"@actbench.activation(formula={formula!r}, derivative={derivative}{more})\n"
        f"def right(x):\n    '''It is.'''\n    return {formula.replace('x / 10', '0.1 * x')}\n",
    )
    assert not Report(found).wrong, [f"{e.check}: {e.counterexample}" for e in Report(found).wrong]


def test_points_that_all_lie_on_kinks_are_one_line() -> None:
    with pytest.raises(InfeasibleError, match="all values of the input lie on its kinks"):
        evidence(get("relu"), points=np.zeros(10))


@pytest.mark.parametrize(
    ("formula", "body", "slope", "domain"),
    [
        ("1/x", "1 / x", "-1 / (x * x)", "[-inf, inf]"),
        ("sqrt(x)", "math.sqrt(x)", "0.5 / math.sqrt(x)", "[0, inf]"),
        ("log(x)", "math.log(x)", "1 / x", "[0, inf]"),
    ],
)
def test_poles_and_ends_of_the_domain_are_no_faults(
    formula: str, body: str, slope: str, domain: str, tmp_path: Path
) -> None:
    found = declared(
        tmp_path,
        f"import math\n@actbench.activation(formula={formula!r}, derivative=lambda x: {slope}, domain={domain!r})\n"
        f"def steep(x):\n    '''Steep.'''\n    return {body}\n",
    )
    assert not wrong(found), [str(e.counterexample) for e in Report(found).wrong]


def test_a_function_of_which_nothing_is_known_is_not_called_right() -> None:
    """No length that is tried holds a group of so many."""
    found = tuple(evidence(get("maxout"), [{"k": 10**9}]))
    alone, beside = Report(found), Report((*evidence(get("relu")), *found))
    assert (alone.unknown, alone.exit_code, beside.exit_code) == (("maxout",), 3, 3)
