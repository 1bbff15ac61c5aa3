"""The user's own data: mapped from a .npy file, never copied whole."""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from actbench.bench.plan import Function
from actbench.bench.run import Check, Input
from actbench.catalog.errors import InputFileError
from actbench.kernels.workload import Workload

Array = NDArray[Any]
SAMPLE = 2**20  # elements that a check looks at
_DTYPES = ("float64", "float32", "float16")


def open_data(path: str | os.PathLike[str]) -> tuple[Array, Input]:
    """The array in a .npy file, mapped read-only, and its description; raises InputFileError as ``mapped``."""
    data = mapped(path)
    try:
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputFileError(f"cannot read {path}: {error.strerror or error}") from error
    return data, Input(str(path), data.shape, data.dtype.name, digest)


def mapped(path: str | os.PathLike[str]) -> Array:
    """The array in a .npy file, mapped read-only.

    Raises InputFileError where it is missing, malformed, pickled, empty, or not of native floats.
    """
    source = Path(path)
    try:
        # Not np.load: that also takes archives and pickles, which cannot be mapped.
        data: Array = np.lib.format.open_memmap(source, mode="r")
    except OSError as error:
        raise InputFileError(f"cannot read {source}: {error.strerror or error}") from error
    except Exception as error:  # of a broken header: ValueError, TokenError, struct.error, ...
        reason = str(error).partition("\n")[0] or type(error).__name__
        if "magic string is not correct" in reason:  # an archive (.npz), a gzipped file, another format
            raise InputFileError(
                f"{source} is not an array saved by np.save: save one array with numpy.save, uncompressed"
            ) from error
        raise InputFileError(f"{source} is not an array saved by np.save: {reason}") from error
    if data.dtype.name in _DTYPES and not data.dtype.isnative:
        raise InputFileError(
            f"{source} holds dtype {data.dtype.str}, whose byte order is not this machine's: "
            f"save array.astype('{data.dtype.name}')"
        )
    if data.dtype.name not in _DTYPES:
        raise InputFileError(f"{source} holds dtype {data.dtype.str}: save it as one of {', '.join(_DTYPES)}")
    if not data.size:
        raise InputFileError(f"{source} holds no elements: its shape is {data.shape}")
    return data


def check(function: Function, pass_: str, data: Array, *, seed: int = 0) -> Check:
    """Compare a pass on a sample of `data` with the float64 kernel on the same numbers."""
    part, dtype = sample(data), data.dtype.name
    narrow = function.workload(pass_, dtype, part.size, seed=seed, data=part)
    exact = part.astype(np.float64)
    wide = function.workload(pass_, "float64", part.size, seed=seed, data=exact)
    for name, array in wide.arrays.items():  # gradients and targets were drawn for each
        np.copyto(array, narrow.arrays[name], casting="same_kind")
    got, expected = (np.asarray(_output(w)) for w in (narrow, wide))
    return Check(
        elements=got.size,
        max_ulp=None if dtype == "float64" else max_ulp(got, expected, dtype),
        nan=int(np.isnan(got).sum()),
        inf=int(np.isinf(got).sum()),
    )


def _output(workload: Workload) -> object:
    result = workload.call()
    return workload.arrays.get("out", result)


def sample(data: Array, limit: int = SAMPLE) -> Array:
    """About `limit` elements of `data`, evenly spread: whole rows as far as rows fit."""
    axes = (1, 0, *range(2, data.ndim)) if data.ndim > 2 else range(data.ndim)  # N of (T, N, C)
    part = data
    for axis in axes:
        step = math.ceil(part.size / limit)
        part = part[(slice(None),) * axis + (slice(None, None, step),)]
    return np.ascontiguousarray(part)


def max_ulp(got: Array, expected: Array, dtype: str) -> float | None:
    """The largest distance in units in the last place of `dtype` at `expected`, where both are finite."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    finite = np.isfinite(got) & np.isfinite(expected)
    if not finite.any():
        return None
    got, expected, info = got[finite], expected[finite], ml_dtypes.finfo(dtype)
    exponent = np.frexp(np.where(expected, expected, info.smallest_normal))[1] - 1
    exponent = np.maximum(exponent, info.minexp)
    return float(np.max(np.ldexp(np.abs(got - expected), info.nmant - exponent)).round(2))
