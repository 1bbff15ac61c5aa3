"""A declaration that contradicts itself says so in one line, when it is made."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actbench.catalog import registry
from actbench.catalog.declaration import Declaration, Kink, Param
from actbench.catalog.domain import Domain
from actbench.catalog.errors import (
    DeclarationError,
    InputFileError,
    ParameterError,
    UnknownFunction,
    UsageError,
)
from actbench.catalog.formula import Formula


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))


def square(x: float) -> float:
    """A square."""
    return x * x


def scaled(x: float, scale: float = 1.0) -> float:
    """A line."""
    return scale * x


def bare(x: float, scale: float) -> float:
    """A line."""
    return scale * x


def worded(x: float, how: Any = "fast") -> float:
    """A line."""
    return x


def one_of_two_words(x: float, how: Any) -> float:
    return 1.0


def crossed(y: float) -> float:
    """Nothing."""
    return y


def failing(x: float) -> float:
    """It fails."""
    raise RuntimeError("no")


def chatty(x: float) -> Any:
    """It returns text."""
    return "x"


def spoken(scores: Any, labels: Any) -> float:
    """No class is the blank."""
    return 0.0


def two(x: float) -> float:
    return 2.0 * x


def crossed_two(scale: float, x: float) -> float:
    return scale


def one_of_two(x: float, scale: float) -> float:
    return scale


def hiding(x: float, threads: float = 1.0) -> float:
    """A line."""
    return threads * x


def two_of(x: float, y: float) -> float:
    return 2.0


def starred(x: float, *more: float) -> float:
    """A line."""
    return x


def loss_of(pred: float, target: float) -> float:
    """Nothing."""
    return 0.0


KINK = Kink("delta", "0", "0", "0")
FAULTS: dict[str, tuple[Callable[..., Any], dict[str, Any], str]] = {
    "first argument": (crossed, {"formula": "x", "derivative": two}, r"begins with \(x\)"),
    "no default": (bare, {"formula": "scale*x", "derivative": one_of_two}, "'scale' needs a default"),
    "unknown parameter": (square, {"formula": "x**2", "derivative": two, "params": {"beta": Param()}}, "'beta'"),
    "derivative's arguments": (scaled, {"formula": "scale*x", "derivative": two}, "takes 1 arguments, but needs 2"),
    "rule of rows": (scaled, {"formula": "scale*x", "derivative": one_of_two, "row_output": crossed_two}, "row_output takes"),
    "kinks of rows": (scaled, {"formula": "scale*x", "derivative": one_of_two, "row_kinks": crossed_two}, "row_kinks takes x"),
    "hidden argument": (hiding, {"formula": "x*threads", "derivative": two_of}, "'threads' would hide"),
    "a star": (starred, {"formula": "x", "derivative": two}, "'more' must be a plain argument"),
    "no function": (abs, {"formula": "abs(x)", "derivative": two}, "a plain Python function"),
    "template": (square, {"formula": "x", "derivative": two, "template": "foo"}, "'foo' is not one of elementwise, rowwise"),
    "mean": (loss_of, {"formula": "0", "derivative": two_of, "template": "pairwise", "mean_over": "sample"}, "one of elements"),
    "reduction": (loss_of, {"formula": "0", "derivative": two_of, "template": "pairwise", "default_reduction": "max"}, "of mean, sum"),
    "labels": (loss_of, {"formula": "0", "derivative": two_of, "template": "pairwise", "target": "{0, 1, 2}"}, "are not two"),
    "name of a number": (square, {"formula": "x**2", "derivative": two, "name": 3}, "name=3: give a string"),
    "formula of a number": (square, {"formula": 3, "derivative": two}, "formula=3: give an expression"),
    "domain of a number": (square, {"formula": "x**2", "derivative": two, "domain": 3}, "domain=3: give an interval"),
    "params of text": (scaled, {"formula": "x", "derivative": one_of_two, "params": {"scale": "[0, 1]"}}, "and Param"),
    "aliases of text": (square, {"formula": "x**2", "derivative": two, "aliases": "abc"}, "aliases='abc': give names in a tuple"),
    "kinks of text": (square, {"formula": "x**2", "derivative": two, "kinks": "0"}, "kinks='0': give a tuple"),
    "no blank": (spoken, {"formula": "0", "derivative": crossed_two, "template": "sequence"}, "parameter .* is blank"),
    "gradient of nothing": (square, {"formula": "x**2", "derivative": two, "gradients": {"beta": two}}, "'beta'"),
    "no derivative": (square, {"formula": "x**2"}, "has no derivative"),
    "stranger in the formula": (square, {"formula": "x**2 + y", "derivative": two}, "names 'y'"),
    "no formula": (square, {"formula": "x = 1", "derivative": two}, "is not an expression"),
    "statement": (square, {"formula": "[x]", "derivative": two}, "uses List"),
    "kink": (square, {"formula": "x**2", "derivative": two, "kinks": (KINK,)}, "kink at 'delta'"),
    "failing body": (failing, {"formula": "x", "derivative": two}, "fails at .*RuntimeError: no"),
    "body returns text": (chatty, {"formula": "x", "derivative": two}, "returns str"),
    "empty domain": (square, {"formula": "x**2", "derivative": two, "domain": "[2, 1]"}, "is empty"),
    "no domain": (square, {"formula": "x**2", "derivative": two, "domain": "positive"}, "is not an interval"),
    "range of a stranger": (square, {"formula": "x**2", "derivative": two, "range": "[0, beta]"}, "its range names 'beta'"),
    "no range": (square, {"formula": "x**2", "derivative": two, "range": "[0, 1, 2]"}, "is not an interval"),
    "range without a value": (scaled, {"formula": "scale*x", "derivative": one_of_two, "range": "[0, 1/(scale - 1)]"}, "cannot be evaluated"),
    "text as a default": (worded, {"formula": "x", "derivative": one_of_two_words}, "no number: list its choices"),
    "default out of range": (
        scaled, {"formula": "x", "derivative": one_of_two, "params": {"scale": Param(Domain("(0, 1)"))}},
        r"scale=1.0 is outside its valid range \(0, 1\): its default must be valid",
    ),
    "misspelt field": (square, {"formula": "x**2", "derivative": two, "alias": ("y",)}, "takes no 'alias': did you mean 'aliases'"),
    "field of its own making": (square, {"formula": "x**2", "derivative": two, "origin": "x"}, "takes no 'origin'"),
    "no identifier": (square, {"formula": "x**2", "derivative": two, "name": "my fun/../x"}, "is no identifier"),
    "lambda": (lambda x: x, {"formula": "x", "derivative": two}, "a lambda has no name"),
    "name taken": (square, {"formula": "x**2", "derivative": two, "name": "relu"}, "'relu' belongs to relu"),
    "alias taken": (square, {"formula": "x**2", "derivative": two, "aliases": ("linear",)}, "belongs to identity"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_line(name: str) -> None:
    body, fields, message = FAULTS[name]
    with pytest.raises(DeclarationError, match=message) as caught:
        (registry.loss if "template" in fields else registry.activation)(**fields)(body)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


class TestParameters:
    def test_range(self) -> None:
        with pytest.raises(ParameterError, match=r"alpha=-1.0 is outside its valid range \[0, inf\)"):
            registry.find("elu").resolve({"alpha": -1.0})

    def test_choice(self) -> None:
        with pytest.raises(ParameterError, match="'none', 'torch', 'keras'"):
            registry.find("bce").resolve({"clamp": "jax"})

    def test_unknown(self) -> None:
        with pytest.raises(ParameterError, match="its parameters: alpha"):
            registry.find("elu").resolve({"beta": 1.0})

    def test_not_a_number(self) -> None:
        with pytest.raises(ParameterError, match="is not a number"):
            registry.find("elu").resolve({"alpha": "big"})


class TestFinding:
    def test_alias_and_suggestion(self) -> None:
        assert registry.find("logistic").name == "sigmoid"
        with pytest.raises(UnknownFunction, match="did you mean 'sigmoid'"):
            registry.find("sigmod")

    def test_globs_and_families(self) -> None:
        assert {d.name for d in registry.select(["*elu"])} >= {"relu", "elu", "prelu"}
        assert {d.family for d in registry.select(["@rectifier"])} == {"rectifier"}
        with pytest.raises(UnknownFunction, match="matches 'zz"):
            registry.select(["zz*"])
        with pytest.raises(UsageError, match="unknown family"):
            registry.select(["@nothing"])

    def test_every_declaration_is_complete(self, declaration: Declaration) -> None:
        assert declaration.summary.endswith(".")
        assert declaration.pitfalls
        assert declaration.reference
        assert declaration.family != "custom"
        assert isinstance(declaration.formula, Formula)
        assert isinstance(declaration.derivative_formula, Formula)


HEAD = "import actbench\n"


class TestFiles:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputFileError, match="no such file"):
            registry.load_file(tmp_path / "none.py")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("x = 1\n", "declares no function"),
            ("import nothing_of_the_kind\n", ":1: ModuleNotFoundError"),
            ("def f(:\n", ":1: SyntaxError"),
            ("import sys\nsys.exit(3)\n", ":2: SystemExit"),
            ("x = 1\0\n", r"mine\.py: SyntaxError: source code"),
            (
                f"{HEAD}@actbench.activation\ndef f(x):\n    return x\n",
                r"write the fields .*@actbench.activation\(formula",
            ),
            (
                2
                * f"{HEAD}@actbench.activation(formula='x', derivative=lambda x: 1.0)\ndef f(x):\n    return x\n",
                "'f' is declared twice",
            ),
        ],
    )
    def test_faults(self, tmp_path: Path, text: str, message: str) -> None:
        file = tmp_path / "mine.py"
        file.write_text(text)
        with pytest.raises(DeclarationError, match=message) as caught:
            registry.load_file(file)
        assert "\n" not in str(caught.value)


def test_a_valid_range_and_a_summary_may_be_text() -> None:
    declare = registry.activation(
        formula="scale*x",
        derivative=one_of_two,
        params={"scale": Param("(0, 2)")},
        summary="In words.",  # type: ignore[arg-type]
    )
    declared = declare(scaled)
    assert declared.summary == "In words."
    with pytest.raises(ParameterError, match="outside its valid range"):
        declared.resolve({"scale": 3.0})


def test_a_file_may_be_loaded_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        f"{HEAD}@actbench.activation(formula='x', derivative=lambda x: 1.0)\ndef f(x):\n    return x\n"
    )
    assert [d.name for d in registry.load_file(file)] == [d.name for d in registry.load_file(file)] == ["f"]


def test_domains() -> None:
    assert 0.0 in Domain("[0, inf)")
    assert 0.0 not in Domain("(0, inf)")
    assert float("nan") not in Domain("(-inf, inf)")
    assert Domain("{-1, 1}").members == (-1.0, 1.0)
    assert -1 in Domain("{-1, 1}")
    assert 0 not in Domain("{-1, 1}")


def test_the_catalogue_imports_no_compiler() -> None:
    code = (
        "import sys; from actbench.catalog.registry import declarations; declarations(); "
        "sys.exit(bool({'numba', 'matplotlib', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


PARTS = """
import actbench
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(8) as pool:
    names = [*pool.map(actbench.get, ["gelu"] * 8)]
    counts = {len(found) for found in pool.map(lambda _: actbench.functions(), range(8))}
print(len(names), counts == {len(actbench.functions())})
"""
TAKEN = """
import actbench
try:
    @actbench.activation(formula="2*x", derivative=lambda x: 2.0)
    def softmax(x):
        return 2.0 * x
except actbench.ActbenchError as error:
    print(error)
print(actbench.get("gelu").name, actbench.get("softmax").declaration.template)
"""


@pytest.mark.parametrize(
    ("code", "answer"),
    [(PARTS, "8 True"), (TAKEN, "softmax: .* belongs to softmax already.*\\ngelu rowwise")],
)
def test_the_catalogue_is_whole_from_the_first_call_on(code: str, answer: str) -> None:
    """To many threads at once, and to one who begins with a declaration under a name of its own."""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert re.fullmatch(answer, done.stdout.strip())


def test_every_public_name_is_exported_to_type_checkers() -> None:
    """Only what is imported as what it is called, or is assigned, counts as exported there."""
    import actbench

    tree = ast.parse(Path(actbench.__file__).read_text())
    told = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    told |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    assert {*actbench.__all__} <= told


def test_at_a_prompt_a_function_may_be_declared_again() -> None:
    declare = registry.activation(formula="scale*x", derivative=one_of_two, name="tried_out")
    assert declare(scaled) is not declare(scaled)
