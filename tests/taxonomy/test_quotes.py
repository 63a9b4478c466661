"""Quotations in straight and typographic marks; apostrophes inside words are none."""

from __future__ import annotations

import random

import pytest

from datagen.taxonomy.vocabulary import find_quoted, split_quoted

MARKS = ['""', "“”", "„“", "«»", "‘’", "''", "「」", "『』", "‹›"]


@pytest.mark.parametrize("marks", MARKS)
def test_each_kind_of_mark(marks: str) -> None:
    assert find_quoted(f"a sign that says {marks[0]}Open late{marks[1]} by a door") == ["Open late"]
    assert find_quoted(f"{marks[0]}A{marks[1]} over {marks[0]}B{marks[1]}") == ["A", "B"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("it's a dog's life", []),
        ("the dogs' bowls and the cats' beds", []),
        ("a sign 'Don't stop' and the king's crown", ["Don't stop"]),
        ("‘l’eau’ d’été", ["l’eau"]),
        ("a poster \"rock 'n' roll\"", ["rock 'n' roll"]),
        ('"" and " "', []),
        ('an open " quote', []),
        ("", []),
        ("“one” 'two' «three»", ["one", "two", "three"]),
        ("招牌写着「开门」", ["开门"]),
    ],
)
def test_worked_cases(text: str, found: list[str]) -> None:
    assert find_quoted(text) == found


def test_what_is_put_in_marks_comes_out_again() -> None:
    rng = random.Random(1)
    for _ in range(300):
        wanted = [" ".join(rng.choices(["Open", "isn't", "50%", "été", "夜"], k=rng.randint(1, 3))) for _ in range(3)]
        marks = rng.choices(MARKS, k=3)
        text = "the dog's sign " + " and the cat's ".join(
            f"{m[0]}{w}{m[1]}" for m, w in zip(marks, wanted, strict=True)
        )
        assert find_quoted(text) == wanted, text


def test_the_rest_has_no_quotation() -> None:
    assert split_quoted('a "" b “x” c') == (["", "x"], "a   b   c")


@pytest.mark.parametrize("piece", ['"', "“", "„", "'", " 'a'b", "«", "‘ "])
def test_ten_megabytes_of_marks_do_not_hang(piece: str) -> None:
    assert find_quoted(piece * (10_000_000 // len(piece.encode()))) == [] or piece == " 'a'b"
