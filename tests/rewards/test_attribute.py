"""Colours: all of them where a number is claimed, one where it is not; other attributes are for another judge."""

from __future__ import annotations

import pytest

from datagen.records import Claim, Verdict
from datagen.rewards.objects import attribute
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, make_tools, thing


def judge(claims: tuple[Claim, ...], *tones: str) -> Verdict:
    return attribute.score(make_prompt(*claims), make_sample(), make_tools(*[thing("star", tone) for tone in tones]))


@pytest.mark.parametrize(
    ("tones", "value", "reason"),
    [
        (("red", "red"), 1.0, "star: 2 red, as asked"),
        (("red", "blue"), 0.0, "expected every star red, found 1 blue, 1 red"),
        (("red", "red", "red"), 1.0, "star: 3 red, as asked"),
        ((), 0.0, "expected a red star, found no star"),
        (("red", ""), 0.0, "expected every star red, found 1 red, 1 unclear"),
    ],
)
def test_with_a_count_claim_every_instance_has_the_color(tones: tuple[str, ...], value: float, reason: str) -> None:
    verdict = judge((count("star", 2), color("star", "red")), *tones)
    assert (verdict.value, verdict.reason) == (value, reason)
    assert verdict.evidence["passed"] is (value == 1.0)


def test_without_a_count_claim_one_is_enough() -> None:
    assert judge((color("star", "red"),), "red", "blue").value == 1.0
    assert judge((color("star", "red"),), "blue", "blue").value == 0.0


def test_two_colors_of_one_kind_each_need_one() -> None:
    claims = (count("star", 2), color("star", "red"), color("star", "blue"))
    assert judge(claims, "red", "blue").value == 1.0
    assert judge(claims, "red", "red").value == 0.5


def test_the_color_of_another_thing_does_not_count() -> None:
    prompt = make_prompt(count("star", 1), color("star", "red"), count("cup", 1), color("cup", "blue"))
    swapped = make_tools(thing("star", "blue"), thing("cup", "red"))
    assert attribute.score(prompt, make_sample(), swapped).value == 0.0


def test_none_with_a_reason_where_it_cannot_judge() -> None:
    tools = make_tools(thing("chair"), labels=frozenset({"star"}))
    material = attribute.score(make_prompt(Claim("attribute", "star", "material", "wooden")), make_sample(), tools)
    assert material.value is None
    assert material.reason.startswith("material cannot be seen by a detector")
    assert attribute.score(make_prompt(count("star", 1)), make_sample(), tools).reason == "no attribute claim"
    assert attribute.score(make_prompt(color("star", "red")), make_sample(image=None), tools).value is None
    assert attribute.score(make_prompt(color("sofa", "red")), make_sample(), tools).reason.endswith("cannot see sofa")


def test_the_boxes_whose_colors_were_judged_are_shown() -> None:
    verdict = judge((color("star", "red"),), "red", "blue")
    assert [(each["label"], each["color"]) for each in verdict.evidence["detections"]] == [
        ("star", "red"),
        ("star", "blue"),
    ]
