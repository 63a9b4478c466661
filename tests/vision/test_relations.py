"""The position rule against a slow, literal one, its symmetry, and its hand-worked edges."""

from __future__ import annotations

import random

import numpy as np
import pytest

from datagen.embedded.world import holds
from datagen.vision.geometry import Box, find_relations, measure_overlap, shared_area
from tests.helpers.reward_cases import thousandths

MIRROR = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def reference(a: Box, b: Box) -> set[str]:
    """Follow the words of the rule step by step with vectors."""
    corners = np.array([a, b], dtype=float).reshape(2, 2, 2)
    centers = corners.mean(axis=1)
    sides = np.abs(np.diff(corners, axis=1))[:, 0, :]
    offset = centers[0] - centers[1]
    left_over = np.maximum(np.abs(offset) - 0.1 * (sides[0] + sides[1]), 0) * np.sign(offset)
    if np.all(np.abs(left_over) < 1e-9):
        return set()
    dx, dy = left_over / np.linalg.norm(offset)
    names = set()
    if dx < -0.5:
        names.add("left of")
    if dx > 0.5:
        names.add("right of")
    if dy < -0.5:
        names.add("above")
    if dy > 0.5:
        names.add("below")
    return names


def random_box(rng: random.Random) -> Box:
    x, y = rng.uniform(0, 900), rng.uniform(0, 900)
    return x, y, x + rng.uniform(1, 400), y + rng.uniform(1, 400)


def test_it_agrees_with_the_literal_rule() -> None:
    rng = random.Random(3)
    seen = set()
    for _ in range(3000):
        a, b = random_box(rng), random_box(rng)
        assert find_relations(a, b) == reference(a, b)
        seen.add(find_relations(a, b))
    assert len(seen) == 9  # none, four single ones, four diagonals


def test_turning_the_pair_round_mirrors_the_relation() -> None:
    rng = random.Random(4)
    for _ in range(500):
        a, b = random_box(rng), random_box(rng)
        assert find_relations(b, a) == {MIRROR[name] for name in find_relations(a, b)}


@pytest.mark.parametrize(
    ("a", "b", "held"),
    [
        ((0, 0, 100, 100), (0, 0, 100, 100), set()),
        ((0, 0, 100, 100), (20, 0, 120, 100), set()),  # 20 apart, slack 0.1 * 200 = 20: nothing is left
        ((0, 0, 100, 100), (39, 0, 139, 100), set()),  # 19 of 39 is left: not more than half
        ((0, 0, 100, 100), (41, 0, 141, 100), {"left of"}),  # 21 of 41
        ((0, 0, 100, 100), (300, 300, 400, 400), {"left of", "above"}),  # 280 / 424 = 0.66 on both axes
        ((0, 0, 100, 100), (300, 900, 400, 1000), {"above"}),
    ],
)
def test_worked_cases(a: Box, b: Box, held: set[str]) -> None:
    assert find_relations(a, b) == held


def test_what_the_world_draws_as_a_relation_is_one() -> None:
    rng = random.Random(5)
    checked = 0
    while checked < 500:
        cells = []
        for _ in range(2):
            side = rng.choice((2, 3))
            x, y = rng.randint(0, 6 - side), rng.randint(0, 6 - side)
            cells.append((x, y, x + side, y + side))
        for name in MIRROR:
            if holds(name, cells[0], cells[1]):
                assert name in find_relations(thousandths(*cells[0]), thousandths(*cells[1]))
                checked += 1


def test_overlap() -> None:
    assert measure_overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert measure_overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert measure_overlap((0, 0, 2, 2), (2, 0, 4, 2)) == 0
    assert measure_overlap((1, 1, 1, 1), (1, 1, 1, 1)) == 0
    assert shared_area((0, 0, 2, 2), (1, 1, 5, 5)) == 1
