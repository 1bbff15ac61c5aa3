"""Fixtures of the bench's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import Bench, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bench(clock: Clock, tmp_path: Path) -> Bench:
    return Bench(clock, tmp_path / "run")
