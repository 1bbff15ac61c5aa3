"""What is drawn: ranges and parameters from text, and curves sampled between their kinks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from actbench.catalog import registry
from actbench.catalog.domain import REALS
from actbench.catalog.errors import ParameterError, UsageError
from actbench.kernels import bind, function
from actbench.present.curves import Subject, parse_limits, parse_params, subjects, trace
from actbench.verify.section import Section, sections


@pytest.mark.parametrize(
    ("text", "limits"), [("-6:6", (-6, 6)), ("0:1e3", (0, 1000)), (" -1 : 1 ", (-1, 1)), ("-2:-1", (-2, -1))]
)
def test_limits(text, limits):
    assert parse_limits(text) == limits


@pytest.mark.parametrize(
    "text", ["", "6", "6:-6", "1:1", "a:b", "1:2:3", "nan:1", "-inf:1", "0:1e300", ":", "1:1.0000000001"]
)
def test_wrong_limits_are_one_line_that_repeats_them(text):
    with pytest.raises(UsageError, match=r"^--range .*") as caught:
        parse_limits(text)
    assert f"--range {text}" in str(caught.value)


def test_params():
    assert parse_params(["alpha=0.1, 0.3,0.1", "k=2"]) == {"alpha": ("0.1", "0.3"), "k": ("2",)}
    assert parse_params(["alpha=1", "alpha=2,1"]) == {"alpha": ("1", "2")}


@pytest.mark.parametrize("text", ["alpha", "alpha=", "=1", "alpha=1,,2", ""])
def test_wrong_params_are_one_line_that_repeats_them(text):
    with pytest.raises(UsageError, match=f"--param {text}: write"):
        parse_params([text])


def test_a_family_is_the_product_of_its_values():
    family = subjects(function("softplus"), {"beta": ("1", "2"), "threshold": ("20",)})
    assert [s.params for s in family] == [{"beta": 1.0, "threshold": 20.0}, {"beta": 2.0, "threshold": 20.0}]
    assert family[0].setting(family[0].varied) == r"$\beta = 1$"
    assert family[0].setting(family[0].changed) == r"$\mathrm{threshold} = 20$"


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("maxout", {"k": ("4",)}, {"k": 4}),
        ("maxout", {"ties": ("SPLIT",)}, {"ties": "split"}),
        ("bce", {"clamp": ("torch",)}, {"clamp": "torch"}),
        ("rrelu", {"training": ("false",)}, {"training": False}),
    ],
)
def test_text_becomes_what_the_parameter_takes(name, given, value):
    (subject,) = subjects(function(name), given)
    assert subject.params == value
    assert type(next(iter(subject.params.values()))) is type(next(iter(value.values())))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("elu", {"alpha": ("-1",)}, r"outside its valid range \[0, inf\)"),
        ("elu", {"alpha": ("nan",)}, "outside its valid range"),
        ("elu", {"alpha": ("big",)}, "'big' is not a number"),
        ("elu", {"beta": ("1",)}, "no parameter 'beta'"),
        ("relu", {"alpha": ("1",)}, "no parameter 'alpha'"),
        ("bce", {"clamp": ("torsch",)}, "is not one of 'none', 'torch', 'keras'"),
        ("maxout", {"k": ("2.5",)}, "k=2.5 is not a whole number"),
        ("cross_entropy", {"weight": ("2",)}, "takes an array"),
    ],
)
def test_wrong_values_are_refused(name, given, message):
    with pytest.raises(ParameterError, match=message):
        subjects(function(name), given)


def test_plots_draw_what_the_kernels_compute(declaration):
    f = bind(declaration)
    x = np.linspace(-6, 6, 61)
    for plain, compiled in zip(Subject(f).sections, sections(f), strict=True):
        for curve in ("value", "slope"):
            drawn, computed = getattr(plain, curve)(x), getattr(compiled, curve)(x)
            # Bodies in Python and in machine code differ by roundings of their exp and log, 1e-16 each.
            np.testing.assert_allclose(drawn, computed, rtol=1e-12, atol=1e-15)


def test_declared_kinks_part_the_pieces(declaration):
    for section in Subject(bind(declaration)).sections:
        drawn = trace(section, -6.5, 6.5)
        inside = [k[0] for k in section.kinks if drawn.low < k[0] < drawn.high]
        assert {k[0] for k in section.kinks} <= {k.at for k in drawn.kinks}
        assert len(drawn.pieces) >= len(inside) + 1
        for x, _, _ in drawn.pieces:
            assert not any(x[0] <= at <= x[-1] for at in inside)


def test_no_declared_kink_is_missing_from_its_declaration(elementwise):
    """What the search for jumps finds must be what is declared."""
    for section in Subject(bind(elementwise)).sections:
        assert {k.at for k in trace(section, -6.5, 6.5).kinks} == {k[0] for k in section.kinks}


def section_of(value, slope=np.zeros_like, kinks=()):
    return Section("", "x", REALS, value, slope, kinks)


@pytest.mark.parametrize("at", [0.0, 1.0, -1 / 3, 2.75])
def test_undeclared_jumps_are_found_where_they_are(at):
    # The place is read off to 9 digits.
    (kink,) = trace(section_of(lambda x: np.where(x < at, 0.0, 1.0)), -3, 3).kinks
    assert kink.at == pytest.approx(at, abs=1e-9)
    assert kink.jumps
    assert kink.values[0] == 0
    assert kink.values[2] == 1


@pytest.mark.parametrize("at", [0.1, 0.3, 0.7, -0.7, 1.9])
def test_a_place_of_few_digits_is_met_exactly(at):
    """Else the value there would be read beside it, and the filled dot could stand on the wrong side."""
    (kink,) = trace(section_of(lambda x: np.where(x <= at, 0.0, 1.0)), -3, 3).kinks
    assert kink.at == at
    assert kink.values == (0, 0, 1)


def test_stairs_stand_on_the_right_side():
    kinks = trace(section_of(np.floor), -2.5, 2.5).kinks
    assert [(k.at, k.values) for k in kinks] == [(n, (n - 1, n, n)) for n in (-2, -1, 0, 1, 2)]


@pytest.mark.parametrize("steepness", [1, 100, 1e4])
def test_steep_is_not_a_jump(steepness):
    assert trace(section_of(lambda x: np.tanh(steepness * x)), -3, 3).kinks == ()


@pytest.mark.parametrize("at", [0.0, 0.0037])
def test_no_line_crosses_a_pole(at):
    for x, y, _ in trace(section_of(lambda x: 1 / (x - at)), -2, 2).pieces:
        before, after = (x < at) & np.isfinite(y), (x > at) & np.isfinite(y)
        joined = before[:-1] & after[1:]
        assert not joined.any()


def test_a_function_that_python_cannot_evaluate_is_left_to_the_kernels():
    f = Subject(function("swish"), {"beta": 1.0}).sections[0]
    assert np.isfinite(f.value(np.array([1e308]))).all()


def test_nothing_to_draw_is_no_fault():
    drawn = trace(section_of(lambda x: np.full_like(x, math.nan)), -1, 1)
    assert drawn.kinks == ()
    assert drawn.curve(1).size == 0


@pytest.mark.parametrize(
    ("body", "formula", "derivative"),
    [
        ("math.log(x)", "log(x)", "1.0 / x"),
        ("math.sqrt(x)", "sqrt(x)", "0.5 / math.sqrt(x)"),
        ("x ** 0.5", "x**0.5", "0.5 * x ** -0.5"),
    ],
)
def test_where_plain_python_raises_a_curve_goes_on_as_the_kernel(
    body, formula, derivative, tmp_path, monkeypatch
):
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))
    file = tmp_path / "mine.py"
    file.write_text(
        f"import math\nimport actbench\n"
        f"@actbench.activation(formula='{formula}', derivative=lambda x: {derivative}, domain='[0, inf)')\n"
        f"def root(x):\n    '''Mine.'''\n    return {body}\n"
    )
    (section,) = Subject(bind(registry.load_file(file)[0])).sections
    x = np.array([-1.0, 0.0, 4.0])
    with np.errstate(all="ignore"):
        (expected,) = sections(bind(registry.find("root")))
        np.testing.assert_array_equal(section.value(x), expected.value(x))
        np.testing.assert_array_equal(section.slope(x), expected.slope(x))
