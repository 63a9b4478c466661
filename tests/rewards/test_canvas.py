"""The canvas that a judge is shown: white, black ink, every box where it is planned, labels inside and apart."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from datagen.rewards.reasoning.got_layout import CANVAS_PX, find_place, render_layout
from datagen.scoring.layout import read_layout
from datagen.vision.geometry import shared_area
from tests.helpers.layout_cases import random_box
from tests.helpers.reward_cases import write


def paint(text: str) -> np.ndarray:
    """The canvas as (H, W) of 0..255."""
    return np.asarray(Image.open(io.BytesIO(render_layout(read_layout(text).placed))).convert("L"))


def test_nothing_planned_is_a_white_canvas() -> None:
    assert paint("").min() == 255


def test_all_ink_is_gray_and_the_same_things_give_the_same_bytes() -> None:
    things = read_layout(write("red star", 100, 100, 500, 500) + write("blue cup", 300, 300, 900, 900)).placed
    with Image.open(io.BytesIO(render_layout(things))) as image:
        red, green, blue = image.convert("RGB").split()
    assert red.tobytes() == green.tobytes() == blue.tobytes()
    assert render_layout(things) == render_layout(things)


def test_a_box_stands_where_it_is_planned() -> None:
    canvas = paint(write("", 250, 500, 750, 1000))
    rows, columns = np.nonzero(canvas < 128)
    assert (rows.min(), rows.max()) == (pytest.approx(256, abs=1), CANVAS_PX - 1)
    assert (columns.min(), columns.max()) == (pytest.approx(128, abs=1), pytest.approx(383, abs=1))
    assert canvas[300:450, 200:300].min() == 255


def test_the_label_is_written_in_the_corner_of_its_box() -> None:
    with_label, without = paint(write("cat", 500, 500, 900, 900)), paint(write("", 500, 500, 900, 900))
    rows, columns = np.nonzero(with_label != without)
    assert rows.min() >= 255
    assert rows.max() <= 290
    assert columns.min() >= 255
    assert columns.max() <= 310


def test_labels_stay_inside_and_do_not_cover_each_other() -> None:
    rng = random.Random(7)
    for _ in range(200):
        taken: list[tuple[float, float, float, float]] = []
        for _ in range(6):
            x, y, *_ = (edge * CANVAS_PX / 1000 for edge in random_box(rng, step=250))
            taken.append(find_place(rng.choice((20.0, 90.0, 300.0)), x, min(y, 300.0), taken))
        for k, one in enumerate(taken):
            assert min(one) >= 0
            assert max(one) <= CANVAS_PX
            assert not any(shared_area(one, other) for other in taken[:k])


@pytest.mark.parametrize(
    "phrase", ["", "two\nlines", 'black text "OPEN"', "a" * 300, "кошка 猫", "tab\there"], ids=lambda phrase: phrase[:9]
)
def test_odd_phrases_and_thin_boxes_are_drawn(phrase: str) -> None:
    assert paint(write(phrase, 999, 999, 1000, 1000)).min() < 128
    assert paint(write(phrase, 0, 0, 1000, 1) * 40).shape == (CANVAS_PX, CANVAS_PX)
