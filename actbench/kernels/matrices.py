"""Operands as rows: NumPy arrays by address, seen as matrices whose rows lie along the last axis."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from actbench.kernels.headers import (
    ALIGNED,
    C_CONTIGUOUS,
    DATA,
    FLAGS,
    INT,
    WORD,
    WRITEABLE,
    Operand,
    all_of,
    common_flags,
    field,
    has,
    is_contiguous,
    last_length,
    size_of_shape,
    where_alike,
)


def _disjoint(builder: Any, a: tuple[Any, Any], b: tuple[Any, Any]) -> Any:
    """Whether two spans of addresses, each from its begin to its end, have none in common."""
    before = builder.icmp_unsigned("<=", a[1], b[0])
    return builder.or_(before, builder.icmp_unsigned("<=", b[1], a[0]))


@intrinsic  # type: ignore[untyped-decorator]
def rows_of(typingctx: Any, out: Any, inputs: Any) -> Any:
    """Return how many rows there are, or -1 where working on rows in their place would be wrong.

    It is right for a writeable output and inputs of one type and dtype, in C order and aligned, and of one shape but
    for the length of their rows, which is for the kernel to look at, and not 0. The output shares no memory with the
    inputs, because a row may be read again after it is written.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        arrays = [args[0], *cgutils.unpack_tuple(builder, args[1])]
        rows = cgutils.alloca_once_value(builder, WORD(-1))
        with where_alike(builder, arrays) as ndim:
            count, equal = size_of_shape(builder, arrays, builder.sub(ndim, INT(1)))
            widths = [last_length(builder, array) for array in arrays]
            spans = []
            for array, width in zip(arrays, widths, strict=True):
                begin = field(builder, array, DATA)
                nbytes = builder.mul(builder.mul(count, width), WORD(out.itemsize))
                spans.append((begin, builder.add(begin, nbytes)))
            fits = [
                equal,
                *(builder.icmp_signed(">", width, WORD(0)) for width in widths),
                has(builder, field(builder, args[0], FLAGS, INT), WRITEABLE),
                has(builder, common_flags(builder, arrays), C_CONTIGUOUS | ALIGNED),
                *(_disjoint(builder, spans[0], span) for span in spans[1:]),
            ]
            builder.store(builder.select(all_of(builder, fits), count, WORD(-1)), rows)
        return builder.load(rows)

    return types.intp(out, inputs), codegen


@intrinsic  # type: ignore[untyped-decorator]
def size_of(typingctx: Any, inputs: Any) -> Any:
    """Return the number of elements, or -1 unless the inputs are of one type, dtype, shape and order, contiguous."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        arrays = cgutils.unpack_tuple(builder, args[0])
        found = cgutils.alloca_once_value(builder, WORD(-1))
        with where_alike(builder, arrays) as ndim:
            size, equal = size_of_shape(builder, arrays, ndim)
            flags = common_flags(builder, arrays)
            fits = [equal, is_contiguous(builder, flags), has(builder, flags, ALIGNED)]
            builder.store(builder.select(all_of(builder, fits), size, WORD(-1)), found)
        return builder.load(found)

    return types.intp(inputs), codegen


def _view(context: Any, builder: Any, kind: Any, operand: Any, shape: list[Any]) -> Any:
    """An array over the operand's memory, without a share in it."""
    view = context.make_array(kind)(context, builder)
    itemsize = WORD(kind.dtype.bitwidth // 8)
    strides = [itemsize]
    for length in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], length))
    populate_array(
        view,
        data=builder.bitcast(field(builder, operand, DATA, cgutils.voidptr_t), view.data.type),
        shape=shape,
        strides=strides,
        itemsize=itemsize,
        meminfo=None,
    )
    return view._getvalue()


def _matrix(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _view(context, builder, sig.return_type, args[0], [args[1], last_length(builder, args[0])])


@intrinsic  # type: ignore[untyped-decorator]
def matrix(typingctx: Any, x: Operand, count: Any) -> Any:
    """The operand as an array of ``count`` rows, all there are."""
    return types.Array(x.compute, 2, "C")(x, types.intp), _matrix


@intrinsic  # type: ignore[untyped-decorator]
def read_only(typingctx: Any, x: Operand, count: Any) -> Any:
    """The same of an input: a body that writes to it does not compile."""
    return types.Array(x.compute, 2, "C", readonly=True)(x, types.intp), _matrix


@intrinsic  # type: ignore[untyped-decorator]
def vector(typingctx: Any, x: Operand, size: Any) -> Any:
    """The operand as an array of one dimension with ``size`` elements, all there are."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _view(context, builder, sig.return_type, args[0], [args[1]])

    return types.Array(x.compute, 1, "C")(x, types.intp), codegen
