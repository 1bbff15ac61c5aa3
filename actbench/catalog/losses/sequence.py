"""Connectionist temporal classification: the likelihood of a label sequence over all its alignments.

The extended labels are blank, l1, blank, l2, ..., blank: L + 1 blanks and L labels between them. alpha is the
probability of all prefixes that end in one of these states, beta that of all suffixes, the time itself excluded. A
probability is m 2^k in float64 with an exponent of its own, so that none underflows however long the sequence: one
step costs a few multiplications a state, where sums of logarithms need three exponentials and a logarithm.
"""

from __future__ import annotations

import math
from typing import Any

from actbench.catalog.declaration import Param
from actbench.catalog.domain import Domain
from actbench.catalog.primitives import (
    Row,
    exponent_split,
    log_of,
    power_of_two,
    row_exp_pair,
    row_log_sum_exp,
    row_max,
    row_scale_pair,
    row_sum,
    split_exp,
    wide,
    workspace,
)
from actbench.catalog.registry import loss

_DRIFT = 16
"""Steps between normalisations: a sum of three grows by less than 2^4 a step, far from the range of float64."""


def _fill(m: Row, value: float) -> None:
    for i in range(m.shape[0]):
        for j in range(m.shape[1]):
            m[i, j] = value


def _add(m: float, k: float, n: float, q: float) -> tuple[float, float]:
    """m 2^k + n 2^q, as such a pair again."""
    e = k if k > q else q
    return m * power_of_two(k - e) + n * power_of_two(q - e), e


def _emit(scores: Row, t: int, shift: Row, labels: Row, blank: int, m: Row, k: Row) -> None:
    """Fill m 2^k with the probabilities at time t of the blank (first) and of every label."""
    m[0] = wide(scores[t, blank]) - shift[t]
    for j in range(labels.size):
        m[j + 1] = wide(scores[t, labels[j]]) - shift[t]
    for j in range(labels.size + 1):
        m[j], k[j] = split_exp(m[j])


def _barriers(labels: Row) -> Row:
    """The exponents to add on the way from a label past the blank to the next: none, or that of 0 for a repeat."""
    _, nothing = split_exp(wide(-math.inf))
    bar = workspace(1, labels.size + 2)
    # Far below the exponents of states that are 0, or the barred number would join them.
    _fill(bar, 1e6 * nothing)
    for j in range(1, labels.size):
        if labels[j] != labels[j - 1]:
            bar[0, j] = 0.0
    return bar[0]


def _normalise(bm: Row, bk: Row, lm: Row, lk: Row, row: int) -> None:
    for j in range(bm.shape[1]):
        bm[row, j], moved = exponent_split(bm[row, j])
        bk[row, j] += moved
        lm[row, j], moved = exponent_split(lm[row, j])
        lk[row, j] += moved


def _states(rows: int, labels: Row) -> tuple[Row, Row]:
    """States that are all 0, as mantissas and exponents; two beyond the last stay it, so that all have neighbours."""
    _, nothing = split_exp(wide(-math.inf))
    m, k = workspace(rows, labels.size + 3), workspace(rows, labels.size + 3)
    _fill(m, 0.0)
    _fill(k, nothing)
    return m, k


def _forward(
    scores: Row, shift: Row, labels: Row, blank: int, bar: Row, rows: int
) -> tuple[Row, Row, Row, Row, float, float]:
    """alpha of blanks, and of labels from place 1 on, as mantissas and exponents; and the likelihood.

    Row 0 holds the empty prefix, row t + 1 what time t makes of it; where there are two rows they take turns.
    """
    bm, bk = _states(rows, labels)
    lm, lk = _states(rows, labels)
    m, k = _states(1, labels)
    bm[0, 0], bk[0, 0] = 1.0, 0.0
    new = 0
    for t in range(scores.shape[0]):
        old, new = new, (t + 1) % rows
        _emit(scores, t, shift, labels, blank, m[0], k[0])
        for j in range(labels.size + 1):
            total, e = _add(bm[old, j], bk[old, j], lm[old, j], lk[old, j])
            bm[new, j], bk[new, j] = total * m[0, 0], e + k[0, 0]
        for j in range(labels.size):
            stay, step, skip = lk[old, j + 1], bk[old, j], lk[old, j] + bar[j]
            e = stay if stay > step else step
            e = skip if skip > e else e
            total = lm[old, j + 1] * power_of_two(stay - e) + bm[old, j] * power_of_two(step - e)
            total += lm[old, j] * power_of_two(skip - e)
            lm[new, j + 1], lk[new, j + 1] = total * m[0, j + 1], e + k[0, j + 1]
        if t % _DRIFT == _DRIFT - 1:
            _normalise(bm, bk, lm, lk, new)
    last = labels.size
    likelihood, exponent = _add(bm[new, last], bk[new, last], lm[new, last], lk[new, last])
    return bm, bk, lm, lk, likelihood, exponent


def _backward(labels: Row, bar: Row, m: Row, k: Row, bm: Row, bk: Row, lm: Row, lk: Row) -> None:
    """Take beta one step back past m 2^k: rows 0 hold it, rows 1 what is emitted."""
    for j in range(labels.size + 1):
        bm[1, j], bk[1, j] = bm[0, j] * m[0], bk[0, j] + k[0]
        lm[1, j], lk[1, j] = lm[0, j] * m[j], lk[0, j] + k[j]
    for j in range(labels.size + 1):
        bm[0, j], bk[0, j] = _add(bm[1, j], bk[1, j], lm[1, j + 1], lk[1, j + 1])
        total, e = _add(lm[1, j + 1], lk[1, j + 1], bm[1, j + 1], bk[1, j + 1])
        lm[0, j + 1], lk[0, j + 1] = _add(total, e, lm[1, j + 2], lk[1, j + 2] + bar[j + 1])


def _slopes(scores: Row, shift: Row, labels: Row, blank: int, logits: bool, out: Row) -> None:
    """Fill ``out`` with 0, or for logits the probability, of each symbol a time step without its posterior one.

    NaN where no alignment exists.
    """
    steps, last = scores.shape[0], labels.size
    bar = _barriers(labels)
    bm, bk, lm, lk, likelihood, exponent = _forward(scores, shift, labels, blank, bar, steps + 1)
    if likelihood == 0.0:
        _fill(out, math.nan)
        return
    beta_bm, beta_bk = _states(2, labels)
    beta_lm, beta_lk = _states(2, labels)
    beta_bm[0, last], beta_bk[0, last] = 1.0, 0.0
    if last > 0:
        beta_lm[0, last], beta_lk[0, last] = 1.0, 0.0
    m, k = _states(1, labels)
    share, mass = workspace(2, last + 1), workspace(1, scores.shape[1])
    slope, low = workspace(1, scores.shape[1])[0], workspace(1, scores.shape[1])[0]
    for t in range(steps - 1, -1, -1):
        for j in range(last + 1):
            e = bk[t + 1, j] + beta_bk[0, j] - exponent
            share[0, j] = bm[t + 1, j] * beta_bm[0, j] / likelihood * power_of_two(e)
            e = lk[t + 1, j] + beta_lk[0, j] - exponent
            share[1, j] = lm[t + 1, j] * beta_lm[0, j] / likelihood * power_of_two(e)
        _fill(mass, 0.0)
        blanks = share[0, last]
        for j in range(last):
            blanks += share[0, j]
            mass[0, labels[j]] += share[1, j + 1]
        mass[0, blank] = blanks
        if logits:
            for c in range(slope.size):
                slope[c] = wide(scores[t, c])
            # Not e^(score - shift), which errs by as much as shift is rounded.
            row_scale_pair(wide(1.0), row_exp_pair(slope, row_max(slope), slope, low), slope, low, slope)
            _subtract(slope, mass[0])
        else:
            for c in range(slope.size):
                slope[c] = 0.0 - mass[0, c]
        for c in range(slope.size):
            out[t, c] = slope[c]
        _emit(scores, t, shift, labels, blank, m[0], k[0])
        _backward(labels, bar, m[0], k[0], beta_bm, beta_bk, beta_lm, beta_lk)
        if t % _DRIFT == 0:
            _normalise(beta_bm, beta_bk, beta_lm, beta_lk, 0)


def _subtract(p: Row, posterior: Row) -> None:
    """Replace probabilities by p - posterior, which add up to 0.

    Where both are nearly 1 they would cancel, by 1200 ULP at p = .998: the one that has more than all others together
    is formed of these.
    """
    top = -1
    for c in range(p.size):
        top = c if p[c] + posterior[c] > 1.0 else top
        p[c] -= posterior[c]
    if top >= 0:
        p[top] = 0.0
        p[top] = 0.0 - row_sum(p)


def _unshifted(scores: Row) -> Row:
    shift = workspace(1, scores.shape[0])
    _fill(shift, 0.0)
    return shift[0]


def _normalisers(scores: Row) -> Row:
    shift, row = workspace(1, scores.shape[0])[0], workspace(1, scores.shape[1])[0]
    for t in range(scores.shape[0]):
        for c in range(row.size):
            row[c] = wide(scores[t, c])
        shift[t] = row_log_sum_exp(row)
    return shift


def _likelihood(probabilities: list[list[Any]], labels: list[int], blank: int) -> Any:
    """The sum over all alignments of the products of their probabilities, in any arithmetic."""
    states = [blank, *(symbol for label in labels for symbol in (label, blank))]
    alpha = [1, *[0] * (len(states) - 1)]
    for row in probabilities:
        reached = []
        for s, symbol in enumerate(states):
            skips = s > 1 and symbol not in (blank, states[s - 2])
            ways = alpha[s] + (alpha[s - 1] if s else 0) + (alpha[s - 2] if skips else 0)
            reached.append(ways * row[symbol])
        alpha = reached
    return sum(alpha[-2:])


def _ctc_exact(m: Any, scores: list[list[Any]], labels: list[int], blank: int) -> Any:
    return -m.log(_likelihood([[m.exp(v) for v in row] for row in scores], labels, blank))


def _ctc_logits_exact(m: Any, scores: list[list[Any]], labels: list[int], blank: int) -> Any:
    totals = [m.fsum(m.exp(v) for v in row) for row in scores]
    shares = [[m.exp(v) / total for v in row] for row, total in zip(scores, totals, strict=True)]
    return -m.log(_likelihood(shares, labels, blank))


def _ctc_backward(scores: Row, labels: Row, out: Row, blank: int) -> None:
    _slopes(scores, _unshifted(scores), labels, blank, False, out)


def _ctc_logits_backward(scores: Row, labels: Row, out: Row, blank: int) -> None:
    _slopes(scores, _normalisers(scores), labels, blank, True, out)


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
    exact=_ctc_exact,
    params={"blank": _BLANK},
    domain="[-inf, 0]",
    aliases=("ctc_loss",),
    error_bounds=(1.85, 2.9),
    reference="Graves, Fernández, Gomez and Schmidhuber (2006), ICML; torch.nn.functional.ctc_loss",
    pitfalls=_PITFALLS,
)
def ctc(scores: Row, labels: Row, blank: int = 0) -> float:
    """Connectionist temporal classification loss of log-probabilities of shape (T, N, C)."""
    _, _, _, _, m, k = _forward(scores, _unshifted(scores), labels, blank, _barriers(labels), 2)
    return 0.0 - log_of(m, k)


@loss(
    template="sequence",
    family="sequence",
    formula="-log(sum(exp(sum(log_softmax(scores)[t, a[t]], t)), a))",
    derivative_formula="softmax(scores)[t, c] - posterior(t, c)",
    derivative=_ctc_logits_backward,
    exact=_ctc_logits_exact,
    params={"blank": _BLANK},
    aliases=("ctc_loss_with_logits",),
    # Where a probability is about its posterior their difference cancels: 309 ULP were seen.
    error_bounds=(2, math.inf),
    reference="Graves, Fernández, Gomez and Schmidhuber (2006), ICML; optax.losses.ctc_loss",
    pitfalls=_PITFALLS,
)
def ctc_with_logits(scores: Row, labels: Row, blank: int = 0) -> float:
    """Connectionist temporal classification loss of logits of shape (T, N, C)."""
    _, _, _, _, m, k = _forward(scores, _normalisers(scores), labels, blank, _barriers(labels), 2)
    return 0.0 - log_of(m, k)
