"""Slow plain references for boxes: GenEval's position rule in fractions, overlap by counting cells; random boxes."""

from __future__ import annotations

import random
from fractions import Fraction
from functools import lru_cache

Box = tuple[int, int, int, int]
RELATIONS = ("left of", "right of", "above", "below")


def random_box(rng: random.Random, size: int = 1000, step: int = 50) -> Box:
    """A box on a coarse grid, so that ties are common; one in eight has no width or no height."""
    x1, x2 = sorted(rng.randrange(0, size + 1, step) for _ in range(2))
    y1, y2 = sorted(rng.randrange(0, size + 1, step) for _ in range(2))
    return (x1, y1, x1, y2) if rng.random() < 0.06 else (x1, y1, x2, y1) if rng.random() < 0.06 else (x1, y1, x2, y2)


def stands(box: Box, name: str, other: Box) -> bool:
    """GenEval: is what is left of the offset on the axis, over the length of the whole offset, beyond one half?"""
    offset = [Fraction(box[k] + box[k + 2] - other[k] - other[k + 2], 2) for k in (0, 1)]
    sides = [Fraction(abs(box[k + 2] - box[k]) + abs(other[k + 2] - other[k])) for k in (0, 1)]
    axis = 0 if name in ("left of", "right of") else 1
    left_over = abs(offset[axis]) - sides[axis] / 10
    right_way = offset[axis] < 0 if name in ("left of", "above") else offset[axis] > 0
    return right_way and left_over > 0 and 4 * left_over**2 > offset[0] ** 2 + offset[1] ** 2


def cells(box: Box, *, last: bool = False) -> set[tuple[int, int]]:
    """The unit cells that a box covers; with `last`, its last column and row too."""
    x1, y1, x2, y2 = box
    return {(x, y) for x in range(x1, x2 + last) for y in range(y1, y2 + last)}


@lru_cache(maxsize=4096)
def overlap(box: Box, other: Box) -> float:
    """Intersection over union, by counting; 0 where neither has a cell."""
    one, two = cells(box), cells(other)
    return len(one & two) / len(one | two) if one | two else 0.0
