"""What an OCR reads at several sizes of one picture becomes lines in reading order.

A word may be found in a small picture as a whole and in a large one in pieces, or the other way round. Each find is a
`Line`: where it stands, what was read there, and how sure the reader is. `join_lines` keeps of finds that cover each
other the surer ones; `order_lines` sorts what is left. Neither knows what was asked for.

Corners are arrays (4, 2) of x and y in pixels of the picture, clockwise from the upper left one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SAME_PLACE = 0.5
"""Share of the smaller of two finds that lies in the other, from which on both are one place."""
SAME_ROW = 0.5
"""Share of the lower of two lines that lies beside the other, from which on both stand in one row."""
MOST_TALLER = 1.6
"""How many times as high as the other one piece of a line may be."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """What was read at a place: the corners, the text, and the reader's mean certainty of its letters, in [0, 1]."""

    corners: np.ndarray
    text: str
    score: float

    @property
    def width(self) -> float:
        """Length of the upper edge, in pixels."""
        return _length(self.corners[1] - self.corners[0])

    @property
    def height(self) -> float:
        """Length of the left edge, in pixels."""
        return _length(self.corners[3] - self.corners[0])


def _length(step: np.ndarray) -> float:
    return math.hypot(*step.tolist())


def join_lines(found: Sequence[Line], more: Sequence[Line]) -> list[Line]:
    """Return two lists of finds as one: where some cover each other, those of one list stay.

    Finds that cover each other, directly or by others between them, are one place. There the list stays that reads more
    letters for sure (`weigh`); if both read as many, the first.
    """
    kept: list[Line] = []
    for group in _group([(line, 0) for line in found] + [(line, 1) for line in more]):
        sides = [[line for line, side in group if side == which] for which in (0, 1)]
        kept += max(sides, key=weigh)
    return kept


def weigh(lines: Iterable[Line]) -> float:
    """Return how many letters of some lines are likely right, less those that are likely wrong."""
    return sum((2 * line.score - 1) * len(line.text.replace(" ", "")) for line in lines)


def _group(places: Sequence[tuple[Line, int]]) -> list[list[tuple[Line, int]]]:
    """Return finds of two lists in groups: in one are those that cover each other, from list to list."""
    groups: list[list[tuple[Line, int]]] = []
    for line, side in places:
        meets = [any(side != of and cover(line.corners, other.corners) for other, of in group) for group in groups]
        near = [place for group, met in zip(groups, meets, strict=True) for place in group if met]
        apart = [group for group, met in zip(groups, meets, strict=True) if not met]
        groups = [*apart, [*near, (line, side)]]
    return groups


def cover(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two places are one: the smaller of them lies for the most part in the other."""
    import cv2

    shared, _ = cv2.intersectConvexConvex(one, other)
    return bool(shared > SAME_PLACE * min(cv2.contourArea(one), cv2.contourArea(other)))


def are_pieces(one: Line, other: Line) -> bool:
    """Tell whether two lines may be pieces of one: about as high, on one level, and their places meet."""
    import cv2

    if max(one.height, other.height) > MOST_TALLER * min(one.height, other.height):
        return False
    if not (_is_level(one, other) and _is_level(other, one)):
        return False
    shared, _ = cv2.intersectConvexConvex(one.corners, other.corners)
    return bool(shared > 0)


def _is_level(one: Line, other: Line) -> bool:
    """Tell whether the middle of another line is less than a third of a line's height off its middle line."""
    step = other.corners.mean(0) - one.corners.mean(0)
    across = (one.corners[1] - one.corners[0]) / max(one.width, 1.0)
    return abs(float(across[0] * step[1] - across[1] * step[0])) < one.height / 3


def span(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the corners of the least box around two places, along the slant of the wider one."""
    import numpy as np

    edges = [corners[1] - corners[0] for corners in (one, other)]
    along = max(edges, key=_length)
    along = along / max(_length(along), 1e-6)
    axes = np.stack([along, (-along[1], along[0])])
    places = np.concatenate([one, other]) @ axes.T
    (left, upper), (right, lower) = places.min(0), places.max(0)
    box = np.array(((left, upper), (right, upper), (right, lower), (left, lower))) @ axes
    return np.asarray(box, np.float32)


def order_lines(lines: Sequence[Line]) -> list[Line]:
    """Return lines in reading order: row after row from the top, each row from the left.

    Lines stand in one row if they are beside each other for the most part of the lower one, measured along the
    common slant, which is that of the widest line.
    """
    import numpy as np

    if len(lines) < 2:
        return list(lines)
    widest = max(lines, key=lambda line: line.width / max(line.height, 1.0))
    along = widest.corners[1] - widest.corners[0]
    along = along / max(_length(along), 1e-6)
    down = np.array([-along[1], along[0]])
    middles = [(float(line.corners.mean(0) @ along), float(line.corners.mean(0) @ down)) for line in lines]
    spans = [(y - line.height / 2, y + line.height / 2) for line, (_, y) in zip(lines, middles, strict=True)]
    rows: list[list[int]] = []
    for k in sorted(range(len(lines)), key=lambda k: middles[k][1]):
        row = next((row for row in rows if all(_is_beside(spans[k], spans[other]) for other in row)), None)
        if row is None:
            rows.append([k])
        else:
            row.append(k)
    return [lines[k] for row in rows for k in sorted(row, key=lambda k: middles[k][0])]


def _is_beside(one: tuple[float, float], other: tuple[float, float]) -> bool:
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return shared > SAME_ROW * min(one[1] - one[0], other[1] - other[0])
