"""Operands by address: what a kernel declines, the 16-bit formats, edges, streams, and other processors."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import llvmlite.binding as llvm
import ml_dtypes
import numpy as np
import pytest

import actbench
from actbench.catalog.declaration import Declaration
from actbench.kernels import bind, operands, threads
from actbench.kernels.arrays import dtype_named

FORMATS = ["float64", "float32", "float16", "bfloat16"]
NARROW = {"float16": np.finfo(np.float16), "bfloat16": ml_dtypes.finfo(ml_dtypes.bfloat16)}


def _kernel(name: str, dtype: str, pass_: str = "forward"):
    return actbench.get(name)._pass_kernel(pass_, dtype_named(dtype)).kernel(False)


def test_a_kernel_declines_what_it_cannot_walk():
    kernel = _kernel("relu", "float32")
    x = np.linspace(-1, 1, 24, dtype=np.float32)
    grid, buffer = x.reshape(4, 6), np.zeros(48, np.float32)
    unaligned = np.zeros(97, np.uint8)[1:].view(np.float32)
    locked = np.empty_like(x)
    locked.flags.writeable = False
    fitting = [
        (np.empty_like(x), x),
        (x.copy(), x),
        (np.empty((4, 6), "f4"), grid),
        (np.empty((6, 4), "f4").T, grid.copy("F")),
    ]
    for out, given in fitting:
        assert kernel.entry(out, (0.0,), (given,))
        np.testing.assert_array_equal(out, np.maximum(given, 0))
    declined = [
        (np.empty(24), x), (np.empty(23, "f4"), x), (np.empty((4, 6), "f4"), x), (np.empty((6, 4), "f4"), grid),
        (locked, x), (unaligned, x), (np.empty_like(x), unaligned), (buffer[::2], x), (np.empty_like(x), buffer[::2]),
        (buffer[1:25], buffer[:24]), (buffer[:24], buffer[1:25]), (np.empty((6, 4), "f4").T, grid),
        (np.empty((), "f4"), np.zeros((), "f4")), (np.empty(24, ">f4"), x), ([0.0] * 24, x), (None, x),
        (np.empty(24, "i4"), x), (np.ma.empty(24, "f4"), x),
    ]  # fmt: skip
    for out, given in declined:
        assert not kernel.entry(out, (0.0,), (given,))


@pytest.mark.parametrize("name", NARROW)
def test_all_sixteen_bit_inputs_within_051_ulp(elementwise: Declaration, name: str):
    """Half a ULP is the one rounding; float32 inside, at most 2 of its ULP off, adds 2^-12 of a float16 one.

    Where a derivative has its root, float32 cannot be within 2 ULP: there the change over 2 float32 ULP of x counts.
    """
    f, dtype, info = bind(elementwise), dtype_named(name), NARROW[name]
    x = np.arange(2**16, dtype=np.uint16).view(dtype)
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        g = np.full_like(x, 1.5)
        for got, exact in (
            (f(x), f),
            (f.derivative(x), f.derivative),
            (f.backward(g, x), lambda v: f.backward(np.full_like(v, 1.5), v)),
        ):
            y, expected = got.astype(np.float64), exact(wide)
            np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
            ulp = np.ldexp(1.0, np.maximum(np.frexp(expected)[1] - 1, info.minexp) - info.nmant)
            moved = np.abs(exact(wide * (1 + 2.0**-22)) - expected)
            # From half a last place above the largest number on, infinity is the nearest.
            finite = np.abs(expected) < float(info.max) * (1 + 2.0**-info.nmant / 4)
            assert (np.abs(y - expected)[finite] <= (0.51 * ulp + moved)[finite]).all()
            beyond = np.abs(expected) > float(info.max) * (1 + 2.0**-info.nmant)
            assert np.isinf(y[beyond]).all()


@pytest.mark.parametrize("name", NARROW)
def test_ties_go_to_even(name: str):
    """Three quarters of a 16-bit number are exact in float32, and half way between two 16-bit ones for each second."""
    x = -np.abs(np.arange(2**16, dtype=np.uint16).view(dtype_named(name)))
    with np.errstate(all="ignore"):
        x = x[~np.isnan(x.astype(np.float32))]
        expected = (x.astype(np.float32) * np.float32(0.75)).astype(x.dtype)
    assert actbench.get("leaky_relu")(x, negative_slope=0.75).tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("pass_", ["forward", "backward"])
def test_streamed_results_have_the_same_bits(dtype: str, pass_: str):
    """Large outputs go past the caches, in aligned lines: the edges, and every element, are those of small ones."""
    f, kind = actbench.get("leaky_relu"), dtype_named(dtype)
    size = operands.STREAMED // kind.itemsize + 77
    small = (4 * np.random.default_rng(0).standard_normal(4099)).astype(kind)
    x = np.resize(small, size + 3)[3:]
    out = np.zeros(size + 5, kind)[5:]
    call = f if pass_ == "forward" else lambda x, out=None: f.backward(x, x, out=out)
    expected = np.resize(call(small), size + 3)[3:]
    assert call(x, out=out).tobytes() == expected.tobytes()
    assert call(x, out=x).tobytes() == expected.tobytes()


def test_a_short_last_part_is_not_streamed():
    """Of many threads the last may get less than what is brought to the beginning of a cache line."""
    parts = threads.PARTS * 32
    size = (parts - 1) ** 2 * threads.GRAIN + 100
    assert size * 4 > operands.STREAMED
    x, out = np.ones(size + 1, np.float32)[1:], np.zeros(size + 1, np.float32)[1:]
    actbench.get("relu")(x, out=out, threads=32)
    np.testing.assert_array_equal(out, x)


def test_no_edge_writes_beyond_the_output():
    f = actbench.get("relu")
    for size in (1, 63, 64, 65, 1023, 1024, 1025, 1100):
        for offset in range(4):
            room = np.full(size + 8, -7.0, np.float32)
            x = np.arange(-3, size - 3, dtype=np.float32)
            f(x, out=room[offset : offset + size])
            np.testing.assert_array_equal(room[offset : offset + size], np.maximum(x, 0))
            assert (room[:offset] == -7).all()
            assert (room[offset + size :] == -7).all()


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("pass_", ["forward", "backward"])
def test_loops_compare_no_addresses(dtype: str, pass_: str, tmp_path, monkeypatch):
    """Where LLVM is not told that elements are independent, it chooses a scalar loop for a call in place."""
    monkeypatch.setenv("ACTBENCH_CACHE_DIR", str(tmp_path))
    declaration = actbench.get("leaky_relu").declaration
    kernel = (
        type(actbench.get("leaky_relu"))(declaration)._pass_kernel(pass_, dtype_named(dtype)).kernel(False)
    )
    (text,) = kernel.dispatcher.inspect_llvm().values()
    assert re.search(r"<\d+ x (float|double)>", text)
    assert "vector.memcheck" not in text


@pytest.mark.skipif(
    not llvm.get_host_cpu_features().get("avx512f"), reason="the processor has no 512-bit vectors"
)
@pytest.mark.parametrize("dtype", FORMATS)
def test_vectors_are_as_wide_as_the_processor_has_them(dtype: str, tmp_path, monkeypatch):
    monkeypatch.setenv("ACTBENCH_CACHE_DIR", str(tmp_path))
    declaration = actbench.get("silu").declaration
    kernel = type(actbench.get("silu"))(declaration)._pass_kernel("forward", dtype_named(dtype)).kernel(False)
    (assembly,) = kernel.dispatcher.inspect_asm().values()
    assert len(re.findall(r"\bvfn?m\w+p[sd]\s.*zmm", assembly)) > 5


PROBE = """
import sys, hashlib, numpy as np
from actbench import get
from actbench.kernels.arrays import dtype_named
for name in sys.argv[2:]:
    for kind in sys.argv[1].split(","):
        dtype = dtype_named(kind)
        x = np.linspace(-12, 12, 4099).astype(dtype)
        if dtype.itemsize == 2:
            x = np.arange(2**16, dtype=np.uint16).view(dtype)
            x = x[~np.isnan(x.astype(np.float32))]
        for y in (get(name)(x), get(name).backward(x, x)):
            y[np.isnan(y.astype(np.float32))] = 0
            print(name, kind, hashlib.sha256(y.tobytes()).hexdigest())
"""


def test_a_plain_processor_computes_the_same_bits(tmp_path):
    """No AVX, no fused multiply-add, no float16 conversion: slower, not different."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        PROBE,
        ",".join(FORMATS),
        "relu",
        "sigmoid",
        "mish",
        "elu",
    ]
    environment = os.environ | {"ACTBENCH_CACHE_DIR": str(tmp_path)}
    plain = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    run = lambda env: subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout  # noqa: E731
    assert run(environment | plain) == run(environment)
