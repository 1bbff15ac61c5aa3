"""What a parameter takes: numbers, counts, flags, choices; each refusal names the parameter and what it takes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from actbench.catalog import registry
from actbench.catalog.declaration import Declaration
from actbench.catalog.domain import Domain
from actbench.catalog.errors import ParameterError

NO_NUMBERS = [
    "0.5",
    np.str_("1"),
    b"1",
    np.array("1"),
    1j,
    np.complex64(1),
    {},
    object(),
    float("nan"),
    np.array(1j),
]
NO_COUNTS = ["2", 1.5, np.float32(1.5), True, np.True_, np.inf, [2], (2,), np.array([2]), Fraction(3, 2)]
NO_FLAGS = [0, 1, 1.0, "True", None, np.ones(2)]


def kinds(declaration: Declaration) -> dict[str, list[Any]]:
    """What must be refused of every parameter."""
    found: dict[str, list[Any]] = {}
    for name, default in declaration.defaults.items():
        valid, array = declaration.describe(name).valid, declaration.describe(name).array
        if isinstance(default, bool):
            found[name] = NO_FLAGS
        elif isinstance(valid, tuple):
            found[name] = ["nonsense", 0.5, [valid[0]], np.array([valid[0]] * 2), object()]
        elif isinstance(default, int) and not array:
            found[name] = [*NO_NUMBERS, *NO_COUNTS]
        elif isinstance(valid, Domain) and not array:
            found[name] = [*NO_NUMBERS, [1.0], (1.0,), np.ones(1), None]
    return found


def test_what_a_parameter_does_not_take_is_refused_in_one_line(declaration: Declaration) -> None:
    for name, values in kinds(declaration).items():
        for value in values:
            with pytest.raises(ParameterError, match=f"^{declaration.name}: {name}=.* is ") as caught:
                declaration.resolve({name: value})
            assert "\n" not in str(caught.value)


def test_a_number_may_be_of_any_real_type(declaration: Declaration) -> None:
    for name, default in declaration.defaults.items():
        if type(default) is not float:
            continue
        half = 0.5
        taken = [np.float32(half), np.float64(half), np.array(half), ml_dtypes.bfloat16(half), Fraction(1, 2)]
        if half in declaration.describe(name).valid:
            assert [declaration.resolve({name: value})[name] for value in taken] == [half] * len(taken)


def test_a_count_is_an_integer_however_it_is_written(declaration: Declaration) -> None:
    for name, default in declaration.defaults.items():
        if type(default) is int and declaration.template not in ("elementwise", "pairwise"):
            for value in (3, 3.0, np.int8(3), np.uint64(3), np.float32(3), np.array(3), Fraction(3)):
                found = declaration.resolve({name: value})[name]
                assert (found, type(found)) == (3, int)


def test_a_flag_may_be_of_numpy(declaration: Declaration) -> None:
    for name, default in declaration.defaults.items():
        if isinstance(default, bool):
            assert declaration.resolve({name: np.True_})[name] == True  # noqa: E712


def test_a_number_too_large_for_a_float_is_outside() -> None:
    for value in (10**400, -(10**400)):
        with pytest.raises(ParameterError, match="outside its valid range"):
            registry.find("leaky_relu").resolve({"negative_slope": value})


def test_a_whole_default_of_a_scalar_body_is_a_number_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))

    @registry.activation(formula="scale*x", derivative=lambda x, scale: scale)
    def scaled(x: float, scale: float = 2) -> float:
        """A line."""
        return scale * x

    assert scaled.resolve({"scale": 1.5}) == {"scale": 1.5}


@pytest.mark.parametrize(
    ("name", "low", "high"), [("rrelu", "lower", "upper"), ("hardtanh", "min_val", "max_val")]
)
def test_bounds_are_in_order(name: str, low: str, high: str) -> None:
    declaration = registry.find(name)
    assert declaration.prepare is not None
    with pytest.raises(ParameterError, match=f"{name}: {low}=2 is above {high}=-2"):
        declaration.prepare(np.zeros(1), **declaration.resolve({low: 2, high: -2}))
    declaration.prepare(np.zeros(1), **declaration.resolve({low: 2, high: 2}))


@pytest.mark.parametrize("name", [3, None, ["silu"], b"silu"])
def test_a_name_is_a_string(name: Any) -> None:
    with pytest.raises(TypeError, match="by its name, a string, not by ") as caught:
        registry.find(name)
    assert "\n" not in str(caught.value)
