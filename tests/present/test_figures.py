"""Plots: every function in every theme, with what a reader has to see in them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.catalog import registry
from actbench.catalog.errors import UsageError
from actbench.kernels import bind, function, functions
from actbench.present import figures, output
from actbench.present.curves import Subject, subjects
from actbench.present.layout import spread
from actbench.present.theme import DARK, LIGHT

LONG = "an_activation_whose_name_has_as_many_as_eighty_four_letters_which_nobody_should_give"
THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)


def draw(*names, params=None, **options):
    family = [s for name in names for s in subjects(function(name), params or {})]
    return figures.draw(family, options.pop("theme", LIGHT), **options)


def words(figure):
    """All text on the figure that is not a tick label."""
    return [t.get_text() for t in [*figure.texts, *(t for axes in figure.axes for t in axes.texts)]]


def lines(axes, style=None):
    """The curves: what has more points than a mark."""
    return [ln for ln in axes.lines if len(ln.get_xdata()) > 2 and style in (None, ln.get_linestyle())]


def marks(axes, filled):
    """Where the dots are; an open one is filled with the ground or not at all."""
    dots = [ln for ln in axes.lines if ln.get_marker() == "o" and ln.get_linestyle() == "None"]
    colours = {True: lambda ln: ln.get_markerfacecolor() == ln.get_markeredgecolor()}
    return sorted(
        (float(ln.get_xdata()[0]), float(ln.get_ydata()[0])) for ln in dots if colours[True](ln) is filled
    )


@THEMES
@pytest.mark.parametrize("deriv", [False, True], ids=["value", "deriv"])
def test_every_function_is_drawn(declaration, theme, deriv):
    figure = figures.draw([Subject(bind(declaration))], theme, deriv=deriv)
    content = output.figure_bytes(figure, "png")
    assert len(content) < 100_000
    assert declaration.name in words(figure)
    assert all(lines(axes) for axes in figure.axes)
    bounds = figure.bbox
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0, text
        assert box.x1 <= bounds.x1, text
        assert box.y0 >= 0, text
        assert box.y1 <= bounds.y1, text


def test_texts_do_not_overlap(declaration):
    figure = figures.draw([Subject(bind(declaration))], LIGHT, deriv=True)
    output.figure_bytes(figure, "png")
    # Shrunk by a pixel, because lines of text may touch.
    boxes = [(t.get_text(), t.get_window_extent().padded(-1)) for t in figure.texts]
    for (a, box), (b, other) in itertools.combinations(boxes, 2):
        assert not box.overlaps(other), (a, b)


def test_every_kink_is_marked(declaration):
    subject = Subject(bind(declaration))
    figure = figures.draw([subject], LIGHT, deriv=True)
    for section in subject.sections:
        for at, *_ in section.kinks:
            for axes in figure.axes:
                places = [x for filled in (True, False) for x, _ in marks(axes, filled)]
                assert any(math.isclose(x, at, abs_tol=1e-12) for x in places)


def test_relu_has_a_ring_and_one_sided_slopes():
    (axes,) = draw("relu", deriv=True).axes
    assert marks(axes, filled=True) == [(0, 0)]
    assert marks(axes, filled=False) == [(0, 0), (0, 1)]


def test_the_convention_at_the_kink_is_where_the_filled_dot_is():
    (axes,) = draw("relu", params={"slope_at_zero": ("0.5",)}, deriv=True).axes
    assert marks(axes, filled=True) == [(0, 0.5)]
    assert marks(axes, filled=False) == [(0, 0), (0, 0), (0, 1)]


def test_the_jump_of_step_has_a_riser_and_no_curve_across():
    (axes,) = draw("step", deriv=True).axes
    assert marks(axes, filled=True) == [(0, 1)]
    assert marks(axes, filled=False) == [(0, 0)]
    (riser,) = [ln for ln in axes.lines if ln.get_linestyle() == ":"]
    assert riser.get_xydata().tolist() == [[0, 0], [0, 1]]
    for line in lines(axes):
        assert np.ptp(line.get_ydata()) == 0


def test_function_is_solid_and_derivative_dashed():
    (axes,) = draw("tanh", deriv=True).axes
    assert [ln.get_linestyle() for ln in lines(axes)] == ["-", "--"]
    assert {"$f$", "$f\\,'$"} <= set(words(axes.figure))


def test_a_loss_has_its_value_and_its_gradient_side_by_side():
    value, gradient = draw("mse", deriv=True).axes
    assert [ln.get_linestyle() for ln in lines(value)] == ["-"]
    assert [ln.get_linestyle() for ln in lines(gradient)] == ["--"]
    assert value.get_xlabel() == "pred \N{MINUS SIGN} target"


def test_a_loss_of_a_probability_has_a_curve_a_target():
    (axes,) = draw("bce").axes
    assert len(lines(axes)) == 2
    assert len({ln.get_color() for ln in lines(axes)}) == 2
    assert {"target = 0", "target = 1"} <= set(words(axes.figure))


def test_what_shoots_to_infinity_is_cut_off():
    # -ln p passes 36 near the ends that are drawn, and 90 % of it lies below 2.3.
    (axes,) = draw("bce").axes
    assert 2 < axes.get_ylim()[1] < 6


@pytest.mark.parametrize(
    ("name", "equations"),
    [
        ("tanh", {"y = \N{MINUS SIGN}1", "y = 1"}),
        ("sigmoid", {"y = 0", "y = 1"}),
        ("softplus", {"y = 0", "y = x"}),
        ("elu", {"y = \N{MINUS SIGN}1"}),
        ("relu", set()),
        ("identity", set()),
        ("mse", set()),
    ],
)
def test_asymptotes_are_drawn_where_the_curve_nears_them(name, equations):
    assert {w for w in words(draw(name)) if w.startswith("y = ")} == equations


def test_a_view_too_narrow_for_an_asymptote_shows_none():
    assert not [w for w in words(draw("sigmoid", limits=(-1, 1))) if w.startswith("y = ")]


def test_a_family_has_a_labelled_curve_a_value():
    figure = draw("elu", params={"alpha": ("0.1", "0.3", "1")}, deriv=True)
    for axes in figure.axes:
        assert len({ln.get_color() for ln in lines(axes)}) == 3
    assert words(figure).count(r"$\alpha = 0.3$") == 2


def test_a_single_value_stands_in_the_title():
    assert r"$\alpha = 0.3$" in words(draw("elu", params={"alpha": ("0.3",)}))
    assert not any("alpha = " in w for w in words(draw("elu", params={"alpha": ("1",)})))


def test_an_overlay_names_its_curves():
    figure = draw("relu", "silu", "tanh")
    (axes,) = figure.axes
    assert {"relu", "silu", "tanh", "relu, silu, tanh"} <= set(words(figure))
    assert len({ln.get_color() for ln in lines(axes)}) == 3


def test_labels_of_curves_that_end_alike_do_not_overlap():
    figure = draw("relu", "leaky_relu", "elu", "silu", "softplus", "mish", "swish", deriv=True)
    labels = [t for t in figure.texts if t.get_text() in ("relu", "elu", "silu", "mish", "swish")]
    boxes = [t.get_window_extent() for t in labels]
    assert len(boxes) == 10
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_limits_are_kept():
    (axes,) = draw("relu", limits=(-2, 3)).axes
    assert axes.get_xlim() == (-2, 3)
    (axes,) = draw("bce", limits=(-2, 0.5)).axes
    assert axes.get_xlim() == (0, 0.5)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["relu", "mse"], {}, "no axis in common"),
        (["bce"], {"limits": (2, 3)}, r"pred in \[0, 1\]"),
        (["elu"], {"params": {"alpha": tuple("12345678")}}, "8 curves do not fit one plot"),
    ],
)
def test_what_cannot_be_drawn_together_is_refused(names, options, message):
    with pytest.raises(UsageError, match=message):
        draw(*names, **options)


@THEMES
@pytest.mark.parametrize("deriv", [False, True], ids=["value", "deriv"])
def test_the_gallery_holds_every_function(theme, deriv):
    every = functions()
    figure = figures.gallery([Subject(f) for f in every], theme, deriv=deriv)
    assert len(output.figure_bytes(figure, "png")) < 400_000
    assert len(figure.axes) == len(every)
    assert {f.name for f in every} <= set(words(figure))
    activations = [axes for axes, f in zip(figure.axes, every, strict=True) if f.kind == "activation"]
    assert len({axes.get_xlim() for axes in activations}) == 1
    assert len({axes.get_ylim() for axes in activations}) == 1


def test_the_gallery_takes_a_range():
    figure = figures.gallery([Subject(function("relu")), Subject(function("bce"))], LIGHT, limits=(-2, -1))
    relu, bce = figure.axes
    assert relu.get_xlim() == (-2, -1)
    assert bce.get_xlim() == (0, 1)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=12), st.floats(1, 80))
def test_spread_keeps_order_distance_and_bounds(places, gap):
    placed = spread(places, gap, 0, 1000)
    # Sums of up to 12 numbers of 1000 are off by 1e-12.
    ordered = sorted(placed)
    assert all(b - a >= gap - 1e-9 for a, b in itertools.pairwise(ordered))
    assert ordered[0] >= -1e-9
    assert ordered[-1] <= 1000 + 1e-9
    for i, j in itertools.combinations(range(len(places)), 2):
        assert placed[i] < placed[j] or places[i] >= places[j]


@given(st.lists(st.integers(0, 10), min_size=1, max_size=10, unique=True))
def test_spread_leaves_alone_what_is_apart(steps):
    places = [40.0 * s for s in steps]
    assert spread(places, 40, 0, 1000) == pytest.approx(places)


def test_the_users_matplotlib_settings_change_nothing():
    import matplotlib

    before = output.figure_bytes(draw("relu", deriv=True), "png")
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 40, "lines.linewidth": 9}):
        after = output.figure_bytes(draw("relu", deriv=True), "png")
    assert before == after


def test_several_curves_differ_by_dash_and_no_leader_runs_through_the_axes():
    figure = draw("relu", "gelu", "silu", "elu", "tanh", "mish", "selu", deriv=True)
    for axes in figure.axes:
        patterns = {(ln.get_color(), str(ln._unscaled_dash_pattern)) for ln in lines(axes)}
        assert len({pattern for _, pattern in patterns}) == len({colour for colour, _ in patterns}) == 7
        inside = axes.get_position()
        for line in figure.artists:
            across = np.asarray(line.get_xdata())
            assert not ((across > inside.x0 + 0.01) & (across < inside.x1 - 0.01)).any()


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Declare an activation of one's own and bind it."""
    monkeypatch.setattr(registry, "_declared", dict(registry._declared))

    def own(name, formula="2*x", derivative="2.0", about="Mine."):
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
        file.write_text(
            f"import actbench\n@actbench.activation(formula='{formula}', derivative=lambda x: {derivative})\n"
            f"def {name}(x):\n    '''{about}'''\n    return {formula}\n"
        )
        return bind(registry.load_file(file)[0])

    return own


def check_inside(figure):
    """Every text on the page, and every panel wide enough to show something."""
    output.figure_bytes(figure, "png")
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1, text
    for axes in figure.axes:
        assert axes.get_window_extent().width > 200


@pytest.mark.parametrize("name", [LONG[:30], LONG, 3 * LONG], ids=len)
@pytest.mark.parametrize("deriv", [False, True], ids=["value", "deriv"])
def test_a_name_may_be_of_any_length(name, deriv, own):
    mine, relu = Subject(own(name)), Subject(function("relu"))
    check_inside(figures.draw([mine, relu], LIGHT, deriv=deriv))
    check_inside(figures.draw([mine], LIGHT, deriv=deriv))
    gallery = figures.gallery([mine, *map(Subject, functions("activation")[:3])], LIGHT, deriv=deriv)
    output.figure_bytes(gallery, "png")
    named = next(t for t in gallery.texts if t.get_text().startswith(LONG[:9]))
    assert named.get_window_extent().x1 <= gallery.axes[0].get_window_extent().x1 + 1


def test_names_that_begin_alike_stay_apart(own):
    figure = figures.draw([Subject(own(f"{LONG}_{end}")) for end in ("left", "right")], LIGHT, deriv=True)
    labels = [w for w in words(figure) if w.startswith("an_activ\N{HORIZONTAL ELLIPSIS}")]
    assert len(labels) == 4
    assert len(set(labels)) == 2


def test_values_of_parameters_are_not_shortened():
    figure = draw("elu", "celu", params={"alpha": ("0.123456", "0.234567", "12345.6")}, deriv=True)
    check_inside(figure)
    assert words(figure).count(r"celu, $\alpha = 0.234567$") == 2
    many = draw(
        "softplus", params={"beta": ("1.23456", "2"), "threshold": ("20.1234", "1.23457e+06")}, deriv=True
    )
    check_inside(many)


def test_an_axis_holds_the_values_at_kinks():
    for axes in draw("elu", params={"alpha": tuple("1234567")}, deriv=True).axes:
        low, high = axes.get_ylim()
        assert all(low < y < high for filled in (True, False) for _, y in marks(axes, filled))


def test_a_pole_is_still_cut_off(own):
    (axes,) = figures.draw([Subject(own("inverse", "1/x", "-1.0 / (x * x)"))], LIGHT, deriv=True).axes
    assert max(map(abs, axes.get_ylim())) < 5
    left, right = (t for t in axes.texts if t.get_text().startswith("y"))
    assert left.get_text() == right.get_text() == "y = 0"
    # Each on the side of the line where the curve is not.
    assert (left.get_va(), right.get_va()) == ("bottom", "top")


@pytest.mark.parametrize("params", [{"alpha": ("1e308",)}, {"alpha": ("1", "1e308")}], ids=["one", "family"])
def test_what_no_axis_can_hold_is_refused_without_a_warning(params):
    with pytest.raises(UsageError, match=r"what reaches \S+e\+30[78] cannot be drawn"):
        draw("elu", params=params, deriv=True)
    check_inside(draw("elu", params={"alpha": ("9e299",)}, deriv=True))


def test_a_long_description_takes_two_lines_at_most(own):
    about = " ".join(["words"] * 80)
    figure = figures.draw([Subject(own("wordy", about=about))], LIGHT)
    check_inside(figure)
    lines = [t for t in figure.texts if t.get_text().startswith("words")]
    assert [t.get_fontsize() for t in lines] == [14, 14]
    assert lines[1].get_text().endswith("\N{HORIZONTAL ELLIPSIS}")
    figure = figures.draw([Subject(own("one_word", about="word" * 100))], LIGHT)
    check_inside(figure)
