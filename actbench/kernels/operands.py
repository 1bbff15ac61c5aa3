"""Elementwise operands as a kernel sees them: NumPy arrays by address, in four formats."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from actbench.kernels.formats import FORMATS
from actbench.kernels.headers import (
    ALIGNED,
    BYTE,
    DATA,
    FLAGS,
    INT,
    WORD,
    WRITEABLE,
    Formatted,
    Operand,
    all_of,
    at,
    common_flags,
    field,
    has,
    is_contiguous,
    size_of_shape,
    where_alike,
    x86,
)
from actbench.kernels.linking import jitable

LANES = 64
"""Elements a step of a loop: a whole number of vectors, also when LLVM interleaves four of 512 bits."""
LINE = 64
"""Bytes a cache line, and a vector of 512 bits."""
STREAMED = 32 << 20
"""Bytes of output from which they are written past the caches: copying 64 MiB ran at 6.3 G float32/s, not 5.2, and
32 MiB at 7.0, not 6.2. Below, the gain is less than what the next reader of the result loses; in place, where the lines
are at hand, it is a loss (relu 7.4 G/s, not 9.1)."""
PEELED = 16 * LANES
"""Elements from which the loop is brought to the beginning of a cache line of the output first: over 2^15 elements that
lie 16 bytes off one, as NumPy's do, leaky_relu ran at 7.9 G/s, not 6.1."""


class Elements(Formatted):
    """The address of elements that follow one another."""


register_model(Elements)(models.OpaqueModel)


def _apart(builder: Any, x: Any, out: Any, nbytes: Any) -> Any:
    """Whether x is out itself or shares none of its bytes: else writing changes what is still to be read."""
    distance = builder.sub(x, out)
    # Unsigned, each of |x - out| >= nbytes is one comparison: a negative distance is a huge one.
    above = builder.icmp_unsigned(">=", distance, nbytes)
    below = builder.icmp_unsigned(">=", builder.neg(distance), nbytes)
    return builder.or_(builder.and_(above, below), builder.icmp_signed("==", distance, WORD(0)))


@intrinsic  # type: ignore[untyped-decorator]
def extent(typingctx: Any, out: Any, inputs: Any) -> Any:
    """Return the number of elements, or -1 where a loop over addresses would be wrong.

    It is right for writeable, aligned arrays of one type, dtype, shape and order that are contiguous and have at least
    one axis; an input may be ``out`` itself, but not overlap it otherwise.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        arrays = [args[0], *cgutils.unpack_tuple(builder, args[1])]
        extent = cgutils.alloca_once_value(builder, WORD(-1))
        with where_alike(builder, arrays) as ndim:
            size, equal = size_of_shape(builder, arrays, ndim)
            flags = common_flags(builder, arrays)
            written, *read = (field(builder, array, DATA) for array in arrays)
            nbytes = builder.mul(size, WORD(out.itemsize))
            fits = [
                equal,
                has(builder, field(builder, args[0], FLAGS, INT), WRITEABLE),
                has(builder, flags, ALIGNED),
                is_contiguous(builder, flags),
                *(_apart(builder, x, written, nbytes) for x in read),
            ]
            builder.store(builder.select(all_of(builder, fits), size, WORD(-1)), extent)
        return builder.load(extent)

    return types.intp(out, inputs), codegen


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
            arrays, args[0], builder, lambda _, array: field(builder, array, DATA, cgutils.voidptr_t)
        )

    return kind(arrays), codegen


@intrinsic  # type: ignore[untyped-decorator]
def shifted(typingctx: Any, x: Any, count: Any) -> Any:
    """Return the address ``count`` elements on, or each of a tuple."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def shift(kind: Any, address: Any) -> Any:
            return builder.gep(address, [builder.mul(args[1], WORD(kind.itemsize))])

        return _each(x, args[0], builder, shift)

    return x(x, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def room(typingctx: Any, like: Any) -> Any:
    """Return room for a step that begins a cache line, in the format of ``like``, or for each of a tuple."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def allocate(kind: Any, address: Any) -> Any:
            with builder.goto_entry_block():
                step = builder.alloca(ir.ArrayType(BYTE, LANES * kind.itemsize))
            step.align = LINE
            return builder.bitcast(step, cgutils.voidptr_t)

        return _each(like, args[0], builder, allocate)

    return like(like), codegen


@intrinsic  # type: ignore[untyped-decorator]
def before_line(typingctx: Any, x: Any) -> Any:
    """Return how many elements from here the next cache line begins."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rest = builder.and_(builder.neg(builder.ptrtoint(args[0], WORD)), WORD(LINE - 1))
        return builder.udiv(rest, WORD(x.itemsize))

    return types.intp(x), codegen


@intrinsic  # type: ignore[untyped-decorator]
def in_bytes(typingctx: Any, x: Any, nbytes: Any) -> Any:
    """Return how many elements in the format of x are so many bytes."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.udiv(args[1], WORD(x.itemsize))

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
            cgutils.memset(builder, target, WORD(LANES * targets.dtype.itemsize), 0)
            cgutils.raw_memcpy(builder, target, source, args[2], targets.dtype.itemsize)
        return context.get_dummy_value()

    return types.none(targets, sources, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def stream(typingctx: Any, target: Any, source: Any) -> Any:
    """Copy a step past the caches; ``target`` and ``source`` begin a cache line.

    A plain store first reads the line that it overwrites, and then drives others out of the cache.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = ir.VectorType(INT, LINE // 4)
        hint = builder.module.add_metadata([INT(1)])
        for offset in range(0, LANES * target.itemsize, LINE):
            line = builder.load(at(builder, args[1], WORD(offset), vector), align=LINE)
            builder.store(line, at(builder, args[0], WORD(offset), vector), align=LINE).set_metadata(
                "nontemporal", hint
            )
        return context.get_dummy_value()

    return types.none(target, source), codegen


@intrinsic  # type: ignore[untyped-decorator]
def flush_stream(typingctx: Any) -> Any:
    """Wait until what was streamed can be seen by other threads."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x86(builder, "sse.sfence")
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
            kind = FORMATS[x.format]
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
        item = FORMATS[out.format].narrow(context, builder, value)
        builder.store(item, _item(builder, out, address, i), align=out.itemsize).set_metadata(
            "noalias", _scope(builder)
        )
        return context.get_dummy_value()

    return types.none(out, types.intp, out.compute), codegen


def _item(builder: Any, x: Any, address: Any, i: Any) -> Any:
    return at(builder, address, builder.mul(i, WORD(x.itemsize)), FORMATS[x.format].stored)


@jitable
def streams(out: Any, inputs: Any, size: int) -> bool:
    """Whether an output of so many elements is written past the caches."""
    return size >= in_bytes(out, STREAMED) and not among(out, inputs)


@jitable
def take(out: Any, inputs: Any, spare: Any, spares: Any, done: int, size: int) -> Any:
    """The next piece: how many elements it has, and where whole steps of them are written and read."""
    left = size - done
    target, sources = shifted(out, done), shifted(inputs, done)
    head = before_line(target) if done == 0 and size >= PEELED else 0
    count = head if head > 0 else left if left < LANES else left - left % LANES
    if count % LANES != 0:
        copy_padded(spares, sources, count)
        return count, spare, spares
    return count, target, sources


@jitable
def give(out: Any, spare: Any, done: int, count: int) -> int:
    """Move a piece that was not computed in its place to there; how many elements are done."""
    if count % LANES != 0:
        copy(shifted(out, done), spare, count)
    return done + count
