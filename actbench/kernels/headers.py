"""What comes before an array's elements: the fields of NumPy's header, and what kernels make sure of by them.

Kernels take the array objects themselves and read what they need from their headers, whose layout is part of NumPy's
ABI. Numba's own arrays cost a call on one element 50 ns each to unpack, want one dimension, a Python check of shape,
layout and overlap (200 ns), and know no 16-bit floats.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, models, register_model, unbox

_ITEM_BITS = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16}
BYTE, SHORT, INT, WORD = (ir.IntType(bits) for bits in (8, 16, 32, 64))
# The fields of a PyArrayObject, in bytes from its beginning: the type ends Python's own part.
_HEADER = object.__basicsize__
TYPE, DATA, NDIM, SHAPE, DTYPE, FLAGS = (_HEADER + 8 * k for k in (-1, 0, 1, 2, 5, 6))
C_CONTIGUOUS, _CONTIGUOUS, ALIGNED, WRITEABLE = 0x0001, 0x0003, 0x0100, 0x0400


class Formatted(types.Type):  # type: ignore[misc]
    """A Numba type that knows the format of the elements behind an address."""

    def __init__(self, format_: str) -> None:
        self.format = format_
        self.itemsize = _ITEM_BITS[format_] // 8
        self.compute = types.float64 if format_ == "float64" else types.float32
        super().__init__(f"{type(self).__name__}({format_})")


class Operand(Formatted):
    """A NumPy array object, borrowed from the caller."""


register_model(Operand)(models.OpaqueModel)


@unbox(Operand)  # type: ignore[untyped-decorator]
def _borrow(kind: Any, obj: Any, c: Any) -> Any:
    return NativeValue(c.builder.bitcast(obj, cgutils.voidptr_t))


def x86(builder: Any, instruction: str) -> None:
    """An instruction without operands, on x86 alone: other machines order their stores and pause by other means."""
    if builder.module.triple.startswith(("x86_64", "i686")):
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{instruction}"), [])


def at(builder: Any, address: Any, offset: Any, kind: Any) -> Any:
    """The address, ``offset`` bytes on, as a pointer to ``kind``."""
    offset = WORD(offset) if isinstance(offset, int) else offset
    return builder.bitcast(builder.gep(address, [offset]), kind.as_pointer())


def field(builder: Any, array: Any, offset: int, kind: Any = WORD) -> Any:
    return builder.load(at(builder, array, offset, kind))


def all_of(builder: Any, conditions: list[Any]) -> Any:
    total = cgutils.true_bit
    for condition in conditions:
        total = builder.and_(total, condition)
    return total


def same(builder: Any, arrays: list[Any], offset: int, kind: Any = WORD) -> Any:
    first, *rest = (field(builder, array, offset, kind) for array in arrays)
    return all_of(builder, [builder.icmp_signed("==", first, other) for other in rest])


def has(builder: Any, word: Any, bits: int) -> Any:
    return builder.icmp_signed("==", builder.and_(word, INT(bits)), INT(bits))


def common_flags(builder: Any, arrays: list[Any]) -> Any:
    """The flags that all of the arrays have."""
    common, *rest = (field(builder, array, FLAGS, INT) for array in arrays)
    for word in rest:
        common = builder.and_(common, word)
    return common


@contextmanager
def where_alike(builder: Any, arrays: list[Any]) -> Iterator[Any]:
    """Code for arrays of one type, dtype and number of axes, which is what comes with it, and is not 0."""
    # What is not an array has no further fields to look at.
    with builder.if_then(same(builder, arrays, TYPE), likely=True):
        ndim = field(builder, arrays[0], NDIM, INT)
        shaped = builder.icmp_signed(">", ndim, INT(0))
        equal = [same(builder, arrays, NDIM, INT), same(builder, arrays, DTYPE), shaped]
        with builder.if_then(all_of(builder, equal), likely=True):
            yield ndim


def is_contiguous(builder: Any, flags: Any) -> Any:
    """Whether flags say that elements follow one another, in C's order or Fortran's."""
    return builder.icmp_signed("!=", builder.and_(flags, INT(_CONTIGUOUS)), INT(0))


def last_length(builder: Any, array: Any) -> Any:
    """The length of the last axis, of which there must be one."""
    ndim = builder.sext(field(builder, array, NDIM, INT), WORD)
    shape = builder.bitcast(field(builder, array, SHAPE, cgutils.voidptr_t), WORD.as_pointer())
    return builder.load(builder.gep(shape, [builder.sub(ndim, WORD(1))]))


def size_of_shape(builder: Any, arrays: list[Any], ndim: Any) -> Any:
    """The number of elements of the first array, and whether all have its shape."""
    size = cgutils.alloca_once_value(builder, WORD(1))
    equal = cgutils.alloca_once_value(builder, cgutils.true_bit)
    shapes = [field(builder, array, SHAPE, cgutils.voidptr_t) for array in arrays]
    with cgutils.for_range(builder, builder.sext(ndim, WORD)) as axis:
        offset = builder.mul(axis.index, WORD(8))
        first, *rest = (builder.load(at(builder, shape, offset, WORD)) for shape in shapes)
        builder.store(builder.mul(builder.load(size), first), size)
        same = all_of(builder, [builder.icmp_signed("==", first, length) for length in rest])
        # Leaving at once also keeps LLVM from a vector loop over the axes, which takes it 80 ms.
        with builder.if_then(builder.not_(same), likely=False):
            builder.store(cgutils.false_bit, equal)
            axis.do_break()
    return builder.load(size), builder.load(equal)
