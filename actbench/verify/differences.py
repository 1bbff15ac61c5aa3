"""Derivatives by differences: five points, Richardson, several steps, and a measured bound on the error.

The judge of a derivative must know how far itself may err: from the disagreement of two steps (truncation) and
from the noise of the function's own last bits (rounding), measured at the points that were used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from actbench.verify.section import Array

STEP = 7e-4
"""The fifth root of float64's epsilon: truncation and rounding of a five-point difference balance here."""
_SCALES = (4.0, 1.0, 1 / 8, 1 / 64)
"""Multiples of the step that are tried at every point; the tightest bound counts."""
_CENTRAL = np.array([-2.0, -1, 1, 2]), np.array([1.0, -8, 8, -1]) / 12
_SUBNORMAL = 5e-324


def _ahead() -> tuple[Array, Array]:
    """The derivative at 0 from values at 1..5, none of them at 0, where the function may jump."""
    nodes = np.arange(1.0, 6.0)
    powers = np.vander(nodes, 5, increasing=True).T
    return nodes, np.linalg.solve(powers, np.array([0.0, 1, 0, 0, 0]))


_AHEAD = _ahead()


@dataclass(frozen=True)
class Slope:
    """Estimates of derivatives, and how far each may err; infinite where nothing can be said."""

    value: Array
    error: Array


def slope(
    along: Callable[[Array], Array],
    reach: Array,
    *,
    at: Array | float = 1.0,
    magnitude: Array | float = 0.0,
    side: int = 0,
) -> Slope:
    """The derivatives at displacement 0 of many functions of one displacement each.

    ``along`` takes displacements of shape (n,) and returns the values; ``reach`` (n,) is how far they may go;
    ``at`` is the place, whose size sets the step and whose rounding counts; ``magnitude`` that of terms which the
    value is a sum of; ``side`` -1 or 1 keeps to one side of the place.
    """
    at = np.abs(np.broadcast_to(np.asarray(at, np.float64), reach.shape))
    best = Slope(np.full(reach.shape, np.nan), np.full(reach.shape, np.inf))
    tried: list[Slope] = []
    with np.errstate(all="ignore"):
        for scale in _SCALES:
            longest = 2.0 if side == 0 else 5.0
            h = np.minimum(scale * STEP * np.maximum(at, 1.0), reach / longest)
            # A power of two, so that h, h/2 and h/4 and most sums with the place are exact.
            tried.append(_richardson(along, np.exp2(np.floor(np.log2(h))), at, magnitude, side))
        for s in tried:
            better = s.error < best.error
            best = Slope(np.where(better, s.value, best.value), np.where(better, s.error, best.error))
        # Two steps that contradict one another beyond their bounds have a bend between them.
        apart = np.zeros(reach.shape)
        for s in tried:
            gap = np.abs(s.value - best.value)
            apart = np.maximum(apart, np.where(gap > s.error + best.error, gap, 0))
    return Slope(best.value, best.error + apart)


def _richardson(
    along: Callable[[Array], Array], h: Array, at: Array, magnitude: Array | float, side: int
) -> Slope:
    nodes, weights = _CENTRAL if side == 0 else (_AHEAD[0] * side, _AHEAD[1] * side)
    size = np.broadcast_to(np.asarray(magnitude, np.float64), h.shape).copy()
    quotients, low, high = [], np.full(h.shape, np.inf), np.full(h.shape, -np.inf)
    for step in (h, h / 2, h / 4):
        total = np.zeros(h.shape)
        for node, weight in zip(nodes, weights, strict=True):
            y = along(node * step)
            size, low, high = np.maximum(size, np.abs(y)), np.minimum(low, y), np.maximum(high, y)
            total += weight * y
        quotients.append(total / step)
    coarse, middle, fine = quotients
    value = (16 * fine - middle) / 15
    measured = _noise(along, h, side)
    noise = np.maximum(measured, 4 * np.finfo(np.float64).epsneg * size + (size > 0) * _SUBNORMAL)
    rounding = 4.6 * float(np.abs(weights).sum()) * noise / h
    first, second = np.abs(coarse - middle), np.abs(middle - fine)
    # Fourth order shrinks the disagreement by 16 a halving; where it does not, Richardson's rest means nothing.
    smooth = second <= first / 8 + rounding
    truncation = np.where(smooth, 4 * second / 15, 4 * (first + second))
    # Place + step is rounded to half an ULP: worth that much times the steepest slope on the way.
    position = 8 * np.finfo(np.float64).epsneg * at / h * np.maximum(np.abs(value), (high - low) / h)
    # A curve that moves as much between neighbours as over the whole step is faster than any step (sin at 1e170).
    error = np.where(measured > 0.02 * (high - low), np.inf, truncation + rounding + position)
    return Slope(value, np.where(np.isfinite(error) & (h > 0), error, np.inf))


def _noise(along: Callable[[Array], Array], h: Array, side: int) -> Array:
    """The size of a value's rounding errors, by fourth differences of neighbours (Moré and Wild 2011)."""
    worst = np.zeros(h.shape)
    for end in (-1, 1) if side == 0 else (side, 5 * side):
        y = np.stack([along(end * h * (1 + k * 2.0**-30)) for k in range(9)])
        worst = np.maximum(worst, np.abs(np.diff(y, 4, axis=0)).max(axis=0) / 3)
    return worst


def reach_within(x: Array, barriers: Array | list[float], low: float, high: float) -> Array:
    """How far one may go from each x without touching a barrier or leaving the domain; half of the way."""
    walls = np.array([b for b in (*barriers, low, high) if np.isfinite(b)])
    far = np.full(x.shape, np.inf)
    for wall in walls:
        far = np.minimum(far, np.abs(x - wall))
    return far / 2
