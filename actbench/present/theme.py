"""The look of plots: colours that the colour-blind tell apart, on a light or a dark ground."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actbench.catalog.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 160
WIDTH, HEIGHT = 1600, 900
"""Pixels of a plot; its smallest text, of 12 points, is 10 pixels high where it is shown 600 wide."""


@contextmanager
def defaults(settings: Mapping[str, Any]) -> Iterator[None]:
    """Matplotlib's own defaults with these settings, whatever the user's matplotlibrc says."""
    import matplotlib

    every: Any = {k: v for k, v in matplotlib.rcParamsDefault.items() if "backend" not in k}
    every.update(settings)
    with matplotlib.rc_context(every):
        yield


@dataclass(frozen=True)
class Theme:
    """A ground, the inks on it, and the colours of curves in the order of their use."""

    name: str
    background: str
    ink: str
    muted: str
    grid: str
    colours: tuple[str, ...]

    @property
    def rc(self) -> Mapping[str, Any]:
        """What matplotlib must be told while a figure is made."""
        return {
            "figure.facecolor": self.background,
            "savefig.facecolor": self.background,
            "axes.facecolor": self.background,
            "axes.edgecolor": self.muted,
            "axes.labelcolor": self.ink,
            "axes.titlecolor": self.ink,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.linewidth": 1.0,
            "axes.titlesize": 14,
            "axes.labelsize": 14,
            "axes.titlepad": 10,
            "grid.color": self.grid,
            "grid.linewidth": 0.8,
            "text.color": self.ink,
            "xtick.color": self.muted,
            "ytick.color": self.muted,
            "xtick.labelcolor": self.ink,
            "ytick.labelcolor": self.ink,
            "xtick.labelsize": 13,
            "ytick.labelsize": 13,
            "font.size": 13,
            "lines.linewidth": 3.0,
            "lines.solid_capstyle": "round",
            "lines.dash_capstyle": "butt",
            "mathtext.fontset": "cm",
        }

    def applied(self) -> AbstractContextManager[None]:
        """Matplotlib's own defaults under this theme, whatever the user's matplotlibrc says."""
        return defaults(self.rc)

    def figure(self, width: int = WIDTH, height: int = HEIGHT) -> Figure:
        """An empty figure of that many pixels; call it, and draw, inside ``applied()``."""
        from matplotlib.figure import Figure

        return Figure(figsize=(width / DPI, height / DPI), dpi=DPI)


# Okabe and Ito (2008), Color Universal Design. Their yellow is left out on white and their blue on
# black, where neither has a contrast of 3 : 1; sky blue and orange are darkened a little on white for that.
LIGHT = Theme(
    "light",
    background="#ffffff",
    ink="#1a1a1a",
    muted="#6b6b6b",
    grid="#e6e6e6",
    colours=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b87f00", "#2f93d1", "#000000"),
)
DARK = Theme(
    "dark",
    background="#14171c",
    ink="#f0f0f0",
    muted="#9aa0a8",
    grid="#2b3038",
    colours=("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#ffffff"),
)
THEMES: Mapping[str, Theme] = {theme.name: theme for theme in (LIGHT, DARK)}


def theme(name: str) -> Theme:
    """The theme of that name; raises UsageError."""
    if name not in THEMES:
        raise UsageError(f"unknown theme {name!r}: choose {' or '.join(THEMES)}")
    return THEMES[name]
