"""Where labels go among points and lines so that none lies on another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Place = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels, downwards."""
_STEP, _ANGLES = 7.0, 24
_FIRST = -math.pi / 12  # to the right and a little up, where a reader looks first
NEAR = 26.0
"""Pixels from a point up to which a label needs no line to it."""


@dataclass
class Room:
    """What of a part of the page is taken."""

    bounds: Box
    taken: list[Box] = field(default_factory=list)
    """By what no label may touch."""
    marks: list[Box] = field(default_factory=list)
    """By points, which a line to a label of another one goes round where it can."""
    labels: list[Box] = field(default_factory=list)
    """By labels, which no line to another one may cross."""

    def avoid(self, points: Sequence[Place], width: float) -> None:
        """Keep labels off a line through the points."""
        self.taken += [around(place, width, width) for place in along(points, width)]

    def mark(self, place: Place, size: float) -> None:
        """Keep labels off a point."""
        self.taken.append(around(place, size, size))
        self.marks.append(self.taken[-1])

    def put(self, anchor: Place, size: Place, reach: float) -> Box | None:
        """Take the free place for a label nearest to a point, at most ``reach`` away; None where there is none."""
        others = [m for m in self.marks if not overlap(m, around(anchor, 1, 1))]
        found, strict = None, False
        for ring in _rings(anchor, size, reach):
            for box in self._free(ring):
                if not strict and not _crosses(anchor, box, self.labels):
                    strict = not _crosses(anchor, box, others)
                    found = box if strict else found or box
            if strict:
                break
        if found:
            self.taken.append(found)
            self.labels.append(found)
            end = nearest(anchor, found)
            if math.dist(anchor, end) > NEAR:
                self.taken += [around(place, 3, 3) for place in along([anchor, end], 6)]
        return found

    def _free(self, boxes: Sequence[Box]) -> list[Box]:
        """Those that lie inside and on nothing that is taken."""
        # One pass over arrays: 39 functions in one picture ask millions of times whether two boxes overlap.
        tried, taken = np.array(boxes), _array(self.taken)
        left, top, right, bottom = self.bounds
        inside = (tried[:, :2] >= (left, top)).all(1) & (tried[:, 2:] <= (right, bottom)).all(1)
        free = inside & ~_overlaps(tried, taken).any(1)
        return [box for box, ok in zip(boxes, np.asarray(free), strict=True) if ok]


def _crosses(anchor: Place, box: Box, boxes: Sequence[Box]) -> bool:
    """Whether the line from a point to a label goes through one of some boxes."""
    way = [around(place, 2, 2) for place in along([anchor, nearest(anchor, box)], 6)]
    return bool(_overlaps(_array(way), _array(boxes)).any())


def _array(boxes: Sequence[Box]) -> NDArray[Any]:
    return np.array(boxes, float).reshape(-1, 4)


def _overlaps(some: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """Whether each of some boxes overlaps each of others."""
    a, b = some[:, None], others[None]
    return np.asarray((a[..., :2] < b[..., 2:]).all(-1) & (b[..., :2] < a[..., 2:]).all(-1))


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes share more than an edge."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def around(place: Place, width: float, height: float) -> Box:
    """The box of that size about a place."""
    (x, y), w, h = place, width / 2, height / 2
    return x - w, y - h, x + w, y + h


def nearest(place: Place, box: Box) -> Place:
    """The place in a box that is nearest to another."""
    return max(box[0], min(place[0], box[2])), max(box[1], min(place[1], box[3]))


def along(points: Iterable[Place], step: float) -> Iterator[Place]:
    """Places on a line through the points, so many pixels apart at most."""
    before: Place | None = None
    for point in points:
        if before is not None:
            count = max(1, math.ceil(math.dist(before, point) / step))
            (x, y), (dx, dy) = before, (point[0] - before[0], point[1] - before[1])
            for i in range(count):
                yield x + dx * i / count, y + dy * i / count
        before = point
    if before is not None:
        yield before


def _rings(anchor: Place, size: Place, reach: float) -> Iterator[list[Box]]:
    """Boxes of a size about a point, the nearer ones first, and of those as near the ones to the right."""
    distance = 12.0
    while distance <= reach:
        ring = []
        for i in range(_ANGLES):
            angle = _FIRST + (-1) ** i * ((i + 1) // 2) * 2 * math.pi / _ANGLES
            x, y = math.cos(angle), math.sin(angle)
            middle = anchor[0] + x * (distance + size[0] / 2), anchor[1] + y * (distance + size[1] / 2)
            ring.append(around(middle, *size))
        yield ring
        distance += _STEP
