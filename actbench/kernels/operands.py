"""Elementwise operands as a kernel sees them: NumPy arrays by address, in four formats.

A kernel takes the array objects themselves and reads what it needs from their headers, whose layout is part of NumPy's
ABI. Numba's own arrays cost a call on one element 50 ns each to unpack, want one dimension, a Python check
of shape, layout and overlap (200 ns), and know no 16-bit floats.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from actbench.kernels.linking import jitable

LANES = 64
"""Elements a step of a loop: a whole number of vectors, also when LLVM interleaves four of 512 bits."""
LINE = 64
"""Bytes a cache line, and a vector of 512 bits."""
TILE = 1024
"""Bytes between two bursts of streaming stores: 16 lines ran at 4.5 G float32/s as single ones did, 32 at 1.9."""
STREAMED = 32 << 20
"""Bytes of output from which they are written past the caches: copying 64 MiB ran at 4.8 G float32/s, not 2.0, and
32 MiB at 4.9, not 4.0. Below, the gain is less than what the next reader of the result loses; in place, where the lines
are at hand, it is a loss (relu 2.1 G/s, not 3.3)."""
PEELED = 16 * LANES
"""Elements from which the loop is brought to the beginning of a cache line of the output first: over 2^15 elements that
lie 16 bytes off one, as NumPy's do, leaky_relu ran at 7.9 G/s, not 6.1."""

_ITEM_BITS = {"float64": 64, "float32": 32, "float16": 16, "bfloat16": 16}
_BYTE, _SHORT, _INT, _WORD = (ir.IntType(bits) for bits in (8, 16, 32, 64))
# The fields of a PyArrayObject, in bytes from its beginning: the type ends Python's own part.
_HEADER = object.__basicsize__
_TYPE, _DATA, _NDIM, _SHAPE, _DTYPE, _FLAGS = (_HEADER + 8 * k for k in (-1, 0, 1, 2, 5, 6))
_C_OR_F_CONTIGUOUS, _ALIGNED, _WRITEABLE = 0x0003, 0x0100, 0x0400


class _Formatted(types.Type):  # type: ignore[misc]
    """A Numba type that knows the format of the elements behind an address."""

    def __init__(self, format_: str) -> None:
        self.format = format_
        self.itemsize = _ITEM_BITS[format_] // 8
        self.compute = types.float64 if format_ == "float64" else types.float32
        super().__init__(f"{type(self).__name__}({format_})")


class Operand(_Formatted):
    """A NumPy array object, borrowed from the caller."""


class Elements(_Formatted):
    """The address of elements that follow one another."""


register_model(Operand)(models.OpaqueModel)
register_model(Elements)(models.OpaqueModel)


@unbox(Operand)  # type: ignore[untyped-decorator]
def _borrow(kind: Any, obj: Any, c: Any) -> Any:
    return NativeValue(c.builder.bitcast(obj, cgutils.voidptr_t))


def _at(builder: Any, address: Any, offset: Any, kind: Any) -> Any:
    """The address, ``offset`` bytes on, as a pointer to ``kind``."""
    offset = _WORD(offset) if isinstance(offset, int) else offset
    return builder.bitcast(builder.gep(address, [offset]), kind.as_pointer())


def _field(builder: Any, array: Any, offset: int, kind: Any = _WORD) -> Any:
    return builder.load(_at(builder, array, offset, kind))


def _all(builder: Any, conditions: list[Any]) -> Any:
    total = cgutils.true_bit
    for condition in conditions:
        total = builder.and_(total, condition)
    return total


def _apart(builder: Any, x: Any, out: Any, nbytes: Any) -> Any:
    """Whether x is out itself or shares none of its bytes: else writing changes what is still to be read."""
    distance = builder.sub(x, out)
    # Unsigned, each of |x - out| >= nbytes is one comparison: a negative distance is a huge one.
    above = builder.icmp_unsigned(">=", distance, nbytes)
    below = builder.icmp_unsigned(">=", builder.neg(distance), nbytes)
    return builder.or_(builder.and_(above, below), builder.icmp_signed("==", distance, _WORD(0)))


def _same(builder: Any, arrays: list[Any], offset: int, kind: Any = _WORD) -> Any:
    first, *rest = (_field(builder, array, offset, kind) for array in arrays)
    return _all(builder, [builder.icmp_signed("==", first, other) for other in rest])


@intrinsic  # type: ignore[untyped-decorator]
def extent(typingctx: Any, out: Any, inputs: Any) -> Any:
    """Return the number of elements, or -1 where a loop over addresses would be wrong.

    It is right for writeable, aligned arrays of one type, dtype, shape and order that are contiguous and have at least
    one axis; an input may be ``out`` itself, but not overlap it otherwise.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target, *_sources = arrays = [args[0], *cgutils.unpack_tuple(builder, args[1])]
        extent = cgutils.alloca_once_value(builder, _WORD(-1))
        # What is not an array has no further fields to look at.
        with builder.if_then(_same(builder, arrays, _TYPE), likely=True):
            ndim = _field(builder, target, _NDIM, _INT)
            shaped = builder.icmp_signed(">", ndim, _INT(0))
            alike = [_same(builder, arrays, _NDIM, _INT), _same(builder, arrays, _DTYPE), shaped]
            with builder.if_then(_all(builder, alike), likely=True):
                size, equal = _size(builder, arrays, ndim)
                written = _field(builder, target, _FLAGS, _INT)
                common = functools.reduce(builder.and_, [_field(builder, a, _FLAGS, _INT) for a in arrays])
                data = [_field(builder, array, _DATA) for array in arrays]
                nbytes = builder.mul(size, _WORD(out.itemsize))
                flags = [
                    builder.icmp_signed("!=", builder.and_(word, _INT(bits)), _INT(0))
                    for word, bits in (
                        (written, _WRITEABLE),
                        (common, _ALIGNED),
                        (common, _C_OR_F_CONTIGUOUS),
                    )
                ]
                fits = _all(
                    builder, [equal, *flags, *(_apart(builder, x, data[0], nbytes) for x in data[1:])]
                )
                builder.store(builder.select(fits, size, _WORD(-1)), extent)
        return builder.load(extent)

    return types.intp(out, inputs), codegen


def _size(builder: Any, arrays: list[Any], ndim: Any) -> Any:
    """The number of elements of the first array, and whether all have its shape."""
    size = cgutils.alloca_once_value(builder, _WORD(1))
    equal = cgutils.alloca_once_value(builder, cgutils.true_bit)
    shapes = [_field(builder, array, _SHAPE, cgutils.voidptr_t) for array in arrays]
    with cgutils.for_range(builder, builder.sext(ndim, _WORD)) as axis:
        offset = builder.mul(axis.index, _WORD(8))
        first, *rest = (builder.load(_at(builder, shape, offset, _WORD)) for shape in shapes)
        builder.store(builder.mul(builder.load(size), first), size)
        same = _all(builder, [builder.icmp_signed("==", first, length) for length in rest])
        # Leaving at once also keeps LLVM from a vector loop over the axes, which takes it 80 ms.
        with builder.if_then(builder.not_(same), likely=False):
            builder.store(cgutils.false_bit, equal)
            axis.do_break()
    return builder.load(size), builder.load(equal)


def _each(kind: Any, value: Any, builder: Any, change: Callable[[Any, Any], Any]) -> Any:
    """``change`` of (type, value), or of each member of a tuple, as one of the same kind."""
    if not isinstance(kind, types.UniTuple):
        return change(kind, value)
    members = cgutils.unpack_tuple(builder, value)
    return cgutils.pack_array(builder, [change(kind.dtype, member) for member in members])


@intrinsic  # type: ignore[untyped-decorator]
def elements(typingctx: Any, arrays: Any) -> Any:
    """Return the address of the first element, of an array or of each of a tuple."""
    one = isinstance(arrays, Operand)
    kind = Elements(arrays.format) if one else types.UniTuple(Elements(arrays.dtype.format), arrays.count)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _each(
            arrays, args[0], builder, lambda _, array: _field(builder, array, _DATA, cgutils.voidptr_t)
        )

    return kind(arrays), codegen


@intrinsic  # type: ignore[untyped-decorator]
def shifted(typingctx: Any, x: Any, count: Any) -> Any:
    """Return the address ``count`` elements on, or each of a tuple."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def shift(kind: Any, address: Any) -> Any:
            return builder.gep(address, [builder.mul(args[1], _WORD(kind.itemsize))])

        return _each(x, args[0], builder, shift)

    return x(x, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def tile(typingctx: Any, like: Any) -> Any:
    """Return room for TILE bytes that begins a cache line, in the format of ``like``, or for each of a tuple."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def room(kind: Any, address: Any) -> Any:
            with builder.goto_entry_block():
                room = builder.alloca(ir.ArrayType(_BYTE, TILE))
            room.align = LINE
            return builder.bitcast(room, cgutils.voidptr_t)

        return _each(like, args[0], builder, room)

    return like(like), codegen


@intrinsic  # type: ignore[untyped-decorator]
def before_line(typingctx: Any, x: Any) -> Any:
    """Return how many elements from here the next cache line begins."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rest = builder.and_(builder.neg(builder.ptrtoint(args[0], _WORD)), _WORD(LINE - 1))
        return builder.udiv(rest, _WORD(x.itemsize))

    return types.intp(x), codegen


@intrinsic  # type: ignore[untyped-decorator]
def in_bytes(typingctx: Any, x: Any, nbytes: Any) -> Any:
    """Return how many elements in the format of x are so many bytes."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.udiv(args[1], _WORD(x.itemsize))

    return types.intp(x, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def among(typingctx: Any, out: Any, inputs: Any) -> Any:
    """Return whether the output is one of the inputs."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        found = [builder.icmp_unsigned("==", args[0], x) for x in cgutils.unpack_tuple(builder, args[1])]
        return functools.reduce(builder.or_, found)

    return types.boolean(out, inputs), codegen


@intrinsic  # type: ignore[untyped-decorator]
def copy(typingctx: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy so many elements."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        cgutils.raw_memcpy(builder, args[0], args[1], args[2], target.itemsize)
        return context.get_dummy_value()

    return types.none(target, source, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def copy_padded(typingctx: Any, targets: Any, sources: Any, count: Any) -> Any:
    """Copy less than a step of each input, and zeros in the place of what it lacks."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        for target, source in zip(*(cgutils.unpack_tuple(builder, a) for a in args[:2]), strict=True):
            cgutils.memset(builder, target, _WORD(LANES * targets.dtype.itemsize), 0)
            cgutils.raw_memcpy(builder, target, source, args[2], targets.dtype.itemsize)
        return context.get_dummy_value()

    return types.none(targets, sources, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def stream(typingctx: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy whole cache lines past the caches; ``target`` and ``source`` begin one.

    A plain store first reads the line that it overwrites, and then drives others out of the cache.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = ir.VectorType(_INT, LINE // 4)
        hint = builder.module.add_metadata([_INT(1)])
        nbytes = builder.mul(args[2], _WORD(target.itemsize))
        with cgutils.for_range_slice(builder, _WORD(0), nbytes, _WORD(LINE)) as (offset, _):
            line = builder.load(_at(builder, args[1], offset, vector), align=LINE)
            builder.store(line, _at(builder, args[0], offset, vector), align=LINE).set_metadata(
                "nontemporal", hint
            )
        return context.get_dummy_value()

    return types.none(target, source, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def flush_stream(typingctx: Any) -> Any:
    """Wait until what was streamed can be seen by other threads."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if builder.module.triple.startswith(("x86_64", "i686")):
            fence = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, fence, "llvm.x86.sse.sfence"), [])
        return context.get_dummy_value()

    return types.none(), codegen


def _scope(builder: Any) -> Any:
    """Metadata that tells loads of inputs from stores to the output.

    An input that is the output itself is no exception that matters: an element is read before it is written and never
    again. Without it LLVM compares addresses before the loop, and takes a scalar one where they are equal.
    """
    add = builder.module.add_metadata
    return add([add(["inputs", add(["elementwise"])])])


@intrinsic  # type: ignore[untyped-decorator]
def load(typingctx: Any, inputs: Any, i: Any) -> Any:
    """Return the i-th element of each input, in the format that is computed in."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = []
        for x, address in zip(inputs, cgutils.unpack_tuple(builder, args[0]), strict=True):
            kind = _FORMATS[x.format]
            item = builder.load(_item(builder, x, address, args[1]), align=x.itemsize)
            item.set_metadata("alias.scope", _scope(builder))
            values.append(kind.widen(context, builder, item))
        return context.make_tuple(builder, sig.return_type, values)

    return types.UniTuple(inputs[0].compute, inputs.count)(inputs, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store(typingctx: Any, out: Any, i: Any, value: Any) -> Any:
    """Set the i-th element of the output, rounded to its format."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address, i, value = args
        item = _FORMATS[out.format].narrow(context, builder, value)
        builder.store(item, _item(builder, out, address, i), align=out.itemsize).set_metadata(
            "noalias", _scope(builder)
        )
        return context.get_dummy_value()

    return types.none(out, types.intp, out.compute), codegen


def _item(builder: Any, x: Any, address: Any, i: Any) -> Any:
    return _at(builder, address, builder.mul(i, _WORD(x.itemsize)), _FORMATS[x.format].stored)


@dataclass(frozen=True)
class _Format:
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
    bits = builder.zext(item, _INT)
    moved = builder.shl(builder.and_(bits, _INT(0x7FFF)), _INT(13))
    # A product with 2^112 mends the exponent, also of subnormals.
    finite = builder.bitcast(
        builder.fmul(builder.bitcast(moved, ir.FloatType()), ir.FloatType()(2.0**112)), _INT
    )
    special = builder.icmp_unsigned(">=", moved, _INT(0x7C00 << 13))
    magnitude = builder.select(special, builder.or_(moved, _INT(0x7F800000)), finite)
    sign = builder.shl(builder.and_(bits, _INT(0x8000)), _INT(16))
    return builder.bitcast(builder.or_(magnitude, sign), ir.FloatType())


def _narrow_half(context: Any, builder: Any, value: Any) -> Any:
    if _converts_half(context):
        return builder.bitcast(builder.fptrunc(value, ir.HalfType()), _SHORT)
    bits = builder.bitcast(value, _INT)
    magnitude = builder.and_(bits, _INT(0x7FFFFFFF))
    odd = builder.and_(builder.lshr(magnitude, _INT(13)), _INT(1))
    rounded = builder.add(magnitude, builder.add(odd, _INT(0xFFF - (112 << 23))))
    normal = builder.lshr(rounded, _INT(13))
    # The last place of 1/2 is that of float16's subnormals.
    half = builder.fadd(builder.bitcast(magnitude, ir.FloatType()), ir.FloatType()(0.5))
    subnormal = builder.sub(builder.bitcast(half, _INT), _INT(126 << 23))
    finite = builder.select(builder.icmp_unsigned("<", magnitude, _INT(113 << 23)), subnormal, normal)
    nan = builder.or_(builder.and_(builder.lshr(magnitude, _INT(13)), _INT(0x3FF)), _INT(0x7E00))
    special = builder.select(builder.icmp_unsigned(">", magnitude, _INT(255 << 23)), nan, _INT(0x7C00))
    found = builder.select(builder.icmp_unsigned(">=", magnitude, _INT(143 << 23)), special, finite)
    sign = builder.lshr(builder.xor(bits, magnitude), _INT(16))
    return builder.trunc(builder.or_(found, sign), _SHORT)


def _widen_bfloat16(context: Any, builder: Any, item: Any) -> Any:
    return builder.bitcast(builder.shl(builder.zext(item, _INT), _INT(16)), ir.FloatType())


def _narrow_bfloat16(context: Any, builder: Any, value: Any) -> Any:
    """To nearest, ties to even, in integers: the processor's own instruction takes subnormals for zeros.

    A NaN stays one without a test, which would cost relu a fifth of its speed: the low half of its bits is zero,
    because it was widened from this format, is the processor's own, or came as a parameter, which is Python's.
    """
    bits = builder.bitcast(value, _INT)
    odd = builder.and_(builder.lshr(bits, _INT(16)), _INT(1))
    rounded = builder.add(bits, builder.add(odd, _INT(0x7FFF)))
    return builder.trunc(builder.lshr(rounded, _INT(16)), _SHORT)


_FORMATS = {
    "float64": _Format(ir.DoubleType()),
    "float32": _Format(ir.FloatType()),
    "float16": _Format(_SHORT, _widen_half, _narrow_half),
    "bfloat16": _Format(_SHORT, _widen_bfloat16, _narrow_bfloat16),
}


@jitable
def streams(out: Any, inputs: Any, size: int) -> bool:
    """Whether an output of so many elements is written past the caches."""
    return size >= in_bytes(out, STREAMED) and not among(out, inputs)


@jitable
def take(out: Any, inputs: Any, room: Any, rooms: Any, done: int, size: int, past: bool) -> Any:
    """The next piece: how many elements it has, and where whole steps of them are written and read."""
    left = size - done
    target, sources = shifted(out, done), shifted(inputs, done)
    head = before_line(target) if done == 0 and size >= PEELED else 0
    count = head if head > 0 else left if left < LANES else left - left % LANES
    if count % LANES != 0:
        copy_padded(rooms, sources, count)
        return count, room, rooms
    if past:
        return min(count, in_bytes(out, TILE)), room, sources
    return count, target, sources


@jitable
def give(out: Any, room: Any, done: int, size: int, count: int, past: bool) -> int:
    """Move a piece that was not computed in its place to there; how many elements are done."""
    target = shifted(out, done)
    if count % LANES != 0:
        copy(target, room, count)
    elif past:
        stream(target, room, count)
    if past and done + count == size:
        flush_stream()
    return done + count
