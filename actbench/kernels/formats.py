"""How the numbers of a format are stored, and the way to the number that is computed with and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from actbench.kernels.headers import INT, SHORT


@dataclass(frozen=True)
class Format:
    """How elements are stored, and the way to the number that is computed with and back."""

    stored: Any
    widen: Callable[[Any, Any, Any], Any] = lambda context, builder, item: item
    narrow: Callable[[Any, Any, Any], Any] = lambda context, builder, value: value


def _converts_half(context: Any) -> bool:
    """Whether the processor converts float16 itself: elsewhere LLVM would call a library that need not be there."""
    triple, _, features = context.codegen().magic_tuple()
    return not triple.startswith(("x86_64", "i686")) or "+f16c" in features


def _widen_half(context: Any, builder: Any, item: Any) -> Any:
    if _converts_half(context):
        return builder.fpext(builder.bitcast(item, ir.HalfType()), ir.FloatType())
    bits = builder.zext(item, INT)
    moved = builder.shl(builder.and_(bits, INT(0x7FFF)), INT(13))
    # A product with 2^112 mends the exponent, also of subnormals.
    finite = builder.bitcast(
        builder.fmul(builder.bitcast(moved, ir.FloatType()), ir.FloatType()(2.0**112)), INT
    )
    special = builder.icmp_unsigned(">=", moved, INT(0x7C00 << 13))
    magnitude = builder.select(special, builder.or_(moved, INT(0x7F800000)), finite)
    sign = builder.shl(builder.and_(bits, INT(0x8000)), INT(16))
    return builder.bitcast(builder.or_(magnitude, sign), ir.FloatType())


def _narrow_half(context: Any, builder: Any, value: Any) -> Any:
    if _converts_half(context):
        return builder.bitcast(builder.fptrunc(value, ir.HalfType()), SHORT)
    bits = builder.bitcast(value, INT)
    magnitude = builder.and_(bits, INT(0x7FFFFFFF))
    odd = builder.and_(builder.lshr(magnitude, INT(13)), INT(1))
    rounded = builder.add(magnitude, builder.add(odd, INT(0xFFF - (112 << 23))))
    normal = builder.lshr(rounded, INT(13))
    # The last place of 1/2 is that of float16's subnormals.
    half = builder.fadd(builder.bitcast(magnitude, ir.FloatType()), ir.FloatType()(0.5))
    subnormal = builder.sub(builder.bitcast(half, INT), INT(126 << 23))
    finite = builder.select(builder.icmp_unsigned("<", magnitude, INT(113 << 23)), subnormal, normal)
    nan = builder.or_(builder.and_(builder.lshr(magnitude, INT(13)), INT(0x3FF)), INT(0x7E00))
    special = builder.select(builder.icmp_unsigned(">", magnitude, INT(255 << 23)), nan, INT(0x7C00))
    found = builder.select(builder.icmp_unsigned(">=", magnitude, INT(143 << 23)), special, finite)
    sign = builder.lshr(builder.xor(bits, magnitude), INT(16))
    return builder.trunc(builder.or_(found, sign), SHORT)


def _widen_bfloat16(context: Any, builder: Any, item: Any) -> Any:
    return builder.bitcast(builder.shl(builder.zext(item, INT), INT(16)), ir.FloatType())


def _narrow_bfloat16(context: Any, builder: Any, value: Any) -> Any:
    """To nearest, ties to even, in integers: the processor's own instruction takes subnormals for zeros.

    A NaN stays one without a test, which would cost relu a fifth of its speed: the low half of its bits is zero,
    because it was widened from this format, is the processor's own, or came as a parameter, which is Python's.
    """
    bits = builder.bitcast(value, INT)
    odd = builder.and_(builder.lshr(bits, INT(16)), INT(1))
    rounded = builder.add(bits, builder.add(odd, INT(0x7FFF)))
    return builder.trunc(builder.lshr(rounded, INT(16)), SHORT)


FORMATS = {
    "float64": Format(ir.DoubleType()),
    "float32": Format(ir.FloatType()),
    "float16": Format(SHORT, _widen_half, _narrow_half),
    "bfloat16": Format(SHORT, _widen_bfloat16, _narrow_bfloat16),
}
