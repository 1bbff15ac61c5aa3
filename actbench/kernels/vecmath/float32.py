"""Vector mathematics for float32: scalar functions, in and out, that a loop over an array vectorises."""

from __future__ import annotations

from types import SimpleNamespace

from .brief import brief
from .coefficients import Float32, Float64, Wide
from .elementary import elementary
from .smooth import smooth

# Largest error in ULP, rounded up: over all inputs of 2^-27 to 128 and both signs, and every 65537th of the others.
MAX_ULP = {
    "exp": 0.88,
    "expm1": 1.08,
    "log": 0.62,
    "log1p": 0.68,
    "tanh": 0.96,
    "erf": 0.7,
    "erfc": 1.0,
    "sin": 0.74,
    "cos": 0.74,
    "sigmoid": 0.97,
    "sigmoid_slope": 1.62,
    "tanh_slope": 1.62,
    "silu": 0.83,
    "silu_slope": 1.98,
    "softplus": 0.6,
    "mish": 0.83,
    "mish_slope": 0.6,
    "gelu": 1.0,
    "gelu_slope": 1.6,
    "gelu_tanh": 0.83,
    "gelu_tanh_slope": 0.6,
    "gate": 0.83,
    "selu": 1.0,
    "selu_slope": 1.1,
    "scaled_expm1": 0.91,
    "sqrt": 0.5,
    "fabs": 0.0,
    "floor": 0.0,
    "copysign": 0.0,
    "maximum": 0.0,
    "minimum": 0.0,
}

_elementary, _brief = elementary(Float32), brief(Float64, Wide)
# In float64 these are as fast as in float32, where they would need pairs throughout, and more exact.
WIDE = ("softplus", "gelu_tanh_slope", "mish_slope")
functions = SimpleNamespace(
    **vars(_elementary) | vars(smooth(Float32, _elementary)) | {name: getattr(_brief, name) for name in WIDE}
)
