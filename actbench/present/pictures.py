"""The pictures of a run: which there are, and those that it has the data for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from actbench.bench.comparison import providers
from actbench.bench.run import Run
from actbench.present import roofline
from actbench.present.heatmap import heatmap
from actbench.present.theme import Theme
from actbench.present.throughput import throughput

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def pictures(run: Run, theme: Theme) -> Mapping[str, Figure]:
    """Every picture that the run has the data for, by its name, in the order in which they are read."""
    found: dict[str, Figure] = {}
    if providers(run.sized):
        found["heatmap"] = heatmap(run, theme)
    if run.cells:
        found["throughput"] = throughput(run, theme)
    if roofline.drawable(run):
        found["roofline"] = roofline.roofline(run, theme)
    return found
