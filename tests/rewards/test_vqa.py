"""Whole-prompt questions: what is asked, what P(yes) is, what happens without log-probabilities or without answers."""

from __future__ import annotations

import math
from dataclasses import replace
from types import ModuleType

import pytest

from datagen.chat import ChatRequest, Message, Part, Reply, Sampling
from datagen.rewards.judge import vqa
from datagen.scoring.asking import read_first_token
from datagen.scoring.tools import Tools, make_tools
from tests.helpers.judge_cases import Judge, always, drawing, tokens, tools_with
from tests.helpers.reward_cases import count, make_prompt, make_sample
from tests.helpers.scorers import find_scorer

vqascore = find_scorer("vqascore")

PROMPT = make_prompt(count("star", 3))
SAMPLE = make_sample(image=b"png")
YES = ("Yes", "yes")
ROOM = "say `thinking: 4096` under `judge:` for more room, or `thinking: false`"
BOTH = pytest.mark.parametrize("scorer", [vqa, vqascore])


@pytest.mark.parametrize(
    ("scorer", "question"),
    [
        (vqa, 'Does this image show "words that no scorer reads"? Answer the question with Yes or No.'),
        (vqascore, 'Does this figure show "words that no scorer reads"? Please answer Yes or No.'),
    ],
)
def test_one_greedy_token_about_the_image_and_the_prompt(scorer: ModuleType, question: str) -> None:
    judge = always({"Yes": 0.8, "No": 0.2})
    verdict = scorer.score(PROMPT, SAMPLE, tools_with(judge))
    assert verdict.value == pytest.approx(0.8)
    ((request,),) = judge.calls
    assert judge.questions == [question]
    assert request.messages[0].role == "user"
    assert request.messages[0].parts[0].image == b"png"
    sampling = request.sampling
    assert (sampling.temperature, sampling.max_tokens, sampling.top_logprobs) == (0.0, 1, 20)


def test_braces_and_quotes_in_a_prompt_are_only_words() -> None:
    odd = replace(PROMPT, text='a {sign} "{}"')
    judge = always({"Yes": 1.0})
    assert vqa.score(odd, SAMPLE, tools_with(judge)).value == 1.0
    assert 'show "a {sign} "{}""?' in judge.questions[0]


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({"Yes": 0.5, " Yes": 0.2, "yes": 0.1, " yes": 0.05, "No": 0.15}, 0.85),
        ({"ĠYes": 0.4, " Yes": 0.4, "No": 0.2}, 0.4),  # the same token in two spellings counts once
        ({"▁Yes": 0.4, "Yes": 0.3, "No": 0.3}, 0.7),  # with and without the space are two tokens
        ({"Yes": 0.7, "yes": 0.6, "No": 0.1}, 1.0),  # rounding elsewhere must not lead beyond 1
        ({"Yes": 0.2, "Yes,": 0.3, "YES": 0.1, "Yesterday": 0.1, "No": 0.3}, 0.6),  # marks and case say nothing
        ({"YES": 0.999, "Yes": 0.0003, "NO": 0.0005}, 0.9993),
        ({'"Yes': 0.5, "**yes**": 0.2, "'NO'": 0.3}, 0.7),
        ({"Y": 0.6, "y": 0.1, "": 0.1, " ": 0.1, "N": 0.1}, 0.7),  # only a yes can begin so
        ({"No": 1.0}, 0.0),
        ({"No": 1.0, "Yes": 0.0}, 0.0),
    ],
)
def test_p_is_the_mass_of_the_tokens_that_say_yes(said: dict[str, float], value: float) -> None:
    assert vqa.score(PROMPT, SAMPLE, tools_with(always(said))).value == pytest.approx(value)


def test_against_a_slow_reference() -> None:
    forms = [space + word for space in ("", " ", "  ") for word in ("Yes", "yes", "No", "maybe")]
    said = {form: 0.01 * n for n, form in enumerate(forms)}
    expected = 0.0
    for token, p in said.items():
        if token.replace(" ", "") in ("Yes", "yes"):
            expected += p
    assert vqa.score(PROMPT, SAMPLE, tools_with(always(said))).value == pytest.approx(expected)


@BOTH
def test_evidence_holds_the_question_p_and_tokens_and_never_passed(scorer: ModuleType) -> None:
    said = {"No": 0.6, "Yes": 0.25, **{f"t{k}": 0.01 for k in range(15)}}
    verdict = scorer.score(PROMPT, SAMPLE, tools_with(always(said)))
    assert verdict.evidence["holds"] is False
    assert "passed" not in verdict.evidence  # pass@k is for arithmetic
    assert verdict.evidence["method"] == "first token"
    (asked,) = verdict.evidence["questions"]
    assert asked["p"] == 0.25
    assert asked["accepted"] == ["Yes", "yes"]
    assert list(asked["tokens"])[:2] == ["No", "Yes"]
    assert len(asked["tokens"]) == 5
    assert verdict.reason == "the judge says yes with P 0.25"


def test_half_holds() -> None:
    assert vqa.score(PROMPT, SAMPLE, tools_with(always({"Yes": 0.5, "No": 0.5}))).evidence["holds"] is True


@pytest.mark.parametrize("error", ["the engine gives no log-probabilities", "", "logprobs is not supported"])
def test_without_log_probabilities_eight_answers_are_drawn(error: str) -> None:
    judge = drawing(["Yes", "yes, it does", " YES.", "No", "no", "**Yes**", "I think yes", "Yes"], error)
    verdict = vqa.score(PROMPT, SAMPLE, tools_with(judge))
    assert verdict.value == 6 / 8
    assert verdict.evidence["method"] == "sampling"
    assert verdict.evidence["samples"] == 8
    assert verdict.evidence["questions"][0]["tokens"]["Yes"] == 0.375
    assert verdict.evidence["holds"] is True
    assert verdict.reason.endswith("(sampling, 8 answers: the judge gives no log-probabilities)")
    first, second = judge.calls
    assert len(first) == 1
    assert {request.sampling.temperature for request in second} == {1.0}
    assert len({request.sampling.seed for request in second}) == 8


def test_drawn_answers_have_the_seeds_of_the_sample_alone() -> None:
    seeds = []
    for _ in range(2):
        judge = drawing(["Yes"])
        vqa.score(PROMPT, SAMPLE, tools_with(judge))
        seeds.append([request.sampling.seed for request in judge.calls[1]])
    assert seeds[0] == seeds[1]


@BOTH
@pytest.mark.parametrize(
    ("judge", "reason"),
    [
        (always(Reply("", error="HTTP 500")), "the judge did not answer: HTTP 500"),
        (always({"<think>": 0.999, "Yes": 0.0005}), f"the judge was cut while it was thinking; {ROOM}"),
        (always({"So": 0.56, "Got": 0.44}), f"the judge does not answer the question, it was cut at 'So'; {ROOM}"),
        (drawing(["<think> so"]), "the judge thought and did not answer the question"),
        (drawing(["maybe"]), "the judge does not answer the question, it says 'maybe'"),
        (drawing([""]), "the judge does not answer the question, it says ''"),
    ],
)
def test_what_fails_is_none_and_not_zero(scorer: ModuleType, judge: Judge, reason: str) -> None:
    verdict = scorer.score(PROMPT, SAMPLE, tools_with(judge))
    assert (verdict.value, verdict.reason) == (None, reason)
    assert "holds" not in verdict.evidence


def test_one_drawn_answer_that_fails_spoils_the_share() -> None:
    def reply(request: ChatRequest) -> Reply:
        if request.sampling.top_logprobs:
            return Reply("Yes")
        return Reply("", error="timeout") if request.sampling.seed % 2 else Reply("Yes")

    verdict = vqa.score(PROMPT, SAMPLE, tools_with(Judge(reply)))
    assert (verdict.value, verdict.reason) == (None, "the judge did not answer: timeout")


@BOTH
def test_without_image_or_judge(scorer: ModuleType) -> None:
    judge = always({"Yes": 1.0})
    verdict = scorer.score(PROMPT, make_sample(image=None), tools_with(judge))
    assert (verdict.value, verdict.reason, judge.calls) == (None, "the sample has no image", [])
    verdict = scorer.score(PROMPT, SAMPLE, tools_with(None))
    assert verdict.value is None
    assert verdict.reason == "no judge: add `judge:` to the recipe, with a backend that answers chats"


@BOTH
def test_a_prompt_without_claims_is_judged_by_its_words(scorer: ModuleType) -> None:
    assert scorer.score(make_prompt(), SAMPLE, tools_with(always({"Yes": 1.0}))).value == 1.0


def test_what_a_judge_raises_is_left_to_the_pipeline() -> None:
    def fail(requests: object) -> list[Reply]:
        raise ConnectionError("gone")

    tools = Tools(lambda image: [], lambda image: [], None, fail)
    with pytest.raises(ConnectionError, match="gone"):
        vqa.score(PROMPT, SAMPLE, tools)


@pytest.mark.parametrize("replies", [[], [tokens({"Yes": 1.0})] * 2])
def test_a_judge_that_miscounts_is_an_error(replies: list[Reply]) -> None:
    with pytest.raises(ValueError):
        vqa.score(PROMPT, SAMPLE, Tools(lambda image: [], lambda image: [], None, lambda requests: replies))


def test_a_log_probability_that_is_no_number_is_an_error_and_not_a_yes() -> None:
    with pytest.raises(ValueError, match="'Yes' is not a number"):
        read_first_token({"Yes": math.nan}, YES)


def test_a_positive_log_probability_counts_as_one() -> None:
    assert read_first_token({"Yes": 1000.0}, YES).accepted == 1.0


def test_a_question_is_put_to_the_judge_once() -> None:
    judge = always({"Yes": 1.0})
    ask = make_tools(lambda image: [], lambda image: [], ask=judge).ask
    assert ask is not None
    one, other, seeded = (
        ChatRequest((Message("user", (Part(image=image), Part(text="Is it?"))),), Sampling(seed=seed))
        for image, seed in ((b"a", 0), (b"b", 0), (b"a", 1))
    )
    assert ask([one, other, one]) == [*ask([other]), *ask([one, one])]
    ask([seeded, other])
    assert judge.calls == [[one, other], [seeded]], "another image or another seed is another question"
    assert make_tools(lambda image: [], lambda image: []).ask is None
