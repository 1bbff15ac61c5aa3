"""HOW: from a declaration to a compiled function over arrays. Numba is imported on the first call, not here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actbench.catalog import registry
from actbench.catalog.declaration import Declaration

if TYPE_CHECKING:
    from actbench.kernels.base import Function

_functions: dict[str, Function] = {}


def function(name: str) -> Function:
    """The function of that name or alias over arrays; UnknownFunction suggests the nearest."""
    return bind(registry.find(name))


def functions(kind: str | None = None) -> tuple[Function, ...]:
    """Every function of a kind (``"activation"`` or ``"loss"``), or of both."""
    return tuple(bind(declaration) for declaration in registry.declarations(kind))


def bind(declaration: Declaration) -> Function:
    """The function over arrays that a declaration describes."""
    bound = _functions.get(declaration.name)
    if bound is None or bound.declaration is not declaration:
        from actbench.kernels.classification import ClassificationLoss
        from actbench.kernels.elementwise import Elementwise
        from actbench.kernels.pairwise import PairwiseLoss
        from actbench.kernels.rowwise import Rowwise
        from actbench.kernels.sequence import SequenceLoss

        templates: dict[str, type[Function]] = {
            "elementwise": Elementwise,
            "rowwise": Rowwise,
            "pairwise": PairwiseLoss,
            "classification": ClassificationLoss,
            "sequence": SequenceLoss,
        }
        bound = _functions[declaration.name] = templates[declaration.template](declaration)
    return bound
