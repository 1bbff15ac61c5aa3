"""The array contract: what may come in, what goes out, and how it reaches a kernel's contiguous loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actbench.catalog import numeric
from actbench.catalog.errors import UsageError

if TYPE_CHECKING:
    from actbench.kernels.sharable import Sharable

Array = NDArray[Any]
CHUNK = 1 << 14
"""Elements a buffered chunk: two float32 operands and a result of this size stay in a 256 KiB cache."""
_SINGLE: np.dtype[Any] = np.dtype(np.float32)


def dtype_named(name: str) -> np.dtype[Any]:
    """The dtype of that name, bfloat16 included; UsageError names the four that there are."""
    if name == "bfloat16":
        import ml_dtypes

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    if name not in ("float64", "float32", "float16"):
        raise UsageError(f"unknown dtype {name!r}: choose float64, float32, float16 or bfloat16")
    return np.dtype(name)


def operand(function: str, x: Any) -> Array:
    """x as an array; TypeError for a masked one."""
    return x if type(x) is np.ndarray else numeric.unmasked(function, x)


def result_dtype(function: str, *arrays: Array) -> np.dtype[Any]:
    """The native dtype of the result: that of the floats, float64 for integers and booleans.

    Raises TypeError that names a dtype which has no real numbers, or two that no format of the four holds.
    """
    for x in arrays:
        numeric.check_real(function, x.dtype)
    floats = [x.dtype.newbyteorder("=") for x in arrays if x.dtype.kind not in "iub"]
    if not floats:
        return np.dtype(np.float64)
    dtype = floats[0]
    for other in floats[1:]:
        if other != dtype:
            try:
                dtype = np.promote_types(dtype, other)
            except TypeError:
                raise TypeError(
                    f"{function}: operands of dtype {dtype} and {other} have no common format: convert one of them"
                ) from None
    return dtype


def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The format a kernel works in: 16-bit formats are widened to float32 and rounded once."""
    return dtype if dtype.itemsize == 8 else _SINGLE


def output(function: str, like: Array, dtype: np.dtype[Any], out: Array | None) -> Array:
    """A new array in the layout of ``like``, or ``out`` once its shape and dtype are found right."""
    if out is None:
        return np.empty_like(like, dtype=dtype, subok=False)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"{function}: out must be a NumPy array, not {type(out).__name__}")
    numeric.unmasked(f"{function}: out", out)
    if out.shape != like.shape or out.dtype != dtype:
        raise UsageError(
            f"{function}: out has shape {out.shape} and dtype {out.dtype}, but the result has "
            f"{like.shape} and {dtype}"
        )
    if not out.flags.writeable:
        raise UsageError(f"{function}: out is read-only")
    if _overlaps_itself(out):
        raise UsageError(
            f"{function}: out overlaps itself: with strides {out.strides} some of its elements share their memory"
        )
    return out


def _overlaps_itself(x: Array) -> bool:
    """Whether elements of x share memory, as they do where a stride is 0."""
    if x.flags.forc or not x.size:
        return False
    reach, nested = x.itemsize, True
    for stride, length in sorted((abs(s), n) for s, n in zip(x.strides, x.shape, strict=True) if n > 1):
        nested = nested and stride >= reach
        reach += stride * (length - 1)
    if nested:  # as in every view that slices and transposes make
        return False
    places = np.zeros(1, np.int64)
    for stride, length in zip(x.strides, x.shape, strict=True):
        places = np.add.outer(places, stride * np.arange(length)).reshape(-1)
    places.sort()
    return bool(np.any(np.diff(places) < x.itemsize))


def handed(function: str, value: Any, out: Array | None) -> Any:
    """The value, or ``out`` that holds it once its shape and dtype are found right."""
    if out is None:
        return value
    output(function, np.asarray(value), value.dtype, out)[...] = value
    return out


def rounded(values: Array, dtype: np.dtype[Any]) -> Array:
    """Results in the dtype: what is too large for it is infinite there, which is right and no cause for a warning."""
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore"):
        return values.astype(dtype)


def rounded_number(value: Any, dtype: np.dtype[Any]) -> Any:
    """The same of one number."""
    number = float(value)  # Python compares its own floats faster
    if (
        -60000.0 < number < 60000.0
    ):  # even float16 holds it, and to look costs less than to change NumPy's ways
        return dtype.type(number)
    with np.errstate(over="ignore"):
        return dtype.type(number)


def result(out: Array, given: Array | None) -> Any:
    """``out`` itself where the caller gave it, else a scalar for zero dimensions, as NumPy's ufuncs do."""
    return out if given is not None or out.ndim else out[()]


def plain(x: Array, dtype: np.dtype[Any]) -> bool:
    """Whether a kernel can work on x in its place."""
    return bool(x.dtype == dtype and x.flags.c_contiguous and x.flags.aligned and x.dtype.isnative)


def _clash(x: Array, out: Array) -> bool:
    """Whether writing out could change what is still to be read: they overlap, but not exactly."""
    if not np.may_share_memory(x, out):
        return False
    return bool(x.__array_interface__["data"][0] != out.__array_interface__["data"][0])


def contiguous(x: Array, dtype: np.dtype[Any]) -> Array:
    """x itself where a kernel can read it, else a contiguous copy in the dtype."""
    # Not np.ascontiguousarray: it leaves what is not aligned as it is.
    return x if plain(x, dtype) else np.array(x, dtype=dtype, order="C", subok=False)


def elementwise(
    kernel: Sharable,
    params: tuple[Any, ...],
    out: Array,
    inputs: Sequence[Array],
    threads: int | None,
    dtype: np.dtype[Any],
) -> None:
    """Run an elementwise kernel of operands in ``dtype`` over arrays of any layout, byte order and real dtype.

    Contiguous arrays of that dtype go to the kernel as they are. Everything else goes through NumPy's buffered
    iterator, which converts a chunk at a time: nothing is copied whole.
    """
    flat = _flat((out, *inputs), dtype)
    if flat is not None:
        kernel.apply(flat[0], params, tuple(flat[1:]), threads, out.size)
        return
    if out.size == 0:
        return
    contig = ["contig", "aligned", "nbo"]
    # NumPy's stubs know "config" in the place of "contig".
    flags: Any = [["readonly", *contig]] * len(inputs) + [["writeonly", *contig]]
    iterator = np.nditer(
        [*inputs, out],
        flags=["external_loop", "buffered", "growinner", "copy_if_overlap"],
        op_flags=flags,
        op_dtypes=[dtype] * (len(inputs) + 1),
        casting="unsafe",
        order="K",
        buffersize=CHUNK,
    )
    with iterator:
        for chunks in iterator:
            *sources, target = (x.view(dtype) for x in chunks)
            kernel.apply(target, params, tuple(sources), 1, target.size)


def _flat(arrays: Sequence[Array], dtype: np.dtype[Any]) -> list[Array] | None:
    """One-dimensional views where all arrays are of one shape and order, contiguous and in the dtype, else None.

    The dtype of the views is that very object, because a kernel compares no more than its address; nor does it know
    subclasses such as memory maps, whose memory is as good.
    """
    arrays = [np.asarray(x) for x in arrays]
    out = arrays[0]
    if any(x.shape != out.shape or x.dtype != dtype or not x.flags.aligned or _clash(x, out) for x in arrays):
        return None
    if all(x.flags.c_contiguous for x in arrays):
        return [x.reshape(-1).view(dtype) for x in arrays]
    if all(x.flags.f_contiguous for x in arrays):
        return [x.T.reshape(-1).view(dtype) for x in arrays]
    return None
