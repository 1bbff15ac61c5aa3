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
from actbench.kernels import rows
from actbench.kernels.linking import INLINE, PART
from actbench.kernels.vecmath import float32, float64
from actbench.kernels.vecmath.coefficients import Float64
from actbench.kernels.vecmath.intrinsics import bits_from_f64, f64_from_bits, fma, horner


def _scalar(name: str) -> Callable[..., Any]:
    """Choose the float32 function where every argument is float32, else the float64 one."""
    narrow, wide = getattr(float32.functions, name), getattr(float64.functions, name)
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
    return np.float64(largest) + primitives.log_total(primitives.row_exp_rest(x, largest))


_log = float64.functions.log
_LOG2E, (_LN2, _LN2_LOW) = Float64.LOG2E, Float64.LN2
_EXP = (np.float64(1.0), np.float64(1.0), *Float64.EXP)
_ROUNDER = np.float64(1.5 * 2.0**52)
_HUGE, _NOTHING = np.float64(2.0**50), np.float64(-1e300)
_FRACTION, _BIAS = np.int64(52), np.int64(1023)


def _split_exp(x: Any) -> Any:
    k = np.rint(x * _LOG2E)
    r = fma(-k, _LN2_LOW, fma(-k, _LN2, x))
    # There an ULP of x is worth more than a factor of 2.
    m = horner(r if abs(x) < _HUGE else x * np.float64(0.0), _EXP)
    nothing = x == -np.inf
    return (np.float64(0.0) if nothing else m), (_NOTHING if nothing else k)


def _exponent_split(m: Any) -> Any:
    bits = bits_from_f64(m)
    k = (bits >> _FRACTION) - _BIAS
    scaled = f64_from_bits(bits - (k << _FRACTION))
    return (scaled if m > 0.0 else m), (
        f64_from_bits(k + bits_from_f64(_ROUNDER)) - _ROUNDER if m > 0.0 else 0.0
    )


def _power_of_two(k: Any) -> Any:
    within = k > -1000.0
    shifted = (k if within else 0.0) + (_ROUNDER + 1023.0)
    return f64_from_bits(bits_from_f64(shifted) << _FRACTION) if within else 0.0


def _log_of(m: Any, k: Any) -> Any:
    return fma(k, _LN2, fma(k, _LN2_LOW, _log(m)))


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
        overload(getattr(primitives, name), jit_options=INLINE, strict=False)(_scalar(name))
    rows.install()
    for primitive, body in (
        (primitives.row_dot, _row_dot),
        (primitives.row_exp, _row_exp),
        (primitives.row_exp_sum, _row_exp_sum),
        (primitives.row_log_sum_exp, _row_log_sum_exp),
    ):
        # A sum of a given length is reordered into the same lanes wherever it stands; nothing else is.
        overload(primitive, jit_options={"fastmath": {"reassoc"}, **PART}, strict=False)(_always(body))
    overload(primitives.probability, jit_options=INLINE, strict=False)(_probability)
    overload(primitives.workspace, jit_options=PART, strict=False)(lambda rows, columns: _workspace)
    scaled: tuple[tuple[Any, Callable[..., Any]], ...] = (
        (primitives.split_exp, _split_exp),
        (primitives.exponent_split, _exponent_split),
        (primitives.power_of_two, _power_of_two),
        (primitives.log_of, _log_of),
    )
    for scalar, twin in scaled:
        overload(scalar, jit_options=INLINE, strict=False)(_always(twin))
    overload(primitives.wide, jit_options=INLINE, strict=False)(_always(_wide))
