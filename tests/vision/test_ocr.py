"""The real OCR on words and shapes that are really drawn."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from datagen.audit.lettering import GROUNDS, Lettering, render_lettering
from datagen.embedded.pictograms import Item, Scene, render_scene
from datagen.embedded.world import lay_out
from datagen.rewards.words import text
from datagen.vision import ocr as _ocr
from datagen.vision.lines import Line
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


def write(*words: tuple[str, int, int, int], side: int = 1024, degrees: float = 0.0) -> bytes:
    """Draw words in black on white, each with its left end, base line and size of the em in px."""
    picture = Image.new("RGB", (side, side), "white")
    for word, left, base, size in words:
        ImageDraw.Draw(picture).text((left, base), word, "black", ImageFont.load_default(size), anchor="ls")
    if degrees:
        picture = picture.rotate(degrees, Image.Resampling.BICUBIC, fillcolor="white")
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(("side", "size"), [(1024, 400), (1536, 600), (2048, 800)])
def test_letters_that_fill_a_poster_are_read(read_text: ReadText, side: int, size: int) -> None:
    assert read_text(write(("SALE", side // 50, side // 2, size), side=side)) == ["SALE"]


def test_words_of_one_line_come_in_their_order_at_any_distance(read_text: ReadText) -> None:
    picture = write(("I", 60, 520, 300), ("am", 260, 524, 300), ("3", 800, 514, 300))
    assert " ".join(read_text(picture)) == "I am 3"
    apart = write(("second", 40, 600, 60), ("last", 700, 590, 60), ("first", 500, 200, 60))
    assert read_text(apart) == ["first", "second", "last"]


@pytest.mark.parametrize("size", [14, 18, 24])
def test_spaces_stay_between_small_letters(read_text: ReadText, size: int) -> None:
    assert read_text(write(("as long as stocks last", 300, 400, size))) == ["as long as stocks last"]


def test_small_print_under_a_tall_word_is_read_and_each_once(read_text: ReadText) -> None:
    assert read_text(write(("OPEN", 40, 500, 360), ("terms apply", 420, 900, 16))) == ["OPEN", "terms apply"]


@pytest.mark.parametrize("degrees", [-8.0, 8.0])
def test_slanted_lines_are_read_from_the_top(read_text: ReadText, degrees: float) -> None:
    picture = write(("Mind the gap", 120, 350, 120), ("no entry", 120, 520, 120), degrees=degrees)
    assert read_text(picture) == ["Mind the gap", "no entry"]


@pytest.mark.parametrize("side", [256, 512, 1024, 2048])
def test_the_same_sign_reads_alike_at_every_size(read_text: ReadText, side: int) -> None:
    sign = Lettering(("Fresh bread", "daily at 7"), "", "gradient", side, 0.08, 3.0, 5)
    assert read_text(render_lettering(sign)) == ["Fresh bread", "daily at 7"]


def test_grounds_without_words_have_none(read_text: ReadText) -> None:
    for ground in GROUNDS:
        tones = GROUNDS[ground](512, np.random.default_rng(3))
        assert read_text(to_png(np.broadcast_to(tones * 255, (512, 512, 3)))) == [], ground


@pytest.mark.parametrize(("wide", "high"), [(96, 96), (400, 60), (60, 400), (1600, 200)])
def test_pictures_of_every_form_are_looked_at_whole(wide: int, high: int) -> None:
    scales = _ocr.plan_looks(wide, high)
    assert scales == sorted(scales)
    assert scales[-1] * max(wide, high) <= _ocr.MOST_SIDE_PX
    assert scales[-1] >= 1


def test_looks_double_up_to_the_own_size() -> None:
    assert _ocr.plan_looks(1024, 1024) == [0.25, 0.5, 1]
    assert _ocr.plan_looks(4096, 4096) == [1 / 16, 1 / 8, 1 / 4, 1 / 2]
    assert _ocr.plan_looks(300, 300) == [1]
    assert _ocr.plan_looks(192, 192) == [256 / 192]


def test_a_wide_strip_is_read(read_text: ReadText) -> None:
    picture = Image.open(io.BytesIO(write(("Way out on the left", 30, 100, 90)))).crop((0, 0, 1024, 140))
    assert read_text(to_png(np.asarray(picture))) == ["Way out on the left"]


def test_a_space_is_written_where_the_recogniser_half_sees_one() -> None:
    letters, blank, space = {"a": 1, "b": 2}, 0, 3
    answers = np.zeros((5, 4))
    answers[:, blank] = 0.6
    answers[0, letters["a"]] = answers[1, letters["a"]] = 0.9
    answers[4, letters["b"]] = 0.7
    assert _ocr.decode(answers, ["", "a", "b", " "]) == ("ab", pytest.approx(0.8))
    answers[2, space] = 0.2
    assert _ocr.decode(answers, ["", "a", "b", " "]) == ("a b", pytest.approx(0.8))
    answers[1] = answers[3] = answers[2]
    assert _ocr.decode(answers[:3], ["", "a", "b", " "])[0] == "a"


def test_a_closer_look_encloses_what_is_not_settled() -> None:
    traces = np.zeros((64, 64), bool)
    traces[10:14, 10:20] = traces[40:44, 30:50] = True
    corners = np.array(((70, 70), (190, 70), (190, 130), (70, 130)), np.float32)
    both = _ocr.enclose(traces, [], (0, 0, 512, 512), 0.125)
    assert both == (0, 0, 512, 512)
    rest = _ocr.enclose(traces, [Line(corners, "OPEN", 1.0)], (0, 0, 512, 512), 1.0)
    assert rest == (240 - 32, 320 - 32, 400 + 32, 352 + 32)
    assert _ocr.enclose(np.zeros((64, 64), bool), [], (0, 0, 512, 512), 1.0) is None
