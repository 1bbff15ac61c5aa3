"""Every float32 there is, through every elementwise function and its derivative."""

from __future__ import annotations

import pytest

from actbench.catalog.declaration import Declaration
from actbench.kernels import bind
from actbench.verify.audit import bound, judge_of, swept
from actbench.verify.findings import DERIVATIVE, FORWARD, Case
from actbench.verify.subject import Subject


@pytest.mark.long
@pytest.mark.parametrize("pass_", [FORWARD, DERIVATIVE])
def test_every_float32_keeps_the_promise(elementwise: Declaration, pass_: str) -> None:
    subject = Subject(bind(elementwise), Case(elementwise.name, pass_, "float32"))
    ledger = swept(subject, judge_of(subject), 0, 1 << 32)
    assert ledger.inputs == 1 << 32
    assert ledger.wrong == 0
    assert ledger.largest <= bound(elementwise, subject.case), ledger.where[0].hex()
