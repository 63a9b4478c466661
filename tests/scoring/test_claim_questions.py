"""Every kind of claim becomes a question that a person would ask, and one atom."""

from __future__ import annotations

from typing import get_args

import pytest

from datagen.records import Claim, ClaimKind
from datagen.scoring.questions import ASKED, NO, SAID, YES, ask_claims
from tests.helpers.reward_cases import count

CASES = [
    (Claim("comparison", "star", "more than", "moon"), "Are there more stars than moons in the image?", YES),
    (Claim("comparison", "fish", "as many as", "knife"), "Are there as many fish as knives in the image?", YES),
    (Claim("depth", "cup", "in front of", "box"), "Is the cup in front of the box?", YES),
    (Claim("depth", "cup", "partly hides", "box"), "Does the cup partly hide the box?", YES),
    (Claim("depth", "cup", "partly hidden by", "box"), "Is the cup partly hidden by the box?", YES),
    (Claim("part", "star", "red", 2), "How many red stars are in the image?", ("two", "Two", "2")),
    (Claim("part", "star", "red", 1), "How many red stars are in the image?", ("one", "One", "1")),
    (Claim("part", "star", "red", 0), "Is there any red star in the image?", NO),
    (Claim("fact", "", "", "the flame is round"), "Is this true of the image: the flame is round?", YES),
    (Claim("fact", "cat", "", "has wheels"), "Is this true of the image: the cat has wheels?", YES),
    (Claim("attribute", "vase", "pattern", "striped"), "Is the vase striped?", YES),
]


@pytest.mark.parametrize(("claim", "text", "accepted"), CASES)
def test_the_question_of_a_claim(claim: Claim, text: str, accepted: tuple[str, ...]) -> None:
    (asked,) = [question for question in ask_claims((claim,)) if question.atom]
    assert (asked.text, asked.accepted, asked.claim) == (text, accepted, claim)


def test_things_are_asked_for_before_what_is_said_of_them() -> None:
    claims = (Claim("comparison", "star", "more than", "moon"), Claim("fact", "star", "", "has wheels"))
    asked = ask_claims(claims)
    assert [question.text[:18] for question in asked[:2]] == ["Is there any star ", "Is there any moon "]
    assert [question.parents for question in asked] == [(), (), (0, 1), (0,)]
    assert [question.parents for question in ask_claims((Claim("fact", "", "", "it rains"),))] == [()]


def test_an_absent_thing_is_one_atom_and_no_number_is_asked() -> None:
    star, moon, number = ask_claims((count("star", 2), count("moon", 0)))
    assert (star.atom, moon.atom, moon.accepted) == (False, True, NO)
    assert number.text == "How many stars are in the image?"


def test_every_kind_is_asked_and_only_facts_may_go_unsaid() -> None:
    assert set(get_args(ClaimKind)) == ASKED == SAID | {"fact"}


def test_no_is_the_right_answer_where_none_is_claimed() -> None:
    (asked,) = ask_claims((count("moon", 0),))
    assert (asked.text, asked.accepted, asked.atom) == ("Is there any moon in the image?", NO, True)
