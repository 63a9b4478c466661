"""Thumbnails keep to their bytes, small pictures stay as they are, and the folder beside a page holds what it names."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datagen.picture_files import PictureError
from datagen.pictures import read_header, shrink
from datagen.report.thumbs import THUMB_PX, PictureFolder, make_thumb


def make_picture(px: int, seed: int = 0, kind: str = "PNG", grain: int = 40) -> bytes:
    """A picture of large smooth shapes under noise, which is hard to compress."""
    rng = np.random.default_rng(seed)
    ground = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((px, px), Image.Resampling.BICUBIC)
    noise = rng.integers(-grain, grain + 1, (px, px, 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(ground, np.int16) + noise, 0, 255).astype(np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def read_thumb(url: str) -> tuple[Image.Image, int]:
    head, _, body = url.partition(",")
    data = base64.b64decode(body)
    picture = Image.open(io.BytesIO(data))
    assert head == f"data:image/{(picture.format or '').lower()};base64"
    return picture.convert("RGB"), len(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("most", [40_000, 8_000, 2_000, 700, 200])
def test_a_thumbnail_fits_its_bytes_and_shows_the_picture(kind: str, most: int) -> None:
    image = make_picture(1024, kind=kind)
    thumb = make_thumb(image, most)
    picture, size = read_thumb(thumb.url)
    assert size <= most
    assert max(picture.size) <= THUMB_PX
    assert (thumb.kind, thumb.width_px, thumb.height_px, thumb.is_whole) == (kind.lower(), 1024, 1024, False)
    small = np.asarray(picture.resize((16, 16), Image.Resampling.BOX), np.int16)
    others = [
        np.asarray(shrink(each, 16), np.int16) for each in (image, *(make_picture(64, seed) for seed in range(1, 9)))
    ]
    distances = [np.abs(small - other).mean() for other in others]
    assert min(distances[1:]) > 3 * distances[0]


def test_more_bytes_never_give_a_smaller_thumbnail() -> None:
    image = make_picture(1024)
    sides = [max(read_thumb(make_thumb(image, most).url)[0].size) for most in (200, 700, 2_000, 8_000, 60_000)]
    assert sides == sorted(sides)
    assert sides[-1] == THUMB_PX


def test_a_wide_picture_keeps_its_sides() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1536, 512), "teal").save(buffer, "PNG")
    thumb = make_thumb(buffer.getvalue(), 20_000)
    assert read_thumb(thumb.url)[0].size == (384, 128)
    assert (thumb.width_px, thumb.height_px) == (1536, 512)


def test_a_small_picture_stays_byte_for_byte_where_it_fits() -> None:
    image = make_picture(96)
    thumb = make_thumb(image, len(image))
    assert base64.b64decode(thumb.url.partition(",")[2]) == image
    assert thumb.is_whole
    smaller = make_thumb(image, len(image) - 1)
    assert not smaller.is_whole
    assert smaller.url.startswith("data:image/webp;")


@pytest.mark.parametrize("image", [b"", b"<svg onload=alert(1)>", b"\x89PNG\r\n\x1a\n" + b"\0" * 20, b"RIFF0000WAVE"])
def test_what_is_no_picture_has_no_thumbnail(image: bytes) -> None:
    assert make_thumb(image, 50_000).url == ""
    with pytest.raises(PictureError):
        shrink(image, 96)
    with pytest.raises(PictureError):
        read_header(image)


def test_a_picture_that_is_cut_has_no_thumbnail() -> None:
    assert make_thumb(make_picture(1024)[:100_000], 20_000).url == ""


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_shrunk_to_its_longer_side_and_never_enlarged(kind: str) -> None:
    image = make_picture(600, kind=kind)
    assert read_header(image) == (kind, 600, 600)
    assert shrink(image, 100).size == (100, 100)
    assert shrink(image, 1000).size == (600, 600)
    assert shrink(image, 100).mode == "RGB"


def test_a_folder_holds_each_picture_once_and_forgets_those_of_an_earlier_page(tmp_path: Path) -> None:
    first, second = make_picture(64, 1), make_picture(64, 2)
    earlier = PictureFolder(tmp_path / "r_files")
    names = [earlier.put(image, "png") for image in (first, second, first)]
    assert names[0] == names[2] != names[1]
    assert {path.name for path in earlier.path.iterdir()} == set(names)
    (earlier.path / "mine.png").write_bytes(b"a person's own")
    (earlier.path / f".{names[0]}.99-1.part").write_bytes(b"left by a kill")
    (earlier.path / names[0]).write_bytes(b"cut")
    now = PictureFolder(tmp_path / "r_files")
    assert now.put(first, "png") == names[0]
    now.sweep()
    assert sorted(path.name for path in now.path.iterdir()) == sorted([names[0], "mine.png"])
    assert (now.path / names[0]).read_bytes() == first
    (now.path / "mine.png").unlink()
    PictureFolder(tmp_path / "r_files").sweep()
    assert not (tmp_path / "r_files").exists()
