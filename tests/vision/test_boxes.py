"""Suppression against a plain reference that removes box by box; clipping, thousandths and the edges of boxes."""

from __future__ import annotations

import math
import random

import pytest

from datagen.vision.finding import Found, clip_box, from_center, keep_best, to_detections
from datagen.vision.geometry import Box


def slow_overlap(a: Box, b: Box) -> float:
    """Count the unit cells that two boxes of whole pixels share, and those of either."""
    cells = [{(x, y) for x in range(int(c[0]), int(c[2])) for y in range(int(c[1]), int(c[3]))} for c in (a, b)]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1]) if cells[0] | cells[1] else 0.0


def slow_keep(found: list[Found], most_overlap: float, most: int) -> set[Found]:
    """Take the surest of each label that is left, cross out what overlaps it, until nothing is left."""
    kept: set[Found] = set()
    for label in {each.label for each in found}:
        left = [each for each in found if each.label == label]
        left = [each for each in left if each.box[0] < each.box[2] and each.box[1] < each.box[3]]
        taken = 0
        while left and taken < most:
            best = max(left, key=lambda each: each.confidence)
            kept.add(best)
            taken += 1
            left = [each for each in left if each is not best and slow_overlap(each.box, best.box) <= most_overlap]
    return kept


def test_suppression_agrees_with_crossing_out() -> None:
    rng = random.Random(1)
    dropped = 0
    for _ in range(300):
        found = []
        for k in range(rng.randint(0, 12)):
            x, y = rng.randint(0, 8), rng.randint(0, 8)
            box = (x, y, x + rng.randint(0, 6), y + rng.randint(0, 6))
            found.append(Found(rng.choice("ab"), 0.01 * k + rng.random() / 200, box))
        rng.shuffle(found)
        limit, most = rng.choice([0.0, 0.3, 0.5, 1.0]), rng.choice([1, 2, 16])
        kept = keep_best(found, limit, most)
        assert set(kept) == slow_keep(found, limit, most)
        assert [each.confidence for each in kept] == sorted((each.confidence for each in kept), reverse=True)
        dropped += len(found) - len(kept)
    assert dropped > 300


def test_ties_do_not_depend_on_the_order_they_come_in() -> None:
    found = [Found("a", 0.5, (0, 0, 4, 4)), Found("a", 0.5, (1, 0, 5, 4)), Found("b", 0.5, (0, 0, 4, 4))]
    assert keep_best(found, 0.5, 16) == keep_best(found[::-1], 0.5, 16)
    assert len(keep_best(found, 0.5, 16)) == 2


def test_boxes_that_are_none_go() -> None:
    nan = math.nan
    broken = [(0, 0, 0, 5), (5, 5, 1, 9), (nan, 0, 4, 4), (0, 0, 4, nan)]
    assert keep_best([Found("a", 0.9, box) for box in broken], 0.5, 16) == []
    assert keep_best([Found("a", nan, (0, 0, 4, 4))], 0.5, 16) == []


def test_centres_and_clipping() -> None:
    rng = random.Random(2)
    for _ in range(200):
        x, y, width, height = (rng.uniform(0, 50) for _ in range(4))
        x1, y1, x2, y2 = from_center(x, y, width, height)
        assert ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1) == pytest.approx((x, y, width, height))
        clipped = clip_box((x1, y1, x2, y2), 30, 20)
        assert clipped == tuple(
            sorted((0.0, edge, side))[1] for edge, side in zip((x1, y1, x2, y2), (30, 20, 30, 20), strict=True)
        )


def test_detections_are_thousandths_in_reading_order() -> None:
    found = [Found("b", 0.54321, (10, 50, 20, 100)), Found("a", 0.9, (0, 0, 20, 50))]
    first, second = to_detections(found, ["red", ""], 20, 100)
    assert (first.label, first.color, first.box, first.confidence) == ("a", "", (0, 0, 1000, 500), 0.9)
    assert (second.label, second.color, second.box, second.confidence) == ("b", "red", (500, 500, 1000, 1000), 0.5432)
