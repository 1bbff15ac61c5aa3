"""Whether a peer's call is the same function as ours: all of its values compared, and its inputs as they were."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actbench.bench.plan import Cell, Function
from actbench.catalog.declaration import NUMERIC, Kink
from actbench.catalog.formula import Formula

Array = NDArray[Any]
# The most, as a part of the largest value, that another rounding makes of an honest call: what the installed
# libraries came to over 2^16 and 2^22 elements stands beside it.
_ELEMENTS = {
    "float64": 1e-12,  # 1.6e-14, gelu_tanh backward in jax
    "float32": 5e-6,  # 2.4e-6, gelu_tanh backward in TensorFlow; gelu in the place of gelu_tanh: 5e-5
    "float16": 1e-2,  # 2.8e-3: frameworks round a 16-bit format after every operation
    "bfloat16": 4e-2,  # 1.8e-2
}
_ROWS = {**_ELEMENTS, "float64": 1e-11, "float32": 1e-5}  # 1e-15 and 1e-6 in rows of 1000
# 2e-13 and 5e-4, hinge of 2^22 in numexpr, which adds up one after the other: its other sums are off by up to 4e-3.
_SUMS = {**_ELEMENTS, "float64": 1e-10, "float32": 1e-3}
# 2e-12, 1.2e-3 and 4.3e-2: sums of logarithms.
_SEQUENCES = {**_SUMS, "float32": 3e-3, "bfloat16": 5e-2}
EXPLAINED = {"float64": 1e-7, "float32": 1e-3, "float16": 1e-2, "bfloat16": 4e-2}
"""What is never more than another rounding; a peer that says of a function why it errs so much may."""
_CHUNK = 2**20  # elements that are compared at a time: float64 copies of 2^24 would take 0.5 GiB


def tolerance(function: Function, cell: Cell) -> float:
    """The largest difference, as a part of the largest value, that rounding explains of a cell."""
    template = function.declaration.template
    if template == "elementwise" or (template == "pairwise" and cell.pass_ == "backward"):
        return _ELEMENTS[cell.dtype]
    tables = {"rowwise": _ROWS, "classification": _ROWS, "sequence": _SEQUENCES}
    return tables.get(template, _SUMS)[cell.dtype]


def difference(values: Array, reference: Array, left_out: Array | None = None) -> float:
    """The largest difference as a part of the largest reference value; infinite for another shape, NaN or infinity.

    What is ``left_out`` may be any number, but no NaN or infinity.
    """
    if values.shape != reference.shape:
        return float("inf")
    got, expected = values.reshape(-1), reference.reshape(-1)
    out = None if left_out is None else left_out.reshape(-1)
    apart = largest = 0.0
    for begin in range(0, expected.size, _CHUNK):
        part = slice(begin, begin + _CHUNK)
        theirs, ours = got[part].astype(np.float64), expected[part].astype(np.float64)
        finite = np.isfinite(ours)
        if not np.array_equal(theirs[~finite], ours[~finite], equal_nan=True):
            return float("inf")
        distances = np.abs(theirs[finite] - ours[finite])
        if out is not None:
            distances[out[part][finite] & np.isfinite(distances)] = 0
        # Not Python's max, which would lose a NaN.
        apart = float(np.maximum(apart, np.max(distances, initial=0.0)))
        largest = max(largest, float(np.max(np.abs(ours[finite]), initial=0.0)))
    return apart / largest if largest else apart


def at_kinks(function: Function, cell: Cell, arrays: Mapping[str, Array]) -> Array | None:
    """Where a slope is a matter of convention: at a kink, and where several of a group are the largest.

    Of 2^24 random float32 about one lies there, of as many 16-bit numbers thousands. None where there is none.
    """
    if cell.pass_ != "backward":
        return None
    declaration, values = function.declaration, dict(function.declaration.defaults)
    where: Array | None = None
    if declaration.row_kinks is not None:
        taken = list(inspect.signature(declaration.row_kinks).parameters)[1:]
        where = declaration.row_kinks(arrays["x"], **{name: values[name] for name in taken})
    for kink in declaration.kinks:
        if "x" in arrays:
            found = arrays["x"] == arrays["x"].dtype.type(_place(kink, values))
        elif kink.at == "target":
            found = arrays["pred"] == arrays["target"]
        else:
            members = np.unique(arrays["target"][:_CHUNK])
            if members.size > 2:  # no labels
                continue
            found = np.zeros(arrays["pred"].shape, bool)
            for member in members:
                place = _place(kink, values | {"target": float(member)})
                found |= (arrays["target"] == member) & (arrays["pred"] == arrays["pred"].dtype.type(place))
        where = found if where is None else where | found
    return where if where is not None and where.any() else None


def _place(kink: Kink, values: Mapping[str, Any]) -> float:
    # Its slopes may be in terms of what only follows from the parameters.
    return float(Formula(kink.at).evaluate({"inf": np.inf, **values}, NUMERIC))


@dataclass(frozen=True)
class Inputs:
    """The inputs of a cell's calls as they were, for a peer may write to them and so change what others compute."""

    operands: Sequence[Sequence[Array]]
    _before: list[list[Array | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # What is read-only, a file that is mapped, nobody changes.
        self._before.extend(
            [a.copy() if a.flags.writeable else None for a in group] for group in self.operands
        )

    def restored(self) -> bool:
        """Whether any had been changed; they are as before."""
        found = False
        for group, originals in zip(self.operands, self._before, strict=True):
            for array, original in zip(group, originals, strict=True):
                if original is not None and not _identical(array, original):
                    np.copyto(array, original)
                    found = True
        return found


def _identical(one: Array, other: Array) -> bool:
    bits = f"u{one.dtype.itemsize}"  # a NaN is not equal to itself
    return bool(np.array_equal(one.view(bits), other.view(bits)))
