"""The reasoning judge: what it is told, which verdicts are read, what stays of its reasoning."""

from __future__ import annotations

import pytest

from datagen.chat import Reply
from datagen.records import Verdict
from datagen.rewards.judge import rubric
from datagen.scoring.tools import Tools
from tests.helpers.judge_cases import Judge, question_of, tools_with
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, words

PROMPT = make_prompt(count("star", 3), color("star", "red"), words("OPEN"))
SAMPLE = make_sample(image=b"png")


def judge(text: str, **more: str) -> Verdict:
    return rubric.score(PROMPT, SAMPLE, tools_with(Judge(lambda request: Reply(text, **more))))


def test_what_the_judge_is_told() -> None:
    ask = Judge(lambda request: Reply("\\boxed{1}"))
    rubric.score(PROMPT, SAMPLE, tools_with(ask))
    ((request,),) = ask.calls
    assert request.messages[0].parts[0].image == b"png"
    told = question_of(request).splitlines()
    assert told[0] == "You see a picture that was drawn for this prompt: words that no scorer reads"
    assert "- How many stars are in the image? It should be: three." in told
    assert "- Are the stars red? It should be: yes." in told
    assert '- Is the text "OPEN" in the image? It should be: yes.' in told
    assert "\\boxed{1}" in told[-1]
    assert "\\boxed{0}" in told[-1]
    sampling = request.sampling
    assert (sampling.temperature, sampling.max_tokens, sampling.top_logprobs) == (0.0, 1024, 0)


def test_without_claims_there_is_nothing_to_check_one_by_one() -> None:
    told = rubric.write_rubric(make_prompt())
    assert "one by one" not in told
    assert told.startswith("You see a picture")
    assert "\n\n\n" not in told
    assert "\n\n\n" not in rubric.write_rubric(PROMPT)


@pytest.mark.parametrize(
    ("box", "value"),
    [
        ("\\boxed{1}", 1.0),
        ("\\boxed{0}", 0.0),
        ("$\\boxed{ 1 }$", 1.0),
        ("\\boxed{\\text{0}}", 0.0),
        ("\\boxed{0.7}", 0.7),
        ("\\boxed{.25}", 0.25),
        ("\\boxed{1.0}", 1.0),
        ("\\boxed {1}", 1.0),
    ],
)
def test_verdicts(box: str, value: float) -> None:
    verdict = judge(f"There are three red stars.\n\n{box}")
    assert (verdict.value, verdict.reason) == (value, "There are three red stars.")
    denied = {} if value >= 0.5 else {"causes": {"the prompt": "denied"}}
    assert verdict.evidence == {"holds": value >= 0.5, **denied, "reasoning": f"There are three red stars.\n\n{box}"}


def test_the_last_box_counts() -> None:
    assert judge("If so I would say \\boxed{1}, but one is blue: \\boxed{0}").value == 0.0


@pytest.mark.parametrize("box", ["7", "1.5", "10", "-1", "", "yes", "1/2", "nan", "1e0", "٠"])
def test_what_is_no_number_from_0_to_1_is_no_verdict(box: str) -> None:
    verdict = judge(f"Well. \\boxed{{{box}}}")
    assert (verdict.value, verdict.reason) == (None, f"the judge's verdict is no number from 0 to 1: {box!r}")
    assert "holds" not in verdict.evidence


@pytest.mark.parametrize("text", ["", "It is fine.", "boxed{1}", "\\boxed 1", "1", "\\boxed{1"])
def test_without_a_box_there_is_no_verdict(text: str) -> None:
    assert judge(text).value is None
    assert judge(text).reason == "the judge gave no boxed verdict"
    cut = "the judge gave no boxed verdict, it was cut off" if text else "the judge was cut while it was thinking; say"
    assert judge(text, finish="length").reason.startswith(cut)


def test_a_failed_reply_is_none_and_not_zero() -> None:
    verdict = judge("\\boxed{0}", error="HTTP 500")
    assert (verdict.value, verdict.reason) == (None, "the judge did not answer: HTTP 500")


def test_a_long_reasoning_is_cut_at_its_beginning() -> None:
    verdict = judge("once " * 2000 + "so it holds. \\boxed{1}")
    assert verdict.reason.startswith("…once once")
    assert verdict.reason.endswith("once so it holds.")
    assert len(verdict.reason) <= 301
    assert len(verdict.evidence["reasoning"]) == 4000
    assert judge("\\boxed{1}").reason == "the judge says 1 without a reason"


def test_without_image_or_judge() -> None:
    ask = Judge(lambda request: Reply("\\boxed{1}"))
    verdict = rubric.score(PROMPT, make_sample(image=None), tools_with(ask))
    assert (verdict.value, verdict.reason, ask.calls) == (None, "the sample has no image", [])
    assert rubric.score(PROMPT, SAMPLE, tools_with(None)).reason.startswith("no judge: add `judge:`")


def test_what_a_judge_raises_is_left_to_the_pipeline() -> None:
    def fail(requests: object) -> list[Reply]:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        rubric.score(PROMPT, SAMPLE, Tools(lambda image: [], lambda image: [], None, fail))


def test_a_box_in_a_thought_is_a_draft() -> None:
    assert judge(r"<think>\boxed{0}? No, wait.</think>It is there: \boxed{1}").value == 1.0
    for text in (r"<think>\boxed{1}", r"<think>\boxed{1}</think>"):
        assert judge(text).value is None
    assert judge(r"<think>\boxed{1}", finish="length").reason.startswith("the judge was cut while it was thinking")
