"""Reading pictures: every mode as RGB, transparency on white, damage as OSError, one bad image alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from datagen.pictures import read_image, read_many
from datagen.vision.pixels import to_luma
from tests.helpers.seeing_cases import DAMAGED, flat, noise, png


def read_rgb(image: bytes) -> np.ndarray:
    return np.asarray(read_image(image), np.float64)


def test_transparency_lies_on_white() -> None:
    pixels = np.array([[[200, 10, 10, 255], [200, 10, 10, 0], [0, 0, 0, 128]]], np.uint8)
    assert read_rgb(png(pixels)).tolist() == [[[200, 10, 10], [255, 255, 255], [127, 127, 127]]]
    grey = np.array([[[0, 0], [0, 255]]], np.uint8)
    assert read_rgb(png(grey)).tolist() == [[[255, 255, 255], [0, 0, 0]]]


def test_a_palette_with_transparency() -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    picture.putpalette([10, 20, 30, 40, 50, 60])
    stream = io.BytesIO()
    Image.fromarray(np.array([[0, 1]], np.uint8)).save(stream, "PNG")
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.putdata([0, 1])
    stream = io.BytesIO()
    picture.save(stream, "PNG", transparency=1)
    assert read_rgb(stream.getvalue()).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_sixteen_bits_are_narrowed_and_not_clipped() -> None:
    stream = io.BytesIO()
    Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16)).save(stream, "PNG")
    assert read_rgb(stream.getvalue())[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA", "LA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = png(np.zeros((2, 3, 3), np.uint8), mode)
    assert read_image(image).mode == "RGB"
    assert read_rgb(image).shape == (2, 3, 3)


def test_one_pixel() -> None:
    assert to_luma(read_rgb(flat((255, 0, 0), 1, 1))).tolist() == [[pytest.approx(0.299 * 255)]]


def test_damage_is_an_os_error() -> None:
    whole = noise(1)
    for damaged in (b"", DAMAGED, b"no picture", whole[: len(whole) // 2], whole[:60] + b"????" + whole[64:]):
        with pytest.raises(OSError):
            read_image(damaged)


def test_a_bad_image_fails_no_neighbour() -> None:
    images = [flat((k, 0, 0)) if k % 7 else DAMAGED for k in range(40)]
    read = read_many(lambda image: int(read_rgb(image)[0, 0, 0]), images)
    for k, answer in enumerate(read):
        assert isinstance(answer, OSError) if k % 7 == 0 else answer == k
    assert read_many(read_rgb, []) == []
