"""What scorers say beside something that the detector cannot name: nothing passes that is about numbers."""

from __future__ import annotations

import pytest
from reward_cases import color, count, make_prompt, make_sample, make_tools, relation, thing

from datagen.records import UNNAMED, Claim, Score, Verdict
from datagen.rewards import (
    attribute,
    comparison,
    compbench_numeracy,
    counting,
    faithfulness,
    geneval,
    geneval_strict,
    plan_image,
    spatial,
)
from datagen.rewards._verdict import passed

SOMETHING = thing(UNNAMED, "", (700, 700, 900, 900))
STAR, MOON = thing("star", "red", sure=0.95), thing("moon", "blue", (500, 0, 833, 333), sure=0.95)
ONE = (count("star", 1), count("moon", 1))
MORE = Claim("comparison", "star", "as many as", "moon")


def judge(module: object, claims: tuple[Claim, ...], *found: object, think: str | None = None) -> Verdict:
    verdict: Verdict = module.score(make_prompt(*claims), make_sample(think=think), make_tools(*found))  # type: ignore[attr-defined, arg-type]
    return verdict


@pytest.mark.parametrize(
    ("module", "claims"),
    [
        (counting, ONE),
        (comparison, (MORE,)),
        (attribute, (count("star", 1), color("star", "red"))),
        (geneval, (count("star", 1),)),
        (geneval_strict, (*ONE, relation("star", "left of", "moon"))),
        (compbench_numeracy, ONE),
    ],
)
def test_what_would_pass_is_left_open(module: object, claims: tuple[Claim, ...]) -> None:
    alone = judge(module, claims, STAR, MOON)
    assert alone.value == 1
    assert "unnamed" not in alone.evidence
    verdict = judge(module, claims, STAR, MOON, SOMETHING)
    if module is geneval:  # asks for at least one, and a second is no fault by the authors' rule
        assert verdict == alone or verdict.value == 1
        return
    assert verdict.value is None
    assert verdict.reason.startswith("beside something that cannot be named: ")
    assert verdict.evidence["unnamed"] == [[700, 700, 900, 900]]
    assert not {"passed", "holds", "claims"} & verdict.evidence.keys()


@pytest.mark.parametrize(
    ("module", "claims"),
    [
        (counting, (count("star", 3),)),
        (counting, (count("star", 1),)),
        (comparison, (Claim("comparison", "star", "more than", "moon"),)),
        (attribute, (count("star", 2), color("star", "blue"))),
        (geneval_strict, (count("star", 3),)),
    ],
)
def test_what_fails_on_what_is_named_fails_as_before(module: object, claims: tuple[Claim, ...]) -> None:
    stars = STAR, thing("star", "red", (0, 500, 333, 833), sure=0.95), MOON, thing("moon", "blue", (500, 500, 833, 833)), thing("moon")
    alone = judge(module, claims, *stars)
    assert alone.evidence["passed"] is False
    beside = judge(module, claims, *stars, SOMETHING)
    assert (beside.value, beside.reason) == (alone.value, alone.reason)


def test_a_counting_line_of_geneval_limits_the_number() -> None:
    claims = (count("star", 2),)
    stars = STAR, thing("star", "red", (0, 500, 333, 833), sure=0.95)
    assert judge(geneval, claims, *stars).value == 1
    assert judge(geneval, claims, *stars, SOMETHING).value is None


def test_where_one_is_enough_and_where_named_things_stand_does_not_depend_on_it() -> None:
    assert judge(attribute, (color("star", "red"),), STAR, SOMETHING).value == 1
    assert judge(spatial, (*ONE, relation("star", "left of", "moon")), STAR, MOON, SOMETHING).value == 1


def test_several_things_are_counted_in_the_reason() -> None:
    verdict = judge(counting, (count("star", 1),), STAR, SOMETHING, thing(UNNAMED, "", (0, 800, 100, 900)))
    assert verdict.reason == "beside 2 things that cannot be named: found 1 star as asked"
    assert "" not in verdict.evidence["extras"]


def test_a_number_in_the_reasoning_is_not_confirmed() -> None:
    assert judge(faithfulness, ONE, STAR, MOON, think="There is one star.").value == 1
    assert judge(faithfulness, ONE, STAR, MOON, SOMETHING, think="There is one star.").value is None
    assert judge(faithfulness, ONE, STAR, MOON, SOMETHING, think="There are two stars.").value == 0


def test_what_nobody_planned_has_a_word_in_the_evidence() -> None:
    plan = "<|obj_start|>red star<|obj_end|><|box_start|>(0,0),(333,333)<|box_end|>"
    assert judge(plan_image, ONE, STAR, SOMETHING, think=plan).evidence["unplanned"] == ["something"]


def make_score(name: str, verdict: Verdict) -> Score:
    return Score("s", name, "image", verdict.value, verdict.reason, verdict.evidence)


def test_a_sample_does_not_pass_by_its_other_scorers() -> None:
    claims = (*ONE, relation("star", "left of", "moon"))
    place = make_score("spatial", judge(spatial, claims, STAR, MOON, SOMETHING))
    number = make_score("counting", judge(counting, claims, STAR, MOON, SOMETHING))
    assert passed([place]) is True
    assert passed([place, number]) is None
    assert passed([number]) is None
    wrong = make_score("spatial", judge(spatial, (*ONE, relation("star", "below", "moon")), STAR, MOON, SOMETHING))
    assert passed([wrong, number]) is False
    assert passed([place, Score("s", "counting", "image", None, "no count claim")]) is True
