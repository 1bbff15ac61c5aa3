"""Vector mathematics for float64: scalar functions, in and out, that a loop over an array vectorises."""

from __future__ import annotations

from types import SimpleNamespace

from .coefficients import Float64
from .elementary import elementary
from .smooth import smooth

# Largest error in ULP against Arb, rounded up: 1024 inputs in each binade from 2^-60 up, in every 16th below, with
# dense windows where the method or the range changes.
MAX_ULP = {
    "exp": 0.9,
    "expm1": 1.08,
    "log": 0.62,
    "log1p": 0.66,
    "tanh": 0.96,
    "erf": 0.7,
    "erfc": 0.9,
    "sin": 0.74,
    "cos": 0.74,
    "sigmoid": 0.97,
    "sigmoid_slope": 1.5,
    "tanh_slope": 1.5,
    "silu": 1.0,
    "silu_slope": 1.9,
    "softplus": 1.0,
    "mish": 1.0,
    "mish_slope": 1.0,
    "gelu": 1.0,
    "gelu_slope": 1.0,
    "gelu_tanh": 1.0,
    "gelu_tanh_slope": 1.7,
    "gate": 1.0,
    "selu": 0.85,
    "selu_slope": 1.1,
    "scaled_expm1": 0.85,
    "sqrt": 0.5,
    "fabs": 0.0,
    "floor": 0.0,
    "copysign": 0.0,
    "maximum": 0.0,
    "minimum": 0.0,
}

_elementary = elementary(Float64)
functions = SimpleNamespace(**vars(_elementary) | vars(smooth(Float64, _elementary)))
