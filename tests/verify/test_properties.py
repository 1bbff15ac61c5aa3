"""Properties that are found, against those that are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from actbench import get
from actbench.catalog import registry
from actbench.catalog.declaration import Declaration
from actbench.catalog.registry import load_file
from actbench.kernels import bind
from actbench.verify.properties import Line, properties

ALL = registry.declarations()
INF = math.inf
KNOWN: dict[str, dict[str, Any]] = {
    "sigmoid": {"monotone": "increasing", "infimum": 0, "supremum": 1, "infimum_at": None, "symmetry": "neither",
                "lipschitz": 0.25, "lipschitz_at": 0, "asymptotes": (Line(0, 0), Line(0, 1)), "at_zero": 0.5},
    "tanh": {"symmetry": "odd", "zero_centred": True, "bounded": True, "lipschitz": 1, "dead": (),
             "asymptotes": (Line(0, -1), Line(0, 1))},
    "relu": {"monotone": "increasing", "infimum_at": 0, "dead": ((-INF, 0),), "curvature": "convex", "supremum": INF},
    "leaky_relu": {"monotone": "increasing", "infimum": -INF, "asymptotes": (Line(0.01, 0), Line(1, 0)), "dead": ()},
    "elu": {"infimum": -1, "infimum_at": None, "asymptotes": (Line(0, -1), Line(1, 0)), "dead": ()},
    "silu": {"monotone": "neither", "curvature": "neither", "asymptotes": (Line(0, 0), Line(1, 0))},
    "softplus": {"monotone": "increasing", "curvature": "convex", "at_zero": math.log(2)},
    "softsign": {"infimum": -1, "supremum": 1, "infimum_at": None, "supremum_at": None, "symmetry": "odd",
                 "asymptotes": (Line(0, -1), Line(0, 1))},
    "identity": {"symmetry": "odd", "curvature": "affine", "lipschitz": 1, "zero_centred": True},
    "step": {"monotone": "increasing", "jumps": (0.0,), "lipschitz": INF, "infimum": 0, "supremum": 1},
    "mse": {"curvature": "convex", "infimum": 0, "infimum_at": 0, "robust": False, "symmetry": "even",
            "turning_points": (0.0,)},
    "mae": {"curvature": "convex", "robust": True, "lipschitz": 1, "asymptotes": (Line(-1, 0), Line(1, 0))},
    "huber": {"curvature": "convex", "robust": True, "asymptotes": (Line(-1, -0.5), Line(1, -0.5))},
    "quantile": {"robust": True, "lipschitz": 0.5, "infimum_at": 0},
    "bce": {"robust": False, "infimum": 0, "infimum_at": 1, "asymptotes": (None, None)},
    "hinge": {"robust": True, "dead": ((1, INF),), "curvature": "convex"},
    "cross_entropy": {"robust": True, "monotone": "decreasing", "curvature": "convex"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))


@pytest.mark.parametrize("name", KNOWN)
def test_known_properties(name: str) -> None:
    found = properties(get(name))
    for label, value in KNOWN[name].items():
        got = getattr(found, label)
        # tanh'(0) is one ULP above 1.
        assert got == (pytest.approx(value, rel=1e-15) if label == "lipschitz" else value), label


@pytest.mark.parametrize(("name", "turn"), [("silu", -1.27846454276), ("mish", -1.19243121452)])
def test_turning_points(name: str, turn: float) -> None:
    found = properties(get(name))
    assert found.turning_points == pytest.approx([turn], abs=1e-10)
    assert found.infimum_at == found.turning_points[0]


def test_a_logistic_units_saturation() -> None:
    # s(1 - s) = 1/1000.
    edge = math.log((1 + math.sqrt(1 - 4e-3)) / (1 - math.sqrt(1 - 4e-3)))
    assert properties(get("sigmoid")).saturated == pytest.approx((-edge, edge), rel=1e-9)
    assert properties(get("leaky_relu")).saturated == (None, None)


def test_parameters_count() -> None:
    assert properties(get("elu"), {"alpha": 2.0}).infimum == -2
    assert properties(get("elu"), {"alpha": 2.0}).curvature == "neither"
    assert properties(get("huber"), {"delta": 3.0}).lipschitz == 3
    assert properties(get("softplus"), {"threshold": 2.0}).jumps == (2.0,)


def test_every_function_has_rows(declaration: Declaration) -> None:
    rows = properties(bind(declaration)).rows()
    assert {"monotone", "range", "curvature"} <= dict(rows).keys()
    assert all(text and len(label) <= 22 for label, text in rows)


def test_a_users_function(tmp_path: Path) -> None:
    file = tmp_path / "bump.py"
    file.write_text(
        "import actbench\n"
        "@actbench.activation(formula='2*x / (1 + x**2)',\n"
        "    derivative=lambda x: 2 * (1 - x*x) / ((1 + x*x) * (1 + x*x)))\n"
        "def bump(x):\n    '''A bump.'''\n    return 2 * x / (1 + x * x)\n"
    )
    (declared,) = load_file(file)
    found = properties(bind(declared))
    assert (found.infimum, found.supremum) == pytest.approx((-1, 1), rel=1e-12)
    assert found.turning_points == pytest.approx((-1, 1), abs=1e-9)
    assert found.symmetry == "odd"
    assert found.lipschitz == pytest.approx(2, rel=1e-12)
    assert found.asymptotes == (Line(0, 0), Line(0, 0))


OWN: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "logarithm": ("x", "math.log(x)", "formula='log(x)', derivative='symbolic', domain='(0, inf)'",
                  {"infimum": -INF, "supremum": INF, "lipschitz": INF, "curvature": "concave"}),
    "logarithm_up_to_1": ("x", "math.log(1 - x)", "formula='log(1 - x)', derivative='symbolic', domain='[-1, 1)'",
                          {"infimum": -INF, "supremum_at": -1, "lipschitz": INF}),
    "twice_logarithm": ("x", "math.log1p(math.log1p(abs(x)))",
                        "formula='log(1 + log(1 + abs(x)))', derivative='numerical'", {"supremum": INF}),
    "bell": ("x", "math.exp(x * x)", "formula='exp(x**2)', derivative='numerical'",
             {"infimum": 1, "infimum_at": 0, "supremum": INF, "curvature": "convex", "mean": INF}),
    "quarter_bell": ("x", "math.exp(x * x / 4)", "formula='exp(x**2/4)', derivative='symbolic'",
                     {"mean": pytest.approx(math.sqrt(2), rel=1e-9)}),
    "steep": ("x", "math.exp(5 * x)", "formula='exp(5*x)', derivative='symbolic'",
              {"mean": pytest.approx(math.exp(12.5), rel=1e-6)}),
    "inverse": ("x", "1 / x", "formula='1/x', derivative='symbolic'",
                {"infimum": -INF, "supremum": INF, "lipschitz": INF, "mean": INF,
                 "asymptotes": (Line(0, 0), Line(0, 0))}),
    "inverse_quartic": ("x", "1 / (x * x * x * x)", "formula='1/x**4', derivative='symbolic'",
                        {"asymptotes": (Line(0, 0), Line(0, 0))}),
    "nearly_nothing": ("x", "1e-12 * math.tanh(x)", "formula='1e-12*tanh(x)', derivative='symbolic'",
                       {"asymptotes": (Line(0, -1e-12), Line(0, 1e-12))}),
    "slow": ("x", "1 - 1 / math.log(3 + abs(x))", "formula='1 - 1/log(3 + abs(x))', derivative='numerical'",
             {"supremum": pytest.approx(1, abs=2e-3), "supremum_at": None}),
    "cube": ("x", "x * x * x", "formula='x**3', derivative='symbolic'", {"symmetry": "odd", "supremum": INF}),
    "quartic": ("pred, target", "(pred - target)**4", "formula='(pred - target)**4', derivative='symbolic'",
                {"symmetry": "even", "curvature": "convex", "infimum": 0}),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_properties_of_functions_of_ones_own(name: str, tmp_path: Path) -> None:
    arguments, body, fields, known = OWN[name]
    kind = "loss" if "target" in arguments else "activation"
    file = tmp_path / "mine.py"
    file.write_text(
        f"import math\nimport actbench\n@actbench.{kind}({fields})\n"
        f"def {name}({arguments}):\n    '''Mine.'''\n    return {body}\n"
    )
    found = properties(bind(load_file(file)[0]))  # a warning of NumPy's would be an error
    assert {label: getattr(found, label) for label in known} == known
    if known.get("mean") == INF:
        assert ("mean for N(0, 1)", "diverges") in found.rows()


@pytest.mark.parametrize(
    "name", [d.name for d in ALL if d.template in ("elementwise", "pairwise") or "soft" in d.name]
)
def test_the_declared_range_is_the_measured_one(name: str) -> None:
    found, declared = properties(get(name)), registry.find(name).range_at({})
    assert (found.infimum, found.supremum) == pytest.approx((declared.low, declared.high), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("swish", {"beta": 2.0}),
        ("swish", {"beta": -0.5}),
        ("swish", {"beta": 0.0}),
        ("step", {"values": -1.0}),
        ("elu", {"alpha": 0.5}),
        ("celu", {"alpha": 3.0}),
        ("hardtanh", {"min_val": -2.0, "max_val": 0.5}),
    ],
)
def test_the_declared_range_follows_the_parameters(name: str, given: dict[str, float]) -> None:
    found, declared = properties(get(name), given), registry.find(name).range_at(given)
    assert (found.infimum, found.supremum) == pytest.approx((declared.low, declared.high), rel=1e-12)
