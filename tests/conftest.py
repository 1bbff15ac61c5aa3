"""What all tests share: a kernel cache of their own, and the catalogue as parameters."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

# Before any kernel is compiled: tests neither use nor fill the user's cache, but share one among workers,
# because a kernel takes 0.2 s to compile and every test file wants the same ones.
os.environ.setdefault("ACTBENCH_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"actbench-test-{os.getuid()}"))

from actbench.catalog.declaration import Declaration
from actbench.catalog.registry import declarations

ALL = declarations()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for ``declaration`` (or one of a template) every function of the catalogue."""
    for name in ("declaration", "elementwise", "rowwise", "pairwise"):
        if name in metafunc.fixturenames:
            chosen: list[Declaration] = [d for d in ALL if name in ("declaration", d.template)]
            metafunc.parametrize(name, chosen, ids=[d.name for d in chosen])
