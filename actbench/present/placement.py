"""Where labels go among points and lines so that none lies on another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

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
    """Taken by labels, which no line to a label may cross."""

    def free(self, box: Box) -> bool:
        """Whether a box lies inside and on nothing that is taken."""
        left, top, right, bottom = self.bounds
        inside = left <= box[0] and top <= box[1] and box[2] <= right and box[3] <= bottom
        return inside and not any(overlap(box, other) for other in self.taken)

    def avoid(self, points: Sequence[Place], width: float) -> None:
        """Keep labels off a line through the points."""
        self.taken += [around(place, width, width) for place in along(points, width)]

    def mark(self, place: Place, size: float) -> None:
        """Keep labels off a point."""
        self.taken.append(around(place, size, size))
        self.marks.append(self.taken[-1])

    def put(self, anchor: Place, size: Place, reach: float) -> Box | None:
        """Take the free place for a label nearest to a point, at most ``reach`` away; None where there is none."""
        free = [box for box in _candidates(anchor, size, reach) if self.free(box)]
        free = [box for box in free if not _crosses(anchor, box, self.labels)]
        others = [m for m in self.marks if not overlap(m, around(anchor, 1, 1))]
        found = next((box for box in free if not _crosses(anchor, box, others)), free[0] if free else None)
        if found:
            self.taken.append(found)
            self.labels.append(found)
            end = nearest(anchor, found)
            if math.dist(anchor, end) > NEAR:
                self.taken += [around(place, 3, 3) for place in along([anchor, end], 6)]
        return found


def _crosses(anchor: Place, box: Box, boxes: Sequence[Box]) -> bool:
    """Whether the line from a point to a label goes through one of some boxes."""
    way = [around(place, 2, 2) for place in along([anchor, nearest(anchor, box)], 6)]
    return any(overlap(step, other) for step in way for other in boxes)


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
    """Places on a line through the points, so many pixels apart."""
    before: Place | None = None
    for point in points:
        if before is not None:
            count = max(1, math.ceil(math.dist(before, point) / step))
            for i in range(count):
                share = i / count
                yield tuple(a + share * (b - a) for a, b in zip(before, point, strict=True))  # type: ignore[misc]
        before = point
    if before is not None:
        yield before


def _candidates(anchor: Place, size: Place, reach: float) -> Iterator[Box]:
    """Boxes of a size about a point, the nearer first and then those to the right."""
    distance = 12.0
    while distance <= reach:
        for i in range(_ANGLES):
            angle = _FIRST + (-1) ** i * (i + 1) // 2 * 2 * math.pi / _ANGLES
            x, y = math.cos(angle), math.sin(angle)
            middle = anchor[0] + x * (distance + size[0] / 2), anchor[1] + y * (distance + size[1] / 2)
            yield around(middle, *size)
        distance += _STEP
