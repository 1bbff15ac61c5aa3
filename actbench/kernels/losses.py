"""What all losses share: two passes and a reduction."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np

from actbench.catalog.declaration import REDUCTIONS
from actbench.catalog.errors import UsageError
from actbench.kernels.base import Function
from actbench.wording import in_one_line

CLASS = np.dtype(np.int64)
"""What class indices and labels are read in."""


class Loss(Function):
    """What all losses share: two passes and a reduction."""

    passes: ClassVar[tuple[str, ...]] = ("forward", "backward")
    _own = "pred"

    def _reduction(self, given: str | None, out: Any = None) -> str:
        """The reduction that is meant; ``out`` takes the values of a forward pass, which only ``"none"`` has."""
        chosen = self.declaration.default_reduction if given is None else given
        if not isinstance(chosen, str) or chosen not in REDUCTIONS:
            told = in_one_line(repr(chosen))
            raise UsageError(f"{self.name}: reduction={told} is not one of {', '.join(REDUCTIONS)}")
        if out is not None and chosen != "none":
            raise UsageError(f"{self.name}: out= goes with reduction='none' only")
        return chosen

    @abstractmethod
    def __call__(self, pred: Any, target: Any, reduction: str | None = None, **params: Any) -> Any: ...
