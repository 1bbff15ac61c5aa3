"""Laws are found where they hold, and nowhere else; a kernel that breaks one is caught."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from actbench import get
from actbench.catalog.primitives import sigmoid
from actbench.kernels import bind
from actbench.verify.checker import abscissae
from actbench.verify.laws import judgements
from actbench.verify.report import Tally

pytest.importorskip("flint", reason="the oracle is the extra 'audit'")

X = abscissae()
ODD = {"symmetry: forward odd", "symmetry: derivative even"}
SWAP, MIRROR = "loss(target, pred) = loss(pred, target)", "loss(-pred, -target) = loss(pred, target)"
FLIP = "loss(-pred, 1 - target) = loss(pred, target)"


def worst(name: str, given: dict[str, Any] | None = None, **changes: Any) -> dict[str, float]:
    """How far each law that is found is broken, in units of what is allowed."""
    declaration = get(name).declaration
    f = bind(replace(declaration, **changes)) if changes else get(name)
    curves = {"elementwise": [(X,)], "pairwise": [(X, np.ones_like(X))]}.get(declaration.template, [])
    tallies: dict[str, Tally] = {}
    with np.errstate(all="ignore"):
        for j in judgements(f, given or {}, curves):
            tally = tallies.setdefault(j.check, Tally(name, j.check, j.judge))
            tally.add(j.got, j.expected, j.room, j.place, relative=False, error=j.error)
    return {name: tally.worst for name, tally in tallies.items()}


@pytest.mark.parametrize(
    ("name", "laws"),
    [
        ("tanh", ODD | {"order: forward increases"}),
        ("softsign", ODD | {"order: forward increases"}),
        ("identity", ODD | {"order: forward increases"}),
        ("sigmoid", {"order: forward increases"}),
        ("logsigmoid", {"order: forward increases", "order: derivative decreases"}),
        ("softplus", {"order: forward increases", "order: derivative increases"}),
        ("gelu", set()),
        ("mse", {SWAP, MIRROR, "order: derivative increases"}),
        ("quantile", {SWAP, MIRROR, "order: derivative increases"}),
        ("bce_with_logits", {FLIP, "order: forward decreases", "order: derivative increases"}),
        ("softmax", {"rows sum to 1", "backward of ones is 0", "gradients sum to 0"}),
        ("log_softmax", {"gradients sum to 0"}),
        ("maxout", set()),
        ("cross_entropy", {"gradients sum to 0"}),
        ("ctc", set()),
        ("ctc_with_logits", {"gradients sum to 0"}),
    ],
)
def test_what_holds_is_found(name: str, laws: set[str]) -> None:
    found = worst(name)
    assert found.keys() == laws
    assert all(share <= 1 for share in found.values())


def test_quantile_has_no_symmetry_beside_the_median() -> None:
    assert not worst("quantile", {"q": 0.25}).keys() & {SWAP, MIRROR}


def test_a_kernel_that_is_nearly_odd_is_caught() -> None:
    found = worst("tanh", forward=lambda x: 1.0 - 2.0 * sigmoid(-2.0 * x))
    assert found["symmetry: forward odd"] == np.inf


def test_a_slope_that_turns_back_is_caught() -> None:
    found = worst(
        "mse", derivative=lambda pred, target: 2.0 * (pred - target) if pred < 3.0 else pred - target
    )
    assert found["order: derivative increases"] > 1


def test_a_loss_that_looks_at_its_target_is_caught() -> None:
    found = worst(
        "mse", forward=lambda pred, target: (pred - target) * (pred - target) * (1.0 + 1e-13 * target)
    )
    assert found[SWAP] == np.inf
    assert found[MIRROR] == np.inf
