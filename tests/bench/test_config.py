"""Where a configuration comes from, what precedes what, and how a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from actbench.bench.config import Config, parse_duration, presets, resolve
from actbench.catalog.errors import UsageError

SOURCES = ("preset", "pyproject", "file", "environment", "flag")


def resolved(folder: Path, rounds: dict[str, int], **flags: object) -> Config:
    """The configuration of a folder where each of the sources says its rounds."""
    (folder / "pyproject.toml").write_text(
        f"[tool.actbench]\nrounds = {rounds['pyproject']}" if "pyproject" in rounds else "[tool.other]"
    )
    file = folder / "bench.toml"
    file.write_text(f"rounds = {rounds['file']}" if "file" in rounds else "")
    environment = {"ACTBENCH_ROUNDS": str(rounds["environment"])} if "environment" in rounds else {}
    return resolve({"rounds": rounds.get("flag"), **flags}, file=file, environment=environment, folder=folder)


@pytest.mark.parametrize("strongest", range(1, len(SOURCES)), ids=SOURCES[1:])
def test_each_source_precedes_those_before_it(tmp_path: Path, strongest: int) -> None:
    rounds = {name: 100 + i for i, name in enumerate(SOURCES[: strongest + 1])}
    assert resolved(tmp_path, rounds).rounds == 100 + strongest


def test_the_preset_precedes_the_defaults_and_may_be_named_anywhere(tmp_path: Path) -> None:
    assert resolved(tmp_path, {}).preset == "quick"
    assert resolved(tmp_path, {}, preset="full").rounds == 40 != Config().rounds
    (tmp_path / "pyproject.toml").write_text("[tool.actbench]\npreset = 'ci'")
    config = resolve({"rounds": "9"}, environment={}, folder=tmp_path)
    assert (config.preset, config.rounds, config.budget) == ("ci", 9, 300)


def test_without_any_source_there_is_a_configuration(tmp_path: Path) -> None:
    assert resolve({}, environment={}, folder=tmp_path).preset == "quick"


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_valid(name: str, tmp_path: Path) -> None:
    assert {"quick", "full", "ci"} <= set(presets())
    assert resolve({"preset": name}, environment={}, folder=tmp_path).preset == name


def test_values_are_written_alike_in_flags_and_files(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('size = [1000, "2^4"]\nthreads = 2\nbudget = "1m"\ncache = ["cold"]')
    by_file = resolve({}, file=tmp_path / "a.toml", environment={}, folder=tmp_path)
    flags = {"size": "1k, 16", "threads": "2", "budget": "60", "cache": "cold"}
    assert by_file == resolve(flags, environment={}, folder=tmp_path)
    assert by_file.sizes == (1000, 16)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("round = 3", r"a\.toml: round: unknown key: did you mean 'rounds'\?"),
        ("xyzzy = 3", "xyzzy: unknown key: choose from preset, pass"),
        ("rounds = 'many'", r"a\.toml: rounds: .*integer.*'many'"),
        ("rounds = true", "rounds: "),
        ("rounds = 3", "rounds: it should be greater than or equal to 6"),
        ("size = ['1q']", "size: size '1q' is not"),
        ("size = []", "size: "),
        ("dtype = 'float8'", "dtype: it should be 'float64'.*'float8'"),
        ("pass = 3", "pass: "),
        ("threads = [0]", "threads: "),
        ("budget = 'soon'", "budget: 'soon' is not a duration"),
        ("budget = '0s'", "budget: "),
        ("slice = {a = 1}", "slice: .* is not a duration"),
        ("preset = 'quik'", "unknown preset 'quik': did you mean 'quick'"),
        ("rounds 3", r"a\.toml is not TOML"),
    ],
)
def test_a_mistake_in_a_file_is_one_line(tmp_path: Path, toml: str, message: str) -> None:
    (tmp_path / "a.toml").write_text(toml)
    with pytest.raises(UsageError, match=message) as error:
        resolve({}, file=tmp_path / "a.toml", environment={}, folder=tmp_path)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("flags", "environment", "project", "message"),
    [
        ({"rounds": "x"}, {}, "", r"^--rounds: "),
        ({}, {"ACTBENCH_ROUNDS": "x"}, "", r"^ACTBENCH_ROUNDS: "),
        ({}, {"ACTBENCH_FOO": "1"}, "", r"^ACTBENCH_FOO: unknown variable: choose from preset, "),
        ({}, {"ACTBENCH_CACHEDIR": "/x"}, "", r"^ACTBENCH_CACHEDIR: .*'cache_dir'"),
        ({}, {"ACTBENCH_ROUND": "9"}, "", r"^ACTBENCH_ROUND: .*'rounds'"),
        ({}, {}, "[tool.actbench]\nrounds = 'x'", r"^pyproject.toml \[tool.actbench\]: rounds: "),
        ({}, {}, "tool.actbench = 3", "is not a table"),
        ({}, {}, "tool", "is not TOML"),
    ],
)
def test_a_mistake_names_its_source(
    tmp_path: Path, flags: dict[str, str], environment: dict[str, str], project: str, message: str
) -> None:
    (tmp_path / "pyproject.toml").write_text(project)
    with pytest.raises(UsageError, match=message):
        resolve(flags, environment=environment, folder=tmp_path)


def test_variables_of_other_parts_are_left_alone(tmp_path: Path) -> None:
    environment = {"ACTBENCH_CACHE_DIR": "/x", "ACTBENCH_DEBUG": "1"}
    assert resolve({}, environment=environment, folder=tmp_path) == resolve(
        {}, environment={}, folder=tmp_path
    )


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^cannot read .*none\.toml: No such file"):
        resolve({}, file=tmp_path / "none.toml", environment={}, folder=tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("60", 60), ("60s", 60), ("5m", 300), ("1.5h", 5400), ("2ms", 0.002), (3, 3)]
)
def test_durations(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-15)  # one rounding


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 day", "1e5x", None, True, "nan"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        parse_duration(text)
