"""What scorers say beside something that the detector cannot name: there may be more of anything, never less."""

from __future__ import annotations

from dataclasses import replace

import pytest

from datagen.records import UNNAMED, Claim, Detection, Score, Verdict
from datagen.rewards.objects import attribute, comparison, counting, geneval, spatial
from datagen.rewards.reasoning import faithfulness, plan_image
from datagen.scoring.verdicts import list_detections, passed, says_yes
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, make_tools, relation, thing
from tests.helpers.scorers import find_scorer

compbench_numeracy = find_scorer("compbench_numeracy")
compbench_spatial = find_scorer("compbench_spatial")
geneval_strict = find_scorer("geneval_strict")

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
        (geneval_strict, (*ONE, relation("star", "left of", "moon"))),
        (compbench_numeracy, ONE),
    ],
)
def test_what_would_pass_is_left_open(module: object, claims: tuple[Claim, ...]) -> None:
    alone = judge(module, claims, STAR, MOON)
    assert alone.value == 1
    assert "unnamed" not in alone.evidence
    verdict = judge(module, claims, STAR, MOON, SOMETHING)
    assert verdict.value is None
    assert verdict.reason.startswith("beside something that cannot be named: ")
    assert verdict.evidence["unnamed"] == [[700, 700, 900, 900]]
    assert not {"passed", "holds", "claims"} & verdict.evidence.keys()


STARS = STAR, thing("star", "red", (0, 500, 333, 833), sure=0.95)


@pytest.mark.parametrize(
    ("module", "claims"),
    [
        (counting, (count("star", 3),)),
        (counting, (count("moon", 1),)),
        (compbench_numeracy, (count("star", 3),)),
        (comparison, (Claim("comparison", "moon", "as many as", "star"),)),
        (attribute, (count("moon", 1), color("moon", "blue"))),
        (attribute, (color("star", "blue"),)),
        (geneval, (count("star", 3),)),
        (geneval_strict, (count("star", 3),)),
        (spatial, (count("star", 2), count("moon", 1), relation("star", "left of", "moon"))),
        (spatial, (relation("moon", "left of", "moon"),)),
        (spatial, (relation("star", "left of", "star"),)),
        (compbench_spatial, (relation("star", "left of", "moon"),)),
    ],
)
def test_what_is_missing_may_be_there(module: object, claims: tuple[Claim, ...]) -> None:
    assert says_yes(make_score("x", judge(module, claims, *STARS))) is False
    assert judge(module, claims, *STARS, SOMETHING).value is None


@pytest.mark.parametrize(
    ("module", "claims"),
    [
        (counting, (count("star", 1),)),
        (counting, (count("star", 1), count("moon", 2))),
        (compbench_numeracy, (count("star", 1),)),
        (attribute, (count("star", 2), color("star", "blue"))),
        (geneval, (count("star", 1), color("star", "blue"))),
        (geneval_strict, (count("star", 1),)),
        (spatial, (*ONE, relation("star", "below", "moon"))),
        (spatial, (relation("star", "below", "moon"), relation("star", "left of", "cup"))),
        (compbench_spatial, (relation("star", "below", "moon"),)),
    ],
)
def test_what_is_wrong_already_stays_wrong(module: object, claims: tuple[Claim, ...]) -> None:
    alone = judge(module, claims, *STARS, MOON)
    assert says_yes(make_score("x", alone)) is False
    assert judge(module, claims, *STARS, MOON, SOMETHING) == replace_boxes(alone, SOMETHING)


def replace_boxes(verdict: Verdict, more: Detection) -> Verdict:
    """Return a verdict with one more thing among what was found."""
    listed = verdict.evidence.get("detections")
    if listed is None:
        return verdict
    return replace(verdict, evidence={**verdict.evidence, "detections": [*listed, *list_detections([more])]})


def test_a_counting_line_of_geneval_limits_the_number() -> None:
    claims = (count("star", 2),)
    assert judge(geneval, claims, *STARS).value == 1
    assert judge(geneval, claims, *STARS, SOMETHING).value is None


def test_where_one_is_enough_and_where_named_things_stand_does_not_depend_on_it() -> None:
    assert judge(attribute, (color("star", "red"),), STAR, SOMETHING).value == 1
    assert judge(geneval, (count("star", 1), color("star", "red")), STAR, SOMETHING).value == 1
    assert judge(spatial, (*ONE, relation("star", "left of", "moon")), STAR, MOON, SOMETHING).value == 1
    assert judge(spatial, (relation("star", "above", "star"),), *STARS, SOMETHING).value == 1
    placed = relation("star", "left of", "moon")
    beside = judge(compbench_spatial, (placed,), STAR, MOON, SOMETHING)
    assert beside.value == judge(compbench_spatial, (placed,), STAR, MOON).value == pytest.approx(0.975)


@pytest.mark.parametrize("tone", ["purple", "violet"])
def test_another_name_of_a_colour_changes_nothing(tone: str) -> None:
    def value(*claims: Claim) -> float | None:
        found = (thing("moon", "purple"), SOMETHING)
        tools = replace(make_tools(*found), colors=frozenset({"red", "purple"}))
        return attribute.score(make_prompt(*claims), make_sample(), tools).value

    assert value(color("moon", tone)) == 1
    assert value(count("moon", 1), color("moon", tone)) is None


def test_one_of_a_kind_and_something_may_be_a_pair() -> None:
    alone = judge(spatial, (relation("star", "above", "star"),), STAR)
    assert (alone.value, alone.evidence["causes"]) == (0, {"relation(star, above, star)": "count"})
    beside = judge(spatial, (relation("star", "above", "star"),), STAR, SOMETHING)
    assert (beside.value, beside.evidence.get("causes"), beside.evidence["unnamed"]) == (None, None, [[*SOMETHING.box]])


def test_several_things_are_counted_in_the_reason() -> None:
    verdict = judge(counting, (count("star", 1),), STAR, SOMETHING, thing(UNNAMED, "", (0, 800, 100, 900)))
    assert verdict.reason == "beside 2 things that cannot be named: found 1 star as asked"
    assert "" not in verdict.evidence["extras"]


def test_a_number_in_the_reasoning_is_not_confirmed() -> None:
    assert judge(faithfulness, ONE, STAR, MOON, think="There is one star.").value == 1
    assert judge(faithfulness, ONE, STAR, MOON, SOMETHING, think="There is one star.").value is None
    assert judge(faithfulness, ONE, STAR, MOON, SOMETHING, think="There are two stars.").value is None
    assert judge(faithfulness, ONE, *STARS, SOMETHING, think="There is one star.").value == 0


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
