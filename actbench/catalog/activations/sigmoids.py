"""Sigmoids and their integral: smooth steps between two levels, and the smooth rectifier."""

from __future__ import annotations

from actbench.catalog import primitives
from actbench.catalog.declaration import Kink, Param
from actbench.catalog.domain import Domain
from actbench.catalog.primitives import exp, fabs
from actbench.catalog.registry import activation


def _tanh_slope(x: float) -> float:
    q = exp(-2.0 * fabs(x))
    return 4.0 * q / ((1.0 + q) * (1.0 + q))


def _softplus_beta(x: float, beta: float, threshold: float) -> float:
    u = -fabs(beta * x)
    slope = -(primitives.damped(fabs(x), primitives.sigmoid(u)) + primitives.softplus(u) / beta) / beta
    return slope if beta * x <= threshold else 0.0


@activation(
    family="sigmoid",
    formula="1 / (1 + exp(-x))",
    derivative_formula="exp(-x) / (1 + exp(-x))**2",
    derivative=lambda x: primitives.sigmoid(x) * primitives.sigmoid(-x),
    aliases=("logistic", "expit"),
    range="[0, 1]",
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
    derivative=_tanh_slope,
    range="[-1, 1]",
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
    derivative=lambda x, beta, threshold: primitives.sigmoid(beta * x) if beta * x <= threshold else 1.0,
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
