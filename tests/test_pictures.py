"""Pictures on their way in: of every kind as a person sees it, once; what no reader decodes is refused."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageFile

from datagen.embedded.pictograms import IMAGE_PX, read_canvas
from datagen.errors import RunError
from datagen.pictures import (
    PictureError,
    check_png,
    clean_stored,
    encode_picture,
    encode_png,
    read_image,
    read_size,
    to_png,
)
from datagen.records import Request, Sample, Segment
from datagen.scoring.tools import Sketch, make_draw
from tests.helpers.picture_kinds import (
    BROKEN,
    HOME,
    KINDS,
    RGB,
    chunk,
    exif,
    is_seen,
    pixels_of,
    png_of_values,
    save,
)

BARE = KINDS["as it should be"][0]


@pytest.fixture
def lenient_pillow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another library in the process has told Pillow to make up what is cut."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    yield
    assert ImageFile.LOAD_TRUNCATED_IMAGES, "what it set stays its own"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_stored_as_it_is_seen(kind: str) -> None:
    data, seen, off = KINDS[kind]
    stored = to_png(data)
    assert is_seen(pixels_of(stored), seen, off)
    check_png(stored, "here")
    assert read_size(stored) == seen.shape[1::-1]
    assert to_png(stored) is stored, "once"
    with Image.open(io.BytesIO(stored)) as picture:
        assert picture.info == {}
        assert not picture.getexif()
    assert is_seen(np.asarray(read_image(data)), seen, off), "a scorer that is given the file itself sees the same"
    assert is_seen(np.asarray(read_image(stored)), seen, off)


def test_a_picture_as_it_should_be_stays_byte_for_byte() -> None:
    assert to_png(BARE) is BARE
    several = io.BytesIO()
    Image.fromarray(np.kron(RGB, np.ones((90, 90, 1), np.uint8))).save(several, "PNG", compress_level=0)
    assert several.getvalue().count(b"IDAT") > 3
    assert to_png(several.getvalue()) == several.getvalue()


def test_metadata_goes_and_the_pixel_data_stay() -> None:
    texts = chunk(b"tEXt", HOME) + chunk(b"iTXt", b"parameters\0\0\0\0\0steps: 20") + chunk(b"tIME", bytes(7))
    data = png_of_values(RGB, 2, texts)
    stored = to_png(data)
    assert b"/home/" in data
    assert stored == png_of_values(RGB, 2)
    assert to_png(png_of_values(RGB, 2) + b"<script>") == stored


def test_the_tokens_of_the_embedded_model_stay_and_nothing_else_under_their_name() -> None:
    note = b"image tokens\x000123456789abcdef 1 22 333"
    noted = png_of_values(RGB, 2, chunk(b"tEXt", note))
    assert to_png(noted) is noted
    assert to_png(png_of_values(RGB, 2, chunk(b"tEXt", HOME) + chunk(b"tEXt", note))) == noted
    for other in (b"image tokens\0/home/somebody", note + b" x", note + b"\n", b"image tokens\0"):
        assert to_png(png_of_values(RGB, 2, chunk(b"tEXt", other))) == png_of_values(RGB, 2)
    twice = chunk(b"tEXt", note) * 2
    assert to_png(png_of_values(RGB, 2, twice)) == png_of_values(RGB, 2), "which of them would count?"


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.usefixtures("lenient_pillow")
def test_what_no_reader_decodes_is_refused_however_lenient_pillow_is(kind: str) -> None:
    with pytest.raises(PictureError) as caught:
        to_png(BROKEN[kind])
    assert "0x" not in str(caught.value), "no two runs share a place in memory"
    with pytest.raises(OSError):
        clean_stored(BROKEN[kind])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_broken_orientation_or_profile_is_not_heeded() -> None:
    for extra in (chunk(b"eXIf", b"MM\0*garbage"), chunk(b"eXIf", exif(77)), chunk(b"eXIf", b"")):
        assert to_png(png_of_values(RGB, 2, extra)) == png_of_values(RGB, 2)
    assert is_seen(pixels_of(to_png(save(RGB, "PNG", icc_profile=b"no profile"))), RGB, 0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "as it should be"])
def test_the_export_takes_nothing_else(kind: str) -> None:
    with pytest.raises(RunError, match=r"sample 7: .*an image (is not|has)"):
        check_png(KINDS[kind][0], "sample 7")


def test_what_an_older_datagen_stored_is_cleaned_or_refused() -> None:
    assert clean_stored(BARE) is BARE
    assert clean_stored(KINDS["a workflow beside it"][0]) == png_of_values(RGB, 2)
    assert clean_stored(KINDS["a PNG of orientation 1"][0]) == png_of_values(RGB, 2)
    for kind in ("a PNG of orientation 6", "a clear ground", "16 bits of RGB", "RGB with a clear colour", "a bitmap"):
        with pytest.raises(PictureError, match="scorers saw another one than readers of the dataset"):
            clean_stored(KINDS[kind][0])


def test_pictures_that_an_engine_holds_in_memory() -> None:
    clear = Image.fromarray(np.dstack([RGB, np.zeros(RGB.shape[:2], np.uint8)]))
    assert is_seen(pixels_of(encode_picture(clear)), np.full_like(RGB, 255), 0)
    wide = Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16))
    assert pixels_of(encode_picture(wide))[0, :, 0].tolist() == [0, 100, 255]
    plain = Image.fromarray(RGB)
    plain.info["comment"] = "/home/somebody"
    assert encode_picture(plain) == BARE
    assert plain.info, "the engine's own picture is left alone"
    with pytest.raises(PictureError):
        encode_picture(Image.new("F", (2, 2), float("nan")))


def test_what_a_drawer_draws_comes_in_by_the_same_door() -> None:
    def draw(requests: list[Request]) -> Iterator[Sample]:
        for request, kind in zip(requests, ("a clear ground", "a turned TIFF"), strict=False):
            segments = (Segment("image", "image", image=KINDS[kind][0]),)
            yield Sample.make(request, segments, engine="e", switch="none", finish="stop", settings={})
        for request in requests[2:]:
            segments = (Segment("image", "image", image=BROKEN["garbled data"]),)
            yield Sample.make(request, segments, engine="e", switch="none", finish="stop", settings={})

    clear, turned, broken = make_draw(draw)([Sketch(f"drawing {k}", k) for k in range(3)])  # type: ignore[arg-type]
    for drawing, kind in ((clear, "a clear ground"), (turned, "a turned TIFF")):
        _, seen, off = KINDS[kind]
        assert drawing.image
        assert is_seen(pixels_of(drawing.image), seen, off)
    assert not broken.image
    assert "check sum" in broken.error


def test_pixels_come_back_from_png_as_they_were() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    png = encode_png(pixels)
    assert to_png(png) == png
    assert png == encode_picture(Image.fromarray(pixels))
    assert np.array_equal(np.asarray(read_image(png)), pixels)


def test_a_canvas_has_one_size_and_keeps_pictures_that_have_it() -> None:
    own = np.random.default_rng(4).integers(0, 256, (IMAGE_PX, IMAGE_PX, 3), dtype=np.uint8)
    assert np.array_equal(read_canvas(encode_png(own)), own)
    plain = np.full((50, 300, 3), (9, 80, 200), dtype=np.uint8)
    canvas = read_canvas(encode_png(plain))
    assert canvas.shape == own.shape
    assert np.array_equal(canvas, np.broadcast_to(plain[0, 0], canvas.shape))
    with pytest.raises(PictureError):
        read_canvas(b"no picture")
