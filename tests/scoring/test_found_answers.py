"""Where an answer stands in what a judge wrote: behind marks and signs, in prose that leaves no doubt, or nowhere."""

from __future__ import annotations

import pytest

from datagen.scoring.asking import find_answer, find_letter, holds

YES, THREE = ("Yes", "yes"), ("three", "Three", "3")
LABELLED, PROSE = False, True


@pytest.mark.parametrize(
    ("text", "word", "in_prose"),
    [
        ("Yes", "Yes", LABELLED),
        ("**No.**", "No", LABELLED),
        ("- Yes", "Yes", LABELLED),
        ('{"answer": "Yes"}', "Yes", LABELLED),
        ('```json\n{"holds": "no"}\n```', "no", LABELLED),
        ("Final answer: **No**", "No", LABELLED),
        ("It is there. The answer is yes.", "yes", LABELLED),
        (r"It is there: \boxed{\text{Yes}}", "Yes", LABELLED),
        ("<|begin_of_box|>No<|end_of_box|>", "No", LABELLED),
        ("✅ Yes", "Yes", LABELLED),
        ("Yes or no? Yes.", "Yes", LABELLED),
        ("Yes, no cup is missing.", "Yes", LABELLED),
        ("It does, yes.", "yes", PROSE),
        ("I think yes", "yes", PROSE),
        ("There is no star, so yes.", "yes", PROSE),
        ("It doesn't, no.", "no", PROSE),
        ("The stars are red.\n\nYes", "Yes", PROSE),
        ("1. Yes", "Yes", PROSE),
    ],
)
def test_a_yes_or_a_no(text: str, word: str, in_prose: bool) -> None:
    found = find_answer(text, YES)
    assert found is not None
    assert (found.word, found.in_prose) == (word, in_prose)
    assert text[found.begin :].startswith(word)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "maybe",
        "There are no stars.",
        "It shows no more and no less.",
        "I cannot say yes.",
        "The answer is not yes.",
        "Yes, no, I do not know.",
        "No wait, let me count… Yes",
        'The sign says "NO".',
        "So, let me see whether yes or no is right.",
        "Yesterday",
        '{"answer": true}',
        "3",
    ],
)
def test_neither_yes_nor_no(text: str) -> None:
    assert find_answer(text, YES) is None


@pytest.mark.parametrize(
    ("text", "is_three"),
    [
        ("three", True),
        ("THREE.", True),
        ("3", True),
        ('{"count": 3}', True),
        ("There are three stars.", True),
        ("Yes, there are three stars.", True),
        ("Two", False),
        ("25", False),
        ("None.", False),
        ("There is one star.", False),
        ("There are no stars.", False),
        ("Yes", False),
    ],
)
def test_a_number(text: str, is_three: bool) -> None:
    found = find_answer(text, THREE)
    assert found is not None
    assert holds(found.word, THREE) is is_three


@pytest.mark.parametrize(
    "text", ["I count 1, 2, 3", "No one can tell", "two of the three", "A few", "This one is red."]
)
def test_no_number(text: str) -> None:
    assert find_answer(text, THREE) is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A", "A"),
        ("b.", "B"),
        ("**A**", "A"),
        ("Answer: B", "B"),
        ("Caption B is better", "B"),
        ("A better one is B", ""),
        ("Both", ""),
        ("Caption A is as good as caption B", ""),
    ],
)
def test_a_letter(text: str, letter: str) -> None:
    assert find_letter(text, "AB") == letter
