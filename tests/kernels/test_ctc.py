"""CTC against the sum over every alignment, written out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from actbench import get
from actbench.catalog.errors import UsageError


def alignments(steps: int, classes: int, labels: tuple[int, ...], blank: int) -> list[tuple[int, ...]]:
    """Every path that spells the labels: repeats are merged, then blanks removed."""

    def spelled(path: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(c for c, _ in itertools.groupby(path) if c != blank)

    return [p for p in itertools.product(range(classes), repeat=steps) if spelled(p) == labels]


def enumerated(scores: np.ndarray, labels: tuple[int, ...], blank: int) -> tuple[float, np.ndarray]:
    """The loss and its gradient with respect to the scores, as log-probabilities, by enumeration."""
    steps, classes = scores.shape
    paths = alignments(steps, classes, labels, blank)
    weights = np.array([math.exp(sum(scores[t, c] for t, c in enumerate(p))) for p in paths])
    total = weights.sum()
    gradient = np.zeros(scores.shape)
    for path, weight in zip(paths, weights, strict=True):
        for t, c in enumerate(path):
            gradient[t, c] -= weight / total
    return (-math.log(total) if paths else math.inf), gradient


CASES = [
    (1, 2, (), 0), (1, 3, (2,), 0), (3, 3, (1, 2), 0), (4, 3, (1, 1), 0), (3, 3, (1, 1), 0), (5, 3, (1, 2, 1), 0),
    (6, 3, (2, 2, 1), 0), (6, 4, (3, 1, 3), 0), (4, 3, (0, 1), 2), (5, 3, (0, 0), 1), (6, 2, (1, 1, 1), 0),
    (4, 2, (), 1),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "classes", "labels", "blank"), CASES)
class TestEnumeration:
    def test_log_probabilities(self, steps: int, classes: int, labels: tuple[int, ...], blank: int) -> None:
        scores = -np.abs(np.random.default_rng(steps).normal(0, 2, (steps, classes)))
        loss, gradient = enumerated(scores, labels, blank)
        target = np.array(labels, np.int64)
        # A dozen logarithms and exponentials of moderate size, each right to an ULP.
        got = get("ctc")(scores, target, reduction="sum", blank=blank)
        assert got == pytest.approx(loss, rel=1e-13)
        if math.isfinite(loss):
            mine = get("ctc").backward(scores, target, reduction="sum", blank=blank)
            assert mine == pytest.approx(gradient, rel=1e-12, abs=1e-15)

    def test_logits(self, steps: int, classes: int, labels: tuple[int, ...], blank: int) -> None:
        logits = np.random.default_rng(steps + 9).normal(0, 2, (steps, classes))
        normal = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        loss, gradient = enumerated(normal, labels, blank)
        target = np.array(labels, np.int64)
        assert get("ctc_with_logits")(logits, target, reduction="sum", blank=blank) == pytest.approx(
            loss, rel=1e-12
        )
        if math.isfinite(loss):
            mine = get("ctc_with_logits").backward(logits, target, reduction="sum", blank=blank)
            # By the chain rule: each row of log-probabilities carries one posterior, of mass 1.
            assert mine == pytest.approx(np.exp(normal) + gradient, rel=1e-11, abs=1e-14)


@pytest.mark.parametrize("name", ["ctc", "ctc_with_logits"])
class TestInfeasible:
    scores = np.log(np.full((2, 1, 3), 1 / 3))
    labels = np.array([[1, 1]])

    def test_it_is_infinite_and_has_no_gradient(self, name: str) -> None:
        assert get(name)(self.scores, self.labels, reduction="sum") == math.inf
        assert np.all(np.isnan(get(name).backward(self.scores, self.labels, reduction="sum")))

    def test_zero_infinity(self, name: str) -> None:
        assert get(name)(self.scores, self.labels, reduction="sum", zero_infinity=True) == 0
        gradient = get(name).backward(self.scores, self.labels, reduction="sum", zero_infinity=True)
        assert np.array_equal(gradient, np.zeros(self.scores.shape))

    def test_no_steps(self, name: str) -> None:
        lengths = {"input_lengths": [0], "target_lengths": [0]}
        assert get(name)(self.scores, self.labels, reduction="sum", **lengths) == 0
        assert get(name)(self.scores, self.labels, reduction="sum", input_lengths=[0]) == math.inf


def test_float32_keeps_long_sums_in_float64() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 1, (400, 2, 20)).astype(np.float32)
    labels = rng.integers(1, 20, (2, 60))
    wide = get("ctc_with_logits")(logits.astype(np.float64), labels, reduction="sum")
    narrow = get("ctc_with_logits")(logits, labels, reduction="sum")
    # 400 terms of about 3 that sum to 1000 would lose 4 digits in float32; one rounding at the end does not.
    assert float(narrow) == pytest.approx(float(wide), rel=2e-7)


def test_the_mean_divides_by_target_lengths_or_not() -> None:
    scores = -np.abs(np.random.default_rng(6).normal(0, 1, (6, 2, 4)))
    labels, lengths = np.array([[1, 2, 3], [2, 0, 0]]), np.array([3, 1])
    each = get("ctc")(scores, labels, reduction="none", target_lengths=lengths)
    assert get("ctc")(scores, labels, target_lengths=lengths) == pytest.approx(
        (each / lengths).mean(), rel=1e-14
    )
    assert get("ctc")(scores, labels, target_lengths=lengths, mean_by="batch") == pytest.approx(
        each.mean(), rel=1e-14
    )


@pytest.mark.parametrize(
    ("labels", "more", "message"),
    [
        ([[0]], {}, "blank"),
        ([[9]], {}, "outside 0..2"),
        ([[1]], {"blank": 7}, "blank=7"),
        ([[1]], {"input_lengths": [9]}, "input_lengths"),
        ([[1.5]], {}, "integers"),
        ([[1], [2]], {}, "do not fit"),
    ],
)
def test_a_mistake_is_one_line(labels: object, more: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        get("ctc")(np.zeros((2, 1, 3)), labels, **more)


def in_logarithms(scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss and its gradient by sums of logarithms in float64, blank 0: slow, but nothing can underflow."""
    extended = np.zeros(2 * len(labels) + 1, int)
    extended[1::2] = labels
    skip = np.array([s % 2 == 1 and s > 2 and extended[s] != extended[s - 2] for s in range(len(extended))])

    def prefixes(emitted: np.ndarray, may_skip: np.ndarray) -> np.ndarray:
        rows = []
        row = np.full(emitted.shape[1], -math.inf)
        row[:2] = emitted[0, :2]
        for t in range(len(emitted)):
            if t:
                padded = np.concatenate([[-math.inf] * 2, row])
                skipped = np.where(may_skip, padded[:-2], -math.inf)
                row = np.logaddexp(np.logaddexp(row, padded[1:-1]), skipped) + emitted[t]
            rows.append(row)
        return np.array(rows)

    emitted = scores[:, extended]
    alpha = prefixes(emitted, skip)
    mirrored = np.concatenate([[False, False], skip[2:]])[::-1]
    mirrored = np.concatenate([[False, False], mirrored[:-2]])
    beta = prefixes(emitted[::-1, ::-1], mirrored)[::-1, ::-1] - emitted
    likelihood = np.logaddexp(alpha[-1, -1], alpha[-1, -2])
    gradient = np.zeros(scores.shape)
    for s, symbol in enumerate(extended):
        gradient[:, symbol] -= np.exp(alpha[:, s] + beta[:, s] - likelihood)
    return -likelihood, gradient


def peaked(steps: int, classes: int, against: float) -> np.ndarray:
    """A network sure of the blank at every step: each label of the target costs ``against``."""
    scores = np.full((steps, classes), -against)
    scores[:, 0] = 0
    return scores


def flipping(steps: int, classes: int, against: float) -> np.ndarray:
    """Sure of the blank up to the middle, then of anything but: what was hopeless decides the loss."""
    scores = peaked(steps, classes, against)
    scores[steps // 2 :, 0] = -3 * against
    return scores


@pytest.mark.parametrize("against", [0.1, 5.0, 60.0, 2000.0])
@pytest.mark.parametrize("make", [peaked, flipping])
def test_nothing_underflows(make: object, against: float) -> None:
    # 40 labels against 2000 each: the likelihood is about e^-80000, and states differ by as much.
    rng = np.random.default_rng(8)
    scores = make(300, 7, against) + rng.normal(0, 0.3, (300, 7))  # type: ignore[operator]
    labels = rng.integers(1, 7, 40)
    loss, gradient = in_logarithms(scores, labels)
    # The reference rounds 300 sums as large as the loss; so do its exponents, which are the gradient's errors.
    assert get("ctc")(scores, labels, reduction="sum") == pytest.approx(loss, rel=1e-12)
    mine = get("ctc").backward(scores, labels, reduction="sum")
    assert mine == pytest.approx(gradient, rel=1e-9 * max(1, against / 10), abs=1e-12 * max(1, against / 10))


@pytest.mark.parametrize("name", ["ctc", "ctc_with_logits"])
def test_impossible_symbols(name: str) -> None:
    scores = np.log(np.random.default_rng(9).dirichlet(np.ones(4), 12))
    scores[:, 3] = -math.inf
    assert get(name)(scores, np.array([1, 3, 2]), reduction="sum") == math.inf
    assert math.isfinite(get(name)(scores, np.array([1, 2]), reduction="sum"))
    assert np.isfinite(get(name).backward(scores, np.array([1, 2]), reduction="sum")).all()


def test_a_sequence_of_many_steps() -> None:
    scores = np.full((20000, 3), -1.0)
    # All paths weigh e^-20000: the loss is that less the logarithm of how many paths spell one label.
    paths = sum((n) for n in range(1, 20001))
    assert get("ctc")(scores, np.array([1]), reduction="sum") == pytest.approx(
        20000 - math.log(paths), rel=1e-13
    )


@pytest.mark.parametrize("margin", [5.0, 20.0, 40.0, 80.0])
def test_a_confident_symbol_keeps_its_gradient(margin: float) -> None:
    """Its probability and its posterior are both nearly 1: the difference is what the others leave, not 0."""
    logits = np.array([[0.5, margin, -0.5]])
    rest = (math.exp(0.5) + math.exp(-0.5)) * math.exp(-margin)
    for dtype in (np.float64, np.float32):
        got = get("ctc_with_logits").backward(logits.astype(dtype), np.array([1]), reduction="sum")
        eps = float(np.finfo(dtype).eps)
        assert float(got[0, 1]) == pytest.approx(-rest / (1 + rest), rel=4 * eps, abs=0.0)
        assert float(got.sum(dtype=np.float64)) == pytest.approx(0.0, abs=2 * eps * rest)
