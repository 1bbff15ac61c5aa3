"""Connectionist temporal classification: the likelihood of a label sequence over all its alignments.

The extended labels are blank, l1, blank, l2, ..., blank (2L + 1 of them). alpha[t, s] is the log-probability
of all prefixes that end in extended label s at time t; beta the same for suffixes, time t excluded. All of it
is kept in float64: the logarithm of a long sequence's likelihood has lost the last digits of a float32.
"""

from __future__ import annotations

import math

from actbench.catalog.declaration import Param
from actbench.catalog.domain import Domain
from actbench.catalog.primitives import Row, exp, log, row_log_sum_exp, wide, workspace
from actbench.catalog.registry import loss

_NEVER = -math.inf


def _add(a: float, b: float) -> float:
    """ln(e^a + e^b), where -inf is the logarithm of nothing."""
    high, low = (a, b) if a >= b else (b, a)
    return high if low == _NEVER else high + log(1.0 + exp(low - high))


def _symbol(labels: Row, s: int, blank: int) -> int:
    return int(labels[s // 2]) if s % 2 == 1 else blank


def _may_skip(labels: Row, s: int) -> bool:
    """Whether an alignment may reach extended label s from s - 2, leaving out the blank between."""
    return s % 2 == 1 and s >= 3 and bool(labels[s // 2] != labels[s // 2 - 1])


def _forward(scores: Row, shift: Row, labels: Row, blank: int, alpha: Row) -> float:
    """Fill alpha, of shape (T + 1, 2L + 1) with an empty prefix in row 0, and return the log-likelihood."""
    steps, states = alpha.shape[0] - 1, alpha.shape[1]
    alpha[:, :] = _NEVER
    for t in range(steps):
        for s in range(states):
            if t == 0:
                before = wide(0.0) if s < 2 else wide(_NEVER)
            else:
                before = alpha[t, s]
                if s >= 1:
                    before = _add(before, alpha[t, s - 1])
                if _may_skip(labels, s):
                    before = _add(before, alpha[t, s - 2])
            alpha[t + 1, s] = before + (wide(scores[t, _symbol(labels, s, blank)]) - shift[t])
    if steps == 0:
        return wide(0.0) if states == 1 else wide(_NEVER)
    end = alpha[steps, states - 1]
    return _add(end, alpha[steps, states - 2]) if states > 1 else end


def _posterior(scores: Row, shift: Row, labels: Row, blank: int, out: Row) -> float:
    """Subtract from ``out`` each symbol's posterior probability a time step; NaN where no alignment exists."""
    steps, states = scores.shape[0], 2 * labels.size + 1
    alpha = workspace(steps + 1, states)
    likelihood = _forward(scores, shift, labels, blank, alpha)
    if likelihood == _NEVER:
        out[:, :] = math.nan
        return likelihood
    beta = workspace(1, states)[0]
    beta[:] = _NEVER
    beta[max(states - 2, 0) :] = 0.0
    for t in range(steps - 1, -1, -1):
        for s in range(states):
            symbol = _symbol(labels, s, blank)
            out[t, symbol] -= exp(alpha[t + 1, s] + beta[s] - likelihood)
        if t == 0:
            break
        # In place, in increasing s: state s takes from s, s + 1 and s + 2, which are still those of t + 1.
        for s in range(states):
            after = beta[s] + (wide(scores[t, _symbol(labels, s, blank)]) - shift[t])
            if s + 1 < states:
                after = _add(after, beta[s + 1] + (wide(scores[t, _symbol(labels, s + 1, blank)]) - shift[t]))
            if s + 2 < states and _may_skip(labels, s + 2):
                after = _add(after, beta[s + 2] + (wide(scores[t, _symbol(labels, s + 2, blank)]) - shift[t]))
            beta[s] = after
    return likelihood


def _unshifted(scores: Row) -> Row:
    shift = workspace(1, scores.shape[0])[0]
    shift[:] = 0.0
    return shift


def _normalisers(scores: Row) -> Row:
    shift = workspace(1, scores.shape[0])[0]
    for t in range(scores.shape[0]):
        shift[t] = row_log_sum_exp(scores[t])
    return shift


def _nll(scores: Row, shift: Row, labels: Row, blank: int) -> float:
    alpha = workspace(scores.shape[0] + 1, 2 * labels.size + 1)
    return -_forward(scores, shift, labels, blank, alpha)


def _ctc_backward(scores: Row, labels: Row, out: Row, blank: int) -> None:
    out[:, :] = 0.0
    _posterior(scores, _unshifted(scores), labels, blank, out)


def _ctc_logits_backward(scores: Row, labels: Row, out: Row, blank: int) -> None:
    shift = _normalisers(scores)
    for t in range(scores.shape[0]):
        for c in range(scores.shape[1]):
            out[t, c] = exp(wide(scores[t, c]) - shift[t])
    _posterior(scores, shift, labels, blank, out)


_BLANK = Param(Domain("[0, inf)"), "index of the blank label", {"torch": 0, "keras": "last or 0", "optax": 0})
_PITFALLS = (
    "torch returns the gradient of the logits as if it were that of the log-probabilities: ctc is the "
    "gradient with respect to log-probabilities, ctc_with_logits that with respect to logits.",
    "The mean divides by target lengths first in torch, by the batch only in optax and Keras (mean_by=).",
    "An alignment exists only if T >= L + the number of adjacent repeats: else the loss is inf and its "
    "gradient NaN, or both 0 with zero_infinity=True.",
)


@loss(
    template="sequence",
    family="sequence",
    formula="-log(sum(exp(sum(scores[t, a[t]], t)), a))",
    derivative_formula="-posterior(t, c)",
    derivative=_ctc_backward,
    params={"blank": _BLANK},
    domain="[-inf, 0]",
    aliases=("ctc_loss",),
    reference="Graves, Fernández, Gomez and Schmidhuber (2006), ICML; torch.nn.functional.ctc_loss",
    pitfalls=_PITFALLS,
)
def ctc(scores: Row, labels: Row, blank: int = 0) -> float:
    """Connectionist temporal classification loss of log-probabilities of shape (T, N, C)."""
    return _nll(scores, _unshifted(scores), labels, blank)


@loss(
    template="sequence",
    family="sequence",
    formula="-log(sum(exp(sum(log_softmax(scores)[t, a[t]], t)), a))",
    derivative_formula="softmax(scores)[t, c] - posterior(t, c)",
    derivative=_ctc_logits_backward,
    params={"blank": _BLANK},
    aliases=("ctc_loss_with_logits",),
    reference="Graves, Fernández, Gomez and Schmidhuber (2006), ICML; optax.losses.ctc_loss",
    pitfalls=_PITFALLS,
)
def ctc_with_logits(scores: Row, labels: Row, blank: int = 0) -> float:
    """Connectionist temporal classification loss of logits of shape (T, N, C)."""
    return _nll(scores, _normalisers(scores), labels, blank)
