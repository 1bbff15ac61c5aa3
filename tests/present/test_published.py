"""What the README says of published results."""

from __future__ import annotations

import json
from pathlib import Path

from actbench.present import published


def test_targets_are_counted_and_the_furthest_named(tmp_path: Path) -> None:
    speed = {"target": "ahead", "wanted": 1.0, "sense": "at least", "unit": ""}
    error = {"target": "error", "wanted": 1.0, "sense": "at most", "unit": "ULP"}
    rows = [
        {**speed, "where": "here", "figure": 1.5, "verdict": "met"},
        {**speed, "where": "there", "figure": 0.5, "verdict": "short"},
        {**speed, "where": "nowhere", "figure": None, "verdict": "not measured"},
        {**error, "where": "relu", "figure": 0.0, "verdict": "met"},
        {**error, "where": "tanh", "figure": 0.9, "verdict": "met"},
    ]
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({"rows": rows}))
    head, _, table = published.limits(path).partition(":\n")
    assert head == "3 of 5 targets met"
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]
    assert cells == [
        ["ahead", "at least 1", "3", "1", "0.500", "there"],
        ["error", "at most 1 ULP", "2", "2", "0.900 ULP", "tanh"],
    ]
