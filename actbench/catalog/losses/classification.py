"""Losses of a class: binary, by margin, and over a row of logits."""

from __future__ import annotations

import math
from typing import Any

from actbench.catalog.declaration import Kink, Param
from actbench.catalog.domain import Domain
from actbench.catalog.primitives import (
    Row,
    class_gradient,
    class_mean,
    damped,
    exp,
    fabs,
    log,
    log1p,
    log_total,
    maximum,
    minimum,
    row_exp_pair,
    row_exp_rest,
    row_max,
    row_workspace,
    sigmoid,
)
from actbench.catalog.registry import loss

_CLAMPS = ("none", "torch", "keras")


def _clipped(pred: float, clamp: float) -> float:
    return maximum(1e-7, minimum(pred, 1.0 - 1e-7)) if clamp == 2 else pred


def _weighted_log(weight: float, logarithm: float, clamp: float) -> float:
    bounded = maximum(logarithm, -100.0) if clamp == 1 else logarithm
    return weight * bounded if weight != 0.0 else 0.0


def _bce_slope(pred: float, target: float, clamp: float) -> float:
    p = _clipped(pred, clamp) + 0.0  # a negative zero is a zero: its quotient is -inf, too
    # Where there is no loss there is no gradient; what is clipped lies inside.
    exists = 1.0 if 0.0 <= p <= 1.0 else math.nan
    if clamp == 1:
        return exists * ((p - target) / maximum(p * (1.0 - p), 1e-12))
    inside = 1.0 if p == pred else 0.0
    low = 0.0 if target == 0.0 else -target / p
    high = 0.0 if target == 1.0 else (1.0 - target) / (1.0 - p)
    apart = (p - target) / (p * (1.0 - p))
    # Where target is 0 or 1 one quotient is 0 and p may be 0 or 1; between, the sum would cancel.
    return exists * inside * (low + high if target == 0.0 or target == 1.0 else apart)


@loss(
    family="classification",
    formula="-(target*log(pred) + (1 - target)*log(1 - pred))",
    derivative_formula="(pred - target) / (pred*(1 - pred))",
    derivative=_bce_slope,
    gradients={
        "target": lambda pred, target, clamp: log1p(-_clipped(pred, clamp)) - log(_clipped(pred, clamp))
    },
    params={
        "clamp": Param(
            _CLAMPS,
            "torch bounds the logarithms by -100, Keras clips pred to [1e-7, 1 - 1e-7]",
            {"torch": "torch", "keras": "keras"},
        )
    },
    domain="[0, 1]",
    target="[0, 1]",
    aliases=("log_loss", "binary_cross_entropy"),
    error_bounds=(1.25, 0.8),
    reference="torch.nn.functional.binary_cross_entropy; Good (1952)",
    pitfalls=(
        "log 0: the exact loss is infinite at pred = 0, target = 1; torch returns 100, Keras 16.1 (clamp=).",
        "0 log 0 is 0 here, not NaN.",
        "A sigmoid followed by bce saturates: use bce_with_logits.",
    ),
)
def bce(pred: float, target: float, clamp: str = "none") -> float:
    """Binary cross-entropy of a probability."""
    p = _clipped(pred, clamp)  # type: ignore[arg-type]
    yes = _weighted_log(target, log(p), clamp)  # type: ignore[arg-type]
    no = _weighted_log(1.0 - target, log1p(-p), clamp)  # type: ignore[arg-type]
    return -(yes + no)


@loss(
    family="classification",
    formula="log(1 + exp(pred)) - pred*target",
    derivative_formula="1/(1 + exp(-pred)) - target",
    derivative=lambda pred, target: (
        sigmoid(pred) - target if target < 0.5 else (1.0 - target) - sigmoid(-pred)
    ),
    gradients={"target": lambda pred, target: -pred},
    target="[0, 1]",
    aliases=("binary_cross_entropy_with_logits", "sigmoid_cross_entropy"),
    error_bounds=(1.25, 1.05),
    reference="torch.nn.functional.binary_cross_entropy_with_logits",
    pitfalls=(
        "The gradient is s(pred) - target only with respect to the logit, not to the probability.",
        "bce_with_logits(x, 1) is bce_with_logits(-x, 0) to the last bit.",
    ),
)
def bce_with_logits(pred: float, target: float) -> float:
    """Binary cross-entropy of a logit, without overflow."""
    # The linear part is written by sides so that target 0 and 1 mirror each other bit for bit.
    linear = damped(fabs(pred), 1.0 - target if pred > 0 else target)
    return linear + log1p(exp(-fabs(pred)))


@loss(
    family="classification",
    formula="max(0, 1 - target*pred)",
    derivative_formula="-target if target*pred < 1 else 0",
    derivative=lambda pred, target: -target if target * pred < 1.0 else 0.0,
    target="{-1, 1}",
    kinks=(Kink(at="1/target", left="min(-target, 0)", right="max(-target, 0)", value="0"),),
    error_bounds=(0.5, 0.5),
    reference="Cortes and Vapnik (1995); keras.losses.Hinge",
    pitfalls=(
        "Labels are -1 and 1. With 0/1 labels the zeros give the constant loss 1 and no gradient: an error here.",
        "At the margin (target*pred = 1) the gradient is 0 by convention.",
    ),
)
def hinge(pred: float, target: float) -> float:
    """Hinge loss: zero beyond the margin, linear within it."""
    margin = 1.0 - target * pred
    return margin if margin > 0.0 else 0.0


def _cross_entropy_exact(m: Any, pred: list[Any], q: list[Any], label_smoothing: Any) -> Any:
    logarithm = m.log(m.fsum(m.exp(v) for v in pred))
    shares = [(1 - label_smoothing) * t + label_smoothing / len(q) for t in q]
    return m.fsum(t * (logarithm - v) for v, t in zip(pred, shares, strict=True))


def _cross_entropy_backward(pred: Row, target: Any, weight: Row, out: Row, label_smoothing: float) -> None:
    low = row_workspace(pred)
    total = row_exp_pair(pred, row_max(pred), out, low)
    class_gradient(target, weight, label_smoothing, out, low, total)


@loss(
    template="classification",
    family="classification",
    formula="-sum(weight[c] * q[c] * log(exp(pred[c]) / sum(exp(pred[j]), j)), c)",
    derivative_formula="sum(weight[j]*q[j], j) * softmax(pred)[c] - weight[c]*q[c]",
    derivative=_cross_entropy_backward,
    params={
        "label_smoothing": Param(
            Domain("[0, 1]"), "share of the target spread evenly over classes", {"torch": 0.0, "keras": 0.0}
        )
    },
    exact=_cross_entropy_exact,
    aliases=("softmax_cross_entropy", "categorical_crossentropy", "sparse_categorical_crossentropy"),
    error_bounds=(1.6, 2.1),
    reference="torch.nn.functional.cross_entropy; Szegedy et al. (2016) for label smoothing",
    pitfalls=(
        "It takes logits: softmax before it is softmax twice.",
        "With class weights and index targets, the mean divides by the sum of weights, not of samples.",
        "log(softmax(x)) returns -inf or 0 where log-softmax is exact.",
    ),
)
def cross_entropy(pred: Row, target: Any, weight: Row, label_smoothing: float = 0.0) -> float:
    """Cross-entropy of logits against class indices, one-hot rows or soft targets."""
    # The largest one, exp(0) = 1, is left to log1p: with it the sum of a confident row rounds to 1, the loss to 0.
    largest = row_max(pred)
    return class_mean(target, weight, label_smoothing, pred, largest, log_total(row_exp_rest(pred, largest)))
