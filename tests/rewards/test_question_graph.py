"""Question graphs: both ways to void a child, on graphs by hand, by brute force, and on the graph of a prompt."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import ModuleType

import pytest

from datagen.chat import Reply
from datagen.rewards.judge import question_graph
from datagen.scoring import judging as _judging
from datagen.scoring.judging import settle
from datagen.scoring.questions import ask_claims
from tests.helpers.judge_cases import always, by_question, drawing, tools_with
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, relation, words
from tests.helpers.scorers import find_scorer

question_graph_cascade = find_scorer("question_graph_cascade")

SAMPLE = make_sample()
PROMPT = make_prompt(count("star", 3), color("star", "red"), count("cup", 1), relation("cup", "above", "star"))
STAR, CUP = "Is there any star", "Is there any cup"
NUMBER, RED, ABOVE = "How many stars", "Are the stars red", "Is the cup above"
YES, NO = {"Yes": 0.9, "No": 0.1}, {"Yes": 0.2, "No": 0.8}
BOTH = pytest.mark.parametrize("scorer", [question_graph, question_graph_cascade])


def test_a_chain_by_hand() -> None:
    # 0 denied; 1 needs 0, 2 needs 1, 3 needs 2, 4 stands alone: every other answer is yes.
    raw, parents = [False, True, True, True, True], [(), (0,), (1,), (2,), ()]
    assert settle(raw, parents, cascade=False) == [False, False, True, True, True]
    assert settle(raw, parents, cascade=True) == [False, False, False, False, True]


def test_one_failed_parent_of_two_is_enough() -> None:
    for cascade in (False, True):
        assert settle([True, False, True], [(), (), (0, 1)], cascade=cascade) == [True, False, False]
        assert settle([True, True, False], [(), (), (0, 1)], cascade=cascade) == [True, True, False]


def test_against_a_slow_reference() -> None:
    parents = [(), (0,), (0, 1), (), (2, 3), (4,)]

    def ancestors(k: int) -> set[int]:
        return {k} | {far for near in parents[k] for far in ancestors(near)}

    for raw in itertools.product([False, True], repeat=len(parents)):
        cascade = [all(raw[j] for j in ancestors(k)) for k in range(len(parents))]
        direct = [all(raw[j] for j in (k, *parents[k])) for k in range(len(parents))]
        assert settle(raw, parents, cascade=True) == cascade
        assert settle(raw, parents, cascade=False) == direct


def test_where_the_two_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims make graphs of two levels, on which both agree; a third level tells them apart."""
    chain = [replace(question, parents=(k - 1,) if k else ()) for k, question in enumerate(ask_claims(PROMPT.claims))]
    monkeypatch.setattr(_judging, "ask_claims", lambda claims: tuple(chain))
    judge = by_question({STAR: NO, CUP: YES, NUMBER: {"three": 1.0}, RED: YES, ABOVE: YES})
    assert question_graph.score(PROMPT, SAMPLE, tools_with(judge)).value == 3 / 5
    assert question_graph_cascade.score(PROMPT, SAMPLE, tools_with(judge)).value == 0.0


@BOTH
def test_all_questions_are_asked_at_once_parents_first(scorer: ModuleType) -> None:
    judge = by_question({STAR: YES, CUP: YES, NUMBER: {"3": 0.5, "4": 0.5}, RED: YES, ABOVE: YES})
    verdict = scorer.score(PROMPT, SAMPLE, tools_with(judge))
    assert judge.questions == [
        "Is there any star in the image? Answer in one word.",
        "Is there any cup in the image? Answer in one word.",
        "How many stars are in the image? Answer in one word.",
        "Are the stars red? Answer in one word.",
        "Is the cup above the star? Answer in one word.",
    ]
    assert len(judge.calls) == 1
    assert (verdict.value, verdict.reason) == (1.0, "the judge affirms all")  # P 0.5 is a yes
    assert verdict.evidence["holds"] is True
    assert verdict.evidence["settled"] == [True] * 5
    assert "passed" not in verdict.evidence


@BOTH
def test_a_missing_thing_voids_what_is_asked_about_it(scorer: ModuleType) -> None:
    judge = by_question({STAR: NO, CUP: YES, NUMBER: {"three": 1.0}, RED: YES, ABOVE: YES})
    verdict = scorer.score(PROMPT, SAMPLE, tools_with(judge))
    assert verdict.value == 1 / 5  # the cup
    assert verdict.evidence["holds"] is False
    assert [asked["p"] for asked in verdict.evidence["questions"]] == [0.2, 0.9, 1.0, 0.9, 0.9]
    assert verdict.reason.startswith("the judge denies: Is there any star in the image?; How many stars")
    assert "Are the stars red? (moot, what it asks about is not there)" in verdict.reason


@BOTH
def test_a_text_claim_has_no_parent(scorer: ModuleType) -> None:
    judge = by_question({"Is the text": YES, STAR: NO})
    assert scorer.score(make_prompt(count("star", 1), words("OPEN")), SAMPLE, tools_with(judge)).value == 1 / 2


@BOTH
def test_nothing_of_a_kind_is_right_when_it_is_not_there(scorer: ModuleType) -> None:
    prompt = make_prompt(count("star", 0))
    absent = by_question({STAR: NO, NUMBER: {"zero": 0.6, "0": 0.3}})
    assert scorer.score(prompt, SAMPLE, tools_with(absent)).value == 1.0
    present = by_question({STAR: YES, NUMBER: {"two": 1.0}})
    assert scorer.score(prompt, SAMPLE, tools_with(present)).value == 0.0


@BOTH
def test_without_log_probabilities(scorer: ModuleType) -> None:
    prompt = make_prompt(count("star", 2))
    half = ["Yes", "No"] * 4
    verdict = scorer.score(prompt, SAMPLE, tools_with(drawing([*half, *["2", "two", "3", "one", "5", "6", "7", "8"]])))
    assert verdict.value == 1 / 2  # P 0.5 for the star, P 0.25 for two of them
    assert (verdict.evidence["method"], verdict.evidence["samples"]) == ("sampling", 8)


@BOTH
def test_one_failed_reply_is_none_and_not_zero(scorer: ModuleType) -> None:
    judge = by_question({STAR: YES, CUP: YES, NUMBER: {"three": 1.0}, RED: Reply("", error="timeout"), ABOVE: YES})
    verdict = scorer.score(PROMPT, SAMPLE, tools_with(judge))
    assert (verdict.value, verdict.reason) == (None, "the judge did not answer: timeout (1 of 5 questions)")
    assert "holds" not in verdict.evidence


@BOTH
def test_without_claims_image_or_judge(scorer: ModuleType) -> None:
    judge = always(YES)
    assert scorer.score(make_prompt(), SAMPLE, tools_with(judge)).reason == "no claim"
    assert scorer.score(PROMPT, make_sample(image=None), tools_with(judge)).reason == "the sample has no image"
    verdict = scorer.score(PROMPT, SAMPLE, tools_with(None))
    assert verdict.value is None
    assert verdict.reason.startswith("no judge: add `judge:`")
