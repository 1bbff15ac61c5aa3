"""Kernels that count their floating-point operations: as many as the formula has, and the same results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import actbench
from actbench import kernels
from actbench.catalog.declaration import Declaration
from actbench.kernels import operations
from actbench.kernels.operations import Counting

DTYPES = ("float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "pass_", "count"),
    [
        ("relu", "forward", 0),  # a comparison and a selection
        ("leaky_relu", "forward", 1),
        ("relu", "backward", 1),  # grad_output * derivative
        ("huber", "backward", 2),  # a difference, a division by the count
    ],
)
def test_the_operations_of_the_formula_are_counted(name: str, pass_: str, count: int, dtype: str) -> None:
    # Ends of a kernel's loop may be done twice: up to 64 elements of 16384.
    assert actbench.get(name).flops(pass_, dtype) == pytest.approx(count, rel=2 * 64 / 2**14)


def test_a_sum_counts_its_additions() -> None:
    difference_square_and_sum = 3
    assert actbench.get("mse").flops("forward", "float32") == pytest.approx(
        difference_square_and_sum, rel=0.01
    )


def test_a_fused_multiply_add_counts_two() -> None:
    lines = [
        "  %a = fadd <16 x float> %x, %y",
        "  %b = fmul double %x, %y",
        "  %c = tail call <8 x double> @llvm.fma.v8f64(<8 x double> %x, <8 x double> %y, <8 x double> %z)",
        "  %d = call float @llvm.sqrt.f32(float %x)",
        "  %e = tail call float @llvm.vector.reduce.fadd.v16f32(float 0.0, <16 x float> %x)",
        "  %f = fcmp olt <16 x float> %x, %y",
        "  %g = select <16 x i1> %f, <16 x float> %x, <16 x float> %y",
        "  %h = add i64 %i, 1",
        "  %j = fneg float %x",
        "declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)",
    ]
    assert [operations._operations(line) for line in lines] == [16, 1, 16, 1, 16, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("name", ["gelu", "softmax", "ctc"])
def test_counting_changes_no_result(name: str) -> None:
    f = kernels.bind(actbench.get(name).declaration)
    work = f.workload("forward", "float32", 5000)
    expected = _result(work)
    sharable = f._pass_kernel("forward", np.dtype("float32"))
    counting = Counting(sharable.kernel(False))
    sharable.alone = counting.entry
    again = f.workload("forward", "float32", 5000)
    before = counting.value
    assert np.array_equal(_result(again), expected, equal_nan=True)
    assert counting.value > before


def test_two_that_count_one_kernel_count_apart() -> None:
    f = kernels.bind(actbench.get("tanh").declaration)
    sharable = f._pass_kernel("forward", np.dtype("float32"))
    first, second = (Counting(sharable.kernel(False)) for _ in range(2))
    sharable.alone = second.entry
    f.workload("forward", "float32", 1000).call()
    assert (first.value, second.value > 0) == (0, True)


def _result(work: Any) -> Any:
    found = work.call()
    return np.asarray(work.arrays.get("out", found)).copy()


def test_every_pass_of_every_function_can_be_counted(declaration: Declaration) -> None:
    function = kernels.bind(declaration)
    for pass_ in function.passes:
        assert function.flops(pass_, "float32") >= 0


def test_a_count_is_kept_beside_its_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    f = actbench.get("tanh")
    first = f.flops("forward", "float64")

    def never(kernel: object) -> None:
        raise AssertionError("counted again")

    monkeypatch.setattr(operations, "Counting", never)
    assert kernels.bind(f.declaration).flops("forward", "float64") == first


@pytest.mark.parametrize("name", ["softmax", "cross_entropy", "ctc", "mse", "gelu"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_formats_of_16_bits_are_counted_in_the_one_they_are_worked_out_in(name: str, dtype: str) -> None:
    counts = [actbench.get(name).flops("forward", d) for d in (dtype, "float32")]
    # Polynomials for 11 bits are shorter than those for 24, but not by more than that.
    assert counts[0] > 0.25 * counts[1] > 0
