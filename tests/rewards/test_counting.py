"""Counting is equality, claim by claim; extras are noted and do no harm."""

from __future__ import annotations

import random

import pytest

from datagen.records import Claim
from datagen.rewards.objects import counting
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, make_tools, thing


@pytest.mark.parametrize(
    ("found", "value", "reason"),
    [
        (4, 1.0, "found 4 stars as asked"),
        (3, 0.0, "expected 4 stars, found 3"),
        (5, 0.0, "expected 4 stars, found 5"),
        (0, 0.0, "expected 4 stars, found 0"),
    ],
)
def test_the_number_must_be_equal(found: int, value: float, reason: str) -> None:
    verdict = counting.score(make_prompt(count("star", 4)), make_sample(), make_tools(*[thing("star")] * found))
    assert verdict.value == value
    assert verdict.reason == reason
    assert verdict.evidence["passed"] is (value == 1.0)
    assert verdict.evidence["found"] == {"star": found}


@pytest.mark.parametrize(
    ("wanted", "found", "value"),
    [(4, 4, 1.0), (4, 3, 0.75), (4, 5, 0.75), (4, 0, 0.0), (2, 4, 0.0), (1, 3, 0.0), (0, 0, 1.0), (0, 1, 0.0)],
)
def test_graded_a_number_is_worth_more_the_nearer_it_is_and_passes_as_without(
    wanted: int, found: int, value: float
) -> None:
    prompt, tools = make_prompt(count("star", wanted)), make_tools(*[thing("star")] * found)
    graded = counting.score(prompt, make_sample(), tools, counting.Options(graded=True))
    plain = counting.score(prompt, make_sample(), tools)
    assert graded.value == value
    assert graded.evidence == plain.evidence
    assert graded.reason == plain.reason


def test_graded_the_value_is_the_mean_over_claims_and_has_none_where_it_is_open() -> None:
    prompt, graded = make_prompt(count("star", 4), count("cup", 1)), counting.Options(graded=True)
    tools = make_tools(*[thing("star")] * 3, thing("cup"))
    assert counting.score(prompt, make_sample(), tools, graded).value == pytest.approx((0.75 + 1) / 2)
    unnamed = make_tools(*[thing("star")] * 3, thing("cup"), thing(""))
    assert counting.score(prompt, make_sample(), unnamed, graded).value is None


def test_value_is_the_share_of_claims_that_hold() -> None:
    prompt = make_prompt(count("star", 1), count("fish", 2), count("cup", 1), count("key", 1))
    verdict = counting.score(
        prompt, make_sample(), make_tools(thing("star"), thing("fish"), thing("cup"), thing("key"))
    )
    assert verdict.value == 0.75
    assert verdict.evidence["passed"] is False
    assert "expected 2 fish, found 1" in verdict.reason
    assert verdict.evidence["claims"]["count(fish, 2)"] is False


def test_what_nobody_claimed_is_noted_and_no_fault() -> None:
    verdict = counting.score(
        make_prompt(count("star", 1)), make_sample(), make_tools(thing("star"), thing("cup"), thing("cup"))
    )
    assert verdict.value == 1.0
    assert verdict.evidence["extras"] == {"cup": 2}


def test_none_with_a_reason_where_it_cannot_judge() -> None:
    tools = make_tools(thing("star"), labels=frozenset({"star", "cup"}))
    cases: list[tuple[tuple[Claim, ...], bytes | None, str]] = [
        ((color("star", "red"),), b"x", "no count claim"),
        ((count("star", 1),), None, "the sample has no image"),
        ((count("star", 1), count("violin", 1)), b"x", "the detector cannot see violin"),
    ]
    for claims, image, reason in cases:
        verdict = counting.score(make_prompt(*claims), make_sample(image=image), tools)
        assert verdict.value is None
        assert verdict.reason == reason


def test_nothing_of_a_kind_is_a_count_of_zero() -> None:
    prompt = make_prompt(count("star", 1), count("moon", 0))
    right = counting.score(prompt, make_sample(), make_tools(thing("star")))
    assert (right.value, right.reason) == (1.0, "found 1 star as asked; found 0 moons as asked")
    wrong = counting.score(prompt, make_sample(), make_tools(thing("star"), thing("moon")))
    assert (wrong.value, wrong.evidence["passed"]) == (0.5, False)
    assert "expected 0 moons, found 1" in wrong.reason


def test_parts_agree_with_a_reference_that_crosses_things_off() -> None:
    rng = random.Random(1)
    for _ in range(300):
        things = [(rng.choice(("star", "fish")), rng.choice(("red", "blue", ""))) for _ in range(rng.randint(0, 6))]
        parts = [Claim("part", "fish", tone, rng.randint(0, 2)) for tone in rng.sample(("red", "blue", "pink"), 2)]
        truth = []
        for part in parts:
            left, missing = [each for each in things if each == ("fish", part.name)], 0
            for _ in range(int(part.value)):
                missing += not left
                left = left[1:]
            truth.append(not left and not missing)
        verdict = counting.score(make_prompt(*parts), make_sample(), make_tools(*[thing(*each) for each in things]))
        assert list(verdict.evidence["claims"].values()) == truth
        assert verdict.value == sum(truth) / 2


def test_one_of_three_in_another_colour() -> None:
    claims = (count("fish", 3), Claim("part", "fish", "red", 1), Claim("part", "fish", "blue", 2))
    right = [thing("fish", "blue"), thing("fish", "red"), thing("fish", "blue")]
    assert counting.score(make_prompt(*claims), make_sample(), make_tools(*right)).value == 1.0
    alike = counting.score(make_prompt(*claims), make_sample(), make_tools(*[thing("fish", "red")] * 3))
    assert alike.value == pytest.approx(1 / 3)
    assert alike.reason == "found 3 fish as asked; expected 1 red fish, found 3; expected 2 blue fish, found 0"
