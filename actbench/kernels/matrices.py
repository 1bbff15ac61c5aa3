"""Operands as rows: NumPy arrays by address, seen as matrices whose rows lie along the last axis."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from actbench.kernels.operands import (
    _ALIGNED,
    _C_OR_F_CONTIGUOUS,
    _DATA,
    _DTYPE,
    _FLAGS,
    _NDIM,
    _SHAPE,
    _TYPE,
    _WRITEABLE,
    Operand,
    _all,
    _field,
    _same,
    _size,
)

_INT, _WORD = ir.IntType(32), ir.IntType(64)
_C_CONTIGUOUS = 0x0001


def _last(builder: Any, array: Any) -> Any:
    """The length of the last axis, of which there must be one."""
    ndim = builder.sext(_field(builder, array, _NDIM, _INT), _WORD)
    shape = builder.bitcast(_field(builder, array, _SHAPE, cgutils.voidptr_t), _WORD.as_pointer())
    return builder.load(builder.gep(shape, [builder.sub(ndim, _WORD(1))]))


def _has(builder: Any, word: Any, bits: int) -> Any:
    return builder.icmp_signed("==", builder.and_(word, _INT(bits)), _INT(bits))


def _flags(builder: Any, arrays: list[Any]) -> Any:
    """The flags that all of the arrays have."""
    common, *rest = (_field(builder, array, _FLAGS, _INT) for array in arrays)
    for word in rest:
        common = builder.and_(common, word)
    return common


def _disjoint(builder: Any, a: tuple[Any, Any], b: tuple[Any, Any]) -> Any:
    """Whether two spans of addresses, each from its begin to its end, have none in common."""
    before = builder.icmp_unsigned("<=", a[1], b[0])
    return builder.or_(before, builder.icmp_unsigned("<=", b[1], a[0]))


@intrinsic  # type: ignore[untyped-decorator]
def rows_of(typingctx: Any, out: Any, inputs: Any, alike: Any) -> Any:
    """Return how many rows there are, or -1 where working on rows in their place would be wrong.

    It is right for a writeable output and inputs of one type and dtype, in C order and aligned, and of one shape, but
    for the length of their rows unless ``alike``; none is 0. The output shares no memory with the inputs, because a row
    may be read again after it is written.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        arrays = [args[0], *cgutils.unpack_tuple(builder, args[1])]
        rows = cgutils.alloca_once_value(builder, _WORD(-1))
        # What is not an array has no further fields to look at.
        with builder.if_then(_same(builder, arrays, _TYPE), likely=True):
            ndim = _field(builder, args[0], _NDIM, _INT)
            shaped = builder.icmp_signed(">", ndim, _INT(0))
            alike = [_same(builder, arrays, _NDIM, _INT), _same(builder, arrays, _DTYPE), shaped]
            with builder.if_then(_all(builder, alike), likely=True):
                count, equal = _size(builder, arrays, builder.sub(ndim, _INT(1)))
                widths = [_last(builder, array) for array in arrays]
                same = _all(builder, [builder.icmp_signed("==", widths[0], width) for width in widths])
                spans = []
                for array, width in zip(arrays, widths, strict=True):
                    begin = _field(builder, array, _DATA)
                    nbytes = builder.mul(builder.mul(count, width), _WORD(out.itemsize))
                    spans.append((begin, builder.add(begin, nbytes)))
                fits = _all(
                    builder,
                    [
                        equal,
                        builder.or_(builder.not_(args[2]), same),
                        *(builder.icmp_signed(">", width, _WORD(0)) for width in widths),
                        _has(builder, _field(builder, args[0], _FLAGS, _INT), _WRITEABLE),
                        _has(builder, _flags(builder, arrays), _C_CONTIGUOUS | _ALIGNED),
                        *(_disjoint(builder, spans[0], span) for span in spans[1:]),
                    ],
                )
                builder.store(builder.select(fits, count, _WORD(-1)), rows)
        return builder.load(rows)

    return types.intp(out, inputs, types.boolean), codegen


@intrinsic  # type: ignore[untyped-decorator]
def size_of(typingctx: Any, inputs: Any) -> Any:
    """Return the number of elements, or -1 unless the inputs are of one type, dtype, shape and order, contiguous."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        arrays = cgutils.unpack_tuple(builder, args[0])
        found = cgutils.alloca_once_value(builder, _WORD(-1))
        with builder.if_then(_same(builder, arrays, _TYPE), likely=True):
            alike = [_same(builder, arrays, _NDIM, _INT), _same(builder, arrays, _DTYPE)]
            with builder.if_then(_all(builder, alike), likely=True):
                size, equal = _size(builder, arrays, _field(builder, arrays[0], _NDIM, _INT))
                flags = _flags(builder, arrays)
                ordered = builder.icmp_signed("!=", builder.and_(flags, _INT(_C_OR_F_CONTIGUOUS)), _INT(0))
                fits = _all(builder, [equal, ordered, _has(builder, flags, _ALIGNED)])
                builder.store(builder.select(fits, size, _WORD(-1)), found)
        return builder.load(found)

    return types.intp(inputs), codegen


def _view(context: Any, builder: Any, kind: Any, operand: Any, shape: list[Any]) -> Any:
    """An array over the operand's memory, without a share in it."""
    view = context.make_array(kind)(context, builder)
    itemsize = _WORD(kind.dtype.bitwidth // 8)
    strides = [itemsize]
    for length in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], length))
    populate_array(
        view,
        data=builder.bitcast(_field(builder, operand, _DATA, cgutils.voidptr_t), view.data.type),
        shape=shape,
        strides=strides,
        itemsize=itemsize,
        meminfo=None,
    )
    return view._getvalue()


@intrinsic  # type: ignore[untyped-decorator]
def matrix(typingctx: Any, x: Operand, count: Any) -> Any:
    """The operand as an array of ``count`` rows, all there are."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        shape = [args[1], _last(builder, args[0])]
        return _view(context, builder, sig.return_type, args[0], shape)

    return types.Array(x.compute, 2, "C")(x, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def vector(typingctx: Any, x: Operand, size: Any) -> Any:
    """The operand as an array of one dimension with ``size`` elements, all there are."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _view(context, builder, sig.return_type, args[0], [args[1]])

    return types.Array(x.compute, 1, "C")(x, types.intp), codegen
