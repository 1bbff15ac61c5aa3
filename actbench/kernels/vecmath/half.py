"""Vector mathematics for float16 and bfloat16: of float32 numbers, as exact as 16 bits can tell."""

from __future__ import annotations

from .brief import brief
from .coefficients import Float32, Half

functions = brief(Float32, Half)
