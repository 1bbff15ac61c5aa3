"""The compiled twins of the primitives over rows."""

from __future__ import annotations

from actbench.catalog import primitives
from actbench.kernels import row_classes, row_exponentials, row_groups, row_steps
from actbench.kernels.row_steps import overloaded

TWINS = {
    "row_max": row_exponentials.row_max,
    "row_sum": row_exponentials.row_sum,
    "row_exp_pair": row_exponentials.row_exp_pair,
    "row_exp_pivot": row_exponentials.row_exp_pivot,
    "row_exp_rest": row_exponentials.row_exp_rest,
    "row_scale_pair": row_exponentials.row_scale_pair,
    "row_gate_pair": row_exponentials.row_gate_pair,
    "row_residual_pair": row_exponentials.row_residual_pair,
    "row_dot_pair": row_exponentials.row_dot_pair,
    "row_shift": row_exponentials.row_shift,
    "row_group_max": row_groups.row_group_max,
    "row_group_gate": row_groups.row_group_gate,
    "row_workspace": row_steps.row_workspace,
    "log_total": row_exponentials.log_total,
    "class_mean": row_classes.class_mean,
    "class_gradient": row_classes.class_gradient,
}


def install() -> None:
    """Tell Numba what to compile where a body calls a primitive over rows."""
    for name, twin in TWINS.items():
        overloaded(getattr(primitives, name))(twin)
