"""Colour names: the tones of CSS by a slow search, what has no name, masks, and CLIP as GenEval asks it."""

from __future__ import annotations

import io
import random
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from PIL import Image, ImageColor

from datagen.embedded.pictograms import BACKGROUNDS, COLORS
from datagen.vision.colors import FAMILIES, Thing, name_by_clip, name_by_pixels, to_lab
from datagen.vision.loading import Dual, ModelOptions
from tests.helpers.tiny_vision import save_clip

WHOLE = Thing("star", (0, 0, 8, 8))


def slow_lab(rgb: tuple[float, ...]) -> tuple[float, float, float]:
    """Follow CIE 15 and IEC 61966-2-1, one number at a time."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    r, g, b = linear
    x = (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047
    y = 0.2126729 * r + 0.7151522 * g + 0.0721750 * b
    z = (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def slow_name(tone: tuple[float, ...]) -> str:
    """Go through all names of CSS and keep the nearest."""
    best, name = float("inf"), ""
    for color, words in FAMILIES.items():
        for word in words.split():
            distance = sum(
                (p - q) ** 2 for p, q in zip(slow_lab(tone), slow_lab(ImageColor.getrgb(word)[:3]), strict=True)
            )
            if distance < best:
                best, name = distance, color
    return name


def picture_of(tone: tuple[int, ...]) -> np.ndarray:
    return np.full((8, 8, 3), tone, np.uint8)


def test_lab_of_known_tones() -> None:
    known = {(255, 255, 255): (100, 0, 0), (0, 0, 0): (0, 0, 0), (255, 0, 0): (53.24, 80.09, 67.20)}
    for tone, lab in known.items():
        assert to_lab(np.array(tone)) == pytest.approx(lab, abs=0.02)


def test_names_agree_with_a_slow_search() -> None:
    rng = random.Random(1)
    seen: set[str] = set()
    for _ in range(300):
        tone = tuple(rng.randrange(256) for _ in range(3))
        assert to_lab(np.array(tone)) == pytest.approx(slow_lab(tone), abs=1e-3)
        assert name_by_pixels(picture_of(tone), [WHOLE]) == [slow_name(tone)]
        seen.add(slow_name(tone))
    assert seen >= {"red", "orange", "green", "blue", "purple", "pink", "brown", ""}


def test_the_tones_of_the_embedded_world_have_their_own_names() -> None:
    for name, tone in COLORS.items():
        assert name_by_pixels(picture_of(tone), [WHOLE]) == [name]


def test_every_name_of_css_has_one_family() -> None:
    words = [word for family in FAMILIES.values() for word in family.split()]
    assert len(words) == len(set(words))
    assert set(FAMILIES) == {*COLORS, ""}
    tones = {ImageColor.getrgb(word) for word in words}
    assert {ImageColor.getrgb(name) for name in ImageColor.colormap} == tones


@pytest.mark.parametrize("tone", [(128, 128, 128), (64, 64, 64), (0, 255, 255), BACKGROUNDS["gray"]])
def test_grey_and_cyan_have_no_name(tone: tuple[int, int, int]) -> None:
    assert name_by_pixels(picture_of(tone), [WHOLE]) == [""]


def test_the_middle_half_of_the_box_decides_by_its_median() -> None:
    rng = random.Random(2)
    for _ in range(200):
        rgb = np.random.default_rng(rng.randrange(10**6)).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        x, y, half = rng.randint(0, 8), rng.randint(0, 8), rng.choice([1, 2])
        inner = rgb[y + half : y + 3 * half, x + half : x + 3 * half].reshape(-1, 3).tolist()
        tone = tuple(median(pixel[c] for pixel in inner) for c in range(3))
        assert name_by_pixels(rgb, [Thing("x", (x, y, x + 4 * half, y + 4 * half))]) == [slow_name(tone)]


def test_a_mask_decides_instead() -> None:
    rgb = picture_of(COLORS["red"])
    rgb[3:5, 3:5] = COLORS["blue"]
    ring = np.ones((8, 8), bool)
    ring[2:6, 2:6] = False
    things = [
        WHOLE,
        Thing("ring", WHOLE.box, ring),
        Thing("hole", (3, 3, 5, 5)),
        Thing("none", WHOLE.box, ring & False),
    ]
    assert name_by_pixels(rgb, things) == ["red", "red", "blue", ""]


def test_boxes_at_the_edge_still_have_a_pixel() -> None:
    rgb = picture_of(COLORS["green"])
    boxes = [(7.9, 7.9, 8, 8), (0, 0, 0.2, 0.2), (3, 3, 3, 3), (-5, -5, 3, 3)]
    assert name_by_pixels(rgb, [Thing("x", box) for box in boxes]) == ["green"] * 4
    assert name_by_pixels(np.array([[COLORS["red"]]], np.uint8), [Thing("x", (0, 0, 1, 1))]) == ["red"]
    assert name_by_pixels(rgb, []) == []


def save_png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_clip_is_asked_as_geneval_asks(tmp_path: Path) -> None:
    """The likeliest colour by hand: three sentences each, normed, averaged, against the crop on #999."""
    dual = Dual(ModelOptions(model=str(save_clip(tmp_path))))
    random_pixels, answers = np.random.default_rng(3), set()
    for k in range(30):
        rgb = random_pixels.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        mask = random_pixels.random((20, 24)) < 0.6 if k % 2 else None
        crop = rgb[5:15, 2:18].copy()
        if mask is not None:
            crop[~mask[5:15, 2:18]] = 0x99
        seen = dual.encode([save_png(crop)])[0].astype(float)
        best = {}
        for color in COLORS:
            sentences = [
                f"a photo of a {color} cup",
                f"a photo of a {color}-colored cup",
                f"a photo of a {color} object",
            ]
            mean = sum(dual.read([sentence])[0].astype(float) for sentence in sentences) / 3
            best[color] = float(mean @ seen) / float(np.linalg.norm(mean))
        expected = max(best, key=lambda color: best[color])
        assert name_by_clip(dual, rgb, [Thing("cup", (2, 5, 18, 15), mask)]) == [expected]
        answers.add(expected)
    assert answers <= set(COLORS)
    assert name_by_clip(dual, rgb, []) == []
