"""What the learned detector is shown: that labels say what a picture shows, and that a batch is always the same."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from datagen.backends.embedded.backend import SHIPPED
from datagen.backends.embedded.checkpoint_io import load_codec
from datagen.backends.embedded.world import random_scene
from datagen.pictograms import BACKGROUNDS, Item, Scene, draw_scene
from datagen.rewards.detectors._cells import STARTS, TONES
from datagen.training import spoiled
from datagen.training.spoiled import BROKEN, IGNORED, WHOLE, make_batch

CODEC = load_codec(SHIPPED)
Labels = dict[tuple[int, int], tuple[str, int, str]]


def read_labels(starts: torch.Tensor, tones: torch.Tensor) -> Labels:
    """Return (x, y) to name, cells across and colour of all that begins in one picture."""
    found: Labels = {}
    for cell, number in enumerate(starts.tolist()):
        if number > 0:
            name, width, _ = STARTS[number]
            found[cell % 6, cell // 6] = (name, width, TONES[int(tones[cell])])
    return found


def expect_labels(scene: Scene) -> Labels:
    wanted: Labels = {}
    for item in scene.items:
        if item.word:
            wanted |= {(item.x1 + k, item.y1): (letter, 1, item.color) for k, letter in enumerate(item.word)}
        else:
            wanted[item.x1, item.y1] = (item.kind, item.x2 - item.x1, item.color)
    return wanted


def show(monkeypatch: pytest.MonkeyPatch, scenes: list[Scene], cells: Callable[[np.ndarray], None]) -> list[Labels]:
    """Return the labels of scenes of which the marked cells come from the one before."""
    given = iter(scenes)

    def choose(size: int, rng: random.Random) -> np.ndarray:
        chosen = np.zeros((size, 6, 6), bool)
        cells(chosen)
        return chosen.repeat(16, 1).repeat(16, 2)[..., None]

    monkeypatch.setattr(spoiled, "_draw_scene", lambda rng: next(given))
    monkeypatch.setattr(spoiled, "_choose_cells", choose)
    _, starts, tones = make_batch(0, 0, len(scenes), CODEC)
    return [read_labels(starts[k], tones[k]) for k in range(len(scenes))]


def test_whole_scenes_are_labelled_with_all_that_they_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    scenes = sorted((random_scene(rng) for _ in range(40)), key=lambda scene: scene.background)
    assert show(monkeypatch, scenes, lambda chosen: None) == [expect_labels(scene) for scene in scenes]


def test_a_thing_is_there_where_its_picture_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a slow count, pixel by pixel, of what has changed in its box."""
    rng = random.Random(8)
    scenes = sorted((random_scene(rng) for _ in range(60)), key=lambda scene: scene.background)
    cut = np.zeros((60, 6, 6), bool)
    for k in range(60):
        x, y = rng.randrange(4), rng.randrange(4)
        cut[k, y : y + rng.randint(1, 3), x : x + rng.randint(1, 3)] = True

    def mark(chosen: np.ndarray) -> None:
        chosen[:] = cut

    labelled = show(monkeypatch, scenes, mark)
    counted = 0
    for k, scene in enumerate(scenes):
        own, other = (draw_scene(s).astype(int) for s in (scene, scenes[k - 1]))
        plain = np.array(BACKGROUNDS[scene.background])
        for (x, y), what in expect_labels(scene).items():
            width = what[1]
            height = 2 if width == 1 else width
            ink = change = 0
            for row in range(16 * y, 16 * (y + height)):
                for column in range(16 * x, 16 * (x + width)):
                    ink += abs(own[row, column] - plain).sum()
                    if cut[k, row // 16, column // 16]:
                        change += abs(own[row, column] - other[row, column]).sum()
            if change < WHOLE * ink:
                assert labelled[k][x, y] == what
                counted += 1
            elif change >= BROKEN * ink:
                assert labelled[k].get((x, y)) != what
                counted += 1
    assert counted > 100


def test_what_is_open_to_dispute_is_taught_as_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    star = Item("star", "red", 0, 0, 3, 3)
    whole, nothing = Scene("gray", (star,)), Scene("gray", ())
    drawn, plain = (draw_scene(scene).astype(float) for scene in (whole, nothing))
    ink = np.abs(drawn - plain).sum((2,))[:48, :48].reshape(3, 16, 3, 16).sum((1, 3)) / np.abs(drawn - plain).sum()
    y, x = next((y, x) for y in range(3) for x in range(3) if WHOLE < ink[y, x] < BROKEN)
    given = iter([nothing, whole])
    monkeypatch.setattr(spoiled, "_draw_scene", lambda rng: next(given))
    monkeypatch.setattr(spoiled, "_draw", lambda scene, rng: draw_scene(scene).astype(np.float32))
    mask = np.zeros((2, 96, 96, 1), bool)
    mask[1, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16] = True
    monkeypatch.setattr(spoiled, "_choose_cells", lambda size, rng: mask)
    _, starts, tones = make_batch(0, 0, 2, CODEC)
    assert starts[1].tolist() == [IGNORED] + [0] * 35
    assert set(tones[1].tolist()) == {IGNORED}


def test_a_batch_is_a_pure_function_of_seed_and_step() -> None:
    one, again, other, next_ = (make_batch(s, k, 6, CODEC) for s, k in ((1, 2), (1, 2), (2, 2), (1, 3)))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0], other[0])
    assert not torch.equal(one[0], next_[0])
    assert one[0].shape == (6, 96, 96, 3)
    assert -1 <= one[0].min() <= one[0].max() <= 1


def test_pictures_hold_things_pieces_and_nothing() -> None:
    _, starts, _ = make_batch(5, 0, 128, CODEC)
    held = (starts > 0).sum(1)
    assert (held == 0).any()
    assert (held >= 3).any()
    assert (starts == IGNORED).any()
    assert set(starts.flatten().tolist()) >= {IGNORED, 0}
