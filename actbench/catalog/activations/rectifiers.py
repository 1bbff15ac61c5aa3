"""Rectifiers: the identity on one side of zero, something small on the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actbench.catalog.declaration import Kink, Param
from actbench.catalog.domain import Domain
from actbench.catalog.errors import ParameterError
from actbench.catalog.primitives import exp, expm1, maximum, minimum
from actbench.catalog.registry import activation

_LEAK = Kink(at="0", left="negative_slope", right="1", value="negative_slope")


@activation(
    family="rectifier",
    formula="max(x, 0)",
    derivative_formula="1 if x > 0 else 0 if x < 0 else slope_at_zero",
    derivative=lambda x, slope_at_zero: 1.0 if x > 0 else (0.0 if x < 0 else slope_at_zero),
    params={
        "slope_at_zero": Param(Domain("[0, 1]"), "relu'(0), a convention", {"torch": 0, "jax": 0, "keras": 0})
    },
    range="[0, inf]",
    kinks=(Kink(at="0", left="0", right="1", value="slope_at_zero"),),
    reference="Nair and Hinton (2010), Rectified Linear Units Improve Restricted Boltzmann Machines",
    pitfalls=(
        "relu'(0) is a convention: 0 in torch, JAX and Keras, 1 in some texts (slope_at_zero=).",
        "A kernel written as 'x if x > 0 else 0' turns NaN into 0; here NaN goes through.",
        "A unit whose input stays negative gets no gradient and never recovers ('dead ReLU').",
    ),
)
def relu(x: float, slope_at_zero: float = 0.0) -> float:
    """Rectified linear unit: the positive part."""
    return maximum(x, 0.0)


@activation(
    family="rectifier",
    formula="x if x > 0 else negative_slope*x",
    derivative_formula="1 if x > 0 else negative_slope",
    derivative=lambda x, negative_slope: 1.0 if x > 0 else negative_slope,
    gradients={"negative_slope": lambda x, negative_slope: minimum(x, 0.0)},
    params={
        "negative_slope": Param(
            meaning="slope for x < 0",
            elsewhere={
                "torch": 0.01,
                "jax": 0.01,
                "onnx": 0.01,
                "keras.ops": 0.2,
                "tf.nn": 0.2,
                "keras layer": 0.3,
            },
            shown=(0.1, 0.3),
        )
    },
    aliases=("lrelu", "leakyrelu"),
    kinks=(_LEAK,),
    reference="Maas, Hannun and Ng (2013), Rectifier Nonlinearities Improve Neural Network Acoustic Models",
    pitfalls=(
        "The default slope differs by framework: .01 (torch, JAX, ONNX), .2 (Keras function), .3 (Keras layer).",
        "The slope at 0 is negative_slope in torch and here, 1 in JAX.",
    ),
)
def leaky_relu(x: float, negative_slope: float = 0.01) -> float:
    """Leaky rectified linear unit: a small fixed slope for negative inputs."""
    return x if x > 0 else negative_slope * x


@activation(
    family="rectifier",
    formula="x if x > 0 else weight*x",
    derivative_formula="1 if x > 0 else weight",
    derivative=lambda x, weight: 1.0 if x > 0 else weight,
    gradients={"weight": lambda x, weight: minimum(x, 0.0)},
    params={
        "weight": Param(
            meaning="learned slope for x < 0: a scalar, or one for each channel (axis 1)",
            elsewhere={"torch": 0.25, "keras": 0.0},
            array=True,
            shown=(0.1, 0.5),
        )
    },
    kinks=(Kink(at="0", left="weight", right="1", value="weight"),),
    reference="He, Zhang, Ren and Sun (2015), Delving Deep into Rectifiers, arXiv:1502.01852",
    pitfalls=(
        "The slope is learned: some texts call it fixed, which is leaky_relu.",
        "Its initial value is .25 in torch and 0 in Keras.",
    ),
)
def prelu(x: float, weight: float = 0.25) -> float:
    """Parametric rectified linear unit: a learned slope for negative inputs."""
    return x if x > 0 else weight * x


def _rrelu_slope(
    x: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    noise: Any = None,
) -> Mapping[str, Any]:
    """The slope: the mean in evaluation; in training drawn by ``noise``, a generator or uniforms in [0, 1)."""
    if lower > upper:
        raise ParameterError(f"rrelu: lower={lower!r} is above upper={upper!r}")
    if not training:
        return {"slope": (lower + upper) / 2}
    if noise is None:
        raise ParameterError(
            "rrelu: training=True needs noise=, a numpy.random.Generator or an array of uniforms in [0, 1)"
        )
    uniform = noise.random(x.shape) if hasattr(noise, "random") else noise
    return {"slope": lower + (upper - lower) * uniform}


@activation(
    family="rectifier",
    formula="x if x > 0 else slope*x",
    derivative_formula="1 if x > 0 else slope",
    derivative=lambda x, slope: 1.0 if x > 0 else slope,
    prepare=_rrelu_slope,
    params={
        "lower": Param(meaning="least slope", elsewhere={"torch": 1 / 8}),
        "upper": Param(meaning="largest slope", elsewhere={"torch": 1 / 3}),
        "training": Param((False, True), "draw a slope for each element"),
        "noise": Param(None, "a numpy Generator, or uniforms in [0, 1) of x's shape", array=True),
    },
    kinks=(Kink(at="0", left="slope", right="1", value="slope"),),
    reference="Xu, Wang, Chen and Li (2015), Empirical Evaluation of Rectified Activations, arXiv:1505.00853",
    pitfalls=(
        "In evaluation the slope is the mean of the bounds, 11/48, not a draw.",
        "In training the backward pass must see the same noise as the forward pass: pass it to both.",
    ),
)
def rrelu(x: float, slope: float = 11 / 48) -> float:
    """Randomised leaky rectified linear unit: a random slope in training, its mean in evaluation."""
    return x if x > 0 else slope * x


@activation(
    family="rectifier",
    formula="x if x > 0 else alpha*(exp(x) - 1)",
    derivative_formula="1 if x > 0 else alpha*exp(x)",
    derivative=lambda x, alpha: 1.0 if x > 0 else alpha * exp(x),
    gradients={"alpha": lambda x, alpha: expm1(minimum(x, 0.0))},
    params={
        "alpha": Param(
            Domain("[0, inf)"),
            "minus the limit at -inf",
            {"torch": 1.0, "jax": 1.0, "keras": 1.0, "onnx": 1.0},
            shown=(0.3, 2.0),
        )
    },
    range="[-inf, inf]",
    kinks=(Kink(at="0", left="alpha", right="1", value="alpha"),),
    reference="Clevert, Unterthiner and Hochreiter (2016), arXiv:1511.07289",
    pitfalls=(
        "The derivative is 'f(x) + alpha' below 0; the printed 'f(x) + 1' holds only for alpha = 1.",
        "exp(x) - 1 loses every digit near 0: elu(-1e-8) must be -1e-8, not 0.",
        "There is a kink at 0 unless alpha = 1.",
    ),
)
def elu(x: float, alpha: float = 1.0) -> float:
    """Exponential linear unit: saturates smoothly at -alpha."""
    return x if x > 0 else alpha * expm1(x)
