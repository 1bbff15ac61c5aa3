"""Rectifiers: the identity on one side of zero, something small on the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actbench.catalog import numeric, primitives
from actbench.catalog.declaration import Kink, Param
from actbench.catalog.domain import Domain
from actbench.catalog.errors import ParameterError
from actbench.catalog.primitives import (
    damped,
    exp,
    expm1,
    minimum,
    quotient_tail,
    scaled_expm1,
    wide,
)
from actbench.catalog.registry import activation


def _check_order(function: str, low: str, least: float, high: str, largest: float) -> None:
    if least > largest:
        raise ParameterError(f"{function}: {low}={least!r} is above {high}={largest!r}")


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
    error_bounds=(0.5, 0.5),
    reference="Nair and Hinton (2010), Rectified Linear Units Improve Restricted Boltzmann Machines",
    pitfalls=(
        "relu'(0) is a convention: 0 in torch, JAX and Keras, 1 in some texts (slope_at_zero=).",
        "A kernel written as 'x if x > 0 else 0' turns NaN into 0; here NaN goes through.",
        "A unit whose input stays negative gets no gradient and never recovers ('dead ReLU').",
    ),
)
def relu(x: float, slope_at_zero: float = 0.0) -> float:
    """Rectified linear unit: the positive part."""
    return 0.0 if x < 0.0 else x


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
    error_bounds=(0.5, 0.5),
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
    error_bounds=(0.5, 0.5),
    reference="He, Zhang, Ren and Sun (2015), Delving Deep into Rectifiers, arXiv:1502.01852",
    pitfalls=(
        "The slope is learned: some texts call it fixed, which is leaky_relu.",
        "Its initial value is .25 in torch and 0 in Keras.",
    ),
)
def prelu(x: float, weight: float = 0.25) -> float:
    """Parametric rectified linear unit: a learned slope for negative inputs."""
    return x if x > 0 else weight * x


_NOISE = "a numpy.random.Generator or an array of uniforms in [0, 1)"


def _rrelu_slope(
    x: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    noise: Any = None,
) -> Mapping[str, Any]:
    """The slope: the mean in evaluation; in training drawn by ``noise``, a generator or uniforms in [0, 1)."""
    _check_order("rrelu", "lower", lower, "upper", upper)
    uniforms = None if noise is None else _uniforms(noise, x.shape, training)
    if not training:
        return {"a": (lower + upper) / 2}
    if uniforms is None:
        raise ParameterError(f"rrelu: training=True needs noise=, {_NOISE}")
    return {"a": lower + (upper - lower) * uniforms}


def _uniforms(noise: Any, shape: tuple[int, ...], drawn: bool) -> Any:
    """A uniform number for each element, given or, where they are wanted, drawn."""
    import numpy as np

    if isinstance(noise, np.random.Generator | np.random.RandomState):
        return noise.random(shape) if drawn else None
    uniforms = numeric.real_array("rrelu: noise", noise)
    if uniforms.shape != shape:
        raise ParameterError(
            f"rrelu: noise has shape {uniforms.shape}, but x has {shape}: give {_NOISE}, one an element"
        )
    # Uniforms that were rounded to a shorter format may be 1.
    if not np.all((uniforms >= 0) & (uniforms <= 1)):
        raise ParameterError("rrelu: noise holds numbers outside [0, 1]")
    return uniforms


@activation(
    family="rectifier",
    formula="x if x > 0 else a*x",
    derivative_formula="1 if x > 0 else a",
    derivative=lambda x, a: 1.0 if x > 0 else a,
    prepare=_rrelu_slope,
    params={
        "lower": Param(meaning="least slope", elsewhere={"torch": 1 / 8}),
        "upper": Param(meaning="largest slope", elsewhere={"torch": 1 / 3}),
        "training": Param((False, True), "draw a slope for each element"),
        "noise": Param(None, "a numpy Generator, or uniforms in [0, 1) of x's shape", array=True),
    },
    kinks=(Kink(at="0", left="a", right="1", value="a"),),
    error_bounds=(0.5, 0.5),
    reference="Xu, Wang, Chen and Li (2015), Empirical Evaluation of Rectified Activations, arXiv:1505.00853",
    pitfalls=(
        "In evaluation the slope is the mean of the bounds, 11/48, not a draw.",
        "In training the backward pass needs the slopes of the forward pass: give both the same array as noise=, "
        "for a Generator draws anew at each call.",
    ),
)
def rrelu(x: float, a: float = 11 / 48) -> float:
    """Randomised leaky rectified linear unit: a random slope in training, its mean in evaluation."""
    return x if x > 0 else a * x


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
    range="[-alpha, inf]",
    kinks=(Kink(at="0", left="alpha", right="1", value="alpha"),),
    error_bounds=(1, 0.9),
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


def _celu_slope(x: float, alpha: float) -> float:
    y = exp(x / alpha)
    return 1.0 if x > 0 else y + y * quotient_tail(x, alpha)


def _celu_alpha(x: float, alpha: float) -> float:
    u = wide(minimum(x, 0.0)) / wide(alpha)
    # Near 0 the two terms cancel: the series then, of (n - 1) u^n / n!, to 2^-53 where |u| is below 1/8.
    series = 1 / 840 + u * (1 / 5760 + u * (1 / 45360 + u * (1 / 403200 + u / 3991680)))
    series = 0.5 + u * (1 / 3 + u * (1 / 8 + u * (1 / 30 + u * (1 / 144 + u * series))))
    return -u * u * series if u > -0.125 else expm1(u) - damped(u, exp(u))


@activation(
    family="rectifier",
    formula="x if x > 0 else alpha*(exp(x/alpha) - 1)",
    derivative_formula="1 if x > 0 else exp(x/alpha)",
    derivative=_celu_slope,
    gradients={"alpha": _celu_alpha},
    params={
        "alpha": Param(
            Domain("(0, inf)"),
            "minus the limit at -inf",
            {"torch": 1.0, "jax": 1.0, "onnx": 1.0},
            shown=(0.3, 2.0),
        )
    },
    range="[-alpha, inf]",
    error_bounds=(1, 0.9),
    reference="Barron (2017), Continuously Differentiable Exponential Linear Units, arXiv:1704.07483",
    pitfalls=("It is elu for alpha = 1 only; for every other alpha it has, unlike elu, no kink.",),
)
def celu(x: float, alpha: float = 1.0) -> float:
    """Continuously differentiable exponential linear unit."""
    u = x / alpha
    # The curve is its tangent near 0, where the quotient may be too small to write.
    return x if u > -1e-20 else scaled_expm1(alpha, u, quotient_tail(x, alpha))


@activation(
    family="rectifier",
    formula="1.0507009873554804934*x if x > 0 else 1.7580993408473768599*(exp(x) - 1)",
    derivative_formula="1.0507009873554804934 if x > 0 else 1.7580993408473768599*exp(x)",
    derivative=primitives.selu_slope,
    range="[-1.7580993408473768599, inf]",
    kinks=(
        Kink(
            at="0", left="1.7580993408473768599", right="1.0507009873554804934", value="1.7580993408473768599"
        ),
    ),
    error_bounds=(1, 1.05),
    reference="Klambauer, Unterthiner, Mayr and Hochreiter (2017), Self-Normalizing Neural Networks, arXiv:1706.02515",
    pitfalls=(
        "alpha = 1.67326 and lambda = 1.05070 are no parameters: only they keep mean 0 and variance 1.",
        "As exp(x) - 1 it loses every digit near 0: selu(-1e-8) must be -1.758e-8, not 0.",
    ),
)
def selu(x: float) -> float:
    """Scaled exponential linear unit: activations keep mean 0 and variance 1 from layer to layer."""
    return primitives.selu(x)


def _hardtanh_levels(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Mapping[str, Any]:
    _check_order("hardtanh", "min_val", min_val, "max_val", max_val)
    return {"min_val": min_val, "max_val": max_val}


@activation(
    family="rectifier",
    formula="max(min_val, min(x, max_val))",
    derivative_formula="1 if min_val < x < max_val else 0",
    derivative=lambda x, min_val, max_val: 1.0 if min_val < x < max_val else 0.0,
    prepare=_hardtanh_levels,
    params={
        "min_val": Param(meaning="least value", elsewhere={"torch": -1.0, "jax": -1.0}),
        "max_val": Param(meaning="largest value", elsewhere={"torch": 1.0, "jax": 1.0}),
    },
    aliases=("hard_tanh",),
    range="[min_val, max_val]",
    kinks=(
        Kink(at="min_val", left="0", right="1", value="0"),
        Kink(at="max_val", left="1", right="0", value="0"),
    ),
    error_bounds=(0.5, 0.5),
    reference="Collobert (2004), Large Scale Machine Learning; torch.nn.functional.hardtanh",
    pitfalls=("The slope at the two kinks is 0 in torch and here, 1 in JAX.",),
)
def hardtanh(x: float, min_val: float = -1.0, max_val: float = 1.0) -> float:
    """Hard tanh: the identity between two levels."""
    return min_val if x < min_val else max_val if x > max_val else x


@activation(
    family="rectifier",
    formula="max(0, min(x, 6))",
    derivative_formula="1 if 0 < x < 6 else 0",
    derivative=lambda x: 1.0 if 0.0 < x < 6.0 else 0.0,
    range="[0, 6]",
    kinks=(Kink(at="0", left="0", right="1", value="0"), Kink(at="6", left="1", right="0", value="0")),
    error_bounds=(0.5, 0.5),
    reference="Krizhevsky (2010), Convolutional Deep Belief Networks on CIFAR-10",
    pitfalls=("Nothing but relu below 6: for activations that stay small the two are one.",),
)
def relu6(x: float) -> float:
    """Rectified linear unit that saturates at 6."""
    return 0.0 if x < 0.0 else 6.0 if x > 6.0 else x
