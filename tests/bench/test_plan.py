"""The size grammar, the span of a plan, and the memory it may take."""

from __future__ import annotations

from contextlib import suppress

import pytest
from fakes import Bench
from hypothesis import given
from hypothesis import strategies as st

from actbench.bench.config import Config
from actbench.bench.plan import Cell, check_memory, expand, parse_size
from actbench.catalog.errors import InfeasibleError, UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1_000", 1000),
        ("1e3", 1000),
        ("1.5e3", 1500),
        ("2^20", 2**20),
        ("2**20", 2**20),
        (" 10^6 ", 10**6),
        ("32k", 32_000),
        ("1.5k", 1500),
        ("1M", 10**6),
        ("2G", 2 * 10**9),
        ("32Ki", 32 * 1024),
        ("1Mi", 2**20),
        ("1Gi", 2**30),
        ("2^48", 2**48),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "0", "-1", "1.5", "1e-3", "0.0001k", "1,000", "1 k", "1kk", "1T", "1m", "32KI", "k"),
        *("2^", "^2", "2^-1", "2^0.5", "0^5", "2^999999999", "1e99", "1e999999999999999999999"),
        *("nan", "inf", "0x10", "\N{ARABIC-INDIC DIGIT THREE}", "9" * 5000),
    ],
)
def test_what_is_no_size_is_one_clear_line(text: str) -> None:
    with pytest.raises(UsageError, match=r"^size '.*(from 1 up: write|beyond)") as error:
        parse_size(text)
    assert "\n" not in str(error.value)


@given(st.integers(1, 2**48))
def test_every_integer_is_the_size_it_says(size: int) -> None:
    assert parse_size(str(size)) == parse_size(f"{size:_}") == size


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_a_usage_error(text: str) -> None:
    with suppress(UsageError):
        assert 1 <= parse_size(text) <= 2**48


def test_a_plan_spans_all_axes_once_in_the_order_asked(bench: Bench) -> None:
    values = {"pass": "backward,forward,backward", "dtype": "float32", "size": "1k,1000,2k", "threads": "1,2"}
    plan = expand(list(bench.functions.values()), Config.model_validate(values))
    assert len(plan.cells) == len(set(plan.cells)) == 2 * 2 * 2 * 2
    assert plan.cells[0] == Cell("f", "backward", "float32", 1000, 1, "warm")


def test_a_pass_that_a_function_lacks_is_left_out(bench: Bench) -> None:
    bench.functions["g"].passes = ("forward",)
    plan = expand(list(bench.functions.values()), Config.model_validate({"pass": "backward"}))
    assert {cell.function for cell in plan.cells} == {"f"}


def test_a_plan_without_cells_says_which_passes_there_are(bench: Bench) -> None:
    with pytest.raises(UsageError, match="--pass derivative: f has forward, backward"):
        expand([bench.functions["f"]], Config.model_validate({"pass": "derivative"}))


def test_a_cell_names_itself_and_the_command_that_repeats_it() -> None:
    cell = Cell("relu", "forward", "float32", 1024)
    assert cell.key == "relu/forward/float32/1024/1t/warm"
    assert cell.command == (
        "actbench bench relu --pass forward --dtype float32 --size 1024 --threads 1 --cache warm"
    )


def test_memory_names_the_cell_its_need_and_what_there_is() -> None:
    need = {"small": 2**20, "large": 3 * 2**30}
    check_memory(need, 3 * 2**30)
    check_memory(need, None)
    check_memory({}, 0)
    with pytest.raises(InfeasibleError, match="large needs 3 GiB of memory and 2 GiB is available"):
        check_memory(need, 2 * 2**30)
