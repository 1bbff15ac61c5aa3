"""Vectors of 16 lanes: arithmetic on part of a row, whose order no compiler and no processor changes.

A loop that LLVM vectorises for itself leaves the rest of a row, all of a short one, to scalar code, and a sum to
whatever width it likes. Here the width is part of the program: the last lanes of a row are masked, a sum is
taken in 16 lanes and then by halves. Where the processor's registers are narrower, LLVM uses several.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import (
    intrinsic,
    lower_builtin,
    make_attribute_wrapper,
    models,
    register_model,
    type_callable,
)
from numba.np.arrayobj import populate_array

from actbench.kernels.linking import inline
from actbench.kernels.operands import LINE

COUNT = 16
_I32, _I64, _BIT = ir.IntType(32), ir.IntType(64), ir.IntType(1)


class Lanes(types.Type):  # type: ignore[misc]
    """The type of 16 numbers of one format, or of 16 truth values."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        element = _BIT if kind.dtype == types.boolean else manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(element, COUNT))


SINGLE, DOUBLE, MASK = Lanes(types.float32), Lanes(types.float64), Lanes(types.boolean)


class Pair(types.Type):  # type: ignore[misc]
    """The type of a float64 number, or of 16, kept as ``high`` and the ``low`` that it lacks."""

    def __init__(self, part: Any) -> None:
        self.part = part
        super().__init__(name=f"Pair({part})")


@register_model(Pair)
class _PairModel(models.StructModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, [("high", kind.part), ("low", kind.part)])


make_attribute_wrapper(Pair, "high", "high")
make_attribute_wrapper(Pair, "low", "low")


@intrinsic  # type: ignore[untyped-decorator]
def pair(typingctx: Any, high: Any, low: Any) -> Any:
    """A number and what it lacks as one value: what takes numbers, too, takes it in their place."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value = cgutils.create_struct_proxy(sig.return_type)(context, builder)
        value.high, value.low = args
        return value._getvalue()

    return Pair(high)(high, high), codegen


def _vector(element: Any) -> ir.VectorType:
    return ir.VectorType(element, COUNT)


def _repeat(builder: Any, value: Any) -> Any:
    vector = _vector(value.type)
    single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(single, single, ir.Constant(_vector(_I32), [0] * COUNT))


def _call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    kind = ir.FunctionType(result, [a.type for a in arguments])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, arguments)


def _suffix(kind: Lanes) -> str:
    return f"v{COUNT}f{kind.dtype.bitwidth}"


def _place(context: Any, builder: Any, kind: Any, array: Any, i: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [i]), _vector(context.get_value_type(kind.dtype)).as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def splat(typingctx: Any, x: Any) -> Any:
    """The same number in all lanes."""
    return Lanes(x)(x), lambda context, builder, sig, args: _repeat(builder, args[0])


@intrinsic  # type: ignore[untyped-decorator]
def load(typingctx: Any, x: Any, i: Any) -> Any:
    """x[i : i + 16], all of which must exist."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _place(context, builder, sig.args[0], *args)
        return builder.load(place, align=x.dtype.bitwidth // 8)

    return Lanes(x.dtype)(x, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _load_part(typingctx: Any, x: Any, i: Any, mask: Any, fill: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _place(context, builder, sig.args[0], *args[:2])
        align = ir.Constant(_I32, x.dtype.bitwidth // 8)
        name = f"llvm.masked.load.{_suffix(sig.return_type)}.p0"
        return _call(builder, name, args[3].type, [place, align, args[2], args[3]])

    return Lanes(x.dtype)(x, types.intp, MASK, Lanes(x.dtype)), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store(typingctx: Any, x: Any, i: Any, value: Any) -> Any:
    """x[i : i + 16] = value, all of which must exist."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _place(context, builder, sig.args[0], *args[:2])
        builder.store(args[2], place, align=x.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(x, types.intp, Lanes(x.dtype)), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store_past(typingctx: Any, x: Any, i: Any, value: Any) -> Any:
    """The same past the caches; x[i] begins a cache line."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _place(context, builder, sig.args[0], *args[:2])
        hint = builder.module.add_metadata([_I32(1)])
        builder.store(args[2], place, align=LINE).set_metadata("nontemporal", hint)
        return context.get_dummy_value()

    return types.none(x, types.intp, Lanes(x.dtype)), codegen


@intrinsic  # type: ignore[untyped-decorator]
def _store_part(typingctx: Any, x: Any, i: Any, value: Any, mask: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _place(context, builder, sig.args[0], *args[:2])
        align = ir.Constant(_I32, x.dtype.bitwidth // 8)
        name = f"llvm.masked.store.{_suffix(value)}.p0"
        _call(builder, name, ir.VoidType(), [args[2], place, align, args[3]])
        return context.get_dummy_value()

    return types.none(x, types.intp, value, MASK), codegen


def _every(context: Any, builder: Any, kind: Any, array: Any, i: Any, step: Any) -> Any:
    """The places of x[i], x[i + step], ..., one a lane."""
    source = context.make_array(kind)(context, builder, array)
    start = builder.ptrtoint(builder.gep(source.data, [i]), _I64)
    apart = _repeat(builder, builder.mul(step, source.itemsize))
    offsets = builder.mul(apart, ir.Constant(apart.type, list(range(COUNT))))
    return builder.inttoptr(builder.add(_repeat(builder, start), offsets), _vector(source.data.type))


@intrinsic  # type: ignore[untyped-decorator]
def load_every(typingctx: Any, x: Any, i: Any, step: Any, count: Any) -> Any:
    """x[i], x[i + step], ..., the first ``count`` lanes of them, zeros in the others."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        places, mask = _every(context, builder, sig.args[0], *args[:3]), _mask(builder, args[3])
        vector = context.get_value_type(sig.return_type)
        name = f"llvm.masked.gather.{_suffix(sig.return_type)}.v{COUNT}p0"
        none = ir.Constant(vector, None)
        return _call(builder, name, vector, [places, _I32(x.dtype.bitwidth // 8), mask, none])

    return Lanes(x.dtype)(x, types.intp, types.intp, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store_every(typingctx: Any, x: Any, i: Any, step: Any, count: Any, value: Any) -> Any:
    """x[i], x[i + step], ... = the first ``count`` lanes of value."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        places, mask = _every(context, builder, sig.args[0], *args[:3]), _mask(builder, args[3])
        name = f"llvm.masked.scatter.{_suffix(value)}.v{COUNT}p0"
        _call(builder, name, ir.VoidType(), [args[4], places, _I32(x.dtype.bitwidth // 8), mask])
        return context.get_dummy_value()

    return types.none(x, types.intp, types.intp, types.intp, value), codegen


@intrinsic  # type: ignore[untyped-decorator]
def load_pairs(typingctx: Any, x: Any, i: Any) -> Any:
    """x[i : i + 32 : 2] and x[i + 1 : i + 32 : 2], all of which must exist."""
    kind = types.UniTuple(Lanes(x.dtype), 2)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        starts = args[1], builder.add(args[1], _I64(COUNT))
        places = (_place(context, builder, sig.args[0], args[0], start) for start in starts)
        halves = [builder.load(place, align=x.dtype.bitwidth // 8) for place in places]
        chosen = (ir.Constant(_vector(_I32), list(range(k, 2 * COUNT, 2))) for k in (0, 1))
        return context.make_tuple(builder, kind, [builder.shuffle_vector(*halves, c) for c in chosen])

    return kind(x, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store_pairs(typingctx: Any, x: Any, i: Any, a: Any, b: Any) -> Any:
    """x[i : i + 32 : 2] = a and x[i + 1 : i + 32 : 2] = b, all of which must exist."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        for half in (0, COUNT):
            chosen = [half // 2 + lane // 2 + COUNT * (lane % 2) for lane in range(COUNT)]
            value = builder.shuffle_vector(*args[2:], ir.Constant(_vector(_I32), chosen))
            place = _place(context, builder, sig.args[0], args[0], builder.add(args[1], _I64(half)))
            builder.store(value, place, align=x.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(x, types.intp, Lanes(x.dtype), Lanes(x.dtype)), codegen


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """The columns of 16 vectors: squares of half the size change places, four times."""
    half = COUNT // 2
    while half:
        upper = [lane if not lane & half else lane - half + COUNT for lane in range(COUNT)]
        lower = [lane + half if not lane & half else lane + COUNT for lane in range(COUNT)]
        for k in range(COUNT):
            if not k & half:
                rows[k], rows[k + half] = (
                    builder.shuffle_vector(rows[k], rows[k + half], ir.Constant(_vector(_I32), chosen))
                    for chosen in (upper, lower)
                )
        half //= 2
    return rows


def _parts(context: Any, builder: Any, kind: Any, array: Any, row: Any, i: Any) -> tuple[list[Any], Any]:
    """Where x[row : row + 16, i : i + 16] lie in a contiguous matrix, and the mask of the columns that exist."""
    matrix = context.make_array(kind)(context, builder, array)
    length = builder.extract_value(matrix.shape, 1)
    start = builder.add(builder.mul(row, length), i)
    pointer = _vector(context.get_value_type(kind.dtype)).as_pointer()
    places = (builder.add(start, builder.mul(length, _I64(k))) for k in range(COUNT))
    left = builder.sub(length, i)
    count = builder.select(builder.icmp_signed("<", left, _I64(COUNT)), left, _I64(COUNT))
    return [builder.bitcast(builder.gep(matrix.data, [p]), pointer) for p in places], _mask(builder, count)


@intrinsic  # type: ignore[untyped-decorator]
def load_columns(typingctx: Any, x: Any, row: Any, i: Any, block: Any) -> Any:
    """block[i : i + 16] = the columns x[row : row + 16, i : i + 16] of a contiguous matrix, zeros beyond the last.

    Turned round in registers: one element at a time took 3 times as long.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        places, mask = _parts(context, builder, sig.args[0], *args[:3])
        vector = places[0].type.pointee
        align, name = _I32(x.dtype.bitwidth // 8), f"llvm.masked.load.{_suffix(Lanes(x.dtype))}.p0"
        none = ir.Constant(vector, None)
        rows = [_call(builder, name, vector, [place, align, mask, none]) for place in places]
        for k, column in enumerate(_transposed(builder, rows)):
            start = builder.mul(builder.add(args[2], _I64(k)), _I64(COUNT))
            builder.store(column, _place(context, builder, sig.args[3], args[3], start), align=align.constant)
        return context.get_dummy_value()

    return types.none(x, types.intp, types.intp, block), codegen


@intrinsic  # type: ignore[untyped-decorator]
def store_columns(typingctx: Any, x: Any, row: Any, i: Any, block: Any) -> Any:
    """x[row : row + 16, i : i + 16] = block[i : i + 16] by columns, as far as x goes."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        places, mask = _parts(context, builder, sig.args[0], *args[:3])
        align, name = _I32(x.dtype.bitwidth // 8), f"llvm.masked.store.{_suffix(Lanes(x.dtype))}.p0"
        columns = []
        for k in range(COUNT):
            start = builder.mul(builder.add(args[2], _I64(k)), _I64(COUNT))
            place = _place(context, builder, sig.args[3], args[3], start)
            columns.append(builder.load(place, align=align.constant))
        for value, place in zip(_transposed(builder, columns), places, strict=True):
            _call(builder, name, ir.VoidType(), [value, place, align, mask])
        return context.get_dummy_value()

    return types.none(x, types.intp, types.intp, block), codegen


def _view(context: Any, builder: Any, kind: Any, array: Any, start: Any, size: Any) -> Any:
    source = context.make_array(kind)(context, builder, array)
    view = context.make_array(kind.copy(ndim=1))(context, builder)
    populate_array(
        view,
        data=builder.gep(source.data, [start]),
        shape=[size],
        strides=[source.itemsize],
        itemsize=source.itemsize,
        meminfo=None,
    )
    return view._getvalue()


@intrinsic  # type: ignore[untyped-decorator]
def row(typingctx: Any, x: Any, r: Any) -> Any:
    """x[r] of a contiguous matrix, without a share in its memory: counting references takes 100 cycles a row."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        size = builder.extract_value(context.make_array(x)(context, builder, args[0]).shape, 1)
        return _view(context, builder, x, args[0], builder.mul(args[1], size), size)

    return x.copy(ndim=1)(x, types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def stretch(typingctx: Any, x: Any, start: Any, size: Any) -> Any:
    """x[start : start + size] of a contiguous array, all of which must exist, without a share in its memory."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _view(context, builder, x, *args)

    return x(x, types.intp, types.intp), codegen


def _mask(builder: Any, count: Any) -> Any:
    """The mask of the first ``count`` lanes, count <= 16.

    As bits: comparing vectors would take the place of arithmetic in every step, whether it is the last or not.
    """
    bits = builder.sub(builder.shl(_I32(1), builder.trunc(count, _I32)), _I32(1))
    return builder.bitcast(builder.trunc(bits, ir.IntType(COUNT)), _vector(_BIT))


@intrinsic  # type: ignore[untyped-decorator]
def _first(typingctx: Any, count: Any) -> Any:
    """The mask of the first ``count`` lanes, count <= 16."""
    return MASK(types.intp), lambda context, builder, sig, args: _mask(builder, args[0])


def _operator(symbol: Callable[..., Any], operation: str) -> None:
    """Teach Numba an operator between lanes, or float64 lanes and a number.

    As a typing rule and its code: an overload is a function to compile for every pair of types, 15 ms each.
    """

    def result(a: Any, b: Any) -> Any:
        if isinstance(a, Lanes) and a == b:
            return a
        both_ways = (a == DOUBLE and isinstance(b, types.Float)) or (
            isinstance(a, types.Float) and b == DOUBLE
        )
        return DOUBLE if both_ways else None

    def lanes_of(context: Any, builder: Any, kind: Any, value: Any) -> Any:
        return (
            value if kind == DOUBLE else _repeat(builder, context.cast(builder, value, kind, types.float64))
        )

    def combine(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if sig.args[0] != sig.args[1]:
            args = [lanes_of(context, builder, *pair) for pair in zip(sig.args, args, strict=True)]
        return getattr(builder, operation)(*args)

    type_callable(symbol)(lambda context: result)
    for kinds in ((Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)):
        lower_builtin(symbol, *kinds)(combine)


for _symbol, _operation in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_symbol, _operation)


def _with_pair(symbol: Callable[..., Any], operation: str) -> None:
    """Teach Numba an operator between a number and a pair, which counts as its high part."""

    def combine(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, operation)(args[0], builder.extract_value(args[1], 0))

    type_callable(symbol)(lambda context: lambda a, b: a if isinstance(b, Pair) and a == b.part else None)
    for part in (types.Float, Lanes):
        lower_builtin(symbol, part, Pair)(combine)


_with_pair(operator.add, "fadd")
_with_pair(operator.truediv, "fdiv")


@intrinsic  # type: ignore[untyped-decorator]
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a*b + c in every lane, rounded once."""
    return a(a, a, a), lambda context, builder, sig, args: _call(
        builder, f"llvm.fma.{_suffix(a)}", args[0].type, list(args)
    )


@intrinsic  # type: ignore[untyped-decorator]
def horner(typingctx: Any, x: Any, coefficients: Any) -> Any:
    """The polynomial in x with the given tuple of coefficients, highest first."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first, *rest = (
            _repeat(builder, builder.extract_value(args[1], i)) for i in range(coefficients.count)
        )
        value = first
        for c in rest:
            value = _call(builder, f"llvm.fma.{_suffix(x)}", value.type, [value, args[0], c])
        return value

    return x(x, coefficients), codegen


@intrinsic  # type: ignore[untyped-decorator]
def equal(typingctx: Any, a: Any, b: Any) -> Any:
    """The mask of the lanes in which a == b."""
    return MASK(a, a), lambda context, builder, sig, args: builder.fcmp_ordered("==", *args)


@intrinsic  # type: ignore[untyped-decorator]
def below(typingctx: Any, a: Any, b: Any) -> Any:
    """The mask of the lanes in which a < b."""
    return MASK(a, a), lambda context, builder, sig, args: builder.fcmp_ordered("<", *args)


@intrinsic  # type: ignore[untyped-decorator]
def both(typingctx: Any, a: Any, b: Any) -> Any:
    """The lanes that are in two masks."""
    return MASK(MASK, MASK), lambda context, builder, sig, args: builder.and_(*args)


@intrinsic  # type: ignore[untyped-decorator]
def where(typingctx: Any, mask: Any, a: Any, b: Any) -> Any:
    """a in the lanes of the mask, b in the others."""
    return a(MASK, a, a), lambda context, builder, sig, args: builder.select(*args)


@intrinsic  # type: ignore[untyped-decorator]
def larger(typingctx: Any, a: Any, b: Any) -> Any:
    """The larger in every lane; b where one is NaN."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return a(a, a), codegen


def _greater(builder: Any, a: Any, b: Any) -> Any:
    count, element = a.type.count, {ir.FloatType(): "f32", ir.DoubleType(): "f64"}[a.type.element]
    return _call(builder, f"llvm.maximum.v{count}{element}", a.type, [a, b])


@intrinsic  # type: ignore[untyped-decorator]
def maximum(typingctx: Any, a: Any, b: Any) -> Any:
    """The larger in every lane, 0 above -0; NaN where one is NaN."""
    return a(a, a), lambda context, builder, sig, args: _greater(builder, *args)


@intrinsic  # type: ignore[untyped-decorator]
def widen(typingctx: Any, x: Any) -> Any:
    """The lanes in float64."""
    same = x == DOUBLE
    return (
        DOUBLE(x),
        lambda context, builder, sig, args: (
            args[0] if same else builder.fpext(args[0], _vector(ir.DoubleType()))
        ),
    )


@intrinsic  # type: ignore[untyped-decorator]
def narrow(typingctx: Any, x: Any, like: Any) -> Any:
    """Float64 lanes in the format of the array ``like``, rounded once."""
    kind = Lanes(like.dtype)
    return (
        kind(x, like),
        lambda context, builder, sig, args: (
            args[0] if kind == x else builder.fptrunc(args[0], context.get_value_type(kind))
        ),
    )


@intrinsic  # type: ignore[untyped-decorator]
def above(typingctx: Any, a: Any, b: Any) -> Any:
    """The mask of the lanes in which a > b, or one of them is NaN."""
    return MASK(a, a), lambda context, builder, sig, args: builder.fcmp_unordered(">", *args)


@intrinsic  # type: ignore[untyped-decorator]
def power_of_two(typingctx: Any, shifted: Any) -> Any:
    """2^(n - bias), where the last bits of ``shifted`` hold the integer n, as those of n + 1.5 * 2^52 do."""
    bits, fraction = (_I32, 23) if shifted == SINGLE else (_I64, 52)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        n = builder.bitcast(args[0], _vector(bits))
        return builder.bitcast(builder.shl(n, ir.Constant(n.type, [fraction] * COUNT)), args[0].type)

    return shifted(shifted), codegen


@intrinsic(prefer_literal=True)  # type: ignore[untyped-decorator]
def rotate(typingctx: Any, x: Any, count: Any) -> Any:
    """The lanes moved round by a literal count."""
    moved = [(i + count.literal_value) % COUNT for i in range(COUNT)]

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.shuffle_vector(args[0], args[0], ir.Constant(_vector(_I32), moved))

    return x(x, count), codegen


@intrinsic  # type: ignore[untyped-decorator]
def lane(typingctx: Any, x: Any, i: Any) -> Any:
    """One lane."""
    return x.dtype(x, types.intp), lambda context, builder, sig, args: builder.extract_element(
        args[0], builder.trunc(args[1], _I32)
    )


@intrinsic  # type: ignore[untyped-decorator]
def unknown(typingctx: Any, n: Any) -> Any:
    """n, of which the compiler knows nothing: a loop of 16 rounds it would unroll, and leave in scalar code."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.asm(ir.FunctionType(_I64, [_I64]), "", "=r,0", [args[0]], False)

    return types.intp(types.intp), codegen


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typingctx: Any, x: Any, i: Any) -> Any:
    """Ask for the memory of x[i], which need not exist."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        options = [ir.Constant(_I32, v) for v in (0, 3, 1)]
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), [builder.gep(data, [args[1]]), *options])
        return context.get_dummy_value()

    return types.none(x, types.intp), codegen


def _folded(combine: Callable[..., Any]) -> Callable[..., Any]:
    """Combine the lanes by halves: 0 with 8, 1 with 9, ...; then 0 with 4, ..."""

    @intrinsic  # type: ignore[untyped-decorator]
    def folded(typingctx: Any, x: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            value, count = args[0], COUNT
            while count > 1:
                count //= 2
                low, high = (
                    builder.shuffle_vector(
                        value,
                        value,
                        ir.Constant(ir.VectorType(_I32, count), list(range(start, start + count))),
                    )
                    for start in (0, count)
                )
                value = combine(builder, low, high)
            return builder.extract_element(value, ir.Constant(_I32, 0))

        return x.dtype(x), codegen

    return folded  # type: ignore[no-any-return]


total = _folded(lambda builder, a, b: builder.fadd(a, b))
largest = _folded(lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))
greatest = _folded(_greater)
"""The largest lane; NaN if one of them is."""


@inline
def part(x: Any, i: Any, fill: Any) -> Any:
    """x[i : i + 16] of a row, with ``fill`` in the place of what lies beyond its end."""
    if i + COUNT <= x.size:
        return load(x, i)
    return _load_part(x, i, _first(x.size - i), splat(fill))


@inline
def put(x: Any, i: Any, value: Any) -> None:
    """x[i : i + 16] = value, as far as the row goes."""
    if i + COUNT <= x.size:
        store(x, i, value)
    else:
        _store_part(x, i, value, _first(x.size - i))


@inline
def two_sum(a: Any, b: Any) -> Any:
    """(s, e) with s = fl(a + b) and s + e = a + b, in every lane."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@inline
def exact_total(high: Any, low: Any) -> Any:
    """The sum of all lanes of two float64 vectors, the first of which is summed without error."""
    high, e = two_sum(high, rotate(high, 8))
    low = (low + rotate(low, 8)) + e
    high, e = two_sum(high, rotate(high, 4))
    low = (low + rotate(low, 4)) + e
    high, e = two_sum(high, rotate(high, 2))
    low = (low + rotate(low, 2)) + e
    high, e = two_sum(high, rotate(high, 1))
    low = (low + rotate(low, 1)) + e
    return lane(high, 0), lane(low, 0)
