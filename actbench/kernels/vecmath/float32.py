"""Vector mathematics for float32: scalar functions, in and out, that a loop over an array vectorises.

`exp_pair` and `expm1_pair` return an unevaluated sum (high, low), `quotient` divides two of them:
a function made of these and one addition at the end stays near half an ULP.
"""

from __future__ import annotations

from .coefficients import Float32
from .elementary import elementary

# Largest error in ULP, measured over all 2^32 inputs against the float64 functions, rounded up.
MAX_ULP = {
    "exp": 0.53,
    "expm1": 0.58,
    "log": 0.62,
    "log1p": 0.68,
    "tanh": 0.55,
    "erf": 0.67,
    "erfc": 0.97,
    "sqrt": 0.5,
    "fabs": 0.0,
    "copysign": 0.0,
    "maximum": 0.0,
    "minimum": 0.0,
    "sin": 0.74,
    "cos": 0.74,
    "floor": 0.0,
    "sigmoid": 0.76,
    "softplus": 0.76,
}

_functions = elementary(Float32, MAX_ULP)
exp = _functions.exp
expm1 = _functions.expm1
log = _functions.log
log1p = _functions.log1p
tanh = _functions.tanh
erf = _functions.erf
erfc = _functions.erfc
sqrt = _functions.sqrt
fabs = _functions.fabs
copysign = _functions.copysign
maximum = _functions.maximum
minimum = _functions.minimum
sin = _functions.sin
cos = _functions.cos
floor = _functions.floor
sigmoid = _functions.sigmoid
softplus = _functions.softplus
exp_pair = _functions.exp_pair
expm1_pair = _functions.expm1_pair
quotient = _functions.quotient
