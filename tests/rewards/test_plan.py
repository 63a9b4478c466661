"""The plan is judged as text: claims, extras, boxes; the image has no say."""

from __future__ import annotations

import random

import pytest

from datagen.embedded.vocab import describe_scene
from datagen.embedded.world import lay_out
from datagen.records import Claim, Verdict
from datagen.rewards.reasoning import plan
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, make_tools, relation, words, write

TWO = (count("star", 1), color("star", "red"), count("cup", 1), relation("star", "left of", "cup"))
STAR, CUP = write("red star", 0, 0, 333, 333), write("blue cup", 667, 0, 1000, 333)


def judge(think: str, *claims: Claim) -> Verdict:
    return plan.score(make_prompt(*claims), make_sample(think=think, image=None), make_tools())


CLAIM_SETS: list[tuple[Claim, ...]] = [
    (count("fish", 5),),
    (count("star", 3), color("star", "pink")),
    (count("key", 2), count("tree", 3)),
    (count("car", 1), color("car", "red"), count("bell", 1), color("bell", "blue")),
    (count("moon", 1), count("cup", 1), relation("moon", "above", "cup")),
    (words("MARKET"),),
]


@pytest.mark.parametrize("claims", CLAIM_SETS)
def test_a_true_plan_passes_every_check(claims: tuple[Claim, ...]) -> None:
    rng = random.Random(21)
    for _ in range(20):
        verdict = judge(describe_scene(lay_out(claims, rng)), *claims)
        assert verdict.value == 1.0, verdict.reason
        assert verdict.evidence["passed"] is True


def test_graded_a_planned_number_is_worth_more_the_nearer_it_is() -> None:
    def judge_stars(planned: int) -> Verdict:
        think = "".join(write("red star", 0, 100 * k, 90, 100 * k + 90) for k in range(planned)) + CUP
        prompt = make_prompt(count("star", 4), count("cup", 1))
        sample = make_sample(think=think, image=None)
        plain, graded = (plan.score(prompt, sample, make_tools(), plan.Options(graded=on)) for on in (False, True))
        assert graded.evidence == plain.evidence
        return graded

    # Four checks: two numbers, nothing extra, boxes.
    assert [judge_stars(planned).value for planned in (4, 3, 1)] == [1.0, (3 + 0.75) / 4, (3 + 0.25) / 4]


@pytest.mark.parametrize(
    ("think", "failed", "reason"),
    [
        (CUP, 3, "expected 1 star in the plan, found 0"),
        (STAR + CUP + write("red star", 0, 500, 333, 900), 1, "expected 1 star in the plan, found 2"),
        (write("blue star", 0, 0, 333, 333) + CUP, 1, "expected every star red in the plan, found blue star"),
        (write("red star", 667, 500, 1000, 833) + write("blue cup", 0, 500, 333, 833), 1, "left of the cup"),
        (STAR + CUP + write("green fish", 0, 500, 333, 900), 1, "nobody asked for green fish"),
        (STAR + CUP + write('black text "HI"', 0, 500, 333, 900), 1, 'nobody asked for black text "HI"'),
        (STAR + write("blue cup", 667, 0, 1001, 333), 1, "the box of blue cup leaves the picture"),
        (STAR + CUP + "<|obj_start|>", 1, "not written out in full"),
        (STAR + write("blue cup", 300, 0, 1000, 333), 1, "red star and blue cup overlap"),
    ],
)
def test_each_fault_costs_its_check(think: str, failed: int, reason: str) -> None:
    verdict = judge(think, *TWO)
    assert verdict.value == pytest.approx(1 - failed / 6)
    assert verdict.evidence["passed"] is False
    assert reason in verdict.reason


def test_words_are_planned_to_the_letter_and_once() -> None:
    claim = words("OPEN")
    good = write('black text "OPEN"', 0, 0, 667, 333)
    assert judge(good, claim).value == 1.0
    assert judge(write('black text "Open"', 0, 0, 667, 333), claim).evidence["checks"]["nothing extra"] is False
    assert (
        judge(good + write('black text "OPEN"', 0, 500, 667, 833), claim).reason == 'nobody asked for black text "OPEN"'
    )


def test_other_attributes_stand_in_the_phrase() -> None:
    claims = (count("chair", 1), Claim("attribute", "chair", "material", "wooden"))
    assert judge(write("wooden chair", 0, 0, 500, 500), *claims).value == 1.0
    assert judge(write("chair", 0, 0, 500, 500), *claims).value == pytest.approx(3 / 4)


def test_two_colors_of_one_kind_each_need_one() -> None:
    claims = (count("star", 2), color("star", "red"), color("star", "blue"))
    assert judge(STAR + write("blue star", 500, 0, 900, 400), *claims).value == 1.0
    assert judge(STAR + write("red star", 500, 0, 900, 400), *claims).value == pytest.approx(4 / 5)


def test_no_reasoning_is_none_and_reasoning_without_a_plan_is_zero() -> None:
    without = plan.score(make_prompt(*TWO), make_sample(), make_tools())
    assert (without.value, without.reason) == (None, "the sample has no reasoning")
    assert judge("I shall draw a red star.", *TWO).value == 0.0
    assert judge("", *TWO).value == 0.0
    assert judge(STAR).value is None


LOGIC = [
    ((count("star", 1), count("cup", 0)), STAR, ""),
    ((count("star", 1), count("cup", 0)), STAR + CUP, "expected 0 cups in the plan, found 1"),
    ((count("star", 2), Claim("part", "star", "red", 1)), STAR + write("blue star", 500, 0, 900, 400), ""),
    (
        (count("star", 2), Claim("part", "star", "red", 1)),
        STAR + write("red star", 500, 0, 900, 400),
        "expected 1 red star in the plan, found 2",
    ),
    ((Claim("comparison", "star", "as many as", "cup"),), STAR + CUP, ""),
    ((Claim("comparison", "star", "more than", "cup"),), STAR + CUP, "expected more stars than cups in the plan"),
    ((Claim("comparison", "star", "more than", "cup"),), STAR, "found 1 and 0"),
]


@pytest.mark.parametrize(("claims", "think", "reason"), LOGIC)
def test_absence_parts_and_comparisons_in_a_plan(claims: tuple[Claim, ...], think: str, reason: str) -> None:
    verdict = judge(think, *claims)
    assert verdict.evidence["passed"] is (not reason)
    assert reason in verdict.reason


@pytest.mark.parametrize("claim", [Claim("depth", "star", "behind", "cup"), Claim("fact", "", "", "it rains")])
def test_what_boxes_cannot_show_is_not_judged(claim: Claim) -> None:
    verdict = judge(STAR + CUP, count("star", 1), claim)
    assert (verdict.value, verdict.reason) == (None, f"a layout cannot show a claim of {claim.kind}")


BEAR, SECOND, TEDDY = (
    write("bear", 0, 0, 300, 300),
    write("bear", 350, 0, 650, 300),
    write("teddy bear", 700, 0, 1000, 300),
)


@pytest.mark.parametrize("graded", [False, True])
def test_a_thing_belongs_to_the_longest_claimed_name(graded: bool) -> None:
    def value(think: str, *claims: Claim) -> float | None:
        sample = make_sample(think=think, image=None)
        return plan.score(make_prompt(*claims), sample, make_tools(), plan.Options(graded=graded)).value

    bears = count("bear", 2), count("teddy bear", 1)
    assert value(BEAR + SECOND + TEDDY, *bears) == 1.0
    assert value(BEAR + TEDDY, *bears) == pytest.approx((3 + 0.5 * graded) / 4)
    assert value(BEAR + TEDDY, count("bear", 2)) == 1.0, "where nobody claims teddy bears they are bears"
    assert value(BEAR, count("teddy bear", 1)) == pytest.approx(1 / 3), "and a bear is no teddy bear"


def test_each_claim_is_about_things_of_its_own_name() -> None:
    claims = (
        *(count("dog", 1), color("dog", "black"), count("hot dog", 2), color("hot dog", "red")),
        *(relation("dog", "left of", "hot dog"), Claim("comparison", "dog", "fewer than", "hot dog")),
    )
    hot = write("red hot dog", 700, 0, 1000, 300) + write("red hot dog", 700, 350, 1000, 650)
    assert judge(write("black dog", 0, 200, 300, 500) + hot, *claims).value == 1.0
    verdict = judge(write("black dog", 0, 200, 300, 500) + hot, *claims[:2])
    assert verdict.reason.startswith("expected 1 dog in the plan, found 3")


@pytest.mark.parametrize("phrase", ["red star", "Red star", "red Star", "A Red Star", "RED STAR"])
@pytest.mark.parametrize("name", ["star", "Star"])
@pytest.mark.parametrize("tone", ["red", "Red"])
def test_a_capital_letter_makes_no_other_name_and_no_other_colour(phrase: str, name: str, tone: str) -> None:
    claims = (count(name, 1), color(name, tone), Claim("part", name, tone, 1))
    assert judge(write(phrase, 0, 0, 333, 333), *claims).value == 1.0
    placed = (
        *claims,
        relation(name, "left of", "Eiffel Tower"),
        Claim("comparison", name, "as many as", "Eiffel Tower"),
    )
    assert judge(write(phrase, 0, 0, 333, 333) + write("eiffel tower", 500, 0, 900, 333), *placed).value == 1.0


@pytest.mark.parametrize("name", ["red panda", "orange", "orange juice"])
def test_a_name_may_have_the_word_of_a_colour(name: str) -> None:
    assert judge(write(f"a {name}", 0, 0, 300, 300), count(name, 1)).value == 1.0
    assert judge(write(name, 0, 0, 300, 300), count(name, 1), count("panda", 0)).value == 1.0
