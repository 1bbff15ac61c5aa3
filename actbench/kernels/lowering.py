"""The compiled twins of the catalogue's primitives: by the format of the arguments, or over a row."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from actbench.catalog import primitives
from actbench.kernels.vecmath import float32, float64
from actbench.kernels.vecmath.intrinsics import bits_from_f32, bits_from_f64, f32_from_bits, f64_from_bits

_INLINE = {"forceinline": True}


def _scalar(name: str) -> Callable[..., Any]:
    """Choose the float32 function where every argument is float32, else the float64 one."""
    narrow, wide = getattr(float32, name), getattr(float64, name)
    double = np.float64
    arity = len(inspect.signature(getattr(primitives, name)).parameters)
    if arity == 1:

        def choose(x: Any) -> Any:
            return (lambda x: narrow(x)) if x == types.float32 else (lambda x: wide(double(x)))

    elif arity == 2:

        def choose(x: Any, y: Any) -> Any:  # type: ignore[misc]
            if x == types.float32 and y == types.float32:
                return lambda x, y: narrow(x, y)
            return lambda x, y: wide(double(x), double(y))

    else:

        def choose(x: Any, y: Any, z: Any) -> Any:  # type: ignore[misc]
            if x == types.float32 and y == types.float32 and z == types.float32:
                return lambda x, y, z: narrow(x, y, z)
            return lambda x, y, z: wide(double(x), double(y), double(z))

    return choose


def _row_max(x: Any) -> Any:
    """Compare floats as integers of the same order.

    An integer maximum vectorises without a promise to the compiler that there are no NaNs, and lets them
    through: a positive NaN ranks above infinity; a negative one below, but then exp and log carry it on.
    """
    single = x.dtype == types.float32
    bits, unbits = (bits_from_f32, f32_from_bits) if single else (bits_from_f64, f64_from_bits)
    real: Any = np.float32 if single else np.float64
    integer: Any = np.int32 if single else np.int64
    shift, magnitude = integer(31 if single else 63), integer(np.iinfo(integer).max)

    def row_max(x: Any) -> Any:
        start = bits(real(-np.inf))
        largest = integer(start ^ magnitude)
        for i in range(x.size):
            b = bits(x[i])
            ordered = integer(b ^ integer((b >> shift) & magnitude))
            largest = ordered if ordered > largest else largest
        return unbits(integer(largest ^ integer((largest >> shift) & magnitude)))

    return row_max


def _row_sum(x: Any) -> Any:
    total = np.float64(0.0)
    for i in range(x.size):
        total += np.float64(x[i])
    return total


def _row_dot(x: Any, y: Any) -> Any:
    total = np.float64(0.0)
    for i in range(x.size):
        total += np.float64(x[i]) * np.float64(y[i])
    return total


def _row_exp(x: Any, shift: Any, out: Any) -> Any:
    for i in range(x.size):
        out[i] = primitives.exp(x[i] - shift)
    return primitives.row_sum(out)


def _row_exp_sum(x: Any, shift: Any) -> Any:
    total = np.float64(0.0)
    for i in range(x.size):
        total += np.float64(primitives.exp(x[i] - shift))
    return total


def _row_log_sum_exp(x: Any) -> Any:
    largest = primitives.row_max(x)
    return np.float64(largest) + primitives.log(primitives.row_exp_sum(x, largest))


def _probability(target: Any, c: Any) -> Any:
    if isinstance(target, types.Array):
        return lambda target, c: target[c]
    return lambda target, c: np.float32(1.0) if target == c else np.float32(0.0)


def _wide(x: Any) -> Any:
    return np.float64(x)


def _workspace(rows: Any, columns: Any) -> Any:
    return np.empty((rows, columns))


def _always(body: Callable[..., Any]) -> Callable[..., Any]:
    return (lambda x: body, lambda x, y: body, lambda x, y, z: body)[
        len(inspect.signature(body).parameters) - 1
    ]


@functools.lru_cache(maxsize=1)
def install() -> None:
    """Tell Numba, once a process, what to compile where a body calls a primitive."""
    for name in primitives.SCALARS:
        overload(getattr(primitives, name), jit_options=_INLINE, strict=False)(_scalar(name))
    overload(primitives.row_max, strict=False)(_row_max)
    for primitive, body in (
        (primitives.row_sum, _row_sum),
        (primitives.row_dot, _row_dot),
        (primitives.row_exp, _row_exp),
        (primitives.row_exp_sum, _row_exp_sum),
        (primitives.row_log_sum_exp, _row_log_sum_exp),
    ):
        # A sum of a given length is reordered into the same lanes wherever it stands; nothing else is.
        overload(primitive, jit_options={"fastmath": {"reassoc"}}, strict=False)(_always(body))
    overload(primitives.probability, jit_options=_INLINE, strict=False)(_probability)
    overload(primitives.workspace, strict=False)(lambda rows, columns: _workspace)
    overload(primitives.wide, jit_options=_INLINE, strict=False)(_always(_wide))
