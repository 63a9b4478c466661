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


def test_a_text_rewarded_by_outcome_is_as_good_as_what_comes_of_it() -> None:
    rewarder = make_rewarder(make(text="outcome", image="product"), TARGETS, PLACES)
    assert rewarder.reward(make_prompt(), SCORES, "text") == pytest.approx(0.25 * 0.5 * 0.8)
    assert rewarder.reward(make_prompt(), SCORES, "image") == pytest.approx(0.5 * 0.8)


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


def candidate(counting: float | None, vqa: float | None) -> list[Score]:
    return [Score("p-00", "counting", "image", counting, ""), Score("p-00", "vqa", "image", vqa, "")]


def test_scorers_are_normalised_over_the_candidates_before_they_are_joined() -> None:
    rewarder = make_rewarder(make(image="0.5*counting + 0.5*vqa"), TARGETS, PLACES)
    # counting: mean 0.5, std 0.5774; vqa, of which the values lie a hundred times closer: mean 0.505, std 0.00577
    group = [candidate(1, 0.50), candidate(0, 0.51), candidate(1, 0.51), candidate(0, 0.50)]
    wide, near = 0.5 / (1 / 3**0.5 + 1e-4), 0.005 / (0.01 / 3**0.5 + 1e-4)
    found = rewarder.normalise_group(make_prompt(), group, "image")
    assert found == pytest.approx([(wide - near) / 2, (near - wide) / 2, (wide + near) / 2, -(wide + near) / 2])


def test_what_is_equal_or_missing_tells_no_candidates_apart() -> None:
    rewarder = make_rewarder(make(image="mean(counting, vqa)"), TARGETS, PLACES)
    group = [candidate(0.7, 0.2), candidate(0.7, None), candidate(0.7, 0.4), candidate(None, None)]
    low, plain, high, nothing = rewarder.normalise_group(make_prompt(), group, "image")
    assert nothing is None
    assert plain == 0
    assert low == pytest.approx(-(high or 0))
    assert rewarder.normalise_group(make_prompt(), [candidate(1, 1)], "image") == [0.0]


@pytest.mark.parametrize(
    ("text", "is_sum"),
    [
        ("mean", True),
        ("product", False),
        ("counting", True),
        ("0.5*counting + 0.5*vqa", True),
        ("0.5*mean(counting, vqa) + 0.25*vqa", True),
        ("min(vqa)", True),
        ("counting * vqa", False),
        ("0.5 + 0.5*vqa", False),
        ("0.5*genmean(counting, vqa) + 0.5*vqa", False),
    ],
)
def test_only_a_sum_joins_normalised_rewards(text: str, is_sum: bool) -> None:
    rewarder = make_rewarder(make(image=text), TARGETS, PLACES)
    if is_sum:
        rewarder.require_sums()
        return
    with pytest.raises(ConfigError, match="is no sum") as caught:
        rewarder.require_sums()
    assert caught.value.where == "aggregate.image"
