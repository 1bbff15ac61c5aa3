"""From a scalar body to what a loop over elements calls: in the format wanted, and NaN for NaN."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from actbench.kernels.linking import inline
from actbench.kernels.specialize import specialize

Body = Callable[..., Any]
_PROBES = (-1.0, 0.0, 0.5, 1.0, 2.0)


def number_body(
    body: Body, dtype: np.dtype[Any], operands: int, substitutes: Mapping[str, Body] = MappingProxyType({})
) -> Body:
    """The body over numbers of the dtype; NaN in, NaN out is said here for all: comparisons make a number of it."""
    value: Body = specialize(body, dtype, inline, integers=True, substitutes=substitutes)
    return value if _carries_nan(body, operands) else _guarded(value, operands)


def _guarded(body: Body, operands: int) -> Body:
    if operands == 1:
        return inline(lambda x, *params: body(x, *params) if x == x else x)
    return inline(lambda x, y, *params: body(x, y, *params) if (x == x and y == y) else x + y)


def _carries_nan(body: Body, operands: int) -> bool:
    """Whether the body, as plain Python, is NaN wherever an operand is: the test in the loop costs up to a tenth.

    It is tried with the parameters' defaults, and with all of them, and other operands, on both sides of what bodies
    tell apart.
    """
    count = body.__code__.co_argcount
    defaults = [v if isinstance(v, float | int) else 1.0 for v in body.__defaults__ or ()]
    usual = [1.0] * (count - len(defaults)) + defaults
    for place, others in itertools.product(
        range(operands), [usual, *([number] * count for number in _PROBES)]
    ):
        arguments = [*others]
        arguments[place] = math.nan
        if not _is_nan(body, arguments):
            return False
    return True


def _is_nan(body: Body, arguments: Sequence[float]) -> bool:
    try:
        return math.isnan(body(*arguments))
    except ZeroDivisionError:  # of a parameter that cannot be 0: in a kernel it would be NaN too
        return True
    except Exception:  # whatever a user's own body raises on what it did not expect
        return False
