"""What a user's function gets wrong is told in one line, before anything is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from actbench.catalog.declaration import Declaration
from actbench.catalog.errors import UsageError
from actbench.catalog.registry import load_file
from actbench.kernels import bind
from actbench.verify.trial import tried

FAULTS = {
    "raises": ("if x > 3:\n        raise ValueError('too large')\n    return x", r"forward raises ValueError at x = 3.25: too large"),
    "random": ("return x + random.random()", r"forward is not deterministic: x = .* gave .*, then"),
    "empty": ("return log(-1.0 - x * x)", r"forward has no finite value at any of \d+ points of its domain \[-inf, inf\]"),
    "complex": ("return x if x < 1 else complex(x, 1)", r"cannot compile complex_ in .*, line \d+: Cannot cast complex"),
    "pair": ("return x if x < 1 else (x, x)", r"cannot compile pair_ in .*, line \d+: Cannot unify float64"),
}  # fmt: skip
FILE = """
import random
import actbench
from actbench.catalog.primitives import log

@actbench.activation(formula="x", derivative=lambda x: {derivative})
def {name}_(x):
    '''A fault.'''
    {body}
"""


def declared(folder: Path, name: str, body: str, derivative: str = "1.0") -> Declaration:
    file = folder / "mine.py"
    file.write_text(FILE.format(name=name, body=body, derivative=derivative))
    (declaration,) = load_file(file)
    return declaration


@pytest.mark.parametrize("name", FAULTS)
def test_it_is_one_line(name: str, tmp_path: Path) -> None:
    body, message = FAULTS[name]
    with pytest.raises(UsageError, match=message) as caught:
        tried(bind(declared(tmp_path, name, body)))
    assert "\n" not in str(caught.value)


def test_the_derivative_is_tried_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"its derivative has no finite value"):
        tried(bind(declared(tmp_path, "slope", "return x", derivative="log(-1.0 - x * x)")))


def test_the_catalogue_passes(declaration: Declaration) -> None:
    tried(bind(declaration))
