"""Comparisons agree with a slow reference that pairs things off one by one, and say what they found."""

from __future__ import annotations

import random

import pytest

from datagen.records import Claim, Verdict
from datagen.rewards.objects import comparison
from datagen.taxonomy.english import ORDERS
from tests.helpers.reward_cases import count, make_prompt, make_sample, make_tools, thing

LABELS = ("star", "moon", "fish")


def compare(one: str, name: str, other: str) -> Claim:
    return Claim("comparison", one, name, other)


def judge(labels: list[str], *claims: Claim, known: frozenset[str] | None = None) -> Verdict:
    things = [thing(label, sure=1 - k / 100) for k, label in enumerate(labels)]
    return comparison.score(make_prompt(*claims), make_sample(), make_tools(*things, labels=known))


def holds_slowly(labels: list[str], claim: Claim) -> bool:
    """Pair off one thing of each kind until a kind runs out; whoever is left over has more."""
    left = list(labels)
    if claim.subject not in left or claim.value not in left:
        return False
    while claim.subject in left and claim.value in left:
        left.remove(claim.subject)
        left.remove(str(claim.value))
    over = {"more than": [claim.subject], "fewer than": [claim.value], "as many as": []}[claim.name]
    return [label for label in dict.fromkeys(left) if label in (claim.subject, claim.value)] == over


def test_it_agrees_with_the_reference_on_random_pictures() -> None:
    rng, right = random.Random(0), 0
    for _ in range(600):
        labels = rng.choices(LABELS, k=rng.randint(0, 9))
        pairs = [rng.sample(LABELS, 2) for _ in range(rng.randint(1, 2))]
        claims = list(dict.fromkeys(compare(one, rng.choice(list(ORDERS)), other) for one, other in pairs))
        truth = [holds_slowly(labels, claim) for claim in claims]
        verdict = judge(labels, *claims)
        assert verdict.value == sum(truth) / len(truth)
        assert verdict.evidence["passed"] is all(truth)
        assert list(verdict.evidence["claims"].values()) == truth
        right += all(truth)
    assert 60 < right < 540


@pytest.mark.parametrize(
    ("labels", "claim", "value", "reason"),
    [
        (["star", "star", "moon"], compare("star", "more than", "moon"), 1.0, "found 2 stars and 1 moon, as asked"),
        (
            ["star"],
            compare("star", "more than", "moon"),
            0.0,
            "expected more stars than moons, found 1 star and 0 moons",
        ),
        ([], compare("star", "as many as", "moon"), 0.0, "expected as many stars as moons, found 0 stars and 0 moons"),
        (
            ["moon"],
            compare("fish", "fewer than", "moon"),
            0.0,
            "expected fewer fish than moons, found 0 fish and 1 moon",
        ),
        (["fish", "moon"], compare("fish", "fewer than", "moon"), 0.0, "expected fewer fish than moons, found 1 fish"),
        (["fish", "moon", "cup"], compare("fish", "as many as", "moon"), 1.0, "found 1 fish and 1 moon, as asked"),
    ],
)
def test_reasons_say_what_was_found(labels: list[str], claim: Claim, value: float, reason: str) -> None:
    verdict = judge(labels, claim)
    assert verdict.value == value
    assert verdict.reason.startswith(reason)


def test_none_with_a_reason_where_it_cannot_judge() -> None:
    claim = compare("star", "more than", "violin")
    known = frozenset({"star", "moon"})
    assert judge(["star"], count("star", 1)).reason == "no comparison claim"
    assert judge(["star"], claim, known=known).reason == "the detector cannot see violin"
    assert judge(["star"], compare("star", "redder than", "moon")).reason == "no rule compares numbers by 'redder than'"
    without = comparison.score(make_prompt(claim), make_sample(image=None), make_tools())
    assert (without.value, without.reason) == (None, "the sample has no image")
