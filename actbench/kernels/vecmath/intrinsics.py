"""The few LLVM operations that Numba does not spell: each vectorises inside a loop."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a*b + c, rounded once."""
    return a(a, b, c), lambda context, builder, sig, args: builder.fma(*args)


@intrinsic  # type: ignore[untyped-decorator]
def divide(typingctx: Any, a: Any, b: Any) -> Any:
    """Return a / b by IEEE 754: no ZeroDivisionError under any error model."""
    return a(a, b), lambda context, builder, sig, args: builder.fdiv(*args)


@intrinsic  # type: ignore[untyped-decorator]
def halves(typingctx: Any, x: Any, coefficients: Any) -> Any:
    """Return the same polynomial as one in x^2 and x times another: two chains half as long, for one product more."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x = args[0]
        square = builder.fmul(x, x)
        chains = [
            [builder.extract_value(args[1], i) for i in range(k, coefficients.count, 2)] for k in (0, 1)
        ]
        even, odd = (
            functools.reduce(lambda total, c: builder.fma(total, square, c), chain[-2::-1], chain[-1])
            for chain in chains
        )
        return builder.fma(odd, x, even)

    return x(x, coefficients), codegen


@intrinsic  # type: ignore[untyped-decorator]
def horner(typingctx: Any, x: Any, coefficients: Any) -> Any:
    """Return the polynomial in x with the given tuple of coefficients, constant first."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        *rest, total = (builder.extract_value(args[1], i) for i in range(coefficients.count))
        for c in reversed(rest):
            total = builder.fma(total, args[0], c)
        return total

    return x(x, coefficients), codegen


def _bitcast(source: Any, target: Any) -> Callable[..., Any]:
    @intrinsic  # type: ignore[untyped-decorator]
    def bitcast(typingctx: Any, x: Any) -> Any:
        return target(source), lambda context, builder, sig, args: builder.bitcast(
            args[0], context.get_value_type(target)
        )

    return bitcast  # type: ignore[no-any-return]


def _llvm(name: str, arity: int) -> Callable[..., Any]:
    """Return the LLVM intrinsic `llvm.<name>` of `arity` operands of one floating type."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = args[0].type
        function = ir.FunctionType(kind, [kind] * arity)
        return builder.call(builder.module.declare_intrinsic(name, [kind], function), args)

    if arity == 1:

        @intrinsic  # type: ignore[untyped-decorator]
        def unary(typingctx: Any, x: Any) -> Any:
            return x(x), codegen

        return unary  # type: ignore[no-any-return]

    @intrinsic  # type: ignore[untyped-decorator]
    def binary(typingctx: Any, x: Any, y: Any) -> Any:
        return x(x, x), codegen

    return binary  # type: ignore[no-any-return]


f32_from_bits = _bitcast(types.int32, types.float32)
bits_from_f32 = _bitcast(types.float32, types.int32)
f64_from_bits = _bitcast(types.int64, types.float64)
bits_from_f64 = _bitcast(types.float64, types.int64)


def integers_of(kind: Any) -> tuple[Any, Any, Any]:
    """The integer type as wide as a float type, and the functions from its bits and to them."""
    if kind is np.float32:
        return np.int32, f32_from_bits, bits_from_f32
    return np.int64, f64_from_bits, bits_from_f64


sqrt = _llvm("llvm.sqrt", 1)
fabs = _llvm("llvm.fabs", 1)
floor = _llvm("llvm.floor", 1)
rint = _llvm("llvm.rint", 1)
copysign = _llvm("llvm.copysign", 2)
maximum = _llvm("llvm.maximum", 2)
minimum = _llvm("llvm.minimum", 2)


@intrinsic  # type: ignore[untyped-decorator]
def wide_vectors(typingctx: Any) -> Any:
    """Let the kernel that calls it use 512-bit vectors: LLVM prefers 256 bits on this kind of machine.

    10-25 % more elements a second in compute-bound kernels; machines without AVX-512 ignore it.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        # llvmlite's own add() knows only a list of names.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), codegen


@intrinsic  # type: ignore[untyped-decorator]
def interleave(typingctx: Any) -> Any:
    """Let LLVM work on four vectors side by side in the loop that ends where it is called.

    Left alone it takes one where the body has dozens of operations, each of which then waits for the one before:
    sigmoid's backward pass 0.39 ns an element, not 0.43; gelu 0.73, with two vectors 0.82.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        module = builder.module
        hint = [ir.MetaDataString(module, "llvm.loop.interleave.count"), ir.IntType(32)(4)]
        node = module.add_metadata([ir.MetaDataString(module, f"loop {len(module.metadata)}")])
        # What tells one loop from another is that its metadata names itself first.
        node.operands = (node, module.add_metadata(hint))
        _latch(builder).set_metadata("llvm.loop", node)
        return context.get_dummy_value()

    return types.none(), codegen


def _latch(builder: Any) -> Any:
    """The jump back of the loop that has just ended: its head is the nearest block above that is on a way to itself."""
    after = {block: _targets(block) for block in builder.function.blocks}
    head = builder.block
    while not (latches := [block for block in _reached(head, after) if head in after[block]]):
        head = next(block for block in after if head in after[block])
    return latches[0].terminator


def _targets(block: Any) -> list[Any]:
    operands = () if block.terminator is None else block.terminator.operands
    return [operand for operand in operands if isinstance(operand, ir.Block)]


def _reached(start: Any, after: dict[Any, list[Any]]) -> list[Any]:
    """The blocks that control may go on to from the end of ``start``."""
    found: dict[Any, None] = {}
    left = [start]
    while left:
        for block in after[left.pop()]:
            if block not in found:
                found[block] = None
                left.append(block)
    return list(found)
