"""Audits as tables, files and pictures."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from actbench.catalog.errors import InputFileError
from actbench.catalog.registry import declarations
from actbench.present import accuracy, audits, output
from actbench.present.audits import SCHEMA, Session
from actbench.present.table import WIDTH
from actbench.present.theme import DARK, LIGHT
from actbench.verify.findings import DERIVATIVE, FORWARD, MEAN, OURS, Audit, Bin, Case, Coordinate
from actbench.verify.rounding import FORMATS
from tests.present.conftest import MACHINE

WORST = float.fromhex("-0x1.9d3f45b8a1c2ep-1022")


def made(
    function: str = "silu",
    pass_: str = FORWARD,
    dtype: str = "float32",
    *,
    provider: str = OURS,
    largest: float = 0.75,
    wrong: int = 0,
    names: tuple[str, ...] = ("x",),
    settings: tuple[tuple[str, float], ...] = (),
) -> Audit:
    format = FORMATS[dtype]
    profile = tuple(
        Bin(negative, e, 100, wrong if e == format.largest else 0, largest / (1 + abs(e)), 0.2)
        for negative in (False, True)
        for e in range(format.least - format.places + 1, format.largest + 1)
    )
    return Audit(
        Case(function, pass_, dtype, settings),
        provider,
        judge="float64 kernel",
        inputs=8_654_852,
        largest=largest,
        judged=largest,
        where=tuple(Coordinate(name, WORST, WORST.hex()) for name in names),
        mean=0.2,
        correct=8_654_851,
        undecided=0,
        wrong=wrong,
        astray=(Coordinate("x", math.inf, "inf"),) if wrong else (),
        zeros=0,
        reference=None if dtype == "float64" else 1.875,
        control=4096,
        bound=1.0,
        profile=profile,
    )


def session(*found: Audit) -> Session:
    versions = {"python": "3.11", "actbench": "0.1.0", "llvmlite": None}
    return Session(SCHEMA, "2025-01-02T03:04:05Z", "actbench audit silu", MACHINE, versions, found)


def every(function: str) -> list[Audit]:
    return [made(function, pass_, dtype) for pass_ in (FORWARD, DERIVATIVE) for dtype in FORMATS]


def lines(found: Session) -> list[str]:
    return output.plain_text(audits.terminal(found)).splitlines()


class TestTables:
    @pytest.mark.parametrize(
        "found",
        [
            every("silu"),
            [*every("silu"), *every(max((d.name for d in declarations()), key=len))],
            [made("mse", pass_, names=("pred", "target"), wrong=7) for pass_ in (FORWARD, DERIVATIVE, MEAN)],
            [made(provider=who, largest=1.7e7, wrong=3) for who in (OURS, "torch.compile", "onnxruntime")],
        ],
        ids=["one", "several", "loss", "peers"],
    )
    def test_they_fit_a_terminal(self, found: list[Audit]) -> None:
        printed = lines(session(*found))
        assert max(map(len, printed)) <= WIDTH
        assert "silu" in "".join(printed) or "mse" in "".join(printed)

    def test_one_function_in_detail(self) -> None:
        text = "\n".join(lines(session(made())))
        assert WORST.hex() in text
        for expected in ("8.65 M", "0.750", "<100", "within", "1.88 ULP"):  # what the reference errs by
            assert expected in text

    def test_several_functions_have_a_line_each(self) -> None:
        (table,) = audits.tables(session(*every("silu"), *every("gelu")))
        assert [row[0] for row in table.rows] == ["silu", "gelu"]
        assert table.rows[0][1:] == ("0.750",) * 5 + ("within",)

    def test_peers_stand_beside_ours(self) -> None:
        peer = made(provider="torch", largest=1.7e7, wrong=12)
        (table,) = audits.tables(session(made(), peer, made("gelu")))
        assert [c.title for c in table.columns] == ["function", OURS, "torch"]
        assert table.rows == (("silu", "0.750", "!1.70e7"), ("gelu", "0.750", "-"))
        assert "NaN" in table.caption

    def test_parameters_are_told_apart(self) -> None:
        found = [made("elu", settings=(("alpha", v),)) for v in (0.3, 2.0)]
        (table,) = audits.tables(session(*found))
        assert [row[0] for row in table.rows] == ["elu, alpha=0.3", "elu, alpha=2.0"]

    def test_csv_holds_every_figure(self) -> None:
        rows = list(csv.DictReader(io.StringIO(audits.csv(session(*every("silu"))))))
        assert len(rows) == 8
        assert rows[0]["at"] == f"x={WORST.hex()}"
        assert rows[0]["verdict"] == "within"
        assert float(rows[0]["mean (ULP)"]) == 0.2


class TestVerdict:
    def test_the_worst_of_ours_decides(self) -> None:
        within, beyond, unknown = made(), made(largest=1.5), replace(made(), control=0)
        peer = made(provider="torch", largest=99.0)
        assert session(within, peer).verdict == "within"
        assert session(within, unknown).verdict == "undecided"
        assert session(unknown, within, beyond).verdict == "beyond"
        assert session().verdict == "undecided"

    def test_wrong_results_are_beyond_every_bound(self) -> None:
        assert made(wrong=1).verdict == "beyond"

    def test_a_judge_that_errs_too_much_is_none(self) -> None:
        assert replace(made(), reference=1e9).verdict == "undecided"
        assert replace(made(), reference=math.inf).verdict == "undecided"


class TestFile:
    def test_a_file_is_what_was_written(self, tmp_path: Path) -> None:
        whole = session(*every("silu"), made(provider="jax", wrong=2), replace(made(), reference=math.inf))
        (tmp_path / "audit.json").write_text(audits.dump(whole))
        assert audits.load(tmp_path / "audit.json") == whole
        document = json.loads(audits.dump(whole), parse_constant=pytest.fail)
        assert document["verdict"] == "undecided"
        assert document["audits"][0]["where"] == [{"name": "x", "value": WORST, "hex": WORST.hex()}]

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "audits": 3}'])
    def test_another_file_is_one_line(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "audit.json").write_text(text)
        with pytest.raises(InputFileError, match=r"audit\.json"):
            audits.load(tmp_path / "audit.json")
        with pytest.raises(InputFileError, match="cannot read"):
            audits.load(tmp_path / "none.json")


class TestPictures:
    @pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
    @pytest.mark.parametrize("dtype", FORMATS)
    def test_every_format_is_drawn(self, theme: object, dtype: str) -> None:
        found = [made(dtype=dtype), made(pass_=DERIVATIVE, dtype=dtype, wrong=1)]
        figure = accuracy.errors(found, theme)  # type: ignore[arg-type]
        assert len(output.figure_bytes(figure, "png")) < 100_000
        words = [text.get_text() for text in figure.texts]
        assert {"silu", FORWARD, DERIVATIVE} <= set(words)
        for text in figure.texts:
            box = text.get_window_extent()
            assert 0 <= box.x0 < box.x1 <= figure.bbox.x1, text
            assert 0 <= box.y0 < box.y1 <= figure.bbox.y1, text

    def test_a_picture_a_function_of_its_main_dtype(self) -> None:
        alpha = made("elu", dtype="float64", settings=(("alpha", 0.5),))
        rows = made("softmax", names=("element", "length", "spread"))
        found = accuracy.figures([*every("silu"), alpha, rows, made("mse", MEAN)], LIGHT)
        assert list(found) == ["silu", "elu-alpha=0.5"]
        assert any(t.get_text().startswith("float32") for t in found["silu"].texts)

    def test_curves_lie_at_their_exponents(self) -> None:
        (axes,) = accuracy.errors([made()], LIGHT).axes
        low, high = axes.get_xlim()
        assert low == -high
        labels = [label.get_text() for label in axes.get_xticklabels()]
        ones = [x for x, label in zip(axes.get_xticks(), labels, strict=True) if label == "$1$"]
        assert sorted(labels)[:2] == ["$1$", "$1$"]
        for patch, side, one in zip(axes.patches[:2], (-1, 1), ones, strict=True):
            values, edges, _ = patch.get_data()  # type: ignore[attr-defined]
            assert (side * edges >= 0).all()
            assert abs(edges).max() == pytest.approx(high)
            # The largest error is that of exponent 0, which begins at 1.
            peak = edges[values.argmax()], edges[values.argmax() + 1]
            assert min(peak, key=abs) == pytest.approx(one)

    def test_peers_are_named_in_their_colour(self) -> None:
        figure = accuracy.errors([made(), made(provider="torch", largest=1.7e7)], LIGHT)
        named = {t.get_text().split()[0]: t.get_color() for t in figure.texts if "torch" in t.get_text()}
        assert named == {"torch": LIGHT.colours[1]}
        (axes,) = figure.axes
        assert axes.get_yscale() == "symlog"


def test_a_gzipped_file_is_read(tmp_path: Path) -> None:
    session = audits.session([made()], "actbench audit silu", {})
    file = tmp_path / "audit.json.gz"
    file.write_bytes(gzip.compress(audits.dump(session).encode()))
    assert audits.load(file) == session
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputFileError, match="broken gzip"):
        audits.load(file)


def test_a_file_of_another_schema_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "audit.json"
    text = audits.dump(audits.session([made()], "actbench audit silu", {}))
    file.write_text(text.replace(f'"schema":{SCHEMA}', '"schema":99'))
    with pytest.raises(InputFileError, match="schema 99"):
        audits.load(file)


def test_of_more_providers_than_colours_each_is_drawn_within_the_page() -> None:
    names = ["torch", "torch.compile", *(f"peer {i}" for i in range(9))]
    figure = accuracy.errors([made(provider=name) for name in (OURS, *names)], LIGHT)
    shown = {text.get_text().split("  ")[0].removeprefix("- - ") for text in figure.texts}
    assert {OURS, *names} <= shown
    assert all(text.get_window_extent().x1 <= figure.bbox.x1 for text in figure.texts)
