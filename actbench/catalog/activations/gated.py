"""Self-gated activations: the input times a smooth gate of itself."""

from __future__ import annotations

from actbench.catalog.declaration import Param
from actbench.catalog.primitives import damped, exp, fabs, sigmoid
from actbench.catalog.registry import activation


def _swish_slope(x: float, beta: float) -> float:
    u = beta * x
    return damped(1.0 + damped(u, sigmoid(-u)), sigmoid(u))


def _mish_gate(x: float, r: float) -> float:
    """tanh(softplus(x)) from r = exp(-|x|), so that nothing overflows on either side."""
    return (1.0 + 2.0 * r) / (1.0 + 2.0 * r * (1.0 + r)) if x > 0 else r * (r + 2.0) / (2.0 + r * (r + 2.0))


def _mish_slope(x: float) -> float:
    r = exp(-fabs(x))
    d = 1.0 + 2.0 * r * (1.0 + r) if x > 0 else 2.0 + r * (r + 2.0)
    rest = 4.0 * r * (1.0 + r) / (d * d) * (r if x > 0 else 1.0)
    return _mish_gate(x, r) + damped(x, rest)


@activation(
    family="gated",
    formula="x / (1 + exp(-beta*x))",
    derivative_formula="1/(1 + exp(-beta*x)) + beta*x*exp(-beta*x)/(1 + exp(-beta*x))**2",
    derivative=_swish_slope,
    gradients={"beta": lambda x, beta: damped(x * x, sigmoid(beta * x) * sigmoid(-beta * x))},
    params={
        "beta": Param(meaning="sharpness of the gate", elsewhere={"keras": 1.0, "jax": 1.0}, shown=(0.5, 2.0))
    },
    reference="Ramachandran, Zoph and Le (2017), Searching for Activation Functions, arXiv:1710.05941",
    pitfalls=(
        "Printed derivatives often drop beta: swish' = s(bx) (1 + b x s(-bx)).",
        "Keras and JAX call the beta = 1 case swish; here that is silu.",
    ),
)
def swish(x: float, beta: float = 1.0) -> float:
    """Swish: the input gated by its own sigmoid, with a learnable sharpness."""
    return damped(x, sigmoid(beta * x))


@activation(
    family="gated",
    formula="x / (1 + exp(-x))",
    derivative_formula="1/(1 + exp(-x)) + x*exp(-x)/(1 + exp(-x))**2",
    derivative=lambda x: _swish_slope(x, 1.0),
    reference="Elfwing, Uchibe and Doya (2018), arXiv:1702.03118; Hendrycks and Gimpel (2016)",
    pitfalls=("Not monotone: the minimum is -0.2785 at x = -1.2785, where the derivative changes sign.",),
)
def silu(x: float) -> float:
    """Sigmoid linear unit: swish with beta = 1."""
    return damped(x, sigmoid(x))


@activation(
    family="gated",
    formula="x * tanh(log(1 + exp(x)))",
    derivative_formula="tanh(log(1 + exp(x))) + x*(1 - tanh(log(1 + exp(x)))**2)/(1 + exp(-x))",
    derivative=_mish_slope,
    reference="Misra (2020), Mish: A Self Regularized Non-Monotonic Activation Function, arXiv:1908.08681",
    pitfalls=(
        "tanh(softplus(x)) needs one exp, not three: with q = e^x it is q(q + 2)/(q(q + 2) + 2).",
        "e^(2x) overflows from x = 44 on in float32: rescale by e^-x for x > 0.",
    ),
)
def mish(x: float) -> float:
    """Mish: the input gated by tanh(softplus(x))."""
    return damped(x, _mish_gate(x, exp(-fabs(x))))
