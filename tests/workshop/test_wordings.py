"""Rewordings keep their claims and speak English."""

from __future__ import annotations

import json
import random

import pytest

from datagen.embedded.pictograms import Item, Scene
from datagen.records import Claim
from datagen.workshop.faults import STYLES, reword, sum_up, write_brief

COLORED = (
    Claim("count", "star", "", 3),
    Claim("attribute", "star", "color", "orange"),
    Claim("count", "umbrella", "", 1),
)
PLACED = (Claim("count", "key", "", 1), Claim("count", "cup", "", 1), Claim("relation", "key", "left of", "cup"))


@pytest.mark.parametrize("style", STYLES[:-1])
def test_every_style_says_each_thing(style: str) -> None:
    for seed in range(40):
        text = reword(COLORED, style, random.Random(seed))
        assert "three" in text
        assert "stars" in text
        assert "orange" in text
        assert "an umbrella" in text or "one umbrella" in text or "a single umbrella" in text
        assert "{" not in text


def test_relations_keep_their_direction_or_are_turned_round() -> None:
    seen = set()
    for seed in range(60):
        text = reword(PLACED, "paraphrase", random.Random(seed))
        left = "left of" in text
        subject = text.split(", the ")[-1] if ", the " in text else text
        assert (subject.index("key") < subject.index("cup")) == left
        seen.add(left)
    assert seen == {True, False}


def test_words_stand_to_the_letter() -> None:
    assert all('"ZOO"' in reword((Claim("text", "", "", "ZOO"),), style, random.Random(1)) for style in STYLES[:-1])


def test_a_brief_is_the_claims() -> None:
    assert json.loads(reword(COLORED, "JSON brief", random.Random(0))) == {
        "objects": [{"name": "star", "count": 3, "color": "orange"}, {"name": "umbrella", "count": 1}]
    }
    assert write_brief(PLACED)["relations"] == ["key left of cup"]
    assert write_brief((Claim("text", "", "", "GO"),)) == {"text": ["GO"]}


def test_an_unknown_style_is_an_error() -> None:
    with pytest.raises(KeyError):
        reword(PLACED, "haiku", random.Random(0))


def test_a_summary_counts_each_kind_in_the_order_of_the_scene() -> None:
    items = (
        Item("bottle", "pink", 0, 0, 2, 2),
        Item("cup", "red", 2, 0, 4, 2),
        Item("bottle", "gray", 4, 0, 6, 2),
        Item("text", "black", 0, 4, 2, 6, "OX"),
    )
    assert sum_up(Scene("gray", items)) == 'bottle one pink A1, cup one red E1, bottle two gray I1, "OX"'
