"""How providers look: a colour, a marker and a dash each, the same in every picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from actbench.bench.run import OURS
from actbench.present.theme import Theme

SOLID, DASHED, DOTTED = "-", (0, (5, 2)), (0, (1, 1.4))
_KNOWN: Mapping[str, tuple[int, str, Any]] = {
    OURS: (0, "o", SOLID),
    "torch": (1, "s", SOLID),
    "torch.compile": (1, "D", DASHED),
    "jax": (2, "^", SOLID),
    "onnxruntime": (3, "v", SOLID),
    "tensorflow": (4, "P", SOLID),
    "tf.function": (4, "*", DASHED),
    "numpy": (5, "X", SOLID),
    "numexpr": (5, "<", DASHED),
    "scipy": (6, "p", SOLID),
}
"""The number of the colour, the marker, and the dash: what compiles another's expressions shares its colour."""
_SPARE = tuple((2 + i % 5, marker, DOTTED) for i, marker in enumerate((">", "h", "d", "H", "8", "+")))
"""For the peers of plug-ins, in their order: colours come again, dots and markers do not."""


@dataclass(frozen=True)
class Look:
    """What a provider is drawn with; its marker alone tells it from all others."""

    colour: str
    marker: str
    dash: Any
    width: float


def looks(providers: Iterable[str], theme: Theme) -> Mapping[str, Look]:
    """How each of the providers looks; ours has the first colour and the widest line."""
    found, spare = {}, 0
    for name in dict.fromkeys(providers):
        colour, marker, dash = _KNOWN.get(name) or _SPARE[spare % len(_SPARE)]
        spare += name not in _KNOWN
        found[name] = Look(theme.colours[colour], marker, dash, 4.5 if name == OURS else 2.4)
    return found
