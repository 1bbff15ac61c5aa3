"""One function on a page: formula, parameters, kinks, properties, pitfalls, and how the kernel computes it."""

from __future__ import annotations

import ast
import inspect
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from actbench.catalog import primitives
from actbench.catalog.declaration import NUMERIC, Declaration, Kink
from actbench.catalog.domain import Range
from actbench.catalog.formula import Formula
from actbench.present import formula as notation
from actbench.present import table
from actbench.present.fitting import Fitted, Indented, Words
from actbench.present.table import Column, Table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from actbench.kernels.base import Function

_INDENT = 2
_FOR_CHECKERS = re.compile(r"\s*# (type: ignore|noqa).*$")


def left_sides(declaration: Declaration) -> tuple[str, str]:
    """What stands before the formula and before the derivative's."""
    return {
        "elementwise": ("f(x)", "f'(x)"),
        "rowwise": ("f(x)[i]", "Jacobian"),
        "pairwise": ("loss", "dloss/dpred"),
    }.get(declaration.template, ("loss", "gradient"))


def body_source(declaration: Declaration) -> str:
    """The lines of the scalar (or row) body that the kernels compile, without heading and docstring."""
    try:
        source = textwrap.dedent(inspect.getsource(declaration.forward))
        (function,) = ast.parse(source).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return ""
    if not isinstance(function, ast.FunctionDef):
        return source.strip()
    body = function.body
    documented = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    first = body[1 if documented and len(body) > 1 else 0]
    # From the line behind the docstring on, so that a comment above the first statement stays.
    start = body[0].end_lineno if documented and len(body) > 1 else first.lineno - 1
    lines = (_FOR_CHECKERS.sub("", line) for line in source.splitlines()[start : body[-1].end_lineno])
    return textwrap.dedent("\n".join(lines)).strip("\n")


def vocabulary(declaration: Declaration) -> list[tuple[str, str]]:
    """What the body's calls compute, but for those that Python's own mathematics has by the same name."""
    called = {
        node.func for node in ast.walk(ast.parse(body_source(declaration))) if isinstance(node, ast.Call)
    }
    names = {
        c.attr if isinstance(c, ast.Attribute) else c.id
        for c in called
        if isinstance(c, ast.Attribute | ast.Name)
    }
    found = []
    for name, function in inspect.getmembers(primitives, inspect.isfunction):
        if name in names and not name.startswith("_") and not hasattr(math, name):
            arguments = ", ".join(inspect.signature(function).parameters)
            found.append(
                (f"{name}({arguments})", (inspect.getdoc(function) or "").partition("\n")[0].replace("`", ""))
            )
    return found


def document(f: Function) -> dict[str, Any]:
    """Everything that is known of a function, as plain values for JSON."""
    from actbench.verify.properties import properties

    d = f.declaration
    return {
        "name": d.name,
        "aliases": d.aliases,
        "kind": d.kind,
        "family": d.family,
        "summary": d.summary,
        "formula": d.formula.text,
        "derivative": d.derivative_formula.text if d.derivative_formula else None,
        "passes": f.passes,
        "gradients": ("x" if d.kind == "activation" else "pred", *d.gradients),
        "params": {
            name: {
                "default": default,
                "valid": _valid(d, name),
                "meaning": d.describe(name).meaning,
                "elsewhere": d.describe(name).elsewhere,
                "array": d.describe(name).array,
            }
            for name, default in d.defaults.items()
        },
        "domain": str(d.domain),
        "range": str(d.range),
        "target": _targets(d) if d.kind == "loss" else None,
        "kinks": d.kinks,
        "error_bounds": d.error_bounds,
        "properties": properties(f),
        "pitfalls": d.pitfalls,
        "reference": d.reference,
        "kernel": body_source(d),
        "vocabulary": dict(vocabulary(d)),
    }


def _valid(declaration: Declaration, name: str) -> str:
    valid = declaration.describe(name).valid
    if isinstance(valid, tuple):
        return ", ".join(map(str, valid))
    return "array" if valid is None or declaration.defaults[name] is None else str(valid)


def parameters(declaration: Declaration) -> Table:
    """The parameters with their defaults, here and elsewhere."""
    return Table(
        "",
        tuple(
            Column(title, align="left", wrap=title != "name")
            for title in ("name", "default", "valid", "meaning", "elsewhere")
        ),
        tuple(
            (
                name,
                _number(default),
                _valid(declaration, name),
                declaration.describe(name).meaning,
                ", ".join(f"{who} {_number(v)}" for who, v in declaration.describe(name).elsewhere.items()),
            )
            for name, default in declaration.defaults.items()
        ),
    )


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _span(span: Range) -> str:
    if not span.ends:
        return str(span)
    low, high = map(notation.inline, span.ends)
    return f"{span.text[0]}{low}, {high}{span.text[-1]}"


def _targets(declaration: Declaration) -> str:
    """What a loss is compared with: numbers, or what names classes."""
    return {
        "classification": "class indices, one-hot rows or class probabilities",
        "sequence": "labels: class indices, none of them the blank",
    }.get(declaration.template, str(declaration.target))


def _kink(kink: Kink, declaration: Declaration) -> str:
    axis = "x" if declaration.kind == "activation" else declaration.operands[0]
    at, left, right, value = (
        notation.inline(Formula(text)) for text in (kink.at, kink.left, kink.right, kink.value)
    )
    place = f"at {axis} = {at}"
    if _is_infinite(kink, declaration):
        place += " (at the defaults infinite: none)"
    if kink.jump:
        return f"{place} the value jumps; the slope there is {value} by convention"
    return f"{place}: slope {left} on the left, {right} on the right, {value} there by convention"


def _is_infinite(kink: Kink, declaration: Declaration) -> bool:
    """Whether the default parameters leave no such kink."""
    names = {"inf": math.inf, **declaration.defaults}
    at = Formula(kink.at)
    return at.names <= names.keys() and math.isinf(at.evaluate(names, NUMERIC))


def _prepared(declaration: Declaration) -> list[tuple[str, str]]:
    """What the formula's names stand for that are no parameters of the call but made of them."""
    made = [n for n in declaration.body_params if n not in declaration.defaults]
    if declaration.prepare is None or not made:
        return []
    meaning = (inspect.getdoc(declaration.prepare) or "").partition("\n")[0].replace("`", "")
    return [(f"{', '.join(made)}:", meaning)]


def page(f: Function) -> RenderableType:
    """The page of a function for a rich console."""
    from rich.console import Group
    from rich.text import Text

    from actbench.verify.properties import properties

    d = f.declaration
    found = properties(f)
    title = Text(d.name, "bold")
    if d.aliases:
        title.append(f"  also {', '.join(d.aliases)}", "not bold")
    parts: list[RenderableType] = [title, Text(f"{d.kind}, {d.family}", "dim"), Words(d.summary)]

    def section(heading: str, content: RenderableType) -> None:
        parts.extend((Text(), Text(heading, "bold"), Indented(content, _INDENT)))

    formulas = zip(left_sides(d), (d.formula, d.derivative_formula), strict=True)
    section(
        "Formula",
        _pairs(
            [(f"{left} =", "\n".join(notation.plain(x))) for left, x in formulas if x] + _prepared(d),
            "right",
            1,
        ),
    )
    if d.defaults:
        section("Parameters", table.terminal(parameters(d)))
    where = [("domain", str(d.domain)), ("range", _span(d.range))]
    where += [("target", _targets(d))] if d.kind == "loss" else []
    gradients = ("x" if d.kind == "activation" else "pred", *d.gradients)
    section("Definition", _pairs([*where, ("gradients", ", ".join(gradients))]))
    if d.kinks:
        section("Kinks", _bullets(_kink(kink, d) for kink in d.kinks))
    at = f", for {found.label}" if found.label else ""
    section(f"Properties, measured on the kernel at the defaults{at}", _pairs(found.rows()))
    if d.pitfalls:
        section("Pitfalls", _bullets(d.pitfalls))
    if d.error_bounds is not None:
        passes = "forward", "derivative" if d.kind == "activation" else "gradient"
        told = (f"at most {b:g} ULP" if math.isfinite(b) else "no bound is proven" for b in d.error_bounds)
        most = list(zip(passes, told, strict=True))
        section("Error, in float64 and float32", _pairs(most))
    if d.reference:
        section("Reference", Words(d.reference))
    if source := body_source(d):
        section("The kernel computes", Text(source))
        if words := vocabulary(d):
            section("where", _bullets(f"{call}: {meaning}" for call, meaning in words))
    return Group(*parts)


def _pairs(
    rows: Sequence[tuple[str, str]], justify: Literal["left", "right"] = "left", gap: int = 2
) -> RenderableType:
    return Fitted(
        (Column("", align=justify, wrap=False), Column("", align="left")), rows, headed=False, gap=gap
    )


def _bullets(texts: Iterable[str]) -> RenderableType:
    return _pairs([("-", text) for text in texts], gap=1)


def listing(declarations: Sequence[Declaration]) -> list[Table]:
    """The functions a line each, a table for each kind."""
    kinds: dict[str, list[Declaration]] = {}
    for d in declarations:
        kinds.setdefault(d.kind, []).append(d)
    plural: Mapping[str, str] = {"activation": "Activations", "loss": "Losses"}
    columns = (
        Column("name", align="left", wrap=False),
        Column("family", align="left", wrap=False),
        Column("summary, and other names", align="left"),
    )
    return [
        Table(f"{plural[kind]} ({len(listed)})", columns, tuple((d.name, d.family, _line(d)) for d in listed))
        for kind, listed in kinds.items()
    ]


def _line(declaration: Declaration) -> str:
    summary = declaration.summary.rstrip(".")
    return f"{summary} (also {', '.join(declaration.aliases)})" if declaration.aliases else summary
