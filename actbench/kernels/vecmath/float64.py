"""Vector mathematics for float64: scalar functions, in and out, that a loop over an array vectorises.

`exp_pair` and `expm1_pair` return an unevaluated sum (high, low), `quotient` divides two of them:
a function made of these and one addition at the end stays near half an ULP.
"""

from __future__ import annotations

from .coefficients import Float64
from .elementary import elementary

# Largest error in ULP against Arb, rounded up: 1024 inputs in each binade from 2^-60 up, in every 16th
# below, with dense windows where the method or the range changes.
MAX_ULP = {
    "exp": 0.53,
    "expm1": 0.6,
    "log": 0.62,
    "log1p": 0.66,
    "tanh": 0.53,
    "erf": 0.68,
    "erfc": 0.85,
    "sqrt": 0.5,
    "fabs": 0.0,
    "copysign": 0.0,
    "maximum": 0.0,
    "minimum": 0.0,
    "sin": 0.74,
    "cos": 0.74,
    "floor": 0.0,
    "sigmoid": 0.76,
    "softplus": 0.78,
}

_functions = elementary(Float64, MAX_ULP)
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
