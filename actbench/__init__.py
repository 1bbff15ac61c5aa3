"""The referee for neural-network activation and loss functions: how fast, how exact, what it looks like.

Everything is imported on first use, so that ``import actbench`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actbench.catalog.declaration import Kink as Kink
    from actbench.catalog.declaration import Param as Param
    from actbench.catalog.domain import Domain as Domain
    from actbench.catalog.errors import ActbenchError as ActbenchError
    from actbench.catalog.errors import ParameterError as ParameterError
    from actbench.catalog.errors import UnknownFunction as UnknownFunction
    from actbench.catalog.errors import UsageError as UsageError
    from actbench.kernels import function
    from actbench.kernels import functions as functions
    from actbench.kernels.base import Function as Function
    from actbench.kernels.decorators import activation as activation
    from actbench.kernels.decorators import loss as loss
    from actbench.kernels.threads import get_threads as get_threads
    from actbench.kernels.threads import set_threads as set_threads

    __version__: str
    get = function  # a name that "import ... as" changes is not exported

_HOMES = {
    "activation": ("actbench.kernels.decorators", "activation"),
    "loss": ("actbench.kernels.decorators", "loss"),
    "Kink": ("actbench.catalog.declaration", "Kink"),
    "Param": ("actbench.catalog.declaration", "Param"),
    "Domain": ("actbench.catalog.domain", "Domain"),
    "ActbenchError": ("actbench.catalog.errors", "ActbenchError"),
    "ParameterError": ("actbench.catalog.errors", "ParameterError"),
    "UnknownFunction": ("actbench.catalog.errors", "UnknownFunction"),
    "UsageError": ("actbench.catalog.errors", "UsageError"),
    "get": ("actbench.kernels", "function"),
    "functions": ("actbench.kernels", "functions"),
    "Function": ("actbench.kernels.base", "Function"),
    "get_threads": ("actbench.kernels.threads", "get_threads"),
    "set_threads": ("actbench.kernels.threads", "set_threads"),
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("actbench")
    if name not in _HOMES:
        raise AttributeError(f"module 'actbench' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
