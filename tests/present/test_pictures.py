"""The pictures of a run: what stands in them, that nothing overlaps, and what cannot be drawn."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from actbench.bench.comparison import closest, geometric_mean
from actbench.bench.run import OURS, Contender
from actbench.catalog.errors import UsageError
from actbench.present import choice, heatmap, output, placement, roofline, sizes
from actbench.present.audits import load
from actbench.present.choice import Choice
from actbench.present.pictures import KINDS, picture, pictures
from actbench.present.providers import looks
from actbench.present.theme import DARK, DPI, LIGHT, WIDTH
from actbench.present.throughput import throughput
from actbench.present.tradeoff import tradeoff
from tests.present.conftest import PUBLISHED

THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
AUDIT = PUBLISHED.parents[2] / "accuracy" / "peers" / "audit.json.gz"
FEW = ("gelu", "relu", "softmax", "mse", "quantile")


def part(run, functions=FEW):
    """The run with some of its functions."""
    return replace(run, cells=tuple(m for m in run.cells if m.cell.function in functions))


@pytest.fixture(scope="module")
def audits():
    return load(AUDIT).audits


def texts(figure):
    every = [*figure.texts, *(t for axes in figure.axes for t in axes.texts)]
    return [t for t in every if t.get_text()]


def words(figure):
    return [t.get_text() for t in texts(figure)]


def check_texts(figure):
    """Every text and tick label inside the page, none on another, none smaller than is readable at 600 pixels."""
    figure.canvas.draw()
    labels = [t for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for t in axis.get_ticklabels()]
    shown = texts(figure) + [t for t in labels if t.get_text() and t.get_visible()]
    shown += [
        axis.label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) if axis.label.get_text()
    ]
    # Shrunk by two pixels, because lines of text may touch.
    boxes = [(t.get_text(), t.get_window_extent().padded(-2)) for t in shown]
    page = figure.bbox
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.x1 <= page.x1 + 1, text
        assert box.y0 >= -1, text
        assert box.y1 <= page.y1 + 1, text
    for (a, box), (b, other) in itertools.combinations(boxes, 2):
        assert not box.overlaps(other), (a, b)
    # 10 points are 22 of 1600 pixels: as much as a line that is set smaller to fit, such as a long processor's name.
    assert min(t.get_fontsize() for t in shown) >= 10


@THEMES
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "accuracy"])
@pytest.mark.parametrize("names", [(), FEW, ("gelu",)], ids=["all", "few", "one"])
def test_no_text_lies_on_another(kind, names, theme, published):
    figure = picture(published, kind, theme, names)
    assert figure.get_size_inches()[0] * DPI == WIDTH
    check_texts(figure)


@THEMES
@pytest.mark.parametrize("names", [(), ("elu", "gelu", "tanh"), ("tanh",)], ids=["all", "few", "one"])
def test_no_text_lies_on_another_beside_audits(names, theme, published, audits):
    check_texts(tradeoff(published, audits, theme, names))


def test_a_run_has_the_pictures_that_it_has_data_for(make_run, published):
    assert list(pictures(make_run(), LIGHT)) == ["throughput"]
    assert list(pictures(replace(part(published), roofs=()), LIGHT)) == ["heatmap", "throughput"]
    assert list(pictures(part(published), LIGHT)) == ["heatmap", "throughput", "roofline"]
    assert not pictures(make_run([]), LIGHT)


@THEMES
def test_providers_differ_without_colour(theme):
    names = [
        OURS,
        "torch",
        "torch.compile",
        "jax",
        "onnxruntime",
        "tensorflow",
        "numpy",
        "scipy",
        "numexpr",
        "plug",
        "in",
    ]
    found = looks(names, theme)
    assert len({look.marker for look in found.values()}) == len(names)
    assert len({(look.colour, look.dash) for look in found.values()}) == len(names)
    assert found[OURS].colour == theme.colours[0]
    assert [name for name, look in found.items() if look.colour == theme.colours[0]] == [OURS]
    assert all(look.width < found[OURS].width for name, look in found.items() if name != OURS)


def test_a_provider_looks_the_same_whoever_is_beside_it():
    assert looks([OURS, "scipy"], LIGHT)["scipy"] == looks([OURS, "torch", "numpy", "scipy"], LIGHT)["scipy"]


def test_throughput_has_a_label_for_every_call(published):
    shown = words(throughput(published, LIGHT, ["gelu"]))
    assert {"actbench", "actbench out=", "torch", "jax", "onnxruntime out=", "scipy", "copy ceiling"} <= set(
        shown
    )
    # Beside a call that allocates, that peer's other one is not like it.
    assert "torch out=" not in shown


def test_throughput_draws_the_calls(published):
    (axes,) = throughput(published, LIGHT, ["gelu"], Choice("backward", "float64")).axes
    cells = [m for m in published.cells if m.cell.key.startswith("gelu/backward/float64")]
    ours = [[m.bytes, m.bytes / c.median_ns] for m in cells for c in m.contenders if c.label == OURS]
    # Ours lies over the others.
    assert axes.lines[-1].get_xydata() == pytest.approx(np.array(ours))


def test_a_map_has_the_mean_ratio_of_like_calls(published):
    cells = [m for m in published.sized if m.cell.key.startswith("mish/forward/float32")]
    mean = geometric_mean([closest(m, "torch").ratio.value for m in cells])
    found = heatmap.square(cells, "torch")
    assert (found.ratio, found.lost) == (mean, False)
    assert found.text in words(heatmap.heatmap(published, LIGHT, ["mish"], Choice("forward")))


def ratios(m, *times):
    """A cell for each of the peer's times, by ours of 100 ns."""

    def cell(time):
        calls = tuple(
            Contender(who, allocates=True, samples_ns=(ns,) * len(m.samples_ns))
            for who, ns in ((OURS, 100.0), ("peer", time))
        )
        return replace(m, contenders=calls)

    return [cell(time) for time in times]


@pytest.mark.parametrize(
    ("times", "text", "lost"),
    [
        ((200.0, 50.0), "1.00", False),
        ((400.0, 20.0), "0.894", False),  # they disagree: nobody is ranked
        ((50.0, 50.0, 100.0), "0.630", True),
        ((100.0, 100.0, 50.0), "same", False),
        ((100.0, 50.0), "0.707", True),
        ((800.0,), "8.00", False),
    ],
    ids=str,
)
def test_same_is_what_most_sizes_say(times, text, lost, make_run):
    found = heatmap.square(ratios(make_run().cells[0], *times), "peer")
    assert (found.text, found.lost) == (text, lost)
    assert found.mixed is (max(times) > 100 > min(times))


def test_a_mean_of_sizes_that_disagree_has_no_colour_of_either(make_run):
    run = make_run(["relu"], sizes=(1000, 2000), dtypes=("float32",), passes=("forward",))
    mixed, alike = (
        [ratios(m, ns)[0] for m, ns in zip(run.cells, times, strict=True)]
        for times in ((400.0, 20.0), (90.0, 89.0))
    )
    told = "in grey: the peer is faster at some sizes"
    assert told in " ".join(words(heatmap.heatmap(replace(run, cells=tuple(mixed)), LIGHT)))
    assert told not in " ".join(words(heatmap.heatmap(replace(run, cells=tuple(alike)), LIGHT)))


def test_a_map_marks_what_was_not_compared(make_run):
    (m, *_) = make_run().cells
    (cell,) = ratios(m, 50.0)
    wrong = replace(cell, contenders=(cell.contenders[0], replace(cell.contenders[1], mismatch=True)))
    assert heatmap.square([wrong], "peer").text == "\N{NOT EQUAL TO}"
    assert heatmap.square([cell], "another").text == "-"


def test_where_a_peer_wins_is_outlined_and_bold(make_run):
    run = make_run(["relu", "mse"], passes=("forward",), dtypes=("float32",), sizes=(2**20,))
    slow, fast = (ratios(m, time)[0] for m, time in zip(run.cells, (50.0, 300.0), strict=True))
    figure = heatmap.heatmap(replace(run, cells=(slow, fast)), LIGHT)
    by_text = {t.get_text(): t for t in figure.texts}
    assert (by_text["0.500"].get_weight(), by_text["3.00"].get_weight()) == ("bold", "normal")
    assert {"Activations", "Losses", "forward"} <= set(by_text)
    # In the key there are two, a quarter and a half; in the map the one cell, and not the mean of 1.22.
    boxes = [artist for artist in figure.artists if isinstance(artist, Rectangle)]
    assert len([box for box in boxes if box.get_edgecolor()[3] > 0]) == 2 + 1


@THEMES
@pytest.mark.parametrize("ratio", [0.01, 0.2, 0.6, 0.97, 1.0, 1.1, 2.0, 5.0, 7.9, 8.0, 1e6])
def test_numbers_are_readable_on_their_colours(ratio, theme):
    fill = heatmap._fill(ratio, theme)
    # 4.5 is what WCAG 2 asks of text of that size.
    assert max(heatmap._contrast(ink, fill) for ink in (heatmap._BLACK, heatmap._WHITE)) >= 4.5


def test_roofs_and_kernels_are_named(published):
    figure = roofline.roofline(published, LIGHT)
    shown = words(figure)
    for start in ("L1d ", "L2 ", "L3 ", "memory ", "float32 multiply-add"):
        assert any(word.startswith(start) for word in shown), start
    assert not any("float64" in word for word in shown)  # whose roof limits none of these
    # Every function has its name at its point or, by a number, in the key; what does no arithmetic is said.
    named = {re.sub(r"^\d+  ", "", word) for word in shown}
    functions = {m.cell.function for m in published.cells}
    idle = {m.cell.function for m in published.cells if m.cell.size > 1 and m.flops == 0}
    assert functions - named == idle >= {"identity", "relu"}
    assert any("so not drawn: identity" in word for word in shown)
    numbers = {word for word in shown if word.isdigit()}
    assert numbers == {word.split()[0] for word in shown if re.match(r"\d+  ", word)}


def test_a_kernel_is_where_its_figures_are(published):
    (axes,) = roofline.roofline(published, LIGHT, ["gelu"]).axes
    cells = [m for m in published.cells if m.cell.key.startswith("gelu/forward/float32")]
    drawn = [ln.get_xydata().tolist()[0] for ln in axes.lines if ln.get_marker() in "o^Ds"]
    assert drawn[-1] == [cells[-1].intensity, cells[-1].gflop_per_s]
    # 2^15 elements are the largest of the sizes that the L2 cache of 2 MiB holds.
    (cached,) = (m for m in cells if m.cell.size == 2**15)
    assert drawn[-2] == [cached.intensity, cached.gflop_per_s]


def test_exactness_is_that_of_the_audit(published, audits):
    (axes,) = tradeoff(published, audits, LIGHT, ["tanh"]).axes
    drawn = {ln.get_marker(): ln.get_xydata().tolist()[0] for ln in axes.lines if len(ln.get_xdata()) == 1}
    errors = {a.provider: a.judged for a in audits if str(a.case) == "tanh forward float32"}
    (m,) = (m for m in published.cells if m.cell.key == "tanh/forward/float32/32768/1t/warm")
    speeds = {c.provider: m.elements / c.median_ns for c in m.contenders if c.allocates}
    for provider in (OURS, "torch", "jax"):
        assert drawn[looks([provider], LIGHT)[provider].marker] == [errors[provider], speeds[provider]]


def test_what_has_no_audit_is_counted(published, audits):
    shown = " ".join(words(tradeoff(published, audits, LIGHT, ["tanh", "gelu", "mse", "ctc"])))
    assert "2 functions that were not both timed and audited are left out" in shown


@pytest.mark.parametrize(
    ("kind", "names", "asked", "message"),
    [
        ("throughput", ["mish"], {}, "holds no mish"),
        (
            "throughput",
            [],
            {"pass_": "derivative"},
            "--pass derivative: there are no such cells to draw; there is forward, backward",
        ),
        ("heatmap", [], {"dtype": "float16"}, "--dtype float16: .* there is float32, float64"),
        ("roofline", [], {"threads": 2}, "--threads 2: .* there is 1"),
        ("accuracy", ["softmax"], {}, "the audits have none of these functions"),
        ("pie", [], {}, "choose from throughput, heatmap, roofline, accuracy"),
    ],
)
def test_what_is_not_there_is_said(kind, names, asked, message, published, audits):
    with pytest.raises(UsageError, match=message):
        picture(part(published), kind, LIGHT, names, Choice(**asked), audits)


@pytest.mark.parametrize(("kind", "message"), [("heatmap", "--against auto"), ("roofline", "no roofs")])
def test_a_run_alone_has_neither_peers_nor_roofs(kind, message, make_run):
    with pytest.raises(UsageError, match=message):
        picture(make_run(), kind, LIGHT)


def test_what_is_open_is_settled_as_a_reader_expects(make_run):
    run = make_run(
        threads=(2, 1), caches=("cold", "warm"), dtypes=("float64", "float32"), passes=("backward", "forward")
    )
    assert choice.settle(run.cells, Choice()) == Choice("forward", "float32", 1, "warm")
    assert choice.settle(run.cells, Choice("backward", threads=2)) == Choice("backward", "float32", 2, "warm")
    only = make_run(dtypes=("float64",), passes=("backward",))
    assert str(choice.settle(only.cells, Choice())) == "backward, float64, 1 thread, warm cache"


def test_labels_take_the_nearest_room_and_no_one_elses():
    room = placement.Room((0, 0, 400, 200))
    room.mark((200, 100), 10)
    found = [room.put((200, 100), (60, 20), 150) for _ in range(4)]
    assert None not in found
    distances = [math.dist((200, 100), placement.nearest((200, 100), box)) for box in found]
    assert max(distances) < placement.NEAR
    for one, other in itertools.combinations(found, 2):
        assert not placement.overlap(one, other)
    assert placement.Room((0, 0, 50, 50)).put((25, 25), (60, 20), 100) is None


@pytest.mark.parametrize("kind", ["throughput", "heatmap", "roofline"])
def test_a_picture_for_a_page_is_one_element_with_text(kind, published):
    figure = picture(part(published), kind, LIGHT)
    text = output.svg_text(figure, LIGHT)
    assert text == output.svg_text(picture(part(published), kind, LIGHT), LIGHT)
    assert text.startswith("<svg")
    root = ElementTree.fromstring(text)
    spoken = {"".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert set(words(figure)) <= {"", *spoken}
    # No ground of its own, no rule and no name that would meet those of the page, and inks that a page may set.
    assert "<style" not in text
    assert "var(--plot-ink, #1a1a1a)" in text
    ids = re.findall(r' id="(.*?)"', text)
    assert len(ids) == len(set(ids))
    assert all(f"#{name}" in text for name in ids)
    assert not re.search(rf'fill: (var\(--plot-background, )?{LIGHT.background}\)?"', text.split("<g>", 3)[2])


def test_numbers_on_a_map_keep_their_contrast_in_a_page_that_sets_inks(published):
    text = output.svg_text(heatmap.heatmap(part(published), LIGHT), LIGHT)
    for ink in ("grid", "1", "2"):
        assert f"fill: var(--plot-{ink}," not in text


def test_a_pass_without_peers_leaves_the_others_drawn(make_run):
    run = make_run(["relu", "gelu"], passes=("derivative", "backward"))
    cells = tuple(ratios(m, 200.0)[0] if m.cell.pass_ == "backward" else m for m in run.cells)
    for names in ((), ("relu",)):
        figure = throughput(replace(run, cells=cells), LIGHT, names)
        assert any("backward, float32" in word for word in words(figure))


def test_a_picture_that_cannot_be_drawn_costs_no_other(published, monkeypatch):
    def refuse(*_):
        raise UsageError("there is no room")

    monkeypatch.setattr(roofline, "roofline", refuse)
    told: list[str] = []
    assert list(pictures(part(published), LIGHT, told.append)) == ["heatmap", "throughput"]
    assert told == ["no roofline: there is no room"]


def test_calls_on_one_element_are_no_throughput(make_run):
    run = make_run(sizes=(1,))
    assert not pictures(run, LIGHT)
    with pytest.raises(UsageError, match="only calls on one element"):
        throughput(run, LIGHT)


def test_threads_and_caches_have_ceilings_of_their_own(make_run):
    run = make_run(["relu"], passes=("forward",), threads=(1, 2), caches=("warm", "cold"))
    cells = [replace(m, ceiling_ns=tuple(s / m.cell.threads for s in m.ceiling_ns)) for m in run.cells]
    found = {c.label: c for c in sizes.ceilings(cells)}
    assert set(found) == {f"copy ceiling {n}t {cache}" for n in (1, 2) for cache in ("warm", "cold")}
    assert len({c.style for c in found.values()}) == 4
    for (_, one), (_, two) in zip(
        found["copy ceiling 1t warm"].points, found["copy ceiling 2t warm"].points, strict=True
    ):
        assert two == pytest.approx(2 * one, rel=0.02)  # times within 1 % of each other
    (alone,) = sizes.ceilings([m for m in cells if (m.cell.threads, m.cell.cache) == (1, "warm")])
    assert alone.label == "copy ceiling"
    shown = words(throughput(replace(run, cells=tuple(cells)), LIGHT))
    assert {"ceiling 1t warm", "ceiling 2t cold"} <= set(shown)


def test_a_map_says_how_much_was_compared(make_run):
    run = make_run(["relu", "gelu"], passes=("forward",), dtypes=("float32",))
    cells = tuple(ratios(m, 200.0)[0] for m in run.cells)
    figure = heatmap.heatmap(replace(run, cells=cells), LIGHT)
    assert words(figure)[-2:] == ["6", "cells compared"]
    assert "A dot in the corner" not in " ".join(words(figure))
    fewer = heatmap.heatmap(replace(run, cells=cells[1:]), LIGHT)
    assert words(fewer)[-2:] == ["5", "cells compared"]
    assert "A dot in the corner" in " ".join(words(fewer))
    assert "over the sizes that were compared" in " ".join(words(fewer))
    assert len(fewer.artists) == len(figure.artists) + 1


def test_a_roofline_tells_what_was_not_counted_from_what_was_not_measured(published):
    def kept(m):
        return (m.cell.function, m.cell.pass_) != ("mse", "backward")

    run = replace(part(published, ("gelu", "mse", "maxout")), peers={})
    run = replace(run, cells=tuple(filter(kept, run.cells)))
    shown = " ".join(words(roofline.roofline(run, LIGHT, asked=Choice("backward"))))
    assert "Without arithmetic that was counted, so not drawn: maxout." in shown
    assert "Without such cells, so not drawn: mse." in shown


def test_a_kernel_that_never_stays_in_the_cache_is_shown_at_its_largest_alone(published):
    run = part(published, ("gelu",))
    run = replace(run, cells=tuple(m for m in run.cells if m.bytes > run.machine.caches["L2"]))
    figure = roofline.roofline(run, LIGHT)
    (axes,) = figure.axes
    cell = max((m for m in run.cells if m.cell.key.startswith("gelu/forward/float32")), key=lambda m: m.bytes)
    drawn = [ln.get_xydata().tolist()[0] for ln in axes.lines if ln.get_marker() in "o^Ds"]
    assert {tuple(place) for place in drawn} == {(cell.intensity, cell.gflop_per_s)}
    assert "open" not in " ".join(words(figure))


def test_exactness_says_whose_calls_are_given_their_buffer(published, audits):
    said = "Calls allocate, but those of onnxruntime that have no such call are given out=."

    def given(m):
        calls = (c for c in m.contenders if c.provider != "onnxruntime" or not c.allocates)
        return replace(m, contenders=tuple(calls))

    run = part(published, ("tanh",))
    assert said in " ".join(words(tradeoff(replace(run, cells=tuple(map(given, run.cells))), audits, LIGHT)))


def lone(run, gb_per_s, **changed):
    """The run's first cell alone, at that speed."""
    m = run.cells[0]
    times = tuple(m.bytes / gb_per_s * (1 + 0.001 * i) for i in range(12))
    return replace(run, cells=(replace(m, samples_ns=times, ceiling_ns=(), **changed),))


@pytest.mark.parametrize("speed", [0.0123, 0.7, 1.0, 3.0, 7.1, 14.2, 71.0, 101.0, 346.0])
@pytest.mark.parametrize("size", [700, 1000, 2**16])
def test_one_cell_has_two_round_ticks_on_either_axis(speed, size, make_run):
    figure = throughput(lone(make_run(["relu"], sizes=(size,)), speed), LIGHT)
    check_texts(figure)
    (axes,) = figure.axes
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        inside = [t for t in axis.get_ticklocs() if limits[0] <= t <= limits[1]]
        assert 2 <= len(inside) <= 8
    assert all(len(f"{t:g}".strip("0.").replace(".", "")) <= 2 for t in axes.yaxis.get_ticklocs())


def test_a_long_name_stays_on_the_page(make_run):
    run = make_run(["relu", "gelu"])
    named = [replace(m, cell=replace(m.cell, function=m.cell.function + 20 * "_long")) for m in run.cells]
    check_texts(throughput(replace(run, cells=tuple(named)), LIGHT))
    check_texts(throughput(replace(run, cells=tuple(named)), LIGHT, [named[0].cell.function]))


def test_calls_that_cost_more_than_their_kernels_are_no_throughput(make_run):
    run = make_run(["relu"])
    bound = lone(run, 346.0, overhead_ns=200.0)
    assert bound.cells[0].gb_per_s is None
    with pytest.raises(UsageError, match="none tells of throughput"):
        throughput(bound, LIGHT)
    told: list[str] = []
    assert not pictures(bound, LIGHT, told.append)
    assert len(told) == 1
    # Beside others such a cell is left out.
    (axes,) = throughput(replace(run, cells=(*bound.cells, *run.cells[1:])), LIGHT).axes
    assert axes.get_ylim()[1] < 100
