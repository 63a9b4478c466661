"""The perceptual hash against a cosine transform written out, and what it takes for the same picture."""

from __future__ import annotations

import io
import math
import random

import numpy as np
import pytest
from PIL import Image

from datagen.embedded.pictograms import Item, Scene, render_scene
from datagen.records import Verdict
from datagen.rewards.pixels import near_duplicate
from datagen.scoring.verdicts import ALONE
from datagen.vision.perceptual import NEAR, hash_image, measure_difference
from tests.helpers.reward_cases import draw, make_prompt, to_png
from tests.helpers.seeing_cases import DAMAGED, blind_tools, candidates, flat, noise, png


def slow_signs(image: bytes) -> list[int]:
    """Work the hash out from the definition of the DCT-II, as sums of cosines over all pixels."""
    picture = Image.open(io.BytesIO(image)).convert("RGB").resize((32, 32), Image.Resampling.LANCZOS)
    waves = [[math.cos(math.pi * k * (2 * n + 1) / 64) for n in range(32)] for k in range(8)]
    signs = []
    for channel in picture.split():
        pixels = np.array(channel, float).tolist()
        rows = [[sum(wave[x] * row[x] for x in range(32)) for wave in waves] for row in pixels]
        low = [[4 * sum(wave[y] * rows[y][k] for y in range(32)) for k in range(8)] for wave in waves]
        values = [value for row in low for value in row][1:]
        signs += [0 if abs(value) < 2 * 1024 else 1 if value > 0 else -1 for value in values]
    return signs


def slow_difference(a: list[int], b: list[int]) -> float:
    """Count the steps between two signs, of the most that there can be where either is one."""
    steps = sum(abs(x - y) for x, y in zip(a, b, strict=True))
    possible = sum(abs(x) + abs(y) for x, y in zip(a, b, strict=True))
    return steps / possible if possible else 0.0


def scene(rng: random.Random) -> bytes:
    kinds, tones = ["star", "fish", "cup", "car"], ["red", "blue", "green", "black"]
    x, y = rng.randint(0, 3), rng.randint(0, 3)
    item = Item(rng.choice(kinds), rng.choice(tones), x, y, x + 2, y + 2)
    return draw(Scene(rng.choice(["gray", "sand", "sky"]), (item,)))


def test_the_hash_agrees_with_its_definition() -> None:
    rng = random.Random(4)
    for k in range(200):
        image = scene(rng) if k % 2 else noise(k, rng.randint(1, 50), rng.randint(1, 50))
        assert hash_image(image).signs.tolist() == slow_signs(image)


def test_values_agree_with_counting_the_pairs() -> None:
    rng = random.Random(5)
    for _ in range(60):
        images = [scene(rng) for _ in range(rng.randint(2, 5))]
        images += rng.choices(images, k=rng.randint(0, 3))
        signs, means = [slow_signs(image) for image in images], []
        for image in images:
            small = Image.open(io.BytesIO(image)).convert("RGB").resize((32, 32), Image.Resampling.LANCZOS)
            cells = [small.crop((x, y, x + 8, y + 8)) for y in range(0, 32, 8) for x in range(0, 32, 8)]
            means.append(np.array([np.asarray(cell, float).reshape(-1, 3).mean(0) / 255 for cell in cells]))
        verdicts = near_duplicate.score_group(make_prompt(), candidates(*images), blind_tools())
        for i, verdict in enumerate(verdicts):
            near = [
                j
                for j in range(len(images))
                if j != i and slow_difference(signs[i], signs[j]) <= NEAR and abs(means[i] - means[j]).max() <= NEAR
            ]
            assert verdict.value == 1 / (1 + len(near))
            assert verdict.evidence["near"] == near


def test_saved_again_or_resized_it_is_the_same_picture() -> None:
    rng = random.Random(6)
    for _ in range(20):
        image = scene(rng)
        picture = Image.open(io.BytesIO(image)).convert("RGB")
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=60)
        for same in (stream.getvalue(), png(np.asarray(picture.resize((200, 200))))):
            assert measure_difference(hash_image(image), hash_image(same)) <= NEAR


def test_colour_place_and_blankness_tell_pictures_apart() -> None:
    star = {tone: draw(Scene("gray", (Item("star", tone, 2, 2, 4, 4),))) for tone in ("red", "blue", "green", "black")}
    moved = draw(Scene("gray", (Item("star", "red", 0, 2, 2, 4),)))
    blank = draw(Scene("gray", ()))
    pictures = [*star.values(), moved, blank, flat((0, 0, 0)), flat((255, 255, 255))]
    verdicts = near_duplicate.score_group(make_prompt(), candidates(*pictures), blind_tools())
    assert [verdict.value for verdict in verdicts] == [1.0] * len(pictures)


def test_a_flat_picture_has_no_random_signs() -> None:
    assert not hash_image(flat((90, 120, 33))).signs.any()
    assert measure_difference(hash_image(flat((90, 120, 33))), hash_image(flat((92, 119, 35), 7, 50))) < NEAR


def test_a_picture_that_came_three_times_counts_a_third_each() -> None:
    same = to_png(render_scene(Scene("sky", (Item("car", "red", 1, 1, 3, 3),))))
    other = draw(Scene("sand", (Item("fish", "blue", 3, 0, 5, 2),)))
    verdicts = near_duplicate.score_group(
        make_prompt(), candidates(same, other, None, same, DAMAGED, same), blind_tools()
    )
    third = pytest.approx(1 / 3)
    assert [verdict.value for verdict in verdicts] == [third, 1.0, None, third, None, third]
    assert verdicts[0].reason == "nearly the same picture as candidate 3, 5"
    assert verdicts[2].reason == "the sample has no image"
    assert verdicts[4].reason.startswith("the image cannot be read: ")


def test_alone_there_is_nothing_to_compare() -> None:
    assert near_duplicate.score(make_prompt(), candidates(noise(1))[0], blind_tools()) == Verdict(None, ALONE)
    group = near_duplicate.score_group(make_prompt(), candidates(noise(1), None), blind_tools())
    assert group[0] == Verdict(None, ALONE)
