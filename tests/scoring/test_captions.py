"""Captions compared in both orders: all answers of a judge, and the win rate counted by hand."""

from __future__ import annotations

import itertools
import random

import pytest

from datagen.chat import ChatRequest, Reply
from datagen.scoring.asking import Outcome, Pair, ask_captions, compare_captions, count_wins
from tests.helpers.judge_cases import Judge, question_of


def prefers(better: str) -> Judge:
    """A judge that finds the better caption wherever it stands."""

    def reply(request: ChatRequest) -> Reply:
        first = question_of(request).split("Caption A: ")[1].split("\n")[0]
        return Reply("A" if first == better else "B.")

    return Judge(reply)


def in_turn(*answers: str | Reply) -> Judge:
    left = iter(answers)

    def reply(request: ChatRequest) -> Reply:
        answer = next(left)
        return answer if isinstance(answer, Reply) else Reply(answer)

    return Judge(reply)


def test_a_judge_of_captions_is_followed() -> None:
    pairs = [Pair(b"1", "good", "bad"), Pair(b"2", "bad", "good")]
    judge = prefers("good")
    assert [outcome.value for outcome in compare_captions(pairs, judge)] == [1.0, 0.0]
    assert len(judge.calls) == 1
    assert [request.messages[0].parts[0].image for request in judge.calls[0]] == [b"1", b"1", b"2", b"2"]


@pytest.mark.parametrize("place", ["A", "B", "a", "**B**", "A: it names more"])
def test_a_judge_of_places_sees_a_tie(place: str) -> None:
    assert compare_captions([Pair(b"1", "x", "y")], in_turn(place, place))[0].value == 0.5


@pytest.mark.parametrize("said", ["", "both", "C", "Neither is right"])
def test_what_is_no_answer_is_no_loss(said: str) -> None:
    for answers in ((said, "A"), ("A", said)):
        outcome = compare_captions([Pair(b"1", "x", "y")], in_turn(*answers))[0]
        assert outcome.value is None
        assert "neither A nor B" in outcome.problem
    failed = compare_captions([Pair(b"1", "x", "y")], in_turn("A", Reply("", error="timeout")))[0]
    assert (failed.value, failed.problem) == (None, "the judge did not answer: timeout")


def test_the_win_rate_agrees_with_counting_by_hand() -> None:
    rng = random.Random(1)
    points = {("A", "B"): 1.0, ("B", "A"): 0.0, ("A", "A"): 0.5, ("B", "B"): 0.5}
    for _ in range(200):
        answers = [rng.choices("ABx", weights=(5, 5, 1), k=2) for _ in range(rng.randint(1, 8))]
        pairs = [Pair(b"i", "ours", "theirs")] * len(answers)
        result = count_wins(compare_captions(pairs, in_turn(*itertools.chain(*answers))))
        known = [points[(a, b)] for a, b in answers if "x" not in (a, b)]
        assert result.known == len(known)
        assert result.unknown == len(answers) - len(known)
        assert result.consistent == known.count(1.0) + known.count(0.0)
        assert result.rate == (pytest.approx(sum(known) / len(known)) if known else None)


def test_nothing_to_compare() -> None:
    assert compare_captions([], in_turn()) == []
    assert count_wins([]).rate is None
    assert count_wins([Outcome(None, ("", ""), "x")]).unknown == 1


def test_too_few_replies_are_an_error() -> None:
    with pytest.raises(ValueError, match="1 replies to 2 questions"):
        compare_captions([Pair(b"1", "x", "y")], lambda requests: [Reply("A")])
    with pytest.raises(ValueError, match="0 replies to 1 questions"):
        ask_captions([b"1"], [0], lambda requests: [])


def test_an_empty_caption_is_an_error() -> None:
    replies = ask_captions([b"1", b"2"], [1, 2], in_turn("  \n", "a star"))
    assert [reply.error for reply in replies] == ["an empty caption", ""]
