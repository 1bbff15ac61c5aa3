"""A run as one HTML page: whole without a network, safe with any name, and a table that sorts and filters."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_versus import beside_peers

from actbench.bench.run import Roof, Run, save_run
from actbench.bench.statistics import ADVICE
from actbench.catalog.errors import UsageError
from actbench.cli import run as actbench
from actbench.peers.base import Description
from actbench.present import runs
from actbench.present.report_page import page
from actbench.present.theme import DARK, LIGHT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ALONE = (  # no sandbox, as CI runs as root, and none of the requests that a browser makes for itself
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
NASTY = 'f</script><script>alert("1")</script>&<b>'


def data(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found
    document: dict[str, Any] = json.loads(found[1])
    return document


def column(document: dict[str, Any], name: str) -> list[str]:
    """A column of the calls, a field a row."""
    found = document["calls"][name]
    return found.split("|") if isinstance(found, str) else [found[0][place] for place in found[1]]


@pytest.fixture
def peers(make_run) -> Run:
    """Two functions beside peers, of which one is as fast as ours and one faster on gelu alone."""
    run = beside_peers(make_run(["relu", "gelu", "tanh"]))

    def hurried(m):
        if m.cell.function != "gelu":
            return m
        faster = (replace(c, samples_ns=tuple(0.25 * s for s in c.samples_ns)) for c in m.contenders)
        return replace(
            m,
            contenders=tuple(
                f if c.provider == "a" else c for c, f in zip(m.contenders, faster, strict=True)
            ),
        )

    return replace(run, cells=tuple(map(hurried, run.cells)))


def test_the_page_loads_nothing(peers):
    text = page(peers)
    assert "http://" not in text
    assert "https://" not in text
    assert not re.search(r"<(link|script|img|iframe)[^>]*(src|href)=\"(?!data:)", text)
    assert "default-src 'none'" in text


def test_it_says_what_was_measured_and_how(peers):
    roof = Roof("copy", 2, 2**20, (1e4, 1.1e4, 0.9e4, 1e4, 1e4, 1e4), level="L2")
    text = html.unescape(page(replace(peers, roofs=(roof,), complete=False)))
    assert "3 functions in 36 cells, measured on 2025-01-02 at 03:04 UTC on Test CPU (2 cores)" in text
    assert "beside a 1.0, b 1.0, c 1.0, wrong 1.0 and unable 1.0; the run is unfinished." in text
    for told in (peers.command, "unable has no float64", "L1d 32.0 KiB", "105", *ADVICE.values()):
        assert told in text
    for field in ("CPU", "governor", "turbo", "load", "timer", "subnormals", "vector instructions"):
        assert field in text


def test_every_call_has_the_figures_of_the_csv(peers):
    document = data(page(peers))
    names, *rows = runs.csv_rows(peers)
    assert sum(document["counts"]) == len(rows)
    for name, shown, scale in (("ratio", "ratio", 1), ("gb_per_s", "speed", 1), ("share", "share", 100)):
        at = list(names).index(name)
        for row, text in zip(rows, column(document, shown), strict=True):
            assert (row[at] is None) == (text == "")
            # Three digits, or fewer where fewer are known: of times within 1 % at least two are.
            assert text == "" or float(text) == pytest.approx(scale * float(row[at]), rel=0.05)


def test_a_verdict_is_in_words(peers):
    document = data(page(peers))
    words = set(zip(column(document, "provider"), column(document, "verdict"), strict=True))
    assert {("a", "slower"), ("a", "faster"), ("b", "slower"), ("c", "same"), ("kernel", "")} <= words
    assert {("wrong", "differs"), ("unable", "not timed"), ("actbench", "")} <= words


def test_every_cell_has_the_command_that_repeats_it(peers):
    commands = data(page(peers))["cells"]["command"]
    assert commands == [m.command or m.cell.command for m in peers.cells]
    assert len(set(commands)) == len(peers.cells)


def test_one_element_tells_what_a_call_costs(make_run):
    run = make_run(["relu"], sizes=(1,), dtypes=("float32",), passes=("forward",))
    run = replace(run, cells=tuple(replace(m, elements=4) for m in run.cells))
    assert float(column(data(page(run)), "time")[0]) == pytest.approx(run.cells[0].median_ns, rel=0.01)


def test_no_name_becomes_markup(peers):
    cells = tuple(
        replace(m, cell=replace(m.cell, function=NASTY), command=f"actbench bench {NASTY}")
        for m in peers.cells
    )
    machine = replace(peers.machine, cpu=NASTY, os=NASTY, governor=NASTY)
    text = page(
        replace(peers, cells=cells, machine=machine, command=NASTY, versions={"python": NASTY, NASTY: "1"})
    )
    assert "<script>alert" not in text
    assert "&<b>" not in text
    assert text.count("<script") == 2
    assert NASTY in data(text)["cells"]["function"][0]


def test_one_cell_is_one(make_run):
    text = page(make_run(["relu"], sizes=(1000,), dtypes=("float32",), passes=("forward",)))
    assert "in 1 cell, measured on" in text


def test_no_control_character_is_in_the_page(peers):
    text = page(
        replace(peers, command="\x1b[31m", machine=replace(peers.machine, cpu="\x07"), versions={"a": "\x9b"})
    )
    assert {c for c in text if not c.isprintable()} == {"\n"}


@pytest.mark.parametrize(
    "shape",
    [{"functions": ()}, {"ceiling": False}, {"skipped": 2}, {"sizes": (1,)}, {"threads": (1, 2)}],
    ids=str,
)
def test_any_run_has_a_page(shape, make_run):
    document = data(page(make_run(**shape)))
    assert len(document["cells"]["command"]) == len(document["counts"])


def test_one_element_tells_of_no_speed_and_is_nobodys_hardest_peer(make_run):
    run = beside_peers(make_run(["relu"], sizes=(1, 1000), dtypes=("float32",), passes=("forward",)))
    document = data(page(run))
    half = document["counts"][0]
    for name in ("speed", "share"):
        assert not any(column(document, name)[:half])
        assert any(column(document, name)[half:])
    assert any(column(document, "ratio")[:half])
    assert [place >= half for place in document["closest"]] == [True]


def test_every_name_is_given_once(make_run):
    text = page(beside_peers(make_run(["relu"], sizes=(1, 1000))))
    names = re.findall(r' id="(.*?)"', text.split("<script")[0])
    assert "call-cost" in names
    assert len(names) == len(set(names))


def test_threads_have_headlines_of_their_own(make_run):
    text = page(beside_peers(make_run(["relu"], threads=(1, 2))))
    heads = re.findall(r"<h3>(.*?)</h3>", text)
    assert heads == ["forward 1t", "forward 2t", "backward 1t", "backward 2t"]
    assert text.count("the geometric mean of 6 cells") == 4
    assert "a line pools all functions in float32, float64 at 3 sizes" in text


def test_a_library_that_takes_no_part_is_not_claimed(peers):
    broken = replace(peers, peers={**peers.peers, "b": Description.of_fault("was ended by SIGSEGV")})
    text = html.unescape(page(broken))
    assert "beside a 1.0, c 1.0, wrong 1.0 and unable 1.0." in text
    assert "left out: was ended by SIGSEGV" in text


def test_a_picture_that_cannot_be_drawn_is_said(peers, monkeypatch):
    def refuse(*_):
        raise UsageError("there is no room")

    monkeypatch.setattr("actbench.present.pictures.heatmap", refuse)
    assert "no heatmap: there is no room" in page(peers)


def test_an_older_browser_has_colours(make_run):
    plain, _, both = page(make_run()).partition("@supports (color: light-dark(#000, #fff))")
    assert f"--ground: {LIGHT.background};" in plain
    assert "light-dark(" not in plain
    assert f"--ground: light-dark({LIGHT.background}, {DARK.background});" in both


def test_a_large_run_is_a_few_megabytes(peers):
    cells = tuple(
        replace(m, cell=replace(m.cell, function=f"function_{i}")) for i in range(35) for m in peers.cells
    )
    document = data(page(replace(peers, cells=cells[:36]))), data(page(peers))
    assert document[0]["counts"] == document[1]["counts"]
    sizes = [len(page(replace(peers, cells=cells[:n])).split('id="data">')[1]) for n in (36, 72)]
    # 2500 cells of nine calls are 22 500: 4 MB of data where a call takes 180 bytes.
    assert (sizes[1] - sizes[0]) / (36 * 8) < 180


# The command.


def test_report_writes_the_page(peers, tmp_path, capsys):
    save_run(peers, tmp_path / "run.json")
    assert actbench(["report", str(tmp_path / "run.json"), "--html", str(tmp_path / "run.html")]) == 0
    assert (tmp_path / "run.html").read_text("utf-8") == page(peers)
    assert "geometric mean" in capsys.readouterr().out
    assert actbench(["report", str(tmp_path / "run.json"), "--html", "-"]) == 0
    assert capsys.readouterr().out == page(peers)


def test_a_place_that_cannot_be_written_is_one_line_and_nothing_is_left(peers, tmp_path, capsys):
    save_run(peers, tmp_path / "run.json")
    (tmp_path / "taken").mkdir()
    assert actbench(["report", str(tmp_path / "run.json"), "--html", str(tmp_path / "taken")]) == 2
    said = capsys.readouterr()
    assert said.err.endswith("taken is a folder: name a file in it\n")
    assert len(said.err.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.json", "taken"]


def test_a_missing_run_writes_no_page(tmp_path, capsys):
    assert actbench(["report", str(tmp_path / "none.json"), "--html", str(tmp_path / "run.html")]) == 4
    assert "none.json" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_two_documents_do_not_share_stdout(peers, tmp_path, capsys):
    save_run(peers, tmp_path / "run.json")
    assert actbench(["report", str(tmp_path / "run.json"), "--html", "-", "--json"]) == 2
    said = capsys.readouterr()
    assert "leave one of them out" in said.err
    assert said.out == ""


# In a browser.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="the page is driven by playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=ALONE)
        yield opened
        opened.close()


class Reader:
    """The page open in a browser that notes every request and every complaint."""

    def __init__(self, browser: Any, path: Path, **settings: Any) -> None:
        self.context = browser.new_context(**settings)
        self.tab = self.context.new_page()
        self.url = path.as_uri()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.on("console", lambda message: self.complaints.append(message.text))
        self.tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.open()

    def open(self, hash: str = "") -> None:
        self.tab.goto("about:blank")
        self.requests.clear()
        self.tab.goto(self.url + hash)

    def column(self, name: str) -> list[str]:
        """The fields of a column, as the table shows them."""
        heads = self.tab.locator("#table thead th:not([hidden])")
        at = [head.get_attribute("data-name") for head in heads.all()].index(name)
        return [
            row.locator("th, td").nth(at).text_content()
            for row in self.tab.locator("#table tbody tr:not(.details)").all()
        ]

    def head(self, name: str) -> Any:
        return self.tab.locator(f'#table thead th[data-name="{name}"]')

    def choose(self, name: str, option: str) -> None:
        self.tab.locator(f'#controls select[name="{name}"]').select_option(option)


@pytest.fixture
def reader(browser, peers, tmp_path):
    path = tmp_path / "run.html"
    path.write_text(page(peers), "utf-8")
    opened: list[Reader] = []

    def open_page(**settings: Any) -> Reader:
        opened.append(Reader(browser, path, **settings))
        return opened[-1]

    yield open_page
    for made in opened:
        # Whatever a test did: nothing was fetched but the page itself, and the browser had nothing to say.
        assert all(url.split("#")[0] == made.url for url in made.requests), made.requests
        assert made.complaints == []
        made.context.close()


def test_the_first_view_is_short(reader):
    shown = reader()
    assert [name.strip("▸ ") for name in shown.column("function")] == ["relu", "gelu", "tanh"]
    assert shown.column("provider") == ["c allocating", "a allocating", "c allocating"]
    assert "3 calls, of 288 in all (every one: 1 thread, warm cache" in shown.tab.text_content("#count")
    assert "unstable" in shown.tab.text_content("#method")


def test_a_click_sorts_and_another_turns_it_round(reader):
    shown = reader()
    shown.choose("provider", "")
    shown.choose("size", "")
    assert shown.head("ratio").get_attribute("aria-sort") is None
    for direction in ("ascending", "descending"):
        shown.head("ratio").locator("button").click()
        assert shown.head("ratio").get_attribute("aria-sort") == direction
        texts = [re.match(r"[\d.]*", text)[0] for text in shown.column("ratio")]
        ratios = [float(text) for text in texts if text]
        assert ratios == sorted(ratios, reverse=direction == "descending")
        assert len({*ratios}) > 3
        assert not any(texts[len(ratios) :]), "what has no ratio comes last"


def test_the_keyboard_alone_sorts_and_unfolds(reader):
    shown = reader()
    shown.head("ratio").locator("button").focus()
    shown.tab.keyboard.press("Enter")
    assert shown.head("ratio").get_attribute("aria-sort") == "ascending"
    assert shown.tab.evaluate("document.activeElement.closest('th').dataset.name") == "ratio"
    first = shown.tab.locator("#table button.open").first
    first.focus()
    shown.tab.keyboard.press("Space")
    assert first.get_attribute("aria-expanded") == "true"
    assert "actbench bench gelu --pass forward" in shown.tab.text_content("tr.details code")
    shown.tab.keyboard.press("Space")
    assert shown.tab.locator("tr.details").count() == 0


def test_the_first_stop_of_the_keyboard_leads_to_the_table(reader):
    shown = reader()
    shown.tab.keyboard.press("Tab")
    assert shown.tab.evaluate("document.activeElement.textContent") == "Skip to the table of calls"


def test_filters_filter(reader):
    shown = reader()
    shown.tab.fill('#controls [name="q"]', "ELU")
    assert {name.strip() for name in shown.column("function")} == {"relu", "gelu"}
    shown.choose("provider", "a")
    shown.choose("dtype", "")
    assert {text.split()[0] for text in shown.column("provider")} == {"a"}
    assert set(shown.column("dtype")) == {"float32", "float64"}
    shown.tab.check('#controls [name="faster"]')
    assert {name for name in shown.column("function") if "gelu" not in name} == set()
    assert {text.strip() for text in shown.column("verdict")} == {"faster"}


def test_where_a_peer_is_ahead_is_not_what_a_call_costs(browser, peers, tmp_path):
    hurried = [m for m in peers.cells if m.cell.function == "gelu"]
    one = tuple(replace(m, cell=replace(m.cell, size=1)) for m in hurried if m.cell.size == 2**12)
    (tmp_path / "run.html").write_text(page(replace(peers, cells=(*peers.cells, *one))), "utf-8")
    shown = Reader(browser, tmp_path / "run.html")
    shown.open("#every")
    shown.tab.check('#controls [name="faster"]')
    assert set(shown.column("size")) == {"4Ki", "64Ki", "1Mi"}
    shown.context.close()


def test_the_address_restores_the_view(reader):
    shown = reader()
    shown.choose("provider", "b")
    shown.choose("size", "1Mi")
    shown.head("time").locator("button").click()
    kept = shown.tab.evaluate("location.hash")
    wanted = shown.column("time"), shown.tab.text_content("#count")
    shown.open(kept)
    assert (shown.column("time"), shown.tab.text_content("#count")) == wanted
    assert shown.tab.input_value('#controls select[name="provider"]') == "b"
    assert shown.head("time").get_attribute("aria-sort") == "ascending"
    shown.open("#machine")  # an anchor is no view
    assert "3 calls, of 288" in shown.tab.text_content("#count")


def test_many_rows_come_in_parts(reader):
    shown = reader()
    shown.tab.click("text=Every call >> nth=-1")
    assert shown.tab.locator("#table tbody tr").count() == 50
    shown.tab.click("#more")
    assert shown.tab.locator("#table tbody tr").count() == 250
    shown.tab.click("#more")
    assert shown.tab.locator("#table tbody tr").count() == 288
    assert shown.tab.is_hidden("#more")


def test_the_command_is_copied(reader):
    shown = reader()
    shown.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown.tab.locator("#table button.open").first.click()
    shown.tab.click("tr.details button")
    shown.tab.wait_for_selector("text=Copied")
    assert shown.tab.evaluate("navigator.clipboard.readText()").startswith(
        "actbench bench relu --pass forward"
    )


@pytest.mark.parametrize("width", [390, 800, 1360])
def test_the_page_itself_never_scrolls_sideways(width, reader, tmp_path):
    shown = reader(viewport={"width": width, "height": 844})
    for hash in ("", "#every"):
        shown.open(hash)
        shown.tab.locator("#table button.open").first.click()
        assert shown.tab.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    shown.tab.screenshot(path=tmp_path / f"{width}.png", full_page=True)
    assert (tmp_path / f"{width}.png").stat().st_size > 10_000


def test_a_phone_shows_what_matters_without_scrolling(reader):
    shown = reader(viewport={"width": 390, "height": 844})
    assert shown.tab.evaluate("document.getElementById('window').scrollWidth <= innerWidth")
    heads = shown.tab.locator("#table thead th:visible")
    assert [head.get_attribute("data-name") for head in heads.all()] == [
        "function",
        "provider",
        "time",
        "ratio",
    ]
    assert shown.tab.locator("#table tbody .verdict:visible").all_text_contents() == [
        "same",
        "faster",
        "same",
    ]


def luminance(colour: str) -> float:
    return sum(map(int, re.findall(r"\d+", colour)[:3]))


def test_the_system_and_then_the_reader_choose_light_or_dark(reader):
    shown = reader(color_scheme="dark")

    def ground() -> float:
        return luminance(shown.tab.evaluate("getComputedStyle(document.body).backgroundColor"))

    def ink() -> float:
        return luminance(shown.tab.evaluate("getComputedStyle(document.querySelector('figure text')).fill"))

    assert ground() < 200
    assert ink() > 600
    shown.tab.click("text=Light colours")
    assert ground() > 700
    assert ink() < 200
    shown.tab.reload()
    assert ground() > 700, "it stays so"


def test_summary_and_machine_need_no_script(reader):
    shown = reader(java_script_enabled=False)
    assert shown.tab.is_visible("text=best of them")
    assert shown.tab.is_visible("text=Test CPU >> nth=-1")
    assert shown.tab.is_visible("text=This table needs JavaScript")
    assert shown.tab.is_hidden("#controls")


def test_nothing_runs_that_slipped_through(browser, peers, tmp_path):
    text = page(peers).replace("<main>", "<main><script>document.title = 'slipped'</script>")
    (tmp_path / "run.html").write_text(text, "utf-8")
    shown = Reader(browser, tmp_path / "run.html")
    assert shown.tab.title() != "slipped"
    assert any("Content Security Policy" in complaint for complaint in shown.complaints)
    shown.context.close()
