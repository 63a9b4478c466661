from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datagen.taxonomy.english import article_of, number_word, plural_of

AN = "apple orange umbrella hourglass honest heir onion igloo eggplant octopus X-ray F 8 11 18 80 uncle underpass"
A = "bench unicycle unicorn ukulele uniform university European euro one one-way used user horse house hotel U 7 10 100"


@pytest.mark.parametrize("word", AN.split())
def test_words_that_sound_like_a_vowel_take_an(word: str) -> None:
    assert article_of(word) == "an"


@pytest.mark.parametrize("word", A.split())
def test_words_that_sound_like_a_consonant_take_a(word: str) -> None:
    assert article_of(word) == "a"


@pytest.mark.parametrize(
    ("one", "more"),
    [
        ("star", "stars"),
        ("knife", "knives"),
        ("mouse", "mice"),
        ("sheep", "sheep"),
        ("goose", "geese"),
        ("mongoose", "mongooses"),
        ("person", "people"),
        ("woman", "women"),
        ("human", "humans"),
        ("fireman", "firemen"),
        ("box", "boxes"),
        ("bench", "benches"),
        ("toothbrush", "toothbrushes"),
        ("bus", "buses"),
        ("berry", "berries"),
        ("key", "keys"),
        ("monkey", "monkeys"),
        ("potato", "potatoes"),
        ("piano", "pianos"),
        ("ox", "oxen"),
        ("fox", "foxes"),
        ("starfish", "starfish"),
        ("wine glass", "wine glasses"),
        ("bread knife", "bread knives"),
        ("roof", "roofs"),
    ],
)
def test_plurals(one: str, more: str) -> None:
    assert plural_of(one) == more


def test_numbers_are_words_to_twenty_and_digits_beyond() -> None:
    assert [number_word(n) for n in (0, 1, 3, 12, 20, 21, 1000)] == [
        *("zero", "one", "three", "twelve", "twenty", "21", "1000"),
    ]
    assert len({number_word(n) for n in range(21)}) == 21


@given(st.text(min_size=1, max_size=30))
def test_any_word_has_an_article_and_a_plural(word: str) -> None:
    assert article_of(word) in ("a", "an")
    assert plural_of(word) or not word.strip()
