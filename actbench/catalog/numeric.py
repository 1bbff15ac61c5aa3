"""What counts as a number, in the operands of a call and in its parameters."""

from __future__ import annotations

import math
import operator
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FLOATS = ("float64", "float32", "float16", "bfloat16")


def is_real(dtype: np.dtype[Any]) -> bool:
    """Whether kernels take numbers of that dtype; of floats those of 8 bits and of more than 64 are none."""
    return dtype.kind in "iub" or dtype.name in _FLOATS


def unmasked(told: str, value: Any) -> NDArray[Any]:
    """The value as an array; TypeError for a masked one, whose mask would be lost."""
    import numpy as np

    # A plain array is told first: to name np.ma imports it.
    subclass = isinstance(value, np.ndarray) and type(value) is not np.ndarray
    if subclass and isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{told} takes no masked arrays, whose mask would be lost: pass what .filled(value) returns"
        )
    return np.asarray(value)


def check_real(told: str, dtype: np.dtype[Any]) -> None:
    """Raise TypeError that names a dtype which has no real numbers."""
    if not is_real(dtype):
        raise TypeError(
            f"{told} takes real numbers (float64, float32, float16, bfloat16 or integers), not dtype {dtype}"
        )


def real_array(told: str, value: Any) -> NDArray[Any]:
    """The value as an array of real numbers; TypeError that names its dtype where it is none."""
    array = unmasked(told, value)
    check_real(told, array.dtype)
    return array


def real(value: Any) -> float | None:
    """A real number as Python's own, an integer as an integer; None for text, complex numbers and containers."""
    if not isinstance(value, Real):
        if isinstance(value, str | bytes | list | tuple):
            return None
        import numpy as np

        array = np.asarray(value)  # NumPy's bool, bfloat16, and arrays of no dimensions
        if array.ndim or not is_real(array.dtype):
            return None
        value = array.item() if array.dtype.kind in "iub" else float(array)
    try:
        number = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    return int(value) if isinstance(value, Integral) and not isinstance(value, bool) else number


def is_truth_value(value: Any) -> bool:
    """Whether it is True or False, of Python's or NumPy's."""
    return isinstance(value, bool) or getattr(getattr(value, "dtype", None), "kind", "") == "b"


def integer(value: Any) -> int | None:
    """An integer of Python's or NumPy's; None for anything else, and for a truth value."""
    if is_truth_value(value):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def whole(value: Any) -> int | None:
    """An integer, or a float that is one; None for anything else."""
    number = integer(value)
    if number is None and not is_truth_value(value):
        decimal = real(value)
        number = int(decimal) if decimal is not None and float(decimal).is_integer() else None
    return number
