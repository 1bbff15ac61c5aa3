"""``show`` and ``list``: complete, true to the declaration, and 80 columns wide."""

from __future__ import annotations

import json

import pytest

from actbench.catalog.registry import declarations, find
from actbench.kernels import bind, function
from actbench.present import output, page, table
from actbench.present.formula import plain


def text_of(name):
    return output.plain_text(page.page(function(name)))


def test_every_page_fits_and_is_complete(declaration):
    text = output.plain_text(page.page(bind(declaration)))
    assert max(map(len, text.splitlines())) <= table.WIDTH
    flat = " ".join(text.split())
    for part in (declaration.name, *declaration.aliases, declaration.summary, *declaration.pitfalls):
        assert " ".join(part.split()) in flat
    assert " ".join(declaration.reference.split()) in flat
    for name in declaration.defaults:
        assert name in text
    for line in plain(declaration.formula):
        assert " ".join(line.split()) in flat
    assert "Properties" in text
    assert "The kernel computes" in text


def test_every_page_is_a_document(declaration):
    document = json.loads(output.json_text(page.document(bind(declaration))))
    assert document["name"] == declaration.name
    assert document["params"].keys() == declaration.defaults.keys()
    assert document["properties"]["monotone"]
    assert document["kernel"]


def test_parameters_tell_what_others_default_to():
    text = " ".join(text_of("leaky_relu").split())
    assert "torch 0.01" in text
    assert "keras layer 0.3" in text


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("relu", "at x = 0: slope 0 on the left, 1 on the right, slope_at_zero there by convention"),
        ("step", "at x = 0 the value jumps; the slope there is 0 by convention"),
        ("selu", "at x = 0: slope 1.7581 on the left, 1.0507 on the right, 1.7581 there by convention"),
        ("softplus", "at x = threshold / beta (at the defaults infinite: none) the value jumps"),
        ("mae", "at pred = target: slope -1 on the left, 1 on the right, 0 there by convention"),
    ],
)
def test_kinks_are_told_with_their_convention(name, line):
    assert line in " ".join(text_of(name).split())


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("rrelu", "a: The slope: the mean in evaluation"),
        ("cross_entropy", "target class indices, one-hot rows or class probabilities"),
        ("ctc", "target labels: class indices, none of them the blank"),
        ("selu", "range [-1.7581, inf]"),
        ("elu", "range [-alpha, inf]"),
    ],
)
def test_a_page_says_what_names_stand_for(name, line):
    assert line in " ".join(text_of(name).split())


def test_no_kinks_no_section():
    assert "Kinks" not in text_of("tanh")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("relu", "return 0.0 if x < 0.0 else x"),
        ("huber", "e = fabs(pred - target)\nreturn 0.5 * e * e if e <= delta else delta * (e - 0.5 * delta)"),
    ],
)
def test_the_kernel_is_shown_without_heading_and_docstring(name, body):
    assert page.body_source(find(name)) == body


@pytest.mark.parametrize(
    ("name", "meanings"),
    [
        ("gelu", ["- gelu(x): x Phi(x), Phi the normal distribution function."]),
        ("softmax", ["- row_max(x): The largest element", "- wide(x): x in float64"]),
        ("huber", []),  # in terms of Python's own mathematics
    ],
)
def test_the_words_of_a_kernel_are_explained(name, meanings):
    text = text_of(name)
    assert ("\nwhere\n" in text) == bool(meanings)
    assert all(meaning in text for meaning in meanings)


def test_every_kernel_is_shown_as_lines_that_parse(declaration):
    import ast

    source = page.body_source(declaration)
    assert '"""' not in source
    assert "type: ignore" not in source
    ast.parse("def f():\n" + "\n".join(f"    {line}" for line in source.splitlines()))


def test_list_holds_every_function_and_its_other_names():
    text = "\n".join(output.plain_text(table.terminal(t)) for t in page.listing(declarations()))
    assert max(map(len, text.splitlines())) <= table.WIDTH
    rows = [line.split()[0] for line in text.splitlines() if line and not line.startswith(" ")]
    flat = " ".join(text.split())
    for d in declarations():
        assert rows.count(d.name) == 1
        assert all(alias in flat for alias in d.aliases)


def test_list_is_parted_by_kind():
    titles = [t.title for t in page.listing(declarations())]
    assert [t.split()[0] for t in titles] == ["Activations", "Losses"]
