"""The user's data: which files are taken, how a sample is drawn, how far an output is off."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from actbench import kernels
from actbench.bench.data import check, max_ulp, open_data, sample
from actbench.catalog.errors import InputFileError


def saved(path: Path, array: np.ndarray, **options: bool) -> Path:
    np.save(path, array, **options)
    return path


@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_an_array_is_mapped_read_only(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    path = saved(tmp_path / "x.npy", np.ones(shape, dtype))
    data, described = open_data(path)
    assert isinstance(data, np.memmap)
    assert not data.flags.writeable
    assert (described.path, described.shape, described.dtype) == (str(path), shape, dtype)


def archive() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.ones(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an array saved by np.save"),
        (b"x,y\n1,2\n", "is not an array saved by np.save"),
        (archive(), "is not an array saved by np.save: save one array with numpy.save, uncompressed$"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "is not an array saved by np.save"),
        (b"\x93NUMPY\x01\x00\x06\x00{1: 2\n", "is not an array saved by np.save"),
        (np.ones(3, int), "holds dtype <i8: save it as one of float64, float32, float16"),
        (np.ones(3, complex), "holds dtype <c16"),
        (
            np.ones(3, np.dtype("f4").newbyteorder()),
            r"byte order is not this machine's: save array.astype\('float32'\)",
        ),
        (np.array(["a"]), "holds dtype <U1"),
        (np.array([{}], object), "is not an array saved by np.save"),
        (np.ones((0, 3)), "no elements|is not an array"),
    ],
    ids=[
        "empty",
        "csv",
        "archive",
        "cut",
        "header",
        "integers",
        "complex",
        "order",
        "text",
        "pickle",
        "none",
    ],
)
def test_another_file_is_refused_in_one_line(
    tmp_path: Path, content: bytes | np.ndarray, message: str
) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content) if isinstance(content, bytes) else saved(path, content, allow_pickle=True)
    with pytest.raises(InputFileError, match=message) as error:
        open_data(path)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 4


def test_a_truncated_file_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.npy", np.ones(1000))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputFileError, match="is not an array"):
        open_data(path)
    with pytest.raises(InputFileError, match="No such file"):
        open_data(tmp_path / "none.npy")
    with pytest.raises(InputFileError, match="cannot read"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((50,), (50,)),
        ((1000,), (100,)),
        ((200, 5), (20, 5)),  # whole rows
        ((2, 500), (1, 100)),  # no row fits: a part of one
        ((10, 40, 5), (10, 2, 5)),  # whole sequences
        ((), (1,)),
    ],
)
def test_a_sample_keeps_rows_whole_while_it_can(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    part = sample(np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape), limit=100)
    assert part.shape == expected


@pytest.mark.parametrize(("name", "turned"), [("relu", True), ("mse", True), ("softmax", False)])
def test_data_in_the_order_of_fortran_are_taken_as_they_lie(name: str, turned: bool) -> None:
    """Where the order of axes says nothing: rows lie along the last one."""
    data = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    made = kernels.function(name).workload("forward", "float64", data.size, data=data)
    operands = [made.arrays[o] for o in ("x", "pred", "target", "out") if o in made.arrays]
    assert all(o.shape == ((4, 3) if turned else (3, 4)) for o in operands)
    assert not turned or all(o.flags.carray or o is operands[0] for o in operands)
    made.call()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_ulp_distance(dtype: str) -> None:
    one = np.array([1.0, 2.0, -3.0], dtype)
    assert max_ulp(one, one, dtype) == 0
    assert max_ulp(np.nextafter(one, np.array(9, dtype)), one, dtype) == 1
    tiny = np.finfo(dtype).smallest_subnormal
    assert max_ulp(np.array([3 * tiny]), np.array([0.0]), dtype) == 3
    assert max_ulp(np.array([np.nan, 1.0]), np.array([1.0, 1.0]), dtype) == 0
    assert max_ulp(np.array([np.nan]), np.array([1.0]), dtype) is None


def test_a_check_finds_what_is_off_and_what_is_not_finite() -> None:
    x = np.array([1.0, -2.0, np.nan, np.inf, 3.0], np.float32)
    relu = kernels.function("relu")
    found = check(relu, "forward", x)
    assert (found.elements, found.max_ulp, found.nan, found.inf) == (5, 0, 1, 1)
    assert check(relu, "forward", x.astype(np.float64)).max_ulp is None
    sigmoid = check(kernels.function("sigmoid"), "backward", np.linspace(-20, 20, 999, dtype=np.float32))
    # The kernels' own bound is a few ULP; an output of other numbers would be off by millions.
    assert sigmoid.max_ulp is not None
    assert 0 < sigmoid.max_ulp < 10


def test_a_check_gives_both_formats_the_same_targets() -> None:
    x = np.linspace(-2, 2, 1000, dtype=np.float16)
    found = check(kernels.function("mse"), "backward", x)
    assert found.max_ulp is not None
    assert found.max_ulp <= 1  # float16 is computed in float32 and rounded once
