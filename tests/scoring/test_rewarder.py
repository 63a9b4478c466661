"""A recipe's `aggregate:` becomes rewards: by modality, by weakness and skill, checked before a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datagen.config import Aggregate
from datagen.errors import ConfigError
from datagen.records import Modality, Score
from datagen.scoring.rewarder import make_rewarder
from tests.helpers.reward_cases import make_prompt

TARGETS: dict[str, Modality] = {"counting": "image", "text": "image", "vqa": "image", "plan": "text"}
PLACES = frozenset({"w", "w/s", "text_rendering"})
SCORES = [
    Score("p-00", "counting", "image", 0.5, ""),
    Score("p-00", "text", "image", None, ""),
    Score("p-00", "vqa", "image", 0.8, ""),
    Score("p-00", "plan", "text", 0.25, ""),
]


def make(**keys: object) -> Aggregate:
    return Aggregate.model_validate(keys)


def test_a_word_joins_the_scorers_of_its_modality_alone() -> None:
    rewarder = make_rewarder(make(text="mean", image="min"), TARGETS, PLACES)
    assert rewarder.reward(make_prompt(), SCORES, "image") == 0.5
    assert rewarder.reward(make_prompt(), SCORES, "text") == 0.25


def test_the_narrowest_place_wins() -> None:
    special = {"w": {"image": "vqa"}, "w/s": {"text": "0.5*plan"}}
    rewarder = make_rewarder(make(by_weakness=special), TARGETS, PLACES)
    mine, other = make_prompt(), replace(make_prompt(), weakness="text_rendering")
    assert rewarder.reward(mine, SCORES, "image") == 0.8
    assert rewarder.reward(mine, SCORES, "text") == 0.125
    assert rewarder.reward(other, SCORES, "image") == pytest.approx(0.4)
    assert rewarder.reward(other, SCORES, "text") == 0.25


@pytest.mark.parametrize(
    ("keys", "where", "what"),
    [
        ({"image": "countng"}, "aggregate.image", "did you mean 'counting'?"),
        ({"text": "plan + plan"}, "aggregate.text", "reaches 2"),
        ({"by_weakness": {"text_renderin": {"image": "text"}}}, "text_renderin", "did you mean 'text_rendering'?"),
        ({"by_weakness": {"w": {"image": "sum"}}}, "aggregate.by_weakness.w.image", "not a scorer"),
    ],
)
def test_what_does_not_hold_is_named(keys: dict[str, object], where: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_rewarder(make(**keys), TARGETS, PLACES)
    assert where in caught.value.where
    assert what in str(caught.value)
