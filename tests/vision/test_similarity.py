"""Rows of length 1 and their cosines against slow arithmetic; what has no direction is None and says why."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from datagen.vision.loading import cosine_table, explain_blind, find_blind, measure_cosine, normalise
from tests.helpers.seeing_cases import DAMAGED, flat, slow_cosine


def test_cosines_agree_with_their_definition() -> None:
    rng = random.Random(1)
    for _ in range(400):
        width, scale = rng.randint(1, 40), 10 ** rng.uniform(-12, 12)
        a, b = ([rng.gauss(0.2, 1) * scale for _ in range(width)] for _ in range(2))
        rows = normalise(np.array([a, b]))
        assert rows.dtype == np.float32
        assert measure_cosine(rows[0], rows[1]) == pytest.approx(slow_cosine(a, b), abs=2e-6)
        assert [math.hypot(*map(float, row)) for row in rows] == pytest.approx([1, 1], abs=1e-6)


def test_the_table_has_every_pair() -> None:
    rng = np.random.default_rng(2)
    for count in range(1, 8):
        features = rng.normal(size=(count, 6))
        table = cosine_table(normalise(features))
        for i in range(count):
            for j in range(count):
                assert table[i, j] == pytest.approx(slow_cosine(features[i], features[j]), abs=2e-6)


def test_a_cosine_never_leaves_its_range() -> None:
    row = np.full(3, 0.5774, np.float32)  # a little longer than 1
    assert measure_cosine(row, row) == 1.0
    assert measure_cosine(row, -row) == -1.0


@pytest.mark.parametrize(
    "features",
    [[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0], [-math.inf, math.inf]],
)
def test_no_direction_is_no_number(features: list[float]) -> None:
    rows = normalise(np.array([[3.0, 4.0], features]))
    assert rows[0].tolist() == pytest.approx([0.6, 0.8])
    assert find_blind(rows) == [1]
    assert measure_cosine(rows[0], rows[1]) is None


def test_extremes_of_floats_keep_their_direction() -> None:
    assert normalise(np.array([[3e300, 4e300], [3e-300, 4e-300]])).ravel().tolist() == pytest.approx([0.6, 0.8] * 2)


def test_why_there_are_no_features() -> None:
    assert explain_blind(DAMAGED).startswith("the image cannot be read: ")
    assert explain_blind(DAMAGED).count("cannot be read") == 1
    assert explain_blind(flat((1, 2, 3))) == "the encoder gave features without a direction: all zero, or not finite"
