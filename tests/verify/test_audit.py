"""An audit finds the worst result of a format, what is NaN or infinite and should not be, and never trusts a blind judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from actbench import get
from actbench.catalog.declaration import Declaration
from actbench.catalog.formula import Formula
from actbench.catalog.registry import find
from actbench.kernels import bind
from actbench.kernels.elementwise import Elementwise
from actbench.peers.base import Description, Table, Tables
from actbench.peers.numpy_ import OneThread
from actbench.verify import audit
from actbench.verify.audit import VoidAuditError, audited, held, judge_of, swept
from actbench.verify.findings import DERIVATIVE, FORWARD, MEAN, OURS, Audit, Case, slack
from actbench.verify.inputs import all_numbers
from actbench.verify.ledger import Ledger
from actbench.verify.rounding import FORMATS
from actbench.verify.subject import Subject

pytest.importorskip("flint", reason="the oracle is the extra 'audit'")

HALVES = ("float16", "bfloat16")
Change = Callable[[np.ndarray, np.ndarray], None]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few inputs: a thousandth of what the command tries."""
    densities = {key: (8, 2, 16) if "float32" in key else (2, 1, 8) for key in audit._DENSITY}
    monkeypatch.setattr(audit, "_DENSITY", densities)


def only(name: str, pass_: str, dtype: str, **params: Any) -> Audit:
    (found,) = audited(get(name), Case(name, pass_, dtype, tuple(params.items())), (), pytest.fail)
    return found


def changed(name: str, dtype: str, change: Change, pass_: str = FORWARD) -> Ledger:
    """What is found of a pass of which some results are changed, at all numbers of a format of 16 bits."""
    subject = Subject(get(name), Case(name, pass_, dtype))

    def results(x: np.ndarray) -> np.ndarray:
        y = subject(x)
        change(x.astype(np.float32), y)
        return y

    return held(judge_of(subject), (((x,), results(x)) for x in all_numbers(subject.kind)))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("pass_", [FORWARD, DERIVATIVE])
def test_every_function_is_within_its_bound(elementwise: Declaration, pass_: str, dtype: str) -> None:
    found = only(elementwise.name, pass_, dtype)
    assert found.verdict == "within", found
    assert found.control >= 200
    assert found.undecided == 0
    assert found.largest == found.judged <= found.bound
    assert 0 <= found.mean <= found.largest
    assert found.correct > 0.5 * found.inputs
    assert sum(b.inputs for b in found.profile) == found.inputs
    if dtype != "float64":
        assert found.reference is not None
        assert found.reference <= 2


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("pass_", [FORWARD, DERIVATIVE, MEAN])
def test_every_loss_is_within_its_bound(pairwise: Declaration, pass_: str, dtype: str) -> None:
    found = only(pairwise.name, pass_, dtype)
    assert found.verdict == "within", found
    assert found.control > 0


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize(
    "name", ["softmax", "log_softmax", "maxout", "cross_entropy", "ctc", "ctc_with_logits"]
)
def test_rows_are_judged(name: str, dtype: str) -> None:
    found = only(name, FORWARD, dtype)
    assert found.verdict == "within", found
    gradient = only(name, DERIVATIVE, dtype)
    assert gradient.control > 0
    assert gradient.wrong == 0
    assert [c.name for c in gradient.where] == ["element", "length", "spread"]


def an_ulp_up(x: np.ndarray, y: np.ndarray) -> None:
    y.view(np.uint16)[x == 1] += 1


@pytest.mark.parametrize("dtype", HALVES)
def test_one_result_that_is_an_ulp_off_is_found(dtype: str) -> None:
    ledger = changed("sigmoid", dtype, an_ulp_up)
    assert ledger.where == (1.0,)
    assert 0.5 < ledger.largest < 1.6
    assert (ledger.inputs, ledger.wrong) == (1 << 16, 0)
    assert changed("sigmoid", dtype, lambda x, y: None).largest <= 0.51


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_nan_or_an_infinity_is_no_small_error(dtype: str, value: float) -> None:
    def spoil(x: np.ndarray, y: np.ndarray) -> None:
        y[x == 1] = value

    ledger = changed("sigmoid", dtype, spoil)
    assert ledger.wrong == 1
    assert ledger.astray == (1.0,)


@pytest.mark.parametrize("dtype", HALVES)
def test_a_number_in_the_place_of_nan_is_wrong(dtype: str) -> None:
    def spoil(x: np.ndarray, y: np.ndarray) -> None:
        y[np.isnan(x)] = 0

    assert changed("sigmoid", dtype, spoil).wrong > 0


def test_a_derivative_that_is_lost_in_the_tail_is_found() -> None:
    """s(1 - s) is 0 where the sigmoid rounds to 1."""

    def spoil(x: np.ndarray, y: np.ndarray) -> None:
        y[x > 12] = 0

    assert changed("sigmoid", "bfloat16", spoil, DERIVATIVE).largest > 100


def test_zeros_of_the_wrong_sign_are_counted_apart() -> None:
    def spoil(x: np.ndarray, y: np.ndarray) -> None:
        y[y.astype(np.float32) == 0] = 0

    right, wrong = (changed("silu", "float16", change) for change in (lambda x, y: None, spoil))
    assert right.zeros == 0
    assert wrong.zeros > 0
    assert wrong.largest == right.largest


def test_what_overflows_is_infinite() -> None:
    found = only("leaky_relu", FORWARD, "float16", negative_slope=2.0)
    assert (found.largest, found.wrong) == (0, 0)


@pytest.mark.parametrize(("name", "params"), [("leaky_relu", {"negative_slope": 0.1}), ("rrelu", {})])
def test_a_parameter_is_the_number_that_the_format_holds(name: str, params: dict[str, float]) -> None:
    """One product, rounded once: with the parameter that was typed it would be off by up to one ULP."""
    found = only(name, FORWARD, "float32", **params)
    assert 0.4 < found.largest <= 0.5


def test_a_shifted_kink_is_found() -> None:
    def spoil(x: np.ndarray, y: np.ndarray) -> None:
        y[x == 0] = 1

    assert changed("relu", "float16", spoil, DERIVATIVE).largest > 1000


def test_slices_make_the_whole() -> None:
    subject = Subject(get("tanh"), Case("tanh", FORWARD, "bfloat16"))
    judge = judge_of(subject)
    whole, parts = swept(subject, judge, 0, 1 << 16), Ledger()
    for start in range(0, 1 << 16, 1 << 14):
        parts.merge(swept(subject, judge, start, start + (1 << 14)))
    assert 0 < whole.control <= parts.control
    parts.control = whole.control
    assert parts.totals == pytest.approx(whole.totals)
    parts.totals = whole.totals
    assert parts.document() == whole.document()


class Blind:
    """A judge that says of everything that it is right."""

    name, reference = "blind judge", None

    def __init__(self, correct: bool) -> None:
        self.correct = correct

    def __call__(self, ledger: Ledger, operands: Sequence[np.ndarray], got: np.ndarray) -> None:
        ledger.counts[0] += got.size
        ledger.largest = ledger.judged = 0.0 if self.correct else 0.25
        ledger.correct += got.size * self.correct


@pytest.mark.parametrize("correct", [True, False])
def test_a_blind_judge_makes_an_audit_void(correct: bool) -> None:
    x = np.linspace(1, 2, 100)
    with pytest.raises(VoidAuditError, match="did not catch results moved by one ULP"):
        held(Blind(correct), [((x,), x)])


def test_where_nothing_can_be_judged_there_is_no_verdict() -> None:
    nowhere = Elementwise(replace(find("tanh"), formula=Formula("sqrt(-1 - x**2)")))
    (found,) = audited(nowhere, Case("tanh", FORWARD, "float64"), (), pytest.fail)
    assert found.control == 0
    assert found.undecided == found.inputs - 1  # NaN is NaN
    assert found.verdict == "undecided"


def test_a_float64_kernel_that_errs_too_much_judges_nothing() -> None:
    shifted = Elementwise(replace(find("tanh"), formula=Formula("tanh(x + 2**-20)")))
    (found,) = audited(shifted, Case("tanh", FORWARD, "float32"), (), pytest.fail)
    assert found.reference is not None
    assert found.reference > 1e6
    assert found.verdict == "undecided"
    (alone,) = audited(shifted, Case("tanh", FORWARD, "float64"), (), pytest.fail)
    assert alone.verdict == "beyond"


def test_without_a_definition_the_float64_kernel_is_the_judge() -> None:
    unknown = Elementwise(replace(find("tanh"), formula=Formula("mystery(x)")))
    notes: list[str] = []
    (found,) = audited(unknown, Case("tanh", FORWARD, "float16"), (), notes.append)
    assert (found.judge, found.reference, found.verdict) == ("float64 kernel", None, "within")
    assert audited(unknown, Case("tanh", FORWARD, "float64"), (), notes.append) == []
    alone, none = notes
    assert alone.startswith("tanh forward float16: held against the float64 kernel alone: ")
    assert none == "tanh forward float64: not judged: tanh: its formula calls mystery, which is unknown"


def test_the_reference_may_err_by_twice_what_was_found() -> None:
    assert slack(None, "float64") == slack(1.5, "float64") == 4
    assert slack(3.0, "float64") == 6
    assert slack(3.0, "float32") == 6 * 2.0**-29


class Crude(OneThread):
    """A library that errs."""

    name, packages, extra = "crude", ("numpy",), "peers"

    def _describe(self) -> Description:
        return Description("0", "", "", "")

    def _tables(self) -> Tables:
        forward: Table = {
            "sigmoid": lambda p: lambda x: 1 / (1 + np.exp(-x)),
            "tanh": lambda p: lambda x: x[:-1],
            "softplus": lambda p: lambda x: np.log(1 + np.exp(x)),
        }
        backward: Table = {"relu": lambda p: lambda g, x: g * (x >= 0)}
        return Tables(forward, backward)


class TestPeers:
    def found(self, name: str, pass_: str, notes: list[str]) -> list[Audit]:
        return audited(get(name), Case(name, pass_, "float32"), [Crude()], notes.append)

    def test_a_peer_is_held_against_the_same_inputs(self) -> None:
        ours, theirs = self.found("sigmoid", FORWARD, [])
        assert (ours.provider, theirs.provider) == (OURS, "crude")
        assert ours.inputs == theirs.inputs
        assert theirs.largest > 1e4  # 0 from -88.7 on
        assert theirs.reference == ours.reference

    def test_a_peer_that_overflows_is_wrong(self) -> None:
        _, theirs = self.found("softplus", FORWARD, [])
        assert theirs.wrong > 0
        assert theirs.astray[0].value > 88

    def test_a_kink_is_another_convention_and_no_error(self) -> None:
        ours, theirs = self.found("relu", DERIVATIVE, [])
        assert theirs.largest == 0
        assert theirs.inputs < ours.inputs

    def test_a_peer_without_the_function_is_left_out(self) -> None:
        notes: list[str] = []
        assert len(self.found("gelu", FORWARD, notes)) == 1
        assert notes == []

    def test_a_peer_that_raises_is_told_of(self) -> None:
        notes: list[str] = []
        assert len(self.found("tanh", FORWARD, notes)) == 1
        (note,) = notes
        assert note.startswith("tanh forward float32: crude: ")


def test_places_are_told_in_hex() -> None:
    found = only("sigmoid", FORWARD, "float16")
    (at,) = found.where
    assert (at.name, at.hex) == ("x", at.value.hex())
    assert math.isfinite(at.value)
    assert bind(find("sigmoid")).name == "sigmoid"
