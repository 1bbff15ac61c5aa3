"""Sigmoids and their integral: smooth steps between two levels, and the smooth rectifier."""

from __future__ import annotations

from actbench.catalog import primitives
from actbench.catalog.declaration import Kink, Param
from actbench.catalog.domain import Domain
from actbench.catalog.primitives import (
    copysign,
    fabs,
    minimum,
    ratio,
    sixth,
    sum_tail,
)
from actbench.catalog.registry import activation


def _softplus_beta(x: float, beta: float, threshold: float) -> float:
    u = -fabs(beta * x)
    slope = -(primitives.damped(fabs(x), primitives.sigmoid(u)) + primitives.softplus(u) / beta) / beta
    return 0.0 if beta * x > threshold else slope


@activation(
    family="sigmoid",
    formula="1 / (1 + exp(-x))",
    derivative_formula="exp(-x) / (1 + exp(-x))**2",
    derivative=primitives.sigmoid_slope,
    aliases=("logistic", "expit"),
    range="[0, 1]",
    error_bounds=(1, 1.65),
    reference="Verhulst (1838); Rumelhart, Hinton and Williams (1986)",
    pitfalls=(
        "s(1 - s) is 0 in float32 from x = 17 on, where the derivative is 4e-8: use s(x) s(-x).",
        "The derivative in terms of the output y is y(1 - y); in terms of x it is s(x) s(-x).",
        "Both tails saturate: the gradient is below 1e-3 for |x| > 6.9.",
    ),
)
def sigmoid(x: float) -> float:
    """Logistic sigmoid: maps the real line to (0, 1)."""
    return primitives.sigmoid(x)


@activation(
    family="sigmoid",
    formula="(exp(x) - exp(-x)) / (exp(x) + exp(-x))",
    derivative_formula="4 / (exp(x) + exp(-x))**2",
    derivative=primitives.tanh_slope,
    range="[-1, 1]",
    error_bounds=(1, 1.65),
    reference="LeCun, Bottou, Orr and Müller (1998), Efficient BackProp",
    pitfalls=(
        "The quotient of exponentials, computed as printed, is NaN from x = 89 on in float32.",
        "1 - tanh(x)^2 cancels to 0 in float32 from x = 9 on; the true slope there is 6e-8.",
    ),
)
def tanh(x: float) -> float:
    """Hyperbolic tangent: a zero-centred sigmoid."""
    return primitives.tanh(x)


@activation(
    family="smooth rectifier",
    formula="log(1 + exp(beta*x)) / beta if beta*x <= threshold else x",
    derivative_formula="1 / (1 + exp(-beta*x)) if beta*x <= threshold else 1",
    derivative=lambda x, beta, threshold: 1.0 if beta * x > threshold else primitives.sigmoid(beta * x),
    gradients={"beta": _softplus_beta},
    params={
        "beta": Param(
            Domain("(0, inf)"), "sharpness", {"torch": 1.0, "jax": 1.0, "keras": 1.0}, shown=(0.5, 3.0)
        ),
        "threshold": Param(
            Domain("(0, inf]"), "linear where beta*x is above it", {"torch": 20, "jax": None, "keras": None}
        ),
    },
    range="[0, inf]",
    kinks=(
        Kink(
            at="threshold/beta",
            left="1/(1 + exp(-threshold))",
            right="1",
            value="1/(1 + exp(-threshold))",
            jump=True,
        ),
    ),
    error_bounds=(0.95, 1),
    reference="Dugas, Bengio, Bélisle, Nadeau and Garcia (2001)",
    pitfalls=(
        "torch turns linear above beta*x = 20, which is off by 1e-10 relative: threshold=20 for parity.",
        "With log10 in the place of ln everything is too small by the factor 0.434.",
        "log(1 + exp(x)), computed as printed, overflows from x = 89 on in float32.",
    ),
)
def softplus(x: float, beta: float = 1.0, threshold: float = float("inf")) -> float:
    """Softplus: the smooth rectifier, integral of the sigmoid."""
    return primitives.softplus(beta * x) / beta if beta * x <= threshold else x


@activation(
    family="sigmoid",
    formula="-log(1 + exp(-x))",
    derivative_formula="1 / (1 + exp(x))",
    derivative=lambda x: primitives.sigmoid(-x),
    aliases=("log_sigmoid",),
    range="[-inf, 0]",
    error_bounds=(0.9, 1),
    reference="torch.nn.functional.logsigmoid; jax.nn.log_sigmoid",
    pitfalls=(
        "log(sigmoid(x)) is -inf from x = -104 on in float32; the value there is x.",
        "The derivative at 0 is 1/2.",
    ),
)
def logsigmoid(x: float) -> float:
    """Logarithm of the sigmoid: softplus mirrored in both axes."""
    return -primitives.softplus(-x)


def _softsign_slope(x: float) -> float:
    a = minimum(fabs(x), 1e30)
    d, t = 1.0 + a, sum_tail(1.0, a)
    return ratio(ratio(1.0, d, t), d, t) if fabs(x) < 1e30 else 1.0 / fabs(x) / fabs(x)


@activation(
    family="sigmoid",
    formula="x / (1 + abs(x))",
    derivative_formula="1 / (1 + abs(x))**2",
    derivative=_softsign_slope,
    aliases=("soft_sign",),
    range="[-1, 1]",
    error_bounds=(0.55, 1.25),
    reference="Turian, Bergstra and Bengio (2009), Quadratic Features and Deep Architectures for Chunking",
    pitfalls=("It saturates polynomially: the derivative is still 1e-4 at x = 99, where tanh's is 1e-85.",),
)
def softsign(x: float) -> float:
    """Softsign: a sigmoid with heavy tails, and no exponential."""
    a = minimum(fabs(x), 1e30)
    return copysign(ratio(a, 1.0 + a, sum_tail(1.0, a)), x)


@activation(
    family="sigmoid",
    formula="max(0, min(1, x/6 + 1/2))",
    derivative_formula="1/6 if abs(x) < 3 else 0",
    derivative=lambda x: 1.0 / 6.0 if fabs(x) < 3.0 else 0.0,
    aliases=("hard_sigmoid",),
    range="[0, 1]",
    kinks=(
        Kink(at="-3", left="0", right="1/6", value="0"),
        Kink(at="3", left="1/6", right="0", value="0"),
    ),
    error_bounds=(0.5, 0.5),
    reference="Courbariaux, Bengio and David (2015), arXiv:1511.00363; torch.nn.functional.hardsigmoid",
    pitfalls=("The slope differs by framework: 1/6 in torch, Keras 3 and JAX, .2 in ONNX and Keras 2.",),
)
def hardsigmoid(x: float) -> float:
    """Hard sigmoid: a straight line between two levels."""
    y = -3.0 if x < -3.0 else (3.0 if x > 3.0 else x)
    s = y + 3.0
    return sixth(1.0, s, y - (s - 3.0))
