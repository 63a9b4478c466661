"""The pictogram detector on true scenes it was not tuned on, spoiled ones, impostors, noise and damaged files.

Its thresholds were chosen on scenes that are not here. Things anywhere, and broken ones: test_anywhere.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage

from datagen.embedded.pictograms import BACKGROUNDS, CELL_PX, COLORS, IMAGE_PX, SHAPES, Item, Scene, render_scene
from datagen.embedded.world import lay_out, random_scene
from datagen.errors import ConfigError
from datagen.records import UNNAMED, Claim
from datagen.rewards.objects import attribute, counting, spatial
from datagen.scoring.tools import make_tools
from datagen.vision.detectors.pictograms import LABELS, build
from datagen.vision.geometry import measure_overlap
from tests.helpers.reward_cases import (
    color,
    count,
    draw,
    make_prompt,
    make_sample,
    relation,
    thousandths,
    to_png,
    words,
)

DETECT = build({})
SPOIL: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "clean": lambda picture, rng: picture,
    "blurred": lambda picture, rng: ndimage.gaussian_filter(picture, (0.7, 0.7, 0)),
    "blurred more": lambda picture, rng: ndimage.gaussian_filter(picture, (1.0, 1.0, 0)),
    "noisy": lambda picture, rng: picture + rng.normal(0, 12, picture.shape),
    "blurred, noisy, off colour": lambda picture, rng: (
        ndimage.gaussian_filter(picture, (1.0, 1.0, 0)) + rng.normal(0, 8, picture.shape) + rng.normal(0, 10, 3)
    ),
    "a stain a cell": lambda picture, rng: picture + np.kron(rng.uniform(-15, 15, (6, 6, 3)), np.ones((16, 16, 1))),
}


def describe(scene: Scene) -> list[tuple[str, str]]:
    return sorted((item.kind, item.color) for item in scene.items)


def find(image: bytes) -> list[tuple[str, str]]:
    return sorted((found.label, found.color) for found in DETECT(image))


@pytest.mark.parametrize(("way", "scenes"), [("clean", 300), *((way, 60) for way in list(SPOIL)[1:])])
def test_true_scenes_are_found_whole(way: str, scenes: int) -> None:
    rng, noise = random.Random(2024), np.random.default_rng(2024)
    right = 0
    for _ in range(scenes):
        scene = random_scene(rng)
        picture = SPOIL[way](render_scene(scene).astype(float), noise)
        right += find(to_png(picture)) == describe(scene)
    assert right / scenes >= 0.98


CLAIM_SETS: list[tuple[Claim, ...]] = [
    (count("bell", 6),),
    (count("key", 4), color("key", "white")),
    (count("fish", 2), count("umbrella", 3)),
    (count("car", 1), color("car", "black"), count("bottle", 1), color("bottle", "brown")),
    (count("moon", 1), count("heart", 1), relation("moon", "right of", "heart")),
    (count("tree", 1), count("cup", 1), relation("tree", "below", "cup")),
]


@pytest.mark.parametrize("claims", CLAIM_SETS)
def test_true_scenes_pass_their_own_claims(claims: tuple[Claim, ...]) -> None:
    rng, tools, prompt = random.Random(99), make_tools(DETECT, lambda image: []), make_prompt(*claims)
    for _ in range(15):
        sample = make_sample(image=draw(lay_out(claims, rng)))
        for scorer in (counting, attribute, spatial):
            verdict = scorer.score(prompt, sample, tools)
            assert verdict.value in (1.0, None), verdict.reason


def test_every_shape_in_every_color_on_every_background_at_both_sizes() -> None:
    wrong = []
    for kind in SHAPES:
        for tone in COLORS:
            for background in BACKGROUNDS:
                scene = Scene(background, (Item(kind, tone, 0, 1, 3, 4), Item(kind, tone, 4, 2, 6, 4)))
                if find(draw(scene)) != describe(scene):
                    wrong.append((kind, tone, background))
    assert wrong == []


def test_boxes_are_the_squares_of_cells_they_stand_in() -> None:
    rng = random.Random(512)
    for _ in range(40):
        scene = random_scene(rng)
        boxes = {thousandths(item.x1, item.y1, item.x2, item.y2) for item in scene.items}
        found = DETECT(draw(scene))
        assert len(found) == len(boxes)
        assert all(max(measure_overlap(one.box, box) for box in boxes) > 0.95 for one in found)


def test_a_thing_between_the_cells_is_found_where_it_stands() -> None:
    picture = np.roll(render_scene(Scene("mint", (Item("car", "red", 1, 1, 3, 3),))), (5, 7), (0, 1))
    (found,) = DETECT(to_png(picture))
    assert (found.label, found.color) == ("car", "red")
    assert found.box == tuple(round(1000 * edge / 96) for edge in (23, 21, 55, 53))


def test_detections_come_in_reading_order_with_known_labels() -> None:
    scene = Scene(
        "sand", (Item("cup", "red", 0, 0, 2, 2), Item("key", "blue", 4, 0, 6, 2), Item("fish", "green", 1, 3, 4, 6))
    )
    found = DETECT(draw(scene))
    assert [one.label for one in found] == ["cup", "key", "fish"]
    assert all(one.label in LABELS and 0 <= one.confidence <= 1 for one in found)


def test_a_word_is_one_text_and_never_a_thing() -> None:
    rng = random.Random(404)
    right = 0
    pool = ["OPEN", "A", "I", "II", "OO", "HOTEL", "BRIDGE", "QUIZ", "JUMP", "UP", "VASE", "MIX"]
    for word in pool * 3:
        scene = lay_out([words(word)], rng)
        (item,) = scene.items
        found = DETECT(draw(scene))
        box = thousandths(item.x1, item.y1, item.x2, item.y2)
        right += len(found) == 1 and found[0].label == "text" and measure_overlap(found[0].box, box) > 0.95
    assert right >= 0.98 * 3 * len(pool)


def test_a_bitten_thing_is_not_counted() -> None:
    """A third of a thing painted over leaves a match under the threshold, whatever the kind."""
    counted = []
    for kind in SHAPES:
        picture = render_scene(Scene("gray", (Item(kind, "red", 1, 1, 4, 4),)))
        ink = np.abs(picture.astype(int) - BACKGROUNDS["gray"]).sum(-1) > 40
        rows = np.cumsum(ink.sum(1)) / ink.sum()
        picture[rows > 2 / 3] = BACKGROUNDS["gray"]
        if any(one.label == kind for one in DETECT(to_png(picture))):
            counted.append(kind)
    assert counted == []


def test_foreign_shapes_are_not_counted() -> None:
    y, x = np.mgrid[:IMAGE_PX, :IMAGE_PX] - 40.0
    radius = np.hypot(x, y)
    masks = {
        "disc": radius < 21,
        "ring": (radius < 21) & (radius > 13),
        "square": (np.abs(x) < 20) & (np.abs(y) < 20),
        "cross": ((np.abs(x) < 6) | (np.abs(y) < 6)) & (radius < 21),
        "diamond": np.abs(x) + np.abs(y) < 21,
        "bar": (np.abs(x) < 21) & (np.abs(y) < 5),
    }
    for name, mask in masks.items():
        picture = render_scene(Scene("sky", ()))
        picture[mask] = COLORS["red"]
        (only,) = DETECT(to_png(picture))
        assert only.label == UNNAMED, name


def test_equal_neighbours_that_touch_are_still_two() -> None:
    """Smear between two stars of one colour joins them into one blob."""
    picture = render_scene(Scene("gray", (Item("star", "red", 0, 2, 2, 4), Item("star", "red", 2, 2, 4, 4))))
    picture[3 * CELL_PX - 7 : 3 * CELL_PX - 3, 2 * CELL_PX - 3 : 2 * CELL_PX + 3] = COLORS["red"]
    assert find(to_png(picture)) == [("star", "red")] * 2


def test_pictures_of_nothing_hold_nothing() -> None:
    rng = np.random.default_rng(6)
    for picture in (
        *(render_scene(Scene(background, ())) for background in BACKGROUNDS),
        rng.uniform(0, 255, (96, 96, 3)),
        rng.normal(180, 25, (96, 96, 3)),
        np.kron(rng.uniform(0, 255, (6, 6, 3)), np.ones((16, 16, 1))),
        np.zeros((96, 96, 3)),
        np.full((96, 96, 3), 255.0),
        ndimage.gaussian_filter(rng.uniform(-600, 850, (96, 96, 3)), (4, 4, 0)),
    ):
        assert {found.label for found in DETECT(to_png(picture))} <= {UNNAMED}


def test_an_empty_picture_holds_nothing_and_one_of_another_world_something() -> None:
    assert all(DETECT(draw(Scene(background, ()))) == [] for background in BACKGROUNDS)
    (all_of_it,) = DETECT(to_png(np.zeros((96, 96, 3))))
    assert (all_of_it.label, all_of_it.box) == (UNNAMED, (0, 0, 1000, 1000))


def test_a_picture_of_another_size_is_judged_too() -> None:
    scene = Scene("lilac", (Item("house", "yellow", 0, 0, 3, 3), Item("key", "black", 4, 4, 6, 6)))
    double = np.kron(render_scene(scene), np.ones((2, 2, 1)))
    assert find(to_png(double)) == describe(scene)


def test_a_damaged_png_raises_plain_python() -> None:
    whole = draw(Scene("gray", (Item("star", "red", 0, 0, 3, 3),)))
    for damaged in (b"", b"no picture", whole[: len(whole) // 2]):
        with pytest.raises(OSError):
            DETECT(damaged)


def test_it_takes_no_options() -> None:
    with pytest.raises(ConfigError, match="threshold"):
        build({"threshold": 0.5})
