"""Functions that only kernels call: linked into them, compiled once."""

from __future__ import annotations

import gc

import numba
import numpy as np
import pytest
from numba.core.codegen import JITCodeLibrary

from actbench.kernels.collection import uncollected
from actbench.kernels.compiler import compile_kernel, operand
from actbench.kernels.loops import alone
from actbench.kernels.templates import forward


def _inner(x):
    return 2.0 * x


def _outer(x):
    return _inner(x) + 1.0


def _with_closure(x):
    double = lambda v: 2.0 * v  # noqa: E731
    return double(x) + 1.0


def _kernel(body):
    array = operand(np.dtype(np.float64))
    signature = (array, numba.types.Tuple(()), numba.types.UniTuple(array, 1))
    return compile_kernel(alone(forward), (body,), np.dtype(np.float64), signature, scalars=1)


def test_only_the_kernel_becomes_machine_code(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTBENCH_CACHE_DIR", str(tmp_path))
    made = []
    finalize = JITCodeLibrary._finalize_specific
    monkeypatch.setattr(
        JITCodeLibrary, "_finalize_specific", lambda self: (made.append(self.name), finalize(self))
    )
    kernel = _kernel(_outer)
    assert not kernel.compilation.cached
    out = np.empty(5)
    assert kernel.entry(out, (), (np.arange(5.0),))
    assert np.array_equal(out, 2 * np.arange(5.0) + 1)
    assert not {"_inner", "_outer"} & set(made)
    assert sum("kernel" in name for name in made) == 1


def test_a_declaration_may_hold_what_the_own_functions_do_not(tmp_path, monkeypatch):
    monkeypatch.setenv("ACTBENCH_CACHE_DIR", str(tmp_path))
    out = np.empty(5)
    assert _kernel(_with_closure).entry(out, (), (np.arange(5.0),))
    assert np.array_equal(out, 2 * np.arange(5.0) + 1)


def _fail_uncollected():
    with uncollected():
        assert not gc.isenabled()
        raise ZeroDivisionError


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled):
    before = gc.isenabled()
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ZeroDivisionError):
            _fail_uncollected()
        assert gc.isenabled() == enabled
    finally:
        (gc.enable if before else gc.disable)()
