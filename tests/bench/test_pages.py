"""Beside peers, every library's memory has pages of one kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes import system

from actbench.bench.pages import asking
from actbench.peers.environment import environment

ENABLED = "sys/kernel/mm/transparent_hugepage/enabled"
ALL = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1", "THP_MEM_ALLOC_ENABLE": "1"}


@pytest.mark.parametrize("enabled", ["[always] madvise never", "always madvise [never]", ""])
def test_where_all_or_none_get_huge_pages_nobody_asks(tmp_path: Path, enabled: str) -> None:
    assert asking(system(tmp_path, {ENABLED: enabled}), {}) == {}


@pytest.mark.parametrize(
    ("before", "tunables", "torch"),
    [
        ({}, "glibc.malloc.hugetlb=1", "1"),
        ({"GLIBC_TUNABLES": "glibc.rtld.nns=5"}, "glibc.rtld.nns=5:glibc.malloc.hugetlb=1", "1"),
        ({"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0"}, "glibc.malloc.hugetlb=0", "1"),
        ({"THP_MEM_ALLOC_ENABLE": "0"}, "glibc.malloc.hugetlb=1", "0"),
    ],
)
def test_where_those_get_them_that_ask_all_ask(
    tmp_path: Path, before: dict[str, str], tunables: str, torch: str
) -> None:
    found = asking(system(tmp_path, {ENABLED: "always [madvise] never"}), before)
    assert found == {"GLIBC_TUNABLES": tunables, "THP_MEM_ALLOC_ENABLE": torch}


def test_the_environment_is_as_before_when_the_process_has_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "mine")
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    before = dict(os.environ)
    with environment(ALL):
        assert dict(os.environ) == before | ALL
    assert dict(os.environ) == before
