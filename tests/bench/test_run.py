"""The run's file: what goes in comes out, and what is no run is refused in one line."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import MACHINE, measurement

from actbench.bench.run import (
    JOURNAL_FILE,
    RUN_FILE,
    SCHEMA,
    Contender,
    Input,
    Run,
    Skipped,
    Store,
    dump_run,
    load_run,
    save_run,
)
from actbench.bench.statistics import Estimate
from actbench.catalog.errors import InputFileError, OutputError
from actbench.peers.base import Description

CONTENDERS = (
    Contender("actbench", True, (200.0,) * 6, 5),
    Contender("torch", False, (300.0,) * 6, 5, compile_s=1.5, error=1e-7, note="a note"),
    Contender("jax", True, error=0.5, mismatch=True, note="its values differ"),
)


@pytest.fixture
def run() -> Run:
    return Run(
        schema=SCHEMA,
        created="2026-01-02T03:04:05Z",
        command="actbench bench 'ré*'",
        config={"size": [1000, 2000], "budget": None},
        machine=MACHINE,
        versions={"numpy": "2.0", "numba": None},
        input=Input("x.npy", (10, 100), "float32", "ab" * 32),
        cells=(measurement(), measurement(2000, check=None), measurement(3000, contenders=CONTENDERS)),
        skipped=(Skipped("relu/backward/float32/1000/1t/warm", "no"),),
        complete=True,
        peers={"torch": Description("2.13", "GCC", "set_num_threads", "AVX512")},
        environment={"THP_MEM_ALLOC_ENABLE": "1"},
    )


def test_derived_figures() -> None:
    m = replace(measurement(), overhead_ns=25.5)
    assert (m.median_ns, m.interval_ns, m.minimum_ns) == (100, (90, 110), 90)
    assert m.ns_per_element == 0.1
    assert m.elements_per_s == pytest.approx(1e10)
    assert (m.gb_per_s, m.ceiling_gb_per_s) == (80, 160)
    assert m.share == Estimate(*(pytest.approx(0.5),) * 3)
    alone = replace(m, ceiling_ns=(), ceiling="")
    assert (alone.share, alone.ceiling_gb_per_s) == (None, None)
    # A ceiling of 50 ns beside a call of 250 ns is a difference of noise.
    drowned = replace(m, overhead_ns=250)
    assert (drowned.share, drowned.ceiling_gb_per_s) == (None, None)
    # And so is a kernel that takes 40 ns, whose bytes the ceiling's moves in 200.
    drowned = replace(m, overhead_ns=100, samples_ns=(40.0,) * 6, ceiling_ns=(200.0,) * 6)
    assert (drowned.share, drowned.gb_per_s) == (None, None)
    assert drowned.ceiling_gb_per_s == 40


@pytest.mark.parametrize(
    ("samples", "flags"),
    [
        ((100.0,) * 12, ()),
        ((100.0, 150.0) * 3, ("unstable",)),
        ((100.0,) * 9 + (150.0,) * 7, ("unstable", "multimodal")),
        ((), ()),
    ],
)
def test_a_contenders_samples_are_judged_as_ours_are(
    samples: tuple[float, ...], flags: tuple[str, ...]
) -> None:
    assert Contender("torch", True, samples).flags == flags


def test_a_saved_run_is_loaded_as_it_was(run: Run, tmp_path: Path) -> None:
    save_run(run, tmp_path / "new" / RUN_FILE)
    assert load_run(tmp_path / "new" / RUN_FILE) == load_run(tmp_path / "new") == run
    assert [f.name for f in (tmp_path / "new").iterdir()] == [RUN_FILE]


def test_a_gzipped_run_is_loaded_as_it_was(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.json.gz"
    path.write_bytes(gzip.compress(dump_run(run).encode()))
    assert load_run(path) == run


def test_a_run_is_json_with_a_cell_a_line(run: Run) -> None:
    text = dump_run(run)
    assert json.loads(text)["cells"][0]["cell"]["pass"] == "forward"
    assert sum(line.startswith('{"cell":{') for line in text.splitlines()) == 3


def test_a_run_of_the_first_schema_is_still_read(run: Run, tmp_path: Path) -> None:
    plain = json.loads(dump_run(replace(run, schema=1, cells=run.cells[:2], peers={})))
    del plain["peers"]
    for cell in plain["cells"]:
        del cell["contenders"]
    (tmp_path / RUN_FILE).write_text(json.dumps(plain))
    assert load_run(tmp_path) == replace(run, schema=1, cells=run.cells[:2], peers={})


@pytest.mark.parametrize("rounds", [1, 7])
def test_a_contender_is_timed_in_every_round_or_in_none(rounds: int) -> None:
    with pytest.raises(ValueError, match="every round"):
        measurement(contenders=(Contender("torch", True, (1.0,) * rounds),))


def test_saving_replaces_whole_or_not_at_all(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / RUN_FILE
    save_run(run, path)
    before = path.read_bytes()

    def full(self: Path, *args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        save_run(replace(run, complete=False), path)
    assert path.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == [RUN_FILE]


def test_a_folder_that_cannot_be_made_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"^cannot write"):
        save_run(run, tmp_path / "file" / RUN_FILE)
    with pytest.raises(OutputError, match=r"^cannot write"):
        Store(tmp_path / "file").open(run)


def change(*path: str | int, to: object) -> Callable[[Any], None]:
    def apply(document: Any) -> None:
        for part in path[:-1]:
            document = document[part]
        document[path[-1]] = to

    return apply


def drop(*path: str | int) -> Callable[[Any], None]:
    def apply(document: Any) -> None:
        for part in path[:-1]:
            document = document[part]
        del document[path[-1]]

    return apply


def test_a_run_from_before_pages_were_recorded_is_read(run: Run, tmp_path: Path) -> None:
    document = json.loads(dump_run(run))
    for remove in (drop("machine", "huge_pages"), drop("environment"), change("schema", to=3)):
        remove(document)
    (tmp_path / "run.json").write_text(json.dumps(document))
    assert load_run(tmp_path) == replace(run, schema=3, environment={})


@pytest.mark.parametrize(
    ("malform", "message"),
    [
        (drop("schema"), "no field 'schema'"),
        (change("schema", to=SCHEMA + 1), "upgrade actbench"),
        (change("schema", to="1"), "schema: Input should be a valid integer"),
        (drop("machine"), "machine: Field required"),
        (change("machine", "caches", to=3), "machine.caches: "),
        (change("extra", to=1), "extra: Unexpected"),
        (change("complete", to="yes"), "complete: Input should be a valid boolean"),
        (change("cells", 1, "loops", to="many"), r"cells\[1\]\.loops: "),
        (change("cells", 1, "loops", to=0), r"cells\[1\]\.loops: "),
        (change("cells", 0, "oops", to=1), r"cells\[0\]\.oops: Unexpected"),
        (drop("cells", 0, "cell", "pass"), r"cells\[0\]\.cell\.pass: Field required"),
        (change("cells", 0, "cell", "function", to="a\x1b[31m"), r"cells\[0\]\.cell\.function: .*match"),
        (change("cells", 0, "cell", "function", to="a\n"), r"cells\[0\]\.cell\.function: .*match"),
        (change("cells", 0, "cell", "dtype", to="a/b"), r"cells\[0\]\.cell\.dtype: .*match"),
        (change("cells", 2, "contenders", 1, "provider", to="a\x9b"), r"contenders\[1\]\.provider: .*match"),
        (change("peers", to={"a\nb": {}}), r"peers\.a b.*: String should match"),
        (change("cells", 0, "samples_ns", to=[]), r"cells\[0\]: .*needs a sample"),
        (change("cells", 0, "samples_ns", 3, to=-1.0), r"cells\[0\]\.samples_ns\[3\]: "),
        (change("cells", 0, "samples_ns", 3, to=float("nan")), r"cells\[0\]\.samples_ns\[3\]: "),
        (change("cells", 0, "ceiling_ns", to=[1.0]), r"cells\[0\]: .*a ceiling time for each"),
        (change("cells", to={}), "cells: "),
        (change("skipped", 0, "reason", to=None), r"skipped\[0\]\.reason: "),
    ],
)
def test_a_malformed_run_names_its_first_wrong_field(
    run: Run, tmp_path: Path, malform: Callable[[Any], None], message: str
) -> None:
    document = json.loads(dump_run(run))
    malform(document)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputFileError, match=message) as error:
        load_run(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert error.value.exit_code == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a run"),
        (b"3", "is not a run"),
        (b"\xff\xfe\x00", "is not text"),
        (gzip.compress(b"{}")[:-9], "broken gzip"),
        (gzip.compress(b"{}")[:9] + b"xxxxxxxxxxxx", "broken gzip"),
        (b"\x1f\x8bxx", "broken gzip"),
    ],
    ids=["empty", "cut", "deep", "list", "number", "binary", "gzip cut", "gzip spoilt", "no gzip"],
)
def test_what_is_no_run_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=message):
        load_run(path)


def test_missing_files_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="No such file"):
        load_run(tmp_path / "x.json")
    with pytest.raises(InputFileError, match=r"holds no run\.json"):
        load_run(tmp_path)


@pytest.mark.parametrize("torn", ["", '{"cell":{"function":"re'])
def test_a_journal_is_an_unfinished_run_even_with_its_last_line_cut(
    run: Run, tmp_path: Path, torn: str
) -> None:
    begun = replace(run, cells=(), skipped=(), complete=False)
    store = Store(tmp_path)
    store.open(begun)
    for record in (*run.cells, *run.skipped):
        store.add(record)
    with (tmp_path / JOURNAL_FILE).open("a") as journal:
        journal.write(torn)
    assert load_run(tmp_path) == replace(run, complete=False)
    store.close(run)
    assert load_run(tmp_path) == run
    assert [f.name for f in tmp_path.iterdir()] == [RUN_FILE]


def test_a_journal_knows_more_than_the_run_file_that_it_resumed(run: Run, tmp_path: Path) -> None:
    begun = replace(run, cells=run.cells[:1], complete=False)
    save_run(begun, tmp_path / RUN_FILE)
    store = Store(tmp_path)
    store.open(begun)
    for cell in run.cells[1:]:
        store.add(cell)
    assert load_run(tmp_path).cells == run.cells
    store.close(run)


def test_a_journal_that_never_began_is_refused(tmp_path: Path) -> None:
    (tmp_path / JOURNAL_FILE).write_text('{"schema":1')
    with pytest.raises(InputFileError, match="first line is incomplete"):
        load_run(tmp_path)
