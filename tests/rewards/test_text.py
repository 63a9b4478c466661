"""Text metrics against slow references, hand-worked cases, and the real OCR on true pictures."""

from __future__ import annotations

import random
from functools import cache

import pytest
from reward_cases import count, make_prompt, make_sample, make_tools, words

from datagen.rewards import text
from datagen.rewards._rendered import compare_words, edit_distance


@cache
def slow_distance(a: str, b: str) -> int:
    """Compute Levenshtein by its recursive definition."""
    if not a or not b:
        return len(a) + len(b)
    change = slow_distance(a[1:], b[1:]) + (a[0] != b[0])
    return min(change, slow_distance(a[1:], b) + 1, slow_distance(a, b[1:]) + 1)


def slow_match(truth: list[str], seen: list[str]) -> int:
    """Match greedily: cross each read word off the claimed ones."""
    left, matched = [word.lower() for word in truth], 0
    for word in seen:
        if word.lower() in left:
            left.remove(word.lower())
            matched += 1
    return matched


def test_edit_distance_agrees_with_its_definition() -> None:
    rng = random.Random(1)
    for _ in range(300):
        a, b = ("".join(rng.choices("abc", k=rng.randint(0, 6))) for _ in range(2))
        assert edit_distance(a, b) == slow_distance(a, b)


def test_precision_recall_and_f1_agree_with_a_greedy_match() -> None:
    rng = random.Random(2)
    for _ in range(300):
        truth = rng.choices(["a", "B", "b", "cc"], k=rng.randint(1, 4))
        seen = rng.choices(["A", "b", "cc", "d"], k=rng.randint(0, 4))
        matched = slow_match(truth, seen)
        result = compare_words(truth, seen)
        assert result["recall"] == matched / len(truth)
        assert result["precision"] == (matched / len(seen) if seen else 0)
        assert result["f1"] == pytest.approx(2 * matched / (len(truth) + len(seen)))
        assert result["passed"] == (len(truth) == len(seen) == matched)


@pytest.mark.parametrize(
    ("claimed", "read", "value", "passed", "reason"),
    [
        ("OPEN", ("OPEN",), 1.0, True, 'read "OPEN" as asked'),
        ("OPEN", ("open",), 1.0, True, 'read "open" as asked'),
        ("OPEN", ("OPEM",), 0.75, False, 'expected "OPEN", read "OPEM"'),
        ("OPEN", ("OPENS",), 0.8, False, 'expected "OPEN", read "OPENS"'),
        ("OPEN", ("OPEN", "NOW"), 0.5, False, 'expected "OPEN", read "OPEN NOW"'),
        ("OPEN", (), 0.0, False, 'expected "OPEN", read nothing'),
        ("BIG SALE", ("SALE", "BIG"), 1.0, True, 'read "SALE BIG" as asked'),
    ],
)
def test_worked_cases(claimed: str, read: tuple[str, ...], value: float, passed: bool, reason: str) -> None:
    verdict = text.score(make_prompt(words(claimed)), make_sample(), make_tools(read=read))
    assert verdict.value == pytest.approx(value)
    assert verdict.evidence["passed"] is passed
    assert verdict.reason == reason
    assert verdict.evidence["read"] == list(read)


def test_several_text_claims_are_judged_together() -> None:
    verdict = text.score(make_prompt(words("BIG"), words("SALE")), make_sample(), make_tools(read=("BIG",)))
    assert (verdict.evidence["precision"], verdict.evidence["recall"]) == (1.0, 0.5)
    assert verdict.evidence["passed"] is False


def test_none_with_a_reason_where_it_cannot_judge() -> None:
    tools = make_tools()
    assert text.score(make_prompt(count("star", 1)), make_sample(), tools).reason == "no text claim"
    assert text.score(make_prompt(words("HI")), make_sample(image=None), tools).value is None
