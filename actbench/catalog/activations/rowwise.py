"""Activations of a whole row: every output depends on several inputs along one axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actbench.catalog.declaration import Param
from actbench.catalog.domain import Domain
from actbench.catalog.primitives import (
    Row,
    log_total,
    row_dot_pair,
    row_exp_pair,
    row_exp_pivot,
    row_exp_rest,
    row_gate_pair,
    row_group_gate,
    row_group_max,
    row_max,
    row_residual_pair,
    row_scale_pair,
    row_shift,
    row_workspace,
    wide,
)
from actbench.catalog.registry import activation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _softmax_exact(m: Any, x: list[Any]) -> list[Any]:
    parts = [m.exp(v) for v in x]
    total = m.fsum(parts)
    return [part / total for part in parts]


def _log_softmax_exact(m: Any, x: list[Any]) -> list[Any]:
    logarithm = m.log(m.fsum(m.exp(v) for v in x))
    return [v - logarithm for v in x]


def _softmax_backward(grad_output: Row, x: Row, out: Row) -> None:
    low = row_workspace(x)
    # g - <g, s> cancels where one s is nearly 1, from a margin of 37 on to 0: <g - pivot, s> keeps what is left of it.
    total, pivot = row_exp_pivot(x, row_max(x), grad_output, out, low)
    mean = row_dot_pair(grad_output, pivot, out, low) / total
    row_gate_pair(wide(1.0), total, out, low, grad_output, pivot, mean, out)


@activation(
    rowwise=True,
    family="normalised exponential",
    formula="exp(x[i]) / sum(exp(x[j]), j)",
    derivative_formula="softmax(x)[i] * ((i == j) - softmax(x)[j])",
    derivative=_softmax_backward,
    range="[0, 1]",
    exact=_softmax_exact,
    error_bounds=(0.65, 0.95),
    reference="Bridle (1990), Probabilistic Interpretation of Feedforward Classification Network Outputs",
    pitfalls=(
        "s(1 - s) is only the diagonal of the Jacobian; the gradient is s (g - <g, s>).",
        "Softmax applied twice: a cross-entropy that takes logits applies it already.",
        "A row of -inf has no largest element: the result is NaN, as in torch and JAX.",
        "Without subtracting the maximum it overflows from 89 on in float32.",
    ),
)
def softmax(x: Row, out: Row) -> None:
    """Softmax: positive outputs that sum to 1 along the axis."""
    low = row_workspace(x)
    total = row_exp_pair(x, row_max(x), out, low)
    row_scale_pair(wide(1.0), total, out, low, out)


def _log_softmax_backward(grad_output: Row, x: Row, out: Row) -> None:
    low = row_workspace(x)
    total = row_exp_pair(x, row_max(x), out, low)
    row_residual_pair(grad_output, out, low, total, out)


@activation(
    rowwise=True,
    family="normalised exponential",
    formula="x[i] - log(sum(exp(x[j]), j))",
    derivative_formula="(i == j) - softmax(x)[j]",
    derivative=_log_softmax_backward,
    range="[-inf, 0]",
    exact=_log_softmax_exact,
    error_bounds=(0.65, 1),
    reference="Bridle (1990), Probabilistic Interpretation of Feedforward Classification Network Outputs",
    pitfalls=(
        "log(softmax(x)) is -inf where a probability underflows, and 0 where one is within an ULP of 1.",
        "The largest element is left out of the sum and comes back by log1p: else a confident row returns 0.",
        "A row of -inf has no largest element: the result is NaN, as in torch and JAX.",
    ),
)
def log_softmax(x: Row, out: Row) -> None:
    """Log-softmax: the logarithms of positive numbers that sum to 1 along the axis."""
    largest = row_max(x)
    row_shift(x, largest, log_total(row_exp_rest(x, largest)), out)


def _maxout_backward(grad_output: Row, x: Row, out: Row, k: int, ties: int) -> None:
    row_group_gate(grad_output, x, k, ties, out)


def _groups(size: int, k: int) -> int:
    return 0 if size % k else size // k


def _ties(x: NDArray[Any], k: int) -> NDArray[np.bool_]:
    groups = x.reshape(*x.shape[:-1], -1, k)
    tied: NDArray[np.bool_] = (groups == groups.max(-1, keepdims=True)).sum(-1) > 1
    return tied.repeat(k, -1)


@activation(
    rowwise=True,
    family="maximum",
    formula="max(x[k*i + j], j)",
    derivative_formula="1 if x[k*i + j] == maxout(x)[i] else 0",
    derivative=_maxout_backward,
    params={
        "k": Param(Domain("[1, inf)"), "inputs a group", {"tfa.layers": "num_units", "paper": "k pieces"}),
        "ties": Param(("first", "split"), "who gets the gradient where several inputs are the largest"),
    },
    row_output=_groups,
    row_kinks=_ties,
    exact=lambda m, x, k, ties: [m.max(*x[i : i + k]) for i in range(0, len(x), k)],
    error_bounds=(0.5, 0.5),
    reference="Goodfellow, Warde-Farley, Mirza, Courville and Bengio (2013), arXiv:1302.4389",
    pitfalls=(
        "Groups are k consecutive channels here; some implementations take every (n/k)-th channel.",
        "The output has k times fewer channels than the input.",
        "A NaN makes the gradient of its whole group NaN, as in torch.amax; torch.max over an axis gives the NaN all.",
    ),
)
def maxout(x: Row, out: Row, k: int = 2, ties: str = "first") -> None:
    """Maxout: the largest of each group of k consecutive inputs."""
    row_group_max(x, k, out)
