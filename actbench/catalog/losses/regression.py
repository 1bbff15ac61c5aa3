"""Losses of a real prediction: functions of the error pred - target, and of its ratio to the target."""

from __future__ import annotations

from actbench.catalog.declaration import Kink, Param
from actbench.catalog.domain import Domain
from actbench.catalog.primitives import fabs, maximum, minimum, sign
from actbench.catalog.registry import loss

_SQUARE_PITFALLS = (
    "1/2 sum, 1/(2n) sum and 1/n sum are three losses (half_squared_error, quadratic_cost, mse).",
    "'MSE is robust to outliers' is false: its influence 2e is unbounded; those of mae and huber are bounded.",
)


@loss(
    family="regression",
    formula="(pred - target)**2",
    derivative_formula="2*(pred - target)",
    derivative=lambda pred, target: 2.0 * (pred - target),
    gradients={"target": lambda pred, target: 2.0 * (target - pred)},
    aliases=("mean_squared_error", "l2"),
    error_bounds=(0.5, 0.5),
    reference="torch.nn.functional.mse_loss; Gauss (1809)",
    pitfalls=_SQUARE_PITFALLS,
)
def mse(pred: float, target: float) -> float:
    """Mean squared error."""
    return (pred - target) * (pred - target)


@loss(
    family="regression",
    formula="(pred - target)**2 / 2",
    derivative_formula="pred - target",
    derivative=lambda pred, target: pred - target,
    gradients={"target": lambda pred, target: target - pred},
    default_reduction="sum",
    error_bounds=(0.5, 0.5),
    reference="Bishop (1995), Neural Networks for Pattern Recognition, eq. 1.3",
    pitfalls=_SQUARE_PITFALLS,
)
def half_squared_error(pred: float, target: float) -> float:
    """Half the sum of squared errors: its gradient is the error itself."""
    return 0.5 * (pred - target) * (pred - target)


@loss(
    family="regression",
    formula="(pred - target)**2 / 2",
    derivative_formula="pred - target",
    derivative=lambda pred, target: pred - target,
    gradients={"target": lambda pred, target: target - pred},
    mean_over="samples",
    error_bounds=(0.5, 0.5),
    reference="Nielsen (2015), Neural Networks and Deep Learning, eq. 6",
    pitfalls=("It divides by the number of samples (the first axis), not of elements.", *_SQUARE_PITFALLS),
)
def quadratic_cost(pred: float, target: float) -> float:
    """Quadratic cost: half the squared norm of the error, averaged over samples."""
    return 0.5 * (pred - target) * (pred - target)


@loss(
    family="regression",
    formula="abs(pred - target)",
    derivative_formula="sign(pred - target)",
    derivative=lambda pred, target: sign(pred - target),
    gradients={"target": lambda pred, target: sign(target - pred)},
    aliases=("l1", "mean_absolute_error"),
    kinks=(Kink(at="target", left="-1", right="1", value="0"),),
    error_bounds=(0.5, 0.5),
    reference="torch.nn.functional.l1_loss; Laplace (1774)",
    pitfalls=("The gradient does not shrink near the target: a fixed step oscillates round it.",),
)
def mae(pred: float, target: float) -> float:
    """Mean absolute error."""
    return fabs(pred - target)


@loss(
    family="regression",
    formula="scale * abs(pred - target) / max(abs(target), eps)",
    derivative_formula="scale * sign(pred - target) / max(abs(target), eps)",
    derivative=lambda pred, target, eps, scale: scale * sign(pred - target) / maximum(fabs(target), eps),
    params={
        "eps": Param(Domain("(0, inf)"), "floor of |target|", {"keras": 1e-7, "scikit-learn": 2.2e-16}),
        "scale": Param(Domain("(0, inf)"), "100 for per cent", {"keras": 100, "scikit-learn": 1}),
    },
    aliases=("mean_absolute_percentage_error",),
    kinks=(
        Kink(
            at="target", left="-scale/max(abs(target), eps)", right="scale/max(abs(target), eps)", value="0"
        ),
    ),
    error_bounds=(1.25, 0.5),
    reference="keras.losses.MeanAbsolutePercentageError; sklearn.metrics",
    pitfalls=(
        "At target = 0 the loss is |pred|/eps: huge, and set by eps alone.",
        "Keras multiplies by 100, scikit-learn does not (scale=).",
        "It punishes forecasts above the target more than those below.",
    ),
)
def mape(pred: float, target: float, eps: float = 1e-7, scale: float = 1.0) -> float:
    """Mean absolute percentage error, as a fraction."""
    size = fabs(target)
    return fabs(pred - target) / (size if size > eps else eps) * scale


@loss(
    family="regression",
    formula=("(pred - target)**2/2 if abs(pred - target) <= delta else delta*(abs(pred - target) - delta/2)"),
    derivative_formula="max(-delta, min(pred - target, delta))",
    derivative=lambda pred, target, delta: maximum(-delta, minimum(pred - target, delta)),
    gradients={"target": lambda pred, target, delta: maximum(-delta, minimum(target - pred, delta))},
    params={
        "delta": Param(
            Domain("(0, inf)"),
            "where squares turn linear",
            {"torch": 1.0, "keras": 1.0, "optax": 1.0},
            shown=(0.5, 2.0),
        )
    },
    error_bounds=(0.5, 0.5),
    reference="Huber (1964), Robust Estimation of a Location Parameter",
    pitfalls=("torch's smooth_l1 is huber divided by its beta (= delta): the same only at 1.",),
)
def huber(pred: float, target: float, delta: float = 1.0) -> float:
    """Huber loss: squares for small errors, absolute values for large ones."""
    e = fabs(pred - target)
    return 0.5 * e * e if e <= delta else delta * (e - 0.5 * delta)


@loss(
    family="regression",
    formula="max(q*(target - pred), (q - 1)*(target - pred))",
    derivative_formula="-q if pred < target else 1 - q if pred > target else 0",
    derivative=lambda pred, target, q: -q if pred < target else (1.0 - q if pred > target else 0.0),
    gradients={"target": lambda pred, target, q: q if pred < target else (q - 1.0 if pred > target else 0.0)},
    params={"q": Param(Domain("(0, 1)"), "the quantile", {"scikit-learn": 0.5}, shown=(0.1, 0.9))},
    aliases=("pinball",),
    kinks=(Kink(at="target", left="-q", right="1 - q", value="0"),),
    error_bounds=(0.5, 0.5),
    reference="Koenker and Bassett (1978), Regression Quantiles",
    pitfalls=("The under-prediction side has the weight q: q = .9 punishes predictions that are too low.",),
)
def quantile(pred: float, target: float, q: float = 0.5) -> float:
    """Quantile (pinball) loss: least where the fraction q of targets lies below the prediction."""
    e = target - pred
    return q * e if e > 0.0 else (q - 1.0) * e
