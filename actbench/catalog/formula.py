"""Formulas: one Python-like expression that is printed, drawn and, at any precision, evaluated."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import Any

from actbench.catalog.errors import DeclarationError

_ALLOWED = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.BoolOp,
    ast.IfExp,
    ast.Call,
    ast.Name,
    ast.Constant,
    ast.Load,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Pow,
    ast.USub,
    ast.UAdd,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.Eq,
    ast.NotEq,
    ast.And,
    ast.Or,
    ast.Not,
    ast.Subscript,
    ast.Tuple,
)


@dataclass(frozen=True)
class Formula:
    """A formula in Python's expression grammar, for instance ``x if x > 0 else alpha*(exp(x) - 1)``.

    Raises DeclarationError where the text is not such an expression.
    """

    text: str

    def __post_init__(self) -> None:
        for node in ast.walk(self.tree):
            if not isinstance(node, _ALLOWED):
                raise DeclarationError(
                    f"formula {self.text!r} uses {type(node).__name__}: write one expression of "
                    "numbers, names, + - * / **, comparisons, calls and 'a if c else b'"
                )

    @cached_property
    def tree(self) -> ast.Expression:
        """The parsed expression."""
        try:
            return ast.parse(self.text, mode="eval")
        except SyntaxError as error:
            raise DeclarationError(f"formula {self.text!r} is not an expression: {error.msg}") from None

    @cached_property
    def _code(self) -> CodeType:
        return compile(self.tree, f"<formula {self.text}>", "eval")

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name in the formula that is not called as a function."""
        called = {id(node.func) for node in ast.walk(self.tree) if isinstance(node, ast.Call)}
        return frozenset(
            node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name) and id(node) not in called
        )

    def evaluate(self, values: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
        """The formula's value with the given numbers, in whatever arithmetic they bring along."""
        return eval(self._code, {"__builtins__": {}, **functions}, dict(values))

    def __str__(self) -> str:
        return self.text
