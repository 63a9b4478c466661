"""What the learned detector is shown: that labels say what a picture shows, and that a batch is always the same."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
import torch

from datagen.embedded.loading import load_codec
from datagen.embedded.options import SHIPPED
from datagen.embedded.pictograms import COLORS, SHAPES, Item, Mark, Scene
from datagen.embedded.world import random_scene
from datagen.vision.parts import MIXED, NAMES, SOMETHING, TONES, cut_parts
from datagen.workshop.detector import IGNORED, label, make_batch, own_scene

CODEC = load_codec(SHIPPED)
Said = tuple[str, str, tuple[int, ...]]


def read_labels(scene: Scene) -> list[Said | None]:
    """Return name, colour and box in pixels of each part of a scene; None for one that is not taught."""
    drawn = own_scene(scene)
    said: list[Said | None] = []
    for part in cut_parts(drawn.picture):
        taught = label(part, drawn.owners, drawn.pieces)
        if taught is None:
            said.append(None)
            continue
        name, tone, box = taught
        x, y, side = part.square
        corners = (
            [] if tone == IGNORED else [round(edge * side + at) for edge, at in zip(box, (x, y, x, y), strict=True)]
        )
        said.append((NAMES[name], "" if tone == IGNORED else TONES[tone], tuple(corners)))
    return said


def expect_labels(scene: Scene) -> list[Said]:
    wanted: list[Said] = []
    for item in scene.items:
        x1, y1, x2, y2 = (16 * edge for edge in (item.x1, item.y1, item.x2, item.y2))
        if item.word:
            wanted += [
                (letter, item.color, (x1 + 16 * k, y1, x1 + 16 * k + 16, y2)) for k, letter in enumerate(item.word)
            ]
        else:
            wanted.append((item.kind, item.color, (x1, y1, x2, y2)))
    return wanted


def test_all_things_and_letters_of_true_scenes_are_taught() -> None:
    rng = random.Random(3)
    for _ in range(40):
        scene = random_scene(rng)
        assert Counter(read_labels(scene)) == Counter(expect_labels(scene)), scene


def test_a_thing_anywhere_is_taught_with_its_box() -> None:
    rng = random.Random(8)
    for kind in SHAPES:
        side = rng.randint(24, 60)
        x, y = rng.randint(0, 96 - side), rng.randint(0, 96 - side)
        tone = rng.choice(list(COLORS))
        box = (x - 2, y - 2, x + side + 2, y + side + 2)
        assert read_labels(Scene("sky", (), (Mark(kind, tone, x, y, side),))) == [(kind, tone, box)]


NAMELESS = (SOMETHING, "", ())
STAR = Mark("star", "red", 20, 20, 40)


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        ((Mark("star", "red", 20, 20, 40, left=0.6),), [NAMELESS]),
        ((Mark("star", "red", 20, 20, 40, left=0.8),), [None]),
        ((Mark("star", "red", 20, 20, 40, left=0.95),), [("star", "red", (18, 18, 62, 62))]),
        ((Mark("heart", "red", -20, 20, 40),), [NAMELESS]),
        ((Mark("heart", "red", -2, 20, 40),), [("heart", "red", (-4, 18, 40, 62))]),
        ((Mark("heart", "blue", 20, 20, 40, other="green"),), [("heart", MIXED, (18, 18, 62, 62))]),
        ((Mark("heart", "red", 10, 20, 40), Mark("heart", "red", 45, 20, 40)), [NAMELESS]),
        ((Mark("heart", "red", 4, 20, 40), Mark("heart", "blue", 30, 40, 40)), [NAMELESS]),
        ((), []),
    ],
)
def test_only_what_is_whole_and_alone_has_a_name(marks: tuple[Mark, ...], said: list[Said | None]) -> None:
    assert read_labels(Scene("gray", (), marks)) == said


def test_what_is_drawn_over_a_thing_takes_its_ink() -> None:
    scene = Scene("mint", (Item("heart", "red", 0, 0, 3, 3),), (Mark("heart", "red", 8, 8, 44),))
    assert read_labels(scene) == [NAMELESS]


def test_a_batch_is_a_pure_function_of_seed_and_step() -> None:
    one, again, other, next_ = (make_batch(s, k, 6, CODEC) for s, k in ((1, 2), (1, 2), (2, 2), (1, 3)))
    for name in ("pixels", "extras", "names", "tones"):
        assert torch.equal(getattr(one, name), getattr(again, name)), name
    assert torch.equal(one.boxes.nan_to_num(), again.boxes.nan_to_num())
    assert not torch.equal(one.extras, other.extras)
    assert not torch.equal(one.extras, next_.extras)
    assert one.pixels.shape == (len(one.names), 24, 24, 3)


def test_pictures_hold_things_letters_and_what_has_no_name() -> None:
    batch = make_batch(5, 0, 96, CODEC)
    names = Counter(NAMES[number] for number in batch.names.tolist())
    assert {*SHAPES, SOMETHING} <= names.keys()
    assert sum(names[name] for name in SHAPES) > 60
    assert sum(many for name, many in names.items() if len(name) == 1 and name != SOMETHING) > 10
    nameless = np.array([NAMES[number] == SOMETHING for number in batch.names.tolist()])
    assert (batch.tones.numpy()[nameless] == IGNORED).all()
    assert bool(batch.boxes[torch.from_numpy(nameless)].isnan().all())
    assert not bool(batch.boxes[torch.from_numpy(~nameless)].isnan().any())
