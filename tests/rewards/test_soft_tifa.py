"""Soft-TIFA: which atoms are asked, which forms of a number count, mean and geometric mean."""

from __future__ import annotations

import math
from types import ModuleType

import pytest

from datagen.chat import Reply
from datagen.scoring.asking import read_first_token
from datagen.taxonomy.english import number_word
from tests.helpers.judge_cases import always, by_question, drawing, tokens, tools_with
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, relation, words
from tests.helpers.scorers import find_scorer

soft_tifa_am = find_scorer("soft_tifa_am")
soft_tifa_gm = find_scorer("soft_tifa_gm")

SAMPLE = make_sample()
PROMPT = make_prompt(count("star", 3), color("star", "red"), count("cup", 1))
STARS, RED, CUP = "How many stars", "Are the stars red", "Is there any cup"
BOTH = pytest.mark.parametrize("scorer", [soft_tifa_am, soft_tifa_gm])


def test_atoms_are_asked_in_one_word_all_at_once() -> None:
    judge = always({"Yes": 0.5, "three": 0.5})
    soft_tifa_am.score(
        make_prompt(count("star", 3), color("star", "red"), relation("cup", "left of", "star"), words("OPEN")),
        SAMPLE,
        tools_with(judge),
    )
    assert judge.questions == [
        "How many stars are in the image? Answer in one word.",
        "Are the stars red? Answer in one word.",
        "Is the cup to the left of the star? Answer in one word.",
        'Is the text "OPEN" in the image? Answer in one word.',
    ]
    assert len(judge.calls) == 1


@pytest.mark.parametrize(
    ("red", "mean", "geometric", "holds"),
    [
        (0.8, (0.5 + 0.8 + 1.0) / 3, (0.5 * 0.8 * 1.0) ** (1 / 3), True),
        (0.1, (0.5 + 0.1 + 1.0) / 3, (0.5 * 0.1 * 1.0) ** (1 / 3), False),
        (0.0, 0.5, (0.5 * 1e-6 * 1.0) ** (1 / 3), False),
    ],
)
def test_mean_and_geometric_mean(red: float, mean: float, geometric: float, holds: bool) -> None:
    judge = by_question({STARS: {"three": 0.5, "two": 0.5}, RED: {"Yes": red, "No": 1 - red}, CUP: {"Yes": 1.0}})
    for scorer, value in ((soft_tifa_am, mean), (soft_tifa_gm, geometric)):
        verdict = scorer.score(PROMPT, SAMPLE, tools_with(judge))
        assert verdict.value == pytest.approx(value)
        assert verdict.evidence["holds"] is holds
        assert "passed" not in verdict.evidence
        assert [asked["p"] for asked in verdict.evidence["questions"]] == [1.0, 0.5, pytest.approx(red)]


def test_the_geometric_mean_stays_in_its_range_and_ranks_what_misses() -> None:
    assert soft_tifa_gm.geometric_mean([0.0, 0.0]) == pytest.approx(1e-6)
    assert soft_tifa_gm.geometric_mean([1.0, 1.0, 1.0]) == 1.0
    assert soft_tifa_gm.geometric_mean([0.0, 1.0]) == pytest.approx(1e-3)
    assert soft_tifa_gm.geometric_mean([0.0, 0.9]) > soft_tifa_gm.geometric_mean([0.0, 0.2])


@BOTH
def test_the_reason_names_what_the_judge_doubts(scorer: ModuleType) -> None:
    judge = by_question({STARS: {"three": 0.2, "two": 0.8}, RED: {"Yes": 1.0}, CUP: {"Yes": 1.0}})
    verdict = scorer.score(PROMPT, SAMPLE, tools_with(judge))
    assert verdict.reason == "the judge doubts: How many stars are in the image? P 0.20"
    sure = by_question({STARS: {"three": 1.0}, RED: {"Yes": 1.0}, CUP: {"Yes": 1.0}})
    assert scorer.score(PROMPT, SAMPLE, tools_with(sure)).reason == "the judge affirms all"


def accepted_forms(n: int) -> tuple[str, ...]:
    return (number_word(n), number_word(n).capitalize(), str(n))


@pytest.mark.parametrize(
    ("n", "said", "value"),
    [
        (3, {"three": 0.3, " three": 0.1, "Three": 0.1, " Three": 0.1, "3": 0.2, " 3": 0.1, "two": 0.1}, 0.9),
        (3, {"Ġthree": 0.6, "▁3": 0.2, "four": 0.2}, 0.8),
        (3, {"3.": 0.4, "33": 0.1, "THREE": 0.1, "three": 0.4}, 0.9),  # marks and case say nothing
        (3, {"thre": 0.6, "four": 0.4}, 0.6),  # a part that can only be three
        (3, {"th": 0.2, "t": 0.1, "three": 0.7}, 0.7),  # thirteen, two
        (4, {"four": 0.7, "fo": 0.3}, 0.7),  # fourteen
        (14, {"four": 0.4, "fourteen": 0.3, "fourt": 0.3}, 0.6),  # four is another answer
        (25, {"25": 0.9, "2": 0.1}, 0.9),
    ],
)
def test_forms_of_a_number(n: int, said: dict[str, float], value: float) -> None:
    judge = always(said)
    verdict = soft_tifa_am.score(make_prompt(count("star", n)), SAMPLE, tools_with(judge))
    assert verdict.value == pytest.approx(value)
    assert verdict.evidence["method"] == "first token"


def test_every_number_is_right_for_itself_alone() -> None:
    for wanted in range(21):
        for seen in range(21):
            for form in accepted_forms(seen):
                first = read_first_token({form: 0.0}, accepted_forms(wanted))
                assert (first.accepted == 1.0) is (seen == wanted), (wanted, form)


@pytest.mark.parametrize(("n", "part"), [(12, "1"), (7, "se"), (3, "t"), (300, "30")])
def test_a_first_token_that_does_not_tell_is_drawn_out(n: int, part: str) -> None:
    def ask(requests: list[object]) -> list[Reply]:
        if len(requests) == 1:
            return [tokens({part: 0.9, "one": 0.05})]
        return [Reply(form) for form in ("12", "twelve", "Twelve", "12.", "11", "1", "ten", "")]

    tools = tools_with(ask)  # type: ignore[arg-type]
    verdict = soft_tifa_am.score(make_prompt(count("star", n)), SAMPLE, tools)
    assert verdict.value == (4 / 7 if n == 12 else 0.0)  # the empty answer counts for neither
    assert verdict.evidence["method"] == "sampling"
    assert "does not tell one number from another" in verdict.reason


def test_only_what_needs_it_is_drawn() -> None:
    judge = by_question({STARS: Reply("three"), RED: {"Yes": 0.75, "No": 0.25}, CUP: {"Yes": 1.0}})
    verdict = soft_tifa_am.score(PROMPT, SAMPLE, tools_with(judge))
    assert verdict.value == pytest.approx((1.0 + 0.75 + 1.0) / 3)
    assert [len(call) for call in judge.calls] == [3, 8]


def test_all_drawn() -> None:
    prompt = make_prompt(count("star", 3), count("cup", 1))
    verdict = soft_tifa_gm.score(
        prompt, SAMPLE, tools_with(drawing([*["Yes"] * 8, *["3", "three", "four", "Three"] * 2]))
    )
    assert verdict.value == pytest.approx(math.sqrt(1.0 * 6 / 8))


@BOTH
def test_one_failed_reply_is_none_and_not_zero(scorer: ModuleType) -> None:
    judge = by_question({STARS: {"three": 1.0}, RED: Reply("", error="HTTP 500"), CUP: {"Yes": 1.0}})
    verdict = scorer.score(PROMPT, SAMPLE, tools_with(judge))
    assert (verdict.value, verdict.reason) == (None, "the judge did not answer: HTTP 500 (1 of 3 questions)")
    assert [asked["p"] for asked in verdict.evidence["questions"]] == [1.0, 1.0, None]


@BOTH
def test_a_judge_that_always_says_yes_fails_the_numbers(scorer: ModuleType) -> None:
    verdict = scorer.score(PROMPT, SAMPLE, tools_with(always({"Yes": 1.0})))
    assert verdict.value == pytest.approx(2 / 3 if scorer is soft_tifa_am else 0.01)


@BOTH
def test_without_claims_image_or_judge(scorer: ModuleType) -> None:
    judge = always({"Yes": 1.0})
    cases = [
        (make_prompt(), SAMPLE, judge, "no claim"),
        (PROMPT, make_sample(image=None), judge, "the sample has no image"),
        (PROMPT, SAMPLE, None, "no judge: add `judge:` to the recipe, with a backend that answers chats"),
    ]
    for prompt, sample, ask, reason in cases:
        verdict = scorer.score(prompt, sample, tools_with(ask))
        assert (verdict.value, verdict.reason) == (None, reason)
    assert judge.calls == []
