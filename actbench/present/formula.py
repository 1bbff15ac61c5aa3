"""Formulas as mathematicians write them: matplotlib's mathtext for plots, plain text for the terminal."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from dataclasses import dataclass

from actbench.catalog.formula import Formula

_LETTERS = """alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi chi psi
omega"""
GREEK = frozenset(_LETTERS.split())
_SYMBOLS = {"eps": "epsilon", "lambda_": "lambda"}
_COMPARISONS = {
    ast.Lt: ("<", "<"),
    ast.LtE: (r"\leq", "<="),
    ast.Gt: (">", ">"),
    ast.GtE: (r"\geq", ">="),
    ast.Eq: ("=", "="),
    ast.NotEq: (r"\neq", "!="),
}
# How tightly an expression holds together, loosest first.
_CHOICE, _LOGIC, _RELATION, _SUM, _SERIES, _PRODUCT, _SIGN, _POWER, _ATOM = range(9)


@dataclass(frozen=True)
class _Piece:
    text: str
    binding: int = _ATOM


class _Notation(ABC):
    """Walks a formula's tree; what a leaf or a form looks like is the subclass's."""

    def render(self, node: ast.expr, binding: int = _CHOICE) -> str:
        """``node`` as text, in parentheses where it holds together less tightly than ``binding``."""
        piece = self._piece(node)
        return piece.text if piece.binding >= binding else self.parentheses(piece.text)

    def _piece(self, node: ast.expr) -> _Piece:
        match node:
            case ast.Constant(value=int() | float() as value):
                return self._number(float(value))
            case ast.Name(id=name):
                return _Piece(self.name(name))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _Piece(f"{self.word('not')}{self.render(operand, _RELATION)}", _LOGIC)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._piece(operand)
            case ast.UnaryOp(operand=operand):
                return _Piece(f"-{self.render(operand, _SERIES)}", _SIGN)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
                sign, tight = (" + ", _SUM) if isinstance(op, ast.Add) else (" - ", _SERIES)
                second = self._unsigned(self._term(right, tight))
                return _Piece(f"{self._term(left, _SUM)}{sign}{second}", _SUM)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return self.product(left, right)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return self.quotient(left, right)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return self._power(left, right)
            case ast.Compare(left=left, ops=ops, comparators=right):
                text = self._term(left, _SUM)
                for relation, operand in zip(ops, right, strict=True):
                    text += f" {self.comparison(relation)} {self._term(operand, _SUM)}"
                return _Piece(text, _RELATION)
            case ast.BoolOp(op=joint_op, values=values):
                joint = self.word("and" if isinstance(joint_op, ast.And) else "or")
                return _Piece(joint.join(self.render(v, _RELATION) for v in values), _LOGIC)
            case ast.IfExp():
                last = self.word("otherwise").rstrip(" \\")
                parts = [value + (self.word("if") + c if c else last) for value, c in self.pieces(node)]
                return _Piece(", ".join(parts), _CHOICE)
            case ast.Subscript(value=value, slice=index):
                indices = index.elts if isinstance(index, ast.Tuple) else [index]
                return _Piece(self.subscript(self.render(value, _ATOM), [self.render(i) for i in indices]))
            case ast.Call(func=ast.Name(id=name), args=args):
                return self.call(name, args)
        raise ValueError(f"no notation for {ast.unparse(node)}")

    def pieces(self, node: ast.expr) -> list[tuple[str, str]]:
        """The branches of a chain of choices, each with its condition; the last one's is empty."""
        found = []
        while isinstance(node, ast.IfExp):
            found.append((self.render(node.body, _LOGIC), self.render(node.test)))
            node = node.orelse
        return [*found, (self.render(node, _LOGIC), "")]

    def _term(self, node: ast.expr, binding: int) -> str:
        # A comparison within a sum or a product is 1 where it holds and 0 elsewhere: Iverson's bracket.
        if isinstance(node, ast.Compare):
            return f"[{self.render(node)}]"
        return self.render(node, binding)

    def _unsigned(self, text: str) -> str:
        """``text`` as it may stand behind an operator."""
        return self.parentheses(text) if text.startswith("-") else text

    def _number(self, value: float) -> _Piece:
        text = f"{value:g}"
        if "e" in text:
            mantissa, exponent = text.split("e")
            power = self.raised("10", str(int(exponent)))
            return _Piece(power if mantissa == "1" else f"{mantissa} {power}", _POWER)
        return _Piece(self.name(text) if text == "inf" else text, _SIGN if value < 0 else _ATOM)

    def _power(self, base: ast.expr, exponent: ast.expr) -> _Piece:
        if (
            isinstance(base, ast.Call)
            and isinstance(base.func, ast.Name)
            and isinstance(exponent, ast.Constant)
        ):
            raised = self.call_to_power(base.func.id, base.args, self.render(exponent))
            if raised:
                return raised
        return _Piece(self.raised(self.render(base, _ATOM), self.exponent(exponent)), _POWER)

    def index_of(self, args: list[ast.expr]) -> str | None:
        """The running index in calls such as ``sum(x[j], j)`` and ``max(x[j], j)``; None in ``max(x, 0)``."""
        if len(args) == 2 and isinstance(args[1], ast.Name):
            subscripts = (n.slice for n in ast.walk(args[0]) if isinstance(n, ast.Subscript))
            names = {n.id for s in subscripts for n in ast.walk(s) if isinstance(n, ast.Name)}
            if args[1].id in names:
                return args[1].id
        return None

    def arguments(self, args: list[ast.expr]) -> str:
        return ", ".join(self.render(a) for a in args)

    @abstractmethod
    def parentheses(self, text: str) -> str: ...
    @abstractmethod
    def name(self, name: str) -> str: ...
    @abstractmethod
    def word(self, word: str) -> str: ...
    @abstractmethod
    def comparison(self, op: ast.cmpop) -> str: ...
    @abstractmethod
    def product(self, left: ast.expr, right: ast.expr) -> _Piece: ...
    @abstractmethod
    def quotient(self, left: ast.expr, right: ast.expr) -> _Piece: ...
    @abstractmethod
    def raised(self, base: str, exponent: str) -> str: ...
    @abstractmethod
    def exponent(self, node: ast.expr) -> str: ...
    @abstractmethod
    def subscript(self, base: str, indices: list[str]) -> str: ...
    @abstractmethod
    def call(self, name: str, args: list[ast.expr]) -> _Piece: ...
    @abstractmethod
    def call_to_power(self, name: str, args: list[ast.expr], power: str) -> _Piece | None: ...


class _Mathtext(_Notation):
    _KNOWN = frozenset({"tanh", "sin", "cos", "max", "min"})

    def __init__(self, *, flat: bool = False) -> None:
        self.flat = flat
        """Within an exponent: quotients on one line, exp(...) spelled out."""

    def parentheses(self, text: str) -> str:
        return rf"\left({text}\right)" if "frac" in text or r"\sum" in text else f"({text})"

    def name(self, name: str) -> str:
        name = _SYMBOLS.get(name, name)
        if name == "inf":
            return r"\infty"
        if name in GREEK:
            return rf"\{name}"
        return name if len(name) == 1 else _upright(name)

    def word(self, word: str) -> str:
        return rf"\ \ \mathrm{{{word}}}\ \ "

    def comparison(self, op: ast.cmpop) -> str:
        return _COMPARISONS[type(op)][0]

    def product(self, left: ast.expr, right: ast.expr) -> _Piece:
        first, second = self._term(left, _PRODUCT), self._unsigned(self._term(right, _SIGN))
        digits = second[0].isdigit()
        return _Piece(rf"{first} \cdot {second}" if digits else rf"{first}\,{second}", _PRODUCT)

    def quotient(self, left: ast.expr, right: ast.expr) -> _Piece:
        if self.flat:
            return _Piece(f"{self.render(left, _PRODUCT)}/{self.render(right, _POWER)}", _PRODUCT)
        if isinstance(left, ast.UnaryOp) and isinstance(left.op, ast.USub):
            return _Piece("-" + self.quotient(left.operand, right).text, _SIGN)
        return _Piece(rf"\dfrac{{{self.render(left)}}}{{{self.render(right)}}}", _PRODUCT)

    def raised(self, base: str, exponent: str) -> str:
        return f"{base}^{{{exponent}}}"

    def exponent(self, node: ast.expr) -> str:
        return _Mathtext(flat=True).render(node)

    def subscript(self, base: str, indices: list[str]) -> str:
        return f"{base}_{{{','.join(indices)}}}"

    def call(self, name: str, args: list[ast.expr]) -> _Piece:
        index = self.index_of(args)
        if index and name == "sum":
            return _Piece(rf"\sum_{{{self.name(index)}}}\,{self.render(args[0], _PRODUCT)}", _SERIES)
        if index and name in ("max", "min"):
            return _Piece(rf"\{name}_{{{self.name(index)}}}\,{self.render(args[0], _PRODUCT)}", _SERIES)
        if name == "exp" and not self.flat:
            return _Piece(f"e^{{{self.exponent(args[0])}}}", _POWER)
        if name == "sqrt":
            return _Piece(rf"\sqrt{{{self.render(args[0])}}}")
        if name == "abs":
            return _Piece(rf"|{self.render(args[0])}|")
        return _Piece(f"{self._function(name)}{self.parentheses(self.arguments(args))}")

    def call_to_power(self, name: str, args: list[ast.expr], power: str) -> _Piece | None:
        if name in ("exp", "sqrt", "abs"):
            return None
        return _Piece(f"{self._function(name)}^{{{power}}}{self.parentheses(self.arguments(args))}")

    def _function(self, name: str) -> str:
        if name in ("log", "log1p", "expm1"):
            return {"log": r"\ln", "log1p": r"\mathrm{log1p}", "expm1": r"\mathrm{expm1}"}[name]
        if name == "sigmoid":
            return r"\sigma"
        return rf"\{name}" if name in self._KNOWN or name in GREEK else _upright(name)


def _upright(name: str) -> str:
    escaped = name.replace("_", r"\_")
    return rf"\mathrm{{{escaped}}}"


class _Plain(_Notation):
    def parentheses(self, text: str) -> str:
        return f"({text})"

    def name(self, name: str) -> str:
        return name

    def word(self, word: str) -> str:
        return f" {word} "

    def comparison(self, op: ast.cmpop) -> str:
        return _COMPARISONS[type(op)][1]

    def product(self, left: ast.expr, right: ast.expr) -> _Piece:
        second = self._unsigned(self._term(right, _SIGN))
        return _Piece(f"{self._term(left, _PRODUCT)} * {second}", _PRODUCT)

    def quotient(self, left: ast.expr, right: ast.expr) -> _Piece:
        return _Piece(f"{self._term(left, _PRODUCT)} / {self._term(right, _POWER)}", _PRODUCT)

    def raised(self, base: str, exponent: str) -> str:
        return f"{base}^{exponent}"

    def exponent(self, node: ast.expr) -> str:
        return self.render(node, _ATOM)

    def subscript(self, base: str, indices: list[str]) -> str:
        return f"{base}[{', '.join(indices)}]"

    def call(self, name: str, args: list[ast.expr]) -> _Piece:
        index = self.index_of(args)
        if index and name in ("sum", "max", "min"):
            return _Piece(f"{name}_{index} {self.render(args[0], _PRODUCT)}", _SERIES)
        return _Piece(f"{'ln' if name == 'log' else name}({self.arguments(args)})")

    def call_to_power(self, name: str, args: list[ast.expr], power: str) -> _Piece | None:
        return None


def mathtext(formula: Formula) -> tuple[tuple[str, str], ...]:
    """The formula for matplotlib: each branch's value and condition; the condition is empty without branches."""
    notation = _Mathtext()
    tree = formula.tree.body
    if not isinstance(tree, ast.IfExp):
        return ((f"${notation.render(tree)}$", ""),)
    return tuple(
        (f"${value}$", rf"$\mathrm{{if}}\ \ {condition}$" if condition else r"$\mathrm{otherwise}$")
        for value, condition in notation.pieces(tree)
    )


def plain(formula: Formula, left: str = "") -> tuple[str, ...]:
    """The formula as text behind ``left =``: a line, or one a branch with the conditions below each other."""
    lead = f"{left} = " if left else ""
    notation = _Plain()
    tree = formula.tree.body
    if not isinstance(tree, ast.IfExp):
        return (lead + notation.render(tree),)
    pieces = notation.pieces(tree)
    width = max(len(value) for value, _ in pieces)
    return tuple(
        f"{lead if i == 0 else ' ' * len(lead)}{value:{width}}  {f'if {condition}' if condition else 'otherwise'}"
        for i, (value, condition) in enumerate(pieces)
    )


def inline(formula: Formula) -> str:
    """The formula as text in one line, its numbers of 6 digits."""
    notation, tree = _Plain(), formula.tree.body
    if not isinstance(tree, ast.IfExp):
        return notation.render(tree)
    *chosen, (last, _) = notation.pieces(tree)
    return " else ".join([*(f"{value} if {condition}" for value, condition in chosen), last])


def symbol(name: str) -> str:
    """A parameter's name for matplotlib, within ``$...$``."""
    return _Mathtext().name(name)
