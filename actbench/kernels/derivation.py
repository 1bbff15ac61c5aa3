"""Derivatives that a declaration asks for instead of writing them: symbolic, from its formula, or numerical.

Both come as the source of a plain scalar body, so that they are specialised, hashed and cached like written ones.
"""

from __future__ import annotations

import ast
import linecache
import math
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from actbench.catalog import primitives
from actbench.catalog.declaration import Body, Declaration
from actbench.catalog.errors import DeclarationError
from actbench.catalog.formula import Formula
from actbench.wording import suggestion

if TYPE_CHECKING:
    from sympy import Expr

STEP = 2.0**-10
"""The relative step of numerical derivatives: a five-point difference with Richardson's correction leaves about
1e-12 of max(|f|, |f'|) there, and nothing in tails below that. Write or derive tails that matter."""
_OF_PYTHON = ("tan", "asin", "acos", "atan", "sinh", "cosh")
"""Functions of formulas that are no primitives: Python's mathematics has them by these names, and SymPy, too."""
_derived: dict[str, tuple[Declaration, Body]] = {}


def derive(declaration: Declaration) -> Body:
    """The scalar body of the derivative with respect to the first operand.

    Raises DeclarationError where there is no such formula, or SymPy is needed and not installed.
    """
    known = _derived.get(declaration.name)
    if known is not None and known[0] is declaration:
        return known[1]
    if declaration.template not in ("elementwise", "pairwise"):
        raise DeclarationError(
            f"{declaration.name}: derivative={declaration.derivative!r} is for functions of one element at a time; "
            "write the derivative of a row or a sequence"
        )
    source = _symbolic(declaration) if declaration.derivative == "symbolic" else _numerical(declaration)
    body = _function(declaration, source)
    _derived[declaration.name] = declaration, body
    return body


def _arguments(declaration: Declaration) -> tuple[str, ...]:
    return (*declaration.operands, *declaration.body_params)


def _function(declaration: Declaration, lines: list[str]) -> Body:
    name = f"{declaration.name}_derivative"
    widened = [f"{a} = wide({a})" for a in _arguments(declaration)]
    text = f"def {name}({', '.join(_arguments(declaration))}):\n" + textwrap.indent(
        "\n".join([*widened, *lines]) + "\n", "    "
    )
    filename = f"<{declaration.derivative} derivative of {declaration.name}>"
    # Where the compiler looks for a body's source; no modification time means: never reread.
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {n: getattr(primitives, n) for n in (*primitives.SCALARS, "sign", "wide")}
    namespace |= {n: getattr(math, n) for n in _OF_PYTHON} | {
        "forward": declaration.forward,
        "inf": float("inf"),
        "pi": 3.141592653589793,
    }
    exec(compile(text, filename, "exec"), namespace)
    body: Body = namespace[name]
    return body


def _bodily(formula: str) -> str:
    """A formula's text with the primitives' names for the builtins'."""

    class Rename(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.expr:
            self.generic_visit(node)
            if isinstance(node.func, ast.Name):
                name = {"abs": "fabs", "max": "maximum", "min": "minimum"}.get(node.func.id, node.func.id)
                node.func = ast.Name(name, ast.Load())
            return node

    return ast.unparse(Rename().visit(ast.parse(formula, mode="eval")))


def _conventions(declaration: Declaration) -> list[str]:
    """What is returned at the declared kinks."""
    x = declaration.operands[0]
    return [
        f"if {x} == {_bodily(kink.at)}:\n    return wide({_bodily(kink.value)})" for kink in declaration.kinks
    ]


def _numerical(declaration: Declaration) -> list[str]:
    x, *rest = _arguments(declaration)

    def f(displacement: str) -> str:
        return f"forward({', '.join([f'{x} {displacement}', *rest])})"

    near = [f"h = minimum(h, fabs({x} - ({_bodily(kink.at)})) / 4.0)" for kink in declaration.kinks]
    return [
        *_conventions(declaration),
        f"{x} = {x} if fabs({x}) < 1e300 else copysign(1e300, {x})",
        f"h = {STEP!r} * maximum(fabs({x}), 1.0)",
        *near,
        *([f"h = maximum(h, 1e-8 * maximum(fabs({x}), 1e-280))"] if near else []),
        f"coarse = 8.0 * ({f('+ h')} - {f('- h')}) - ({f('+ 2.0 * h')} - {f('- 2.0 * h')})",
        f"fine = 8.0 * ({f('+ 0.5 * h')} - {f('- 0.5 * h')}) - ({f('+ h')} - {f('- h')})",
        "return (32.0 * fine - coarse) / (180.0 * h)",
    ]


def _symbolic(declaration: Declaration) -> list[str]:
    try:
        import sympy
    except ImportError:
        raise DeclarationError(
            f"{declaration.name}: derivative='symbolic' needs SymPy: pip install 'actbench[symbolic]'"
        ) from None
    x = declaration.operands[0]
    reader = _Reader(sympy)
    try:
        expression = reader.read(declaration.formula)
    except DeclarationError as error:
        raise DeclarationError(f"{declaration.name} in {declaration.origin}: {error}") from None
    real = sympy.Symbol(x, real=True)
    if expression.has(sympy.Abs, sympy.sign):
        # On each side |x| is x or -x, and what would cancel (softsign: 1/(1 + |x|) - |x|/(1 + |x|)^2) is gone.
        sides = []
        for sign in ({"positive": True}, {"negative": True}):
            side = sympy.Symbol(x, **sign)
            sides.append(sympy.simplify(sympy.diff(expression.subs(real, side), side)).subs(side, real))
        slope = sympy.Piecewise((sides[0], real > 0), (sides[1], True))
    else:
        slope = sympy.diff(expression, real)
    if slope.has(sympy.Derivative, sympy.DiracDelta):
        raise DeclarationError(
            f"{declaration.name}: SymPy finds no derivative of {declaration.formula}: write it, or use 'numerical'"
        )
    shared, (slope,) = sympy.cse(slope, sympy.numbered_symbols("t"))
    printed = reader.printer()
    lines = _conventions(declaration)
    if any(slope.has(g) or any(e.has(g) for _, e in shared) for g in reader.gates):
        # A product of infinity and a gate that has closed is NaN; the limit is read where both are numbers.
        lines.append(f"{x} = {x} if fabs({x}) < 1e300 else copysign(1e300, {x})")
    return [
        *lines,
        *(f"{name} = {printed(value)}" for name, value in shared),
        f"return wide({printed(slope)})",
    ]


class _Reader:
    """Formulas as SymPy expressions, and back as source, with sigmoid and softplus kept whole for their tails."""

    def __init__(self, sympy: Any) -> None:
        self.sympy = sympy

        class sigmoid(sympy.Function):  # type: ignore[misc]  # noqa: N801
            def fdiff(self, argindex: int = 1) -> Expr:
                return sigmoid(self.args[0]) * sigmoid(-self.args[0])

        class softplus(sympy.Function):  # type: ignore[misc]  # noqa: N801
            def fdiff(self, argindex: int = 1) -> Expr:
                return sigmoid(self.args[0])

        class tanh(sympy.Function):  # type: ignore[misc]  # noqa: N801
            def fdiff(self, argindex: int = 1) -> Expr:
                return 4 * sigmoid(2 * self.args[0]) * sigmoid(-2 * self.args[0])

        self.functions: dict[str, Callable[..., Any]] = {
            "sigmoid": sigmoid, "softplus": softplus, "tanh": tanh, "exp": sympy.exp, "log": sympy.log,
            "sqrt": sympy.sqrt, "sin": sympy.sin, "cos": sympy.cos, "erf": sympy.erf, "erfc": sympy.erfc,
            "expm1": lambda u: sympy.exp(u) - 1, "log1p": lambda u: sympy.log(1 + u), "abs": sympy.Abs,
            "sign": sympy.sign, **{name: getattr(sympy, name) for name in _OF_PYTHON},
            "max": lambda *a: self._extreme(a, sympy.Ge), "min": lambda *a: self._extreme(a, sympy.Le),
        }  # fmt: skip
        self.gates = [sigmoid, softplus, tanh, sympy.exp, sympy.erf, sympy.erfc, sympy.sinh, sympy.cosh]

    def _extreme(self, arguments: tuple[Any, ...], order: Any) -> Any:
        first, *rest = arguments
        for other in rest:
            first = self.sympy.Piecewise((first, order(first, other)), (other, True))
        return first

    def read(self, formula: Formula) -> Any:
        """The formula as a SymPy expression in real symbols."""
        return self._node(formula.tree.body)

    def _node(self, node: ast.expr) -> Any:
        sympy = self.sympy
        if isinstance(node, ast.Constant):
            number = float(node.value)  # type: ignore[arg-type]
            return sympy.Integer(number) if number.is_integer() else sympy.Float(number, 17)
        if isinstance(node, ast.Name):
            return {"pi": sympy.pi, "inf": sympy.oo}.get(node.id, sympy.Symbol(node.id, real=True))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._node(node.operand)
        if isinstance(node, ast.IfExp):
            test = self._node(node.test)
            return sympy.Piecewise((self._node(node.body), test), (self._node(node.orelse), True))
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            left, right = self._node(node.left), self._node(node.comparators[0])
            orders = {
                ast.Lt: sympy.Lt,
                ast.LtE: sympy.Le,
                ast.Gt: sympy.Gt,
                ast.GtE: sympy.Ge,
                ast.Eq: sympy.Eq,
                ast.NotEq: sympy.Ne,
            }
            return orders[type(node.ops[0])](left, right)
        if isinstance(node, ast.BoolOp):
            parts = [self._node(v) for v in node.values]
            return sympy.And(*parts) if isinstance(node.op, ast.And) else sympy.Or(*parts)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.functions:
            arguments = [self._node(a) for a in node.args]
            if node.func.id == "log" and (power := self._one_plus_exp(arguments[0])) is not None:
                return self.functions["softplus"](power)
            return self.functions[node.func.id](*arguments)
        if isinstance(node, ast.BinOp):
            left, right = self._node(node.left), self._node(node.right)
            if isinstance(node.op, ast.Div):
                power = self._one_plus_exp(right)
                return left / right if power is None else left * self.functions["sigmoid"](-power)
            if isinstance(node.op, ast.Add):
                return left + right
            if isinstance(node.op, ast.Sub):
                return left - right
            return left * right if isinstance(node.op, ast.Mult) else left**right
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            raise DeclarationError(
                f"derivative='symbolic' knows no {name!r}, which the formula calls{suggestion(name, self.functions)}"
            )
        raise DeclarationError(
            f"derivative='symbolic' cannot read {ast.unparse(node)!r} in the formula: write it"
        )

    def _one_plus_exp(self, expression: Any) -> Any:
        """u where the expression is 1 + exp(u), else None."""
        rest = expression - 1
        return rest.args[0] if isinstance(rest, self.sympy.exp) else None

    def printer(self) -> Callable[[Any], str]:
        """SymPy expressions as source in the primitives' names, with small powers as products."""
        from sympy.printing.pycode import PythonCodePrinter

        class Printer(PythonCodePrinter):  # type: ignore[misc]
            def _print_Pow(self, expr: Any, rational: bool = False, sqrt: str = "sqrt") -> str:
                base, power = expr.as_base_exp()
                if power.is_Integer and 1 <= abs(int(power)) <= 8:
                    product = " * ".join([f"({self._print(base)})"] * abs(int(power)))
                    return f"({product})" if power > 0 else f"(1.0 / ({product}))"
                if abs(power) == expr.func(1, 1) / 2:
                    return f"sqrt({self._print(base)})" if power > 0 else f"(1.0 / sqrt({self._print(base)}))"
                return f"exp({self._print(power)} * log({self._print(base)}))"

            def _print_Pi(self, expr: Any) -> str:
                return "pi"

            def _print_Infinity(self, expr: Any) -> str:
                return "inf"

            def _print_Abs(self, expr: Any) -> str:
                return f"fabs({self._print(expr.args[0])})"

            def _print_sign(self, expr: Any) -> str:
                return f"sign({self._print(expr.args[0])})"

            def _print_Rational(self, expr: Any) -> str:
                return f"({expr.p}.0 / {expr.q}.0)"

        called = ("exp", "log", "sin", "cos", "tanh", "erf", "erfc", "sigmoid", "softplus", *_OF_PYTHON)
        known = {name: name for name in called}
        printer = Printer({"fully_qualified_modules": False, "user_functions": known})
        return lambda expression: str(printer.doprint(expression))
