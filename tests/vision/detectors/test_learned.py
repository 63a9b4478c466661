"""The learned detector on scenes that it was never shown, spoiled ones, noise, damaged files and weights.

Things anywhere, and broken ones: test_anywhere.py.

How often it takes a foreign shape for a thing is measured in docs/audit.md; there is no floor for that.
"""

from __future__ import annotations

import ast
import random
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from datagen.embedded.loading import load_codec
from datagen.embedded.options import SHIPPED
from datagen.embedded.pictograms import BACKGROUNDS, COLORS, SHAPES, Item, Scene, render_scene
from datagen.embedded.world import lay_out, random_scene
from datagen.errors import BackendError, ConfigError
from datagen.records import UNNAMED
from datagen.vision import parts
from datagen.vision.detectors import learned, pictograms
from datagen.vision.detectors.learned import LearnedDetector, build
from datagen.vision.geometry import measure_overlap
from tests.helpers.reward_cases import draw, thousandths, to_png, words

DETECT = build({})
CODEC = load_codec(SHIPPED)


def redraw(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pictures = torch.from_numpy(picture).float()[None] / 127.5 - 1
    with torch.inference_mode():
        drawn: np.ndarray = CODEC.decode(CODEC.encode(pictures))[0].numpy()
    return drawn


SPOIL: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "clean": lambda picture, rng: picture,
    "through the image tokenizer": redraw,
    "blurred": lambda picture, rng: ndimage.gaussian_filter(picture, (0.8, 0.8, 0)),
    "noisy": lambda picture, rng: picture + rng.normal(0, 12, picture.shape),
    "off colour": lambda picture, rng: picture * 0.95 + rng.normal(0, 8, 3),
}


def are_found(scene: Scene, image: bytes) -> bool:
    """Say whether all of a scene is found, each thing in its colour and its box, and nothing else."""
    rest = DETECT(image)
    for item in scene.items:
        box = thousandths(item.x1, item.y1, item.x2, item.y2)
        mine = [one for one in rest if (one.label, one.color) == (item.kind, item.color)]
        near = [one for one in mine if measure_overlap(one.box, box) > 0.8]
        if not near:
            return False
        rest.remove(near[0])
    return not rest


@pytest.mark.parametrize(("way", "scenes"), [("clean", 300), *((way, 60) for way in list(SPOIL)[1:])])
def test_true_scenes_are_found_whole_each_thing_in_its_box(way: str, scenes: int) -> None:
    rng, noise = random.Random(f"unseen {way}"), np.random.default_rng(2025)
    right = 0
    for _ in range(scenes):
        scene = random_scene(rng)
        right += are_found(scene, to_png(SPOIL[way](render_scene(scene).astype(float), noise)))
    assert right / scenes >= 0.98


def test_every_shape_in_every_color_on_every_background_at_both_sizes() -> None:
    wrong = []
    for kind in SHAPES:
        for tone in COLORS:
            for background in BACKGROUNDS:
                scene = Scene(background, (Item(kind, tone, 0, 1, 3, 4), Item(kind, tone, 4, 2, 6, 4)))
                if not are_found(scene, draw(scene)):
                    wrong.append((kind, tone, background))
    assert len(wrong) <= 0.02 * len(SHAPES) * len(COLORS) * len(BACKGROUNDS), wrong


def test_a_word_is_one_text_in_its_box_and_is_read_to_the_letter() -> None:
    rng = random.Random(405)
    right = 0
    for _ in range(150):
        word = "".join(rng.choice(string.ascii_uppercase) for _ in range(rng.randint(1, 6)))
        scene = lay_out([words(word)], rng)
        image = draw(scene)
        right += are_found(scene, image) and DETECT.read_text(image) == [word]
    assert right >= 0.98 * 150


def test_words_are_read_from_top_to_bottom_and_apart() -> None:
    scene = Scene(
        "sand",
        (
            Item("text", "black", 0, 4, 3, 6, "ONE"),
            Item("text", "blue", 4, 0, 6, 2, "UP"),
            Item("text", "red", 0, 0, 2, 2, "GO"),
        ),
    )
    assert DETECT.read_text(draw(scene)) == ["GO", "UP", "ONE"]
    assert [found.color for found in DETECT(draw(scene))] == ["red", "blue", "black"]


def test_bitten_things_are_not_counted() -> None:
    """A third of a thing painted over, by rows, leaves what is not counted; the floor is that of broken scenes."""
    counted = []
    for kind in SHAPES:
        for tone in COLORS:
            picture = render_scene(Scene("gray", (Item(kind, tone, 1, 1, 4, 4),)))
            ink = np.abs(picture.astype(int) - BACKGROUNDS["gray"]).sum(-1)
            picture[np.cumsum(ink.sum(1)) / ink.sum() > 2 / 3] = BACKGROUNDS["gray"]
            if any(one.label == kind for one in DETECT(to_png(picture))):
                counted.append((kind, tone))
    assert len(counted) <= 0.05 * len(SHAPES) * len(COLORS), counted


def test_pictures_of_nothing_hold_nothing() -> None:
    rng = np.random.default_rng(6)
    for picture in (
        *(render_scene(Scene(background, ())) for background in BACKGROUNDS),
        rng.uniform(0, 255, (96, 96, 3)),
        rng.normal(180, 25, (96, 96, 3)),
        np.kron(rng.uniform(0, 255, (6, 6, 3)), np.ones((16, 16, 1))),
        np.zeros((96, 96, 3)),
        np.full((96, 96, 3), 255.0),
    ):
        assert {found.label for found in DETECT(to_png(picture))} <= {UNNAMED}


def test_detections_come_in_reading_order_with_known_labels() -> None:
    scene = Scene(
        "sand", (Item("cup", "red", 0, 0, 2, 2), Item("key", "blue", 4, 0, 6, 2), Item("fish", "green", 1, 3, 4, 6))
    )
    found = DETECT(draw(scene))
    assert [one.label for one in found] == ["cup", "key", "fish"]
    assert all(one.label in DETECT.labels and 0.5 <= one.confidence <= 1 for one in found)
    assert DETECT.labels == pictograms.LABELS


def test_a_picture_of_another_size_is_judged_too() -> None:
    scene = Scene("lilac", (Item("house", "yellow", 0, 0, 3, 3), Item("key", "black", 4, 4, 6, 6)))
    double = np.kron(render_scene(scene), np.ones((2, 2, 1)))
    assert are_found(scene, to_png(double))


def test_a_damaged_png_raises_plain_python() -> None:
    whole = draw(Scene("gray", (Item("star", "red", 0, 0, 3, 3),)))
    for damaged in (b"", b"no picture", whole[: len(whole) // 2]):
        with pytest.raises(OSError):
            DETECT(damaged)
        with pytest.raises(OSError):
            DETECT.read_text(damaged)


def test_it_takes_no_options() -> None:
    with pytest.raises(ConfigError, match="threshold"):
        build({"threshold": 0.5})


@pytest.mark.parametrize("content", [None, b"", b"x" * 100, learned.WEIGHTS.read_bytes()[:-1000]])
def test_weights_that_cannot_be_read_are_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BackendError, match="weights of the learned detector"):
        LearnedDetector(path)


def test_it_shares_nothing_with_the_geometric_detector() -> None:
    taken = {
        name.name
        for module in (learned, parts)
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and "pictograms" in str(node.module)
        for name in node.names
    }
    assert taken == {"COLORS", "IMAGE_PX", "SHAPES", "read_canvas"}  # names, the size of the canvas, and opening a file
