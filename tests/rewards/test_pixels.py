"""Sharpness, contrast and blankness: pixel by pixel references, edges, and the scorers on real pictures."""

from __future__ import annotations

import random
from statistics import fmean, median, pvariance

import numpy as np
import pytest
from PIL import Image, ImageFilter

from datagen.config import ScorerChoice
from datagen.embedded.pictograms import Item, Scene
from datagen.scoring.scorers import Scorer, load_scorer
from datagen.vision.pixels import WORKING_PX, drawn_share, laplacian_variance, read_reduced, rms_contrast
from tests.helpers.reward_cases import draw, make_prompt, make_sample
from tests.helpers.scorers import find_scorer
from tests.helpers.seeing_cases import DAMAGED, blind_tools, flat, noise, png

blank, contrast, sharpness = map(find_scorer, ("blank", "contrast", "sharpness"))
SCENE = draw(Scene("sand", (Item("star", "red", 1, 1, 3, 3),)))


def random_picture(rng: random.Random) -> np.ndarray:
    height, width, levels = rng.randint(1, 9), rng.randint(1, 9), rng.choice([2, 30, 256])
    return np.array([[[rng.randrange(levels) for _ in range(3)] for _ in range(width)] for _ in range(height)], float)


def slow_luma(rgb: np.ndarray) -> list[list[float]]:
    return [[0.299 * r + 0.587 * g + 0.114 * b for r, g, b in row] for row in rgb.tolist()]


def slow_laplacian_variance(luma: list[list[float]]) -> float | None:
    """Lay the kernel on each pixel that has four neighbours."""
    kernel = {(0, 0): -4, (1, 0): 1, (-1, 0): 1, (0, 1): 1, (0, -1): 1}
    answers = [
        sum(weight * luma[y + dy][x + dx] for (dy, dx), weight in kernel.items())
        for y in range(1, len(luma) - 1)
        for x in range(1, len(luma[0]) - 1)
    ]
    return pvariance(answers) if answers else None


def test_the_measures_agree_with_slow_references() -> None:
    rng = random.Random(5)
    small = 0
    for _ in range(300):
        rgb = random_picture(rng)
        luma = slow_luma(rgb)
        array = np.array(luma)
        expected = slow_laplacian_variance(luma)
        small += expected is None
        found = laplacian_variance(array)
        assert found is None if expected is None else found == pytest.approx(expected, rel=1e-9, abs=1e-9)
        values = [value / 255 for row in luma for value in row]
        assert rms_contrast(array) == pytest.approx(pvariance(values) ** 0.5, abs=1e-12)
        pixels = [pixel for row in rgb.tolist() for pixel in row]
        ground = [median(pixel[channel] for pixel in pixels) for channel in range(3)]
        other = [any(abs(v - g) > 8 for v, g in zip(pixel, ground, strict=True)) for pixel in pixels]
        assert drawn_share(rgb) == pytest.approx(fmean(other))
    assert 20 < small < 280


def test_scorers_agree_with_slow_references_on_png() -> None:
    rng = random.Random(6)
    for _ in range(200):
        rgb = random_picture(rng).astype(np.uint8)
        sample, luma = make_sample(image=png(rgb)), slow_luma(rgb)
        variance = slow_laplacian_variance(luma)
        sharp = sharpness.score(make_prompt(), sample, blind_tools()).value
        assert sharp is None if variance is None else sharp == pytest.approx(variance / (100 + variance), abs=1e-9)
        deviation = pvariance([value for row in luma for value in row]) ** 0.5
        assert contrast.score(make_prompt(), sample, blind_tools()).value == pytest.approx(deviation / 127.5, abs=1e-9)


def test_blur_costs_sharpness_and_grey_costs_contrast() -> None:
    picture = Image.effect_noise((64, 64), 80).convert("RGB")
    soft = picture.filter(ImageFilter.GaussianBlur(2))
    values = [
        sharpness.score(make_prompt(), make_sample(image=png(np.asarray(each))), blind_tools()).value
        for each in (picture, soft)
    ]
    assert values[0] is not None
    assert values[1] is not None
    assert values[0] > 0.9 > values[1]
    halves = np.zeros((8, 8, 3), np.uint8)
    halves[:, 4:] = 255
    assert contrast.score(make_prompt(), make_sample(image=png(halves)), blind_tools()).value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("image", "value"),
    [
        (SCENE, 1.0),
        (noise(1), 1.0),
        (flat((7, 7, 7)), 0.0),
        (flat((255, 255, 255), 1, 1), 0.0),
        (draw(Scene("gray", ())), 0.0),
        (png(np.full((5, 5), 9, np.uint8)), 0.0),
        (png(np.zeros((5, 5, 4), np.uint8)), 0.0),
    ],
)
def test_blank(image: bytes, value: float) -> None:
    assert blank.score(make_prompt(), make_sample(image=image), blind_tools()).value == value


@pytest.mark.parametrize("scorer", [sharpness, contrast, blank], ids=lambda scorer: scorer.__name__)
def test_what_cannot_be_judged(scorer: Scorer) -> None:
    assert scorer.score(make_prompt(), make_sample(image=None), blind_tools()).reason == "the sample has no image"
    with pytest.raises(OSError):
        scorer.score(make_prompt(), make_sample(image=DAMAGED), blind_tools())


def test_quality_is_no_verdict_on_claims() -> None:
    for scorer in (sharpness, contrast, blank):
        assert "passed" not in scorer.score(make_prompt(), make_sample(image=SCENE), blind_tools()).evidence


def test_a_flat_picture_is_neither_sharp_nor_has_contrast() -> None:
    for image in (flat((200, 10, 40)), png(np.full((4, 4), 77, np.uint8))):
        assert sharpness.score(make_prompt(), make_sample(image=image), blind_tools()).value == pytest.approx(
            0, abs=1e-9
        )
        assert contrast.score(make_prompt(), make_sample(image=image), blind_tools()).value == pytest.approx(
            0, abs=1e-9
        )
    tiny = sharpness.score(make_prompt(), make_sample(image=flat((1, 1, 1), 2, 9)), blind_tools())
    assert (tiny.value, tiny.reason) == (None, "the image is narrower than 3 px, at most 512 px long")


def test_a_picture_of_the_working_size_or_less_is_measured_as_it_is() -> None:
    for side in (96, WORKING_PX):
        pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
        assert np.array_equal(read_reduced(png(pixels), WORKING_PX), pixels)


def test_a_larger_picture_is_reduced_to_means_of_its_areas() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (300, 1024, 3), dtype=np.uint8)
    means = pixels.reshape(150, 2, 512, 2, 3).mean((1, 3))
    assert np.abs(read_reduced(png(pixels), WORKING_PX) - means).max() <= 1
    assert read_reduced(png(pixels[:2]), WORKING_PX).shape == (1, 512, 3)


def test_the_working_size_of_sharpness_is_an_option() -> None:
    fine = png(np.kron(np.indices((96, 96)).sum(0) % 2 * 200, np.ones((2, 2))).astype(np.uint8))
    values = [
        load_scorer(ScorerChoice.model_validate({"name": "sharpness", "side_px": side}))
        .score(make_prompt(), make_sample(image=fine), blind_tools())
        .value
        for side in (48, 192)
    ]
    assert values[0] is not None
    assert values[1] is not None
    assert values[0] < 0.5 < values[1]


def test_scorers_that_measure_the_same_picture_decode_it_once() -> None:
    image = noise(7)
    before = read_reduced.cache_info().misses
    for scorer in (sharpness, contrast, blank):
        scorer.score(make_prompt(), make_sample(image=image), blind_tools())
    assert read_reduced.cache_info().misses == before + 1
    with pytest.raises(ValueError, match="read-only"):
        read_reduced(image, WORKING_PX)[0] = 0
