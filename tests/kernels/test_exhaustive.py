"""Every float32 there is, through every elementwise function and its derivative."""

from __future__ import annotations

import pytest

from actbench.catalog.declaration import Declaration
from actbench.kernels import bind
from actbench.verify.accuracy import every_input
from tests.kernels.test_values import PROMISED


@pytest.mark.long
@pytest.mark.parametrize("pass_", PROMISED)
def test_every_float32_keeps_the_promise(elementwise: Declaration, pass_: str) -> None:
    audit = every_input(getattr(bind(elementwise), pass_), "float32")
    assert audit.inputs == 1 << 32
    assert audit.wrong == 0
    assert audit.largest <= PROMISED[pass_], audit.where.hex()
