"""Bodies are compiled as written, in the wanted format, or not at all."""

from __future__ import annotations

import math
import math as mathematics
import types

import numba
import numpy as np
import pytest

from actbench.catalog import primitives
from actbench.catalog.errors import DeclarationError
from actbench.kernels.specialize import digest, specialize

SINGLE = np.dtype(np.float32)
SCALE = 1.5


def _plain(function):
    return function


def _narrow(body, *, integers=True):
    return specialize(body, SINGLE, _plain, integers=integers)


def _helper(x):
    return 2 * x + SCALE


@pytest.mark.parametrize(
    "body",
    [
        lambda x: 0.1 * x,
        lambda x: x + 3,
        lambda x: 1 if x > 0 else 0.5,
        lambda x: SCALE * x,
        lambda x: _helper(x) * 0.1,
        lambda x: mathematics.pi * x,
    ],
)
def test_numbers_take_the_format(body):
    assert type(_narrow(body)(np.float32(0.3))) is np.float32


def test_two_lambdas_in_one_line_are_told_apart():
    plus, minus = lambda x: x + 0.5, lambda x: x - 0.5
    assert _narrow(plus)(np.float32(1)) == 1.5
    assert _narrow(minus)(np.float32(1)) == 0.5


def test_library_functions_become_primitives():
    from math import exp

    bodies = [
        lambda x: math.exp(x),
        lambda x: np.exp(x),
        lambda x: exp(x),
        lambda x: max(x, 0.0),
        lambda x: abs(x),
    ]
    expected = [primitives.exp] * 3 + [primitives.maximum, primitives.fabs]
    for body, primitive in zip(bodies, expected, strict=True):
        assert any(value is primitive for value in _narrow(body).__globals__.values())


def test_exponents_and_counts_stay_integers():
    assert _narrow(lambda x: x**2).__code__.co_consts.count(2) == 1

    def loop(x):
        total = 0.0
        for i in range(3):
            total += x[i + 1]
        return total

    narrowed = _narrow(loop, integers=False)
    assert narrowed([np.float32(1)] * 4) == 3


def test_source_that_changed_is_not_used(tmp_path):
    """The body that runs is the one that was imported, not the one that now stands in the file."""
    file = tmp_path / "late.py"
    file.write_text("def f(x):\n    return 2.0 * x\n")
    scope: dict = {}
    exec(compile(file.read_text(), str(file), "exec"), scope)
    file.write_text("def f(x):\n    return 3.0 * x\n")
    assert _narrow(scope["f"])(1.0) == 2


def test_digest_follows_the_meaning():
    def make(factor, inner):
        def g(x):
            return inner(x)

        def f(x):
            return factor * g(x)

        return f

    one = digest(make(1.0, primitives.exp))
    assert digest(make(1.0, primitives.exp)) == one
    assert digest(make(2.0, primitives.exp)) != one
    assert digest(make(1.0, primitives.tanh)) != one


def test_digest_follows_what_a_module_holds(monkeypatch):
    def uses(x):
        return held.helper(x) * held.SCALE

    def helper(x):
        return x + held.OFFSET

    held = types.ModuleType("held")
    held.SCALE, held.OFFSET, held.helper = 2.0, 1.0, helper
    digests = [digest(uses)]
    for name, value in {"SCALE": 3.0, "OFFSET": 2.0, "helper": lambda x: x}.items():
        monkeypatch.setattr(held, name, value)
        digests.append(digest(uses))
    assert len({*digests}) == 4


def test_digest_follows_what_a_compiled_helper_does():
    """Not where it lies in memory."""

    def make(factor):
        helper = numba.njit(lambda x: factor * x)
        return lambda x: helper(x)

    assert digest(make(2.0)) == digest(make(2.0)) != digest(make(3.0))


def test_digest_follows_every_element_of_an_array():
    def make(last):
        table = np.append(np.zeros(5000), last)
        return lambda x: table[5000] * x

    assert digest(make(1.0)) == digest(make(1.0)) != digest(make(2.0))


@pytest.mark.parametrize("table", [(0.1, 0.2), np.array([0.1, 0.2])])
def test_tables_take_the_format(table):
    def body(x):
        return table[0] + table[1] * x

    assert type(_narrow(body)(np.float32(1))) is np.float32


def test_a_number_beyond_the_format_is_infinite(recwarn):
    assert _narrow(lambda x: x * 1e300)(np.float32(1)) == np.inf
    assert not recwarn.list


def _endless(x):
    return _endless(x)


def test_recursion_is_refused():
    with pytest.raises(DeclarationError, match="calls itself"):
        _narrow(_endless)
