"""Aggregation: hand-worked values, and None never counts as 0."""

from __future__ import annotations

import pytest

from datagen.expressions import WAYS, aggregate


@pytest.mark.parametrize(
    ("how", "value"), [("product", 0.125), ("mean", 0.375), ("genmean", 0.125**0.5), ("min", 0.25)]
)
def test_worked_values_and_none_left_out(how: str, value: float) -> None:
    assert aggregate([0.5, 0.25], how) == pytest.approx(value)
    assert aggregate([None, 0.5, None, 0.25], how) == pytest.approx(value)


@pytest.mark.parametrize("how", WAYS)
def test_edges(how: str) -> None:
    assert aggregate([], how) is None
    assert aggregate([None, None], how) is None
    assert aggregate([0.3], how) == pytest.approx(0.3)
    assert aggregate([1.0, 1.0, 1.0], how) == 1.0
    assert aggregate([0.0, 0.0], how) == 0.0


def test_unknown_way_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="known: product, mean, genmean, min"):
        aggregate([1.0], "sum")
