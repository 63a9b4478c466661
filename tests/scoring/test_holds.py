"""How surely each claim holds, from what several scorers say of it, and what they say against an image."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from datagen.records import Claim, Score
from datagen.scoring.questions import NO, YES, ask_claims, ask_exactly
from datagen.scoring.verdicts import find_faults, find_holds, find_own_belief
from tests.helpers.reward_cases import count, make_prompt

RED = Claim("attribute", "star", "color", "red")
BLUE = Claim("attribute", "star", "color", "blue")


def say(value: float | None = 0.5, target: Literal["text", "image"] = "image", reason: str = "", **said: Any) -> Score:
    return Score("p-00", "name", target, value, reason, said)


def answer(claim: Claim, p: float | None, *others: Claim) -> dict[str, Any]:
    atom = next(atom for atom in ask_claims((claim, *others)) if atom.atom and atom.claim == claim)
    return {"question": f"{atom.text} Answer in one word.", "accepted": list(atom.accepted), "p": p}


def test_what_scorers_say_of_a_claim_is_averaged() -> None:
    claims = (count("star", 2), RED)
    computed = say(claims={str(count("star", 2)): True, str(RED): False})
    judge = say(questions=[answer(claims[0], 0.5), answer(RED, 0.25, claims[0])])
    assert find_holds(claims, [computed]) == [1.0, 0.0]
    assert find_holds(claims, [computed, judge]) == [0.75, 0.125]
    assert find_holds(claims, [judge]) == [0.5, 0.25]


def test_what_nobody_judged_is_unknown() -> None:
    claims = (count("star", 2),)
    verdict = {str(claims[0]): True}
    for score in (
        say(None, claims=verdict),
        say(target="text", claims=verdict),
        say(claims={"text(x)": True}),
        say(claims={str(claims[0]): None}),
        say(questions=[answer(claims[0], None)]),
    ):
        assert find_holds(claims, [score]) == [None]


def test_half_a_point_is_no_claim_that_holds() -> None:
    graded = say(claims={str(RED): 0.5}, causes={str(RED): "color"})
    assert find_holds((RED,), [graded]) == [0.0]
    assert find_holds((RED,), [say(claims={str(RED): 0.9})]) == [1.0]


def test_that_something_is_there_does_not_say_that_it_is_there_once() -> None:
    assert find_holds((count("star", 1),), [say(questions=[answer(count("star", 1), 0.9)])]) == [None]
    assert find_holds((count("star", 0),), [say(questions=[answer(count("star", 0), 0.9)])]) == [0.9]


def test_faults_are_the_reasons_of_those_that_deny_and_know_why() -> None:
    scores = [
        say(reason="found one", passed=False, causes={"count(star, 2)": "count"}),
        say(reason="all red", passed=True),
        say(reason="P 0.1", holds=False, causes={"the prompt": "denied"}),
        say(reason="Is the star red? P 0.1", holds=False, causes={str(RED): "color"}),
        say(reason="of my own", passed=False),
        say(reason="blurred"),
        say(None, reason="no star", passed=False),
        say(target="text", reason="plan", passed=False),
    ]
    assert find_faults(scores) == ["found one", "Is the star red? P 0.1", "of my own"]


def test_the_whole_prompt_is_judged_by_the_questions_about_all_of_it_alone() -> None:
    prompt = make_prompt(count("star", 2))
    whole = f'Does this image show "{prompt.text}"? Answer the question with Yes or No.'
    believed = say(questions=[{"question": whole, "accepted": ["Yes", "yes"], "p": 0.75}])
    atoms = say(questions=[answer(count("star", 2), 0.25)])
    assert find_own_belief(prompt, [believed, atoms]) == 0.75
    assert find_own_belief(prompt, [atoms]) is None


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (count("star", 1), "Is there exactly one star in the image?"),
        (count("star", 3), "Are there exactly three stars in the image?"),
        (count("scissors", 2), "Are there exactly two pairs of scissors in the image?"),
        (Claim("part", "star", "red", 2), "Are there exactly two red stars in the image?"),
        (RED, "Is the star red?"),
        (Claim("text", value="OPEN"), 'Is the text "OPEN" in the image?'),
    ],
)
def test_a_claim_is_asked_as_it_is_made(claim: Claim, text: str) -> None:
    (asked,) = ask_exactly((claim,))
    assert (asked.text, asked.accepted, asked.claim) == (text, YES, claim)


def test_of_what_is_claimed_absent_no_is_the_answer() -> None:
    for claim, text in ((count("moon", 0), "any moon"), (Claim("part", "star", "red", 0), "any red star")):
        (asked,) = ask_exactly((claim,))
        assert (asked.text, asked.accepted) == (f"Is there {text} in the image?", NO)


def test_of_two_colours_neither_is_asked_of_all() -> None:
    asked = ask_exactly((count("star", 2), RED, BLUE))
    assert [question.text for question in asked] == [
        "Are there exactly two stars in the image?",
        "Is there any red star in the image?",
        "Is there any blue star in the image?",
    ]
