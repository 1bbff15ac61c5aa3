"""The public decorators: declare a function and get it back callable over arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from actbench.catalog import registry
from actbench.catalog.errors import DeclarationError
from actbench.kernels import bind
from actbench.kernels.base import Function


def activation(*bodies: Any, **fields: Any) -> Callable[[Callable[..., Any]], Function]:
    """Declare the decorated scalar (with ``rowwise=True``, row) function as an activation.

    ``formula`` is the mathematics as an expression; ``derivative`` a scalar function of the same arguments, or
    ``"symbolic"`` or ``"numerical"``. Further fields are those of actbench.catalog.declaration.Declaration.
    Raises DeclarationError, in one line, where the declaration contradicts itself.
    """
    _refuse(bodies, "activation")
    registry.load()  # what it holds has its names
    declare = registry.activation(**fields)
    return lambda forward: bind(declare(forward))


def loss(*bodies: Any, **fields: Any) -> Callable[[Callable[..., Any]], Function]:
    """Declare the decorated function of (pred, target, ...) as a loss; see ``activation``."""
    _refuse(bodies, "loss")
    registry.load()
    declare = registry.loss(**fields)
    return lambda forward: bind(declare(forward))


def _refuse(bodies: tuple[Any, ...], decorator: str) -> None:
    if bodies:
        raise DeclarationError(
            f"write the fields behind the decorator: @actbench.{decorator}(formula=..., derivative=...)"
        )
