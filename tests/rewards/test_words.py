"""Numbers and nouns in reasons."""

from __future__ import annotations

import pytest

from datagen.rewards._words import name_many


@pytest.mark.parametrize(
    ("count", "noun", "written"),
    [
        (1, "star", "1 star"),
        (0, "star", "0 stars"),
        (3, "fish", "3 fish"),
        (2, "box", "2 boxes"),
        (2, "knife", "2 knives"),
    ],
)
def test_name_many(count: int, noun: str, written: str) -> None:
    assert name_many(count, noun) == written
