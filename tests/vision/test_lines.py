"""Finds of several looks made one, and put in the order in which a person reads."""

from __future__ import annotations

import random

import numpy as np
import pytest

from datagen.vision.lines import Line, are_pieces, cover, join_lines, order_lines, span, weigh


def place(left: float, upper: float, wide: float, high: float, degrees: float = 0.0) -> np.ndarray:
    """Return the corners of a box, turned about the origin of the picture."""
    turn = np.deg2rad(degrees)
    box = np.array(((left, upper), (left + wide, upper), (left + wide, upper + high), (left, upper + high)))
    return (box @ np.array(((np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))))).astype(np.float32)


def line(text: str, left: float, upper: float, wide: float = 100, high: float = 30, score: float = 1.0) -> Line:
    return Line(place(left, upper, wide, high), text, score)


def texts(lines: list[Line]) -> list[str]:
    return [each.text for each in lines]


def test_one_word_seen_twice_counts_once_and_the_sure_reading_stays() -> None:
    sure, unsure = line("SALE", 10, 10, 200, 80, 0.99), line("SAIE", 12, 8, 205, 84, 0.7)
    assert texts(join_lines([unsure], [sure])) == ["SALE"]
    assert texts(join_lines([sure], [unsure])) == ["SALE"]


def test_of_equals_the_first_look_stays() -> None:
    first, second = line("OPEN", 10, 10), line("OPEN", 11, 11)
    assert join_lines([first], [second]) == [first]


def test_pieces_of_a_tall_word_give_way_to_the_whole_and_the_other_way_round() -> None:
    whole = line("SALE", 0, 0, 400, 200, 0.95)
    pieces = [line("Sh", 10, 10, 150, 180, 0.6), line("E", 300, 5, 90, 190, 0.9)]
    assert texts(join_lines(pieces, [whole])) == ["SALE"]
    smear = line("MW", 0, 0, 400, 200, 0.6)
    rows = [line("MIND", 5, 5, 390, 80, 0.99), line("STEP", 5, 110, 390, 80, 0.98)]
    assert texts(join_lines([smear], rows)) == ["MIND", "STEP"]


def test_a_piece_that_is_sure_of_one_letter_does_not_beat_a_word() -> None:
    word, piece = line("SALE", 0, 0, 400, 200, 0.85), line("E", 300, 5, 90, 190, 1.0)
    assert texts(join_lines([word], [piece])) == ["SALE"]


def test_what_stands_apart_stays_from_both() -> None:
    assert sorted(texts(join_lines([line("A1", 0, 0)], [line("B2", 0, 100), line("C3", 300, 0)]))) == ["A1", "B2", "C3"]


def test_letters_count_by_how_sure_they_are() -> None:
    assert weigh([line("AB C", 0, 0, score=1.0), line("XY", 0, 0, score=0.25)]) == pytest.approx(3 - 1)
    assert weigh([]) == 0


def test_a_small_place_within_a_large_one_is_the_same_and_a_neighbour_is_not() -> None:
    assert cover(place(0, 0, 400, 200), place(20, 20, 50, 50))
    assert not cover(place(0, 0, 100, 30), place(90, 0, 100, 30))


def test_words_of_one_row_read_from_the_left_though_they_stand_a_few_pixels_apart() -> None:
    row = [line("I", 10, 14, 20, 40), line("am", 60, 20, 80, 30), line("3", 170, 8, 30, 42)]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        assert texts(order_lines([row[k] for k in order])) == ["I", "am", "3"]


def test_rows_read_from_the_top_whatever_their_lengths() -> None:
    lines = [line("second", 10, 60), line("of", 130, 62), line("first", 400, 10), line("third", 0, 110, 500)]
    assert texts(order_lines(lines)) == ["first", "second", "of", "third"]


@pytest.mark.parametrize("degrees", [-8.0, -3.0, 5.0, 8.0])
def test_slanted_rows_stay_rows(degrees: float) -> None:
    words = [
        Line(place(x, y, 130, 40, degrees), f"{y // 60}{x // 200}", 1.0)
        for y in (300, 360, 420)
        for x in range(0, 1000, 200)
    ]
    shuffled = list(words)
    random.Random(3).shuffle(shuffled)
    assert texts(order_lines(shuffled)) == texts(words)


def test_no_line_and_one_line_are_in_order() -> None:
    assert order_lines([]) == []
    assert texts(order_lines([line("one", 0, 0)])) == ["one"]


def test_pieces_meet_on_one_level_and_are_as_high() -> None:
    left, right = line("FAN", 0, 0), line("N TRY", 90, 3)
    below, tall, far = line("SPOT", 0, 25), line("A", 90, -60, 100, 150), line("END", 300, 0)
    assert are_pieces(left, right)
    assert are_pieces(right, left)
    assert not any(are_pieces(left, other) for other in (below, tall, far))


@pytest.mark.parametrize("degrees", [0.0, 6.0])
def test_the_span_of_two_pieces_is_the_box_of_the_line(degrees: float) -> None:
    whole = span(place(10, 20, 100, 30, degrees), place(90, 22, 150, 30, degrees))
    assert whole == pytest.approx(place(10, 20, 230, 32, degrees), abs=0.01)
