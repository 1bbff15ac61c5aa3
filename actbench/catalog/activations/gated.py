"""Self-gated activations: the input times a smooth gate of itself."""

from __future__ import annotations

from actbench.catalog import primitives
from actbench.catalog.declaration import Kink, Param
from actbench.catalog.primitives import (
    copysign,
    damped,
    gate,
    product_tail,
    sigmoid_slope,
    sixth,
)
from actbench.catalog.registry import activation


@activation(
    family="gated",
    formula="x / (1 + exp(-beta*x))",
    derivative_formula="1/(1 + exp(-beta*x)) + beta*x*exp(-beta*x)/(1 + exp(-beta*x))**2",
    derivative=lambda x, beta: primitives.silu_slope(beta * x, product_tail(beta, x)),
    gradients={"beta": lambda x, beta: damped(x * x, sigmoid_slope(beta * x))},
    params={
        "beta": Param(meaning="sharpness of the gate", elsewhere={"keras": 1.0, "jax": 1.0}, shown=(0.5, 2.0))
    },
    range="[-0.27846454276107380/beta if beta > 0 else -inf, inf if beta >= 0 else -0.27846454276107380/beta]",
    error_bounds=(0.85, 2),
    reference="Ramachandran, Zoph and Le (2017), Searching for Activation Functions, arXiv:1710.05941",
    pitfalls=(
        "Printed derivatives often drop beta: swish' = s(bx) (1 + b x s(-bx)).",
        "Keras and JAX call the beta = 1 case swish; here that is silu.",
    ),
)
def swish(x: float, beta: float = 1.0) -> float:
    """Swish: the input gated by its own sigmoid, with a learnable sharpness."""
    return gate(x, beta * x, product_tail(beta, x))


@activation(
    family="gated",
    formula="x / (1 + exp(-x))",
    derivative_formula="1/(1 + exp(-x)) + x*exp(-x)/(1 + exp(-x))**2",
    derivative=lambda x: primitives.silu_slope(x, 0.0),
    range="[-0.27846454276107380, inf]",
    error_bounds=(0.85, 2),
    reference="Elfwing, Uchibe and Doya (2018), arXiv:1702.03118; Hendrycks and Gimpel (2016)",
    pitfalls=("Not monotone: the minimum is -0.2785 at x = -1.2785, where the derivative changes sign.",),
)
def silu(x: float) -> float:
    """Sigmoid linear unit: swish with beta = 1."""
    return primitives.silu(x)


@activation(
    family="gated",
    formula="x * tanh(log(1 + exp(x)))",
    derivative_formula="tanh(log(1 + exp(x))) + x*(1 - tanh(log(1 + exp(x)))**2)/(1 + exp(-x))",
    derivative=primitives.mish_slope,
    range="[-0.30884341301725041, inf]",
    error_bounds=(0.85, 0.8),
    reference="Misra (2020), Mish: A Self Regularized Non-Monotonic Activation Function, arXiv:1908.08681",
    pitfalls=(
        "tanh(softplus(x)) needs one exp, not three: with q = e^x it is q(q + 2)/(q(q + 2) + 2).",
        "e^(2x) overflows from x = 44 on in float32: rescale by e^-x for x > 0.",
    ),
)
def mish(x: float) -> float:
    """Mish: the input gated by tanh(softplus(x))."""
    return primitives.mish(x)


@activation(
    family="gated",
    formula="x/2 * erfc(-x/sqrt(2))",
    derivative_formula="erfc(-x/sqrt(2))/2 + x*exp(-x**2/2)/sqrt(2*pi)",
    derivative=primitives.gelu_slope,
    range="[-0.16997120747990366, inf]",
    error_bounds=(1, 1.6),
    reference="Hendrycks and Gimpel (2016), Gaussian Error Linear Units, arXiv:1606.08415",
    pitfalls=(
        "jax.nn.gelu and keras.ops.gelu mean gelu_tanh unless told otherwise; torch and ONNX mean this one.",
        "x/2 (1 + erf(x/sqrt(2))) loses every digit of the left tail: 0 from -6 on in float32.",
        "Not monotone: the minimum is -0.17 at x = -0.7518, where the derivative changes sign.",
    ),
)
def gelu(x: float) -> float:
    """Gaussian error linear unit: the input times the normal probability of staying below it."""
    return primitives.gelu(x)


@activation(
    family="gated",
    formula="x / (1 + exp(-2*sqrt(2/pi)*(x + 0.044715*x**3)))",
    derivative_formula=(
        "1/(1 + exp(-2*sqrt(2/pi)*(x + 0.044715*x**3)))"
        " + 2*sqrt(2/pi)*(x + 0.134145*x**3)*exp(-2*sqrt(2/pi)*(x + 0.044715*x**3))"
        " / (1 + exp(-2*sqrt(2/pi)*(x + 0.044715*x**3)))**2"
    ),
    derivative=primitives.gelu_tanh_slope,
    aliases=("gelu_new", "gelu_approximate"),
    range="[-0.17004075057125405, inf]",
    error_bounds=(0.85, 1.55),
    reference="Hendrycks and Gimpel (2016), arXiv:1606.08415; torch gelu(approximate='tanh')",
    pitfalls=(
        "It is not gelu: the two differ by up to 4.7e-4.",
        "Printed as x/2 (1 + tanh(...)) it cancels on the left: 0 from -5.7 on in float32. Here the gate is a sigmoid.",
    ),
)
def gelu_tanh(x: float) -> float:
    """GELU with the normal distribution approximated by a tanh."""
    return primitives.gelu_tanh(x)


def _hardswish_slope(x: float) -> float:
    slope = (x + x + 3.0) * (1.0 / 6.0)
    return 0.0 if x < -3.0 else (1.0 if x > 3.0 else slope)


@activation(
    family="gated",
    formula="x * max(0, min(1, x/6 + 1/2))",
    derivative_formula="0 if x < -3 else 1 if x > 3 else x/3 + 1/2",
    derivative=_hardswish_slope,
    aliases=("hard_swish", "hard_silu"),
    range="[-3/8, inf]",
    kinks=(
        Kink(at="-3", left="0", right="-1/2", value="-1/2"),
        Kink(at="3", left="3/2", right="1", value="3/2"),
    ),
    error_bounds=(0.55, 1.35),
    reference="Howard et al. (2019), Searching for MobileNetV3, arXiv:1905.02244",
    pitfalls=(
        "At the kinks -3 and 3 the derivative is torch's: -1/2 and 3/2.",
        "x*(x + 3)/6 overflows in float32 from 5.7e37 on unless the gate is clipped first.",
    ),
)
def hardswish(x: float) -> float:
    """Hard swish: swish with a piecewise linear gate."""
    y = -3.0 if x < -3.0 else x
    s = y + 3.0
    return x if x >= 3.0 else copysign(sixth(y, s, y - (s - 3.0)), x)
