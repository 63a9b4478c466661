"""Judge health: AUC against all pairs, calibration by hand, yes-bias on prompts of other images, the warning."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from datagen.audit.calibration import (
    Bin,
    YesBias,
    auc_of,
    bootstrap_auc,
    expected_calibration_error,
    judge_warning,
    measure_yes_bias,
    tabulate_calibration,
)
from datagen.chat import ChatRequest, Reply
from datagen.records import Claim, Prompt, Sample, Segment
from datagen.rewards.judge import vqa
from datagen.scoring.tools import Tools

Pairs = list[tuple[float, bool]]
HEALTHY = YesBias(0.1, 0.05, 20, 0)


def draw_pairs(n: int, seed: int, skill: float) -> Pairs:
    """Judgements in steps of 0.1, so that many tie; `skill` moves right images up."""
    rng = random.Random(seed)
    truths = [rng.random() < 0.4 for _ in range(n)]
    return [(round(min(1, max(0, rng.random() + skill * truth)), 1), truth) for truth in truths]


def count_pairs(pairs: Pairs) -> float:
    """AUC, the slow way."""
    right, wrong = [p for p, truth in pairs if truth], [p for p, truth in pairs if not truth]
    won = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a in right for b in wrong)
    return won / (len(right) * len(wrong))


@pytest.mark.parametrize("skill", [-0.3, 0.0, 0.2, 2.0])
@pytest.mark.parametrize("seed", range(5))
def test_auc_is_the_share_of_pairs_in_order(seed: int, skill: float) -> None:
    pairs = draw_pairs(60, seed, skill)
    assert auc_of(pairs) == pytest.approx(count_pairs(pairs))


def test_auc_by_hand() -> None:
    assert auc_of([(0.9, True), (0.1, False)]) == 1.0
    assert auc_of([(0.1, True), (0.9, False)]) == 0.0
    assert auc_of([(0.5, True), (0.5, False)]) == 0.5
    assert auc_of([(0.9, True), (0.5, True), (0.5, False), (0.1, False)]) == 3.5 / 4


@pytest.mark.parametrize("pairs", [[], [(0.5, True)], [(0.1, False), (0.9, False)]])
def test_auc_needs_both_kinds(pairs: Pairs) -> None:
    assert auc_of(pairs) is None
    assert bootstrap_auc(pairs) == (None, None)


def test_the_interval_holds_auc_and_narrows() -> None:
    few, many = draw_pairs(40, 1, 0.3), draw_pairs(1000, 1, 0.3)
    spans = []
    for pairs in (few, many):
        low, high = bootstrap_auc(pairs)
        assert low is not None
        assert high is not None
        assert 0 <= low < count_pairs(pairs) < high <= 1
        spans.append(high - low)
    assert spans[1] < spans[0] / 2
    assert bootstrap_auc(few) == bootstrap_auc(few)
    # Hanley and McNeil (1982) give the standard error of AUC; a 95 % interval is 3.92 of them wide.
    area, right = count_pairs(many), sum(truth for _, truth in many)
    q1, q2, wrong = area / (2 - area), 2 * area**2 / (1 + area), len(many) - right
    variance = (area * (1 - area) + (right - 1) * (q1 - area**2) + (wrong - 1) * (q2 - area**2)) / (right * wrong)
    assert spans[1] == pytest.approx(3.92 * math.sqrt(variance), rel=0.15)


def test_calibration_by_hand() -> None:
    pairs = [(0.0, False), (0.05, True), (0.1, False), (0.95, True), (1.0, True), (0.95, False)]
    table = tabulate_calibration(pairs)
    assert table == [
        Bin(0.0, 0.1, 2, pytest.approx(0.025), 0.5),
        Bin(0.1, 0.2, 1, pytest.approx(0.1), 0.0),
        Bin(0.9, 1.0, 3, pytest.approx(2.9 / 3), pytest.approx(2 / 3)),
    ]
    error = (2 * 0.475 + 1 * 0.1 + 3 * 0.3) / 6
    assert expected_calibration_error(pairs) == pytest.approx(error)


def test_calibration_of_a_sure_and_of_an_honest_judge() -> None:
    assert expected_calibration_error([(1.0, False)] * 3) == 1.0
    assert expected_calibration_error([(1.0, True), (0.0, False)]) == 0.0
    assert expected_calibration_error([(0.75, True)] * 3 + [(0.75, False)]) == 0.0
    assert expected_calibration_error([]) is None
    assert tabulate_calibration([]) == []


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_what_is_no_probability_is_refused(p: float) -> None:
    for measure in (auc_of, bootstrap_auc, expected_calibration_error):
        with pytest.raises(ValueError, match=r"P\(yes\) must be in"):
            measure([(p, True), (0.5, False)])


def make_drawn(kind: str, n: int, *, image: bytes | None = b"") -> tuple[Prompt, Sample]:
    where = {"weakness": "w", "skill": "s", "level": "easy", "index": 0, "seed": 0, "template": "t"}
    prompt = Prompt.make(f"{n} {kind}", (Claim("count", kind, "", n),), **where)
    picture = f"{n} {kind}".encode() if image == b"" else image
    segments = () if picture is None else (Segment("image", "image", image=picture),)
    return prompt, Sample("p-00", prompt.id, 0, 7, "direct", "e", "none", "stop", segments)


def say(p: float) -> Reply:
    return Reply("", "length", {"Yes": math.log(p) if p else -math.inf, "No": math.log(1 - p) if p < 1 else -math.inf})


def look(request: ChatRequest) -> bool:
    """Whether the picture, which is its own description here, is what the question asks for."""
    image, text = request.messages[0].parts
    return f'"{image.image.decode()}"' in text.text


DRAWN = [make_drawn("star", 3), make_drawn("star", 3), make_drawn("cup", 1), make_drawn("cup", 2)]


def test_each_image_is_asked_about_the_next_prompt_that_claims_something_else() -> None:
    calls: list[list[str]] = []

    def ask(requests: Sequence[ChatRequest]) -> list[Reply]:
        calls.append([f"{r.messages[0].parts[0].image.decode()}: {r.messages[0].parts[1].text}" for r in requests])
        return [say(0.25)] * len(requests)

    bias = measure_yes_bias(ask, DRAWN)
    question = 'Does this image show "{}"? Answer the question with Yes or No.'
    seen = ["3 star: 1 cup", "3 star: 1 cup", "1 cup: 2 cup", "2 cup: 3 star"]
    assert calls == [[f"{image}: {question.format(text)}" for image, text in (line.split(": ") for line in seen)]]
    assert bias == YesBias(pytest.approx(0.25), 0.0, 4, 0)


def test_a_judge_that_looks_is_healthy() -> None:
    bias = measure_yes_bias(lambda asked: [say(0.9 if look(one) else 0.1) for one in asked], DRAWN)
    assert bias == YesBias(pytest.approx(0.1), 0.0, 4, 0)
    assert judge_warning(draw_pairs(200, 1, 0.8), bias) == ""


def test_a_judge_that_always_says_yes_is_found_out() -> None:
    def always_yes(asked: Sequence[ChatRequest]) -> list[Reply]:
        return [say(1.0)] * len(asked)

    tools = Tools(lambda image: [], lambda image: [], None, always_yes)
    said = [vqa.score(prompt, sample, tools).value for prompt, sample in DRAWN]
    pairs = [(p, k % 2 == 0) for k, p in enumerate(said) if p is not None]
    bias = measure_yes_bias(always_yes, DRAWN)
    assert auc_of(pairs) == 0.5
    assert bias == YesBias(1.0, 1.0, 4, 0)
    assert judge_warning(pairs, bias) == (
        "do not trust this judge: it says yes to 100% of the images when asked about another prompt"
        " and does not tell right images from wrong ones better than chance (AUC 0.50)"
    )


def test_each_fault_is_named_by_itself() -> None:
    good, chance = draw_pairs(200, 1, 0.8), draw_pairs(200, 1, 0.0)
    assert "better than chance" in judge_warning(chance, HEALTHY)
    assert "yes to" not in judge_warning(chance, HEALTHY)
    biased = judge_warning(good, YesBias(0.6, 0.5, 20, 0))
    assert biased.endswith("it says yes to 50% of the images when asked about another prompt")
    assert judge_warning([], YesBias(None, None, 4, 4)) == "do not trust this judge: it answers no question"
    assert judge_warning([(0.9, True)], HEALTHY) == ""  # nothing to compare with
    assert judge_warning([], YesBias(None, None, 0, 0)) == ""


def test_what_is_not_answered_is_neither_yes_nor_no() -> None:
    def ask(asked: Sequence[ChatRequest]) -> list[Reply]:
        return [say(1.0) if k == 0 else Reply("", error="timeout") for k in range(len(asked))]

    assert measure_yes_bias(ask, DRAWN) == YesBias(1.0, 1.0, 4, 3)
    assert measure_yes_bias(lambda asked: [Reply("", error="gone")] * len(asked), DRAWN) == YesBias(None, None, 4, 4)


def test_what_cannot_be_asked_is_left_out() -> None:
    def ask(asked: Sequence[ChatRequest]) -> list[Reply]:
        return [say(0.0)] * len(asked)

    assert measure_yes_bias(ask, []) == YesBias(None, None, 0, 0)
    assert measure_yes_bias(ask, [make_drawn("star", 3)] * 3) == YesBias(None, None, 0, 0)
    drawn = [make_drawn("star", 3, image=None), make_drawn("cup", 1)]
    assert measure_yes_bias(ask, drawn) == YesBias(0.0, 0.0, 1, 0)


def test_a_judge_that_raises_is_not_hidden() -> None:
    def ask(asked: Sequence[ChatRequest]) -> list[Reply]:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        measure_yes_bias(ask, DRAWN)
