"""The real OCR on words and shapes that are really drawn."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from datagen.embedded.pictograms import Item, Scene, render_scene
from datagen.embedded.world import lay_out
from datagen.rewards.words import text
from datagen.vision import ocr as _ocr
from tests.helpers.reward_cases import count, draw, make_prompt, make_sample, make_tools, to_png, words

ReadText = Callable[[bytes], list[str]]


@pytest.fixture(scope="module")
def read_text() -> ReadText:
    return _ocr.build(threads=1)


def test_true_words_are_read_to_the_letter(read_text: ReadText) -> None:
    rng = random.Random(77)
    asked = ["OPEN", "CAFE", "HELLO", "SUN", "MARKET", "GO", "QUIZ", "JUMP", "WATER", "TEA", "BRIDGE", "MUSIC"]
    right = 0
    for word in asked:
        picture = draw(lay_out([words(word)], rng))
        right += (
            text.score(make_prompt(words(word)), make_sample(), make_tools(read=tuple(read_text(picture)))).value == 1
        )
    assert right >= len(asked) - 1


def test_a_wrong_letter_is_read_as_drawn(read_text: ReadText) -> None:
    picture = draw(Scene("gray", (Item("text", "black", 0, 2, 4, 4, "OPEM"),)))
    assert read_text(picture) == ["OPEM"]


def test_shapes_unlike_letters_are_no_words(read_text: ReadText) -> None:
    rng = random.Random(5)
    pictures = [draw(lay_out([count(kind, 3)], rng)) for kind in ("star", "house", "heart")]
    assert [read_text(picture) for picture in pictures] == [[]] * 3


def test_lines_without_a_letter_or_digit_are_dropped() -> None:
    assert _ocr.keep_words(["■", "OPEN", "— ·", "7", "", "A!"]) == ["OPEN", "7", "A!"]


def test_a_large_picture_is_read_too(read_text: ReadText) -> None:
    small = Scene("gray", (Item("text", "black", 0, 2, 5, 4, "BREAD"),))
    assert read_text(to_png(np.kron(render_scene(small), np.ones((4, 4, 1))))) == ["BREAD"]


def test_a_damaged_picture_raises_plain_python(read_text: ReadText) -> None:
    with pytest.raises(OSError):
        read_text(b"no picture")
