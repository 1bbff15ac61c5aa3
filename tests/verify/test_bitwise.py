"""The catalogue gives the same bits in every way it is called, and every way of not doing so is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import actbench
from actbench.catalog.declaration import Declaration
from actbench.kernels import bind
from actbench.kernels import threads as pool
from actbench.verify import bitwise
from actbench.verify.report import Report


def test_the_catalogue_gives_the_same_bits(declaration: Declaration) -> None:
    found = bitwise.check(bind(declaration))
    assert Report(found).exit_code == 0, [f"{e.check}: {e.counterexample}" for e in found if e.counterexample]
    kinds = {e.check.removeprefix("bits: ") for e in found}
    assert kinds >= {"sizes", "offsets", "strides", "order", "neighbours", "threads"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["silu", "relu", "softmax", "mse", "cross_entropy"])
def test_so_do_numbers_of_16_bits(name: str, dtype: str) -> None:
    assert Report(bitwise.check(actbench.get(name), (dtype,))).exit_code == 0


def moved(y: np.ndarray, where: Any) -> None:
    """The results there, one ULP further."""
    y[where] = np.nextafter(y[where], np.inf)


def by_vectors(y: np.ndarray, x: np.ndarray, threads: int) -> None:
    """What does not fill a vector is computed by other code."""
    if y.size >= 16:
        moved(y, slice(y.size - y.size % 16, None))


def by_size(y: np.ndarray, x: np.ndarray, threads: int) -> None:
    if y.size == 1:
        moved(y, slice(None))


def by_address(y: np.ndarray, x: np.ndarray, threads: int) -> None:
    if x.ctypes.data % 64 == 24:
        moved(y, slice(None))


def by_neighbours(y: np.ndarray, x: np.ndarray, threads: int) -> None:
    """Where one of 8 neighbours is NaN a slower way is taken for all of them."""
    for i in range(0, y.size - 7, 8):
        if np.isnan(x[i : i + 8]).any():
            moved(y, slice(i, i + 8))


def by_threads(y: np.ndarray, x: np.ndarray, threads: int) -> None:
    if threads == 3 and y.size >= pool.SHARED:
        moved(y, y.size // 3)


def by_place(y: np.ndarray, x: np.ndarray, threads: int) -> None:
    moved(y, slice(y.size // 2, y.size // 2 + 1))


class Tampered:
    """A function whose forward pass is not quite that."""

    def __init__(self, change: Callable[[np.ndarray, np.ndarray, int], None]) -> None:
        self.f, self.change = actbench.get("sigmoid"), change

    def __getattr__(self, name: str) -> Any:
        return getattr(self.f, name)

    @property
    def forward(self) -> Callable[..., np.ndarray]:
        return self

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        y = self.f(x, threads=threads)
        self.change(y, np.ascontiguousarray(x) if x.strides[0] != x.itemsize else x, threads)
        if out is None:
            return y
        out[...] = y
        return out


class Ignorant(Tampered):
    """It takes every array for contiguous."""

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        first = x if x.base is None or x.strides[0] > 0 else x[::-1]
        flat = np.lib.stride_tricks.as_strided(first, x.shape, (x.itemsize,))
        return self.f(flat, out=out, threads=threads)


class Hasty(Tampered):
    """It writes where it has not yet read."""

    def __call__(self, x: np.ndarray, out: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        y = np.empty_like(x) if out is None else out
        for i in range(0, x.size, 1000):
            y[i : i + 1000] = self.f(x[i : i + 1000])
        return y


@pytest.mark.parametrize(
    ("f", "found_by"),
    [
        (Tampered(by_vectors), "sizes"),
        (Tampered(by_size), "sizes"),
        (Tampered(by_address), "offsets"),
        (Tampered(by_neighbours), "neighbours"),
        (Tampered(by_threads), "threads"),
        (Tampered(by_place), "order"),
        (Ignorant(lambda y, x, threads: None), "strides"),
        (Hasty(lambda y, x, threads: None), "in place"),
    ],
)
def test_every_fault_is_found(f: Any, found_by: str) -> None:
    report = Report(bitwise.check(f, ("float32",)))
    wrong = {e.check.removeprefix("bits: "): e.counterexample for e in report.wrong}
    assert found_by in wrong
    assert report.exit_code == 1
    assert "unit = " in str(wrong[found_by])


def test_a_sum_that_depends_on_threads_is_found() -> None:
    f = actbench.get("mse")

    class Split(Tampered):
        def __call__(self, pred: Any, target: Any, reduction: str, threads: int = 1, **more: Any) -> Any:
            value = f(pred, target, reduction, threads=threads, **more)
            return (
                np.nextafter(value, value.dtype.type(np.inf))
                if reduction == "sum" and threads == 2
                else value
            )

    tampered = Split(lambda y, x, threads: None)
    tampered.f = f
    report = Report(bitwise.check(tampered, ("float64",)))
    assert [e.check for e in report.wrong] == ["bits: threads"], report.wrong
