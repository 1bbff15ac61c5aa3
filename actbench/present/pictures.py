"""The pictures of a run: which there are, and those that it has the data for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from actbench.bench.comparison import providers
from actbench.bench.run import Run
from actbench.catalog.errors import UsageError
from actbench.present import roofline
from actbench.present.choice import OPEN, Choice
from actbench.present.heatmap import heatmap
from actbench.present.theme import Theme
from actbench.present.throughput import throughput
from actbench.present.tradeoff import tradeoff

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from actbench.verify.findings import Audit

ACCURACY = "accuracy"
KINDS = ("throughput", "heatmap", "roofline", ACCURACY)
"""The first is drawn where none is asked for; the last needs audits."""


def pictures(run: Run, theme: Theme, tell: Callable[[str], object] = lambda _: None) -> Mapping[str, Figure]:
    """Every picture that the run has the data for, by its name, in the order in which they are read.

    One that cannot be drawn is left out, and ``tell`` is told why.
    """
    held = {
        "heatmap": bool(providers(run.sized)),
        "throughput": bool(run.sized),
        "roofline": roofline.drawable(run),
    }
    drawn = {}
    for kind in (kind for kind, there in held.items() if there):
        try:
            drawn[kind] = picture(run, kind, theme)
        except UsageError as error:
            tell(f"no {kind}: {error}")
    return drawn


def picture(
    run: Run,
    kind: str,
    theme: Theme,
    names: Iterable[str] = (),
    asked: Choice = OPEN,
    audits: Sequence[Audit] = (),
) -> Figure:
    """One picture of a run, of some functions or of all; raises UsageError where it does not hold what that takes."""
    if kind == ACCURACY:
        return tradeoff(run, audits, theme, names, asked)
    if kind not in KINDS:
        raise UsageError(f"unknown kind {kind!r}: choose from {', '.join(KINDS)}")
    draw = {"throughput": throughput, "heatmap": heatmap, "roofline": roofline.roofline}[kind]
    return draw(run, theme, names, asked)
