"""The two limits: no activation, and the hard threshold."""

from __future__ import annotations

from actbench.catalog.declaration import Kink, Param
from actbench.catalog.registry import activation


@activation(
    family="linear",
    formula="x",
    derivative_formula="1",
    derivative=lambda x: 1.0,
    aliases=("linear",),
    error_bounds=(0.5, 0.5),
    reference="torch.nn.Identity; keras.activations.linear",
    pitfalls=("A network whose every activation is the identity is one linear map, however deep.",),
)
def identity(x: float) -> float:
    """Identity: the output of a linear layer, unchanged."""
    return x


@activation(
    family="linear",
    formula="1 if x > 0 else 0 if x < 0 else values",
    derivative_formula="0",
    derivative=lambda x, values: 0.0,
    params={
        "values": Param(
            meaning="value at x = 0", elsewhere={"torch.heaviside": "required", "numpy": "required"}
        )
    },
    aliases=("heaviside", "binary_step"),
    range="[min(0, values), max(1, values)]",
    kinks=(Kink(at="0", left="0", right="0", value="0", jump=True),),
    error_bounds=(0.5, 0.5),
    reference="McCulloch and Pitts (1943); torch.heaviside",
    pitfalls=(
        "The derivative is 0 almost everywhere: no gradient passes, so it cannot be trained through.",
        "The value at 0 is a convention: 1 here, an argument of torch.heaviside and numpy.heaviside.",
    ),
)
def step(x: float, values: float = 1.0) -> float:
    """Heaviside step: 0 below zero, 1 above."""
    return 1.0 if x > 0 else (0.0 if x < 0 else values)
