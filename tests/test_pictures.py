"""Pictures on their way in: of every kind as a person sees it, once; what no reader decodes is refused."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageFile

from datagen.embedded.pictograms import IMAGE_PX, read_canvas
from datagen.errors import RunError
from datagen.picture_files import PictureError, find_kind, read_size
from datagen.pictures import (
    check_image,
    clean_stored,
    encode_picture,
    encode_png,
    normalise,
    read_image,
)
from datagen.records import Request, Sample, Segment
from datagen.scoring.tools import Sketch, make_draw
from tests.helpers.picture_kinds import (
    AS_SENT,
    BROKEN,
    HOME,
    KINDS,
    PATCHES,
    RGB,
    SRGB,
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
    stored = normalise(data)
    assert is_seen(pixels_of(stored), seen, off)
    check_image(stored, "here")
    assert read_size(stored) == seen.shape[1::-1]
    assert normalise(stored) is stored, "once"
    with Image.open(io.BytesIO(stored)) as picture:
        told = {"JPEG": {"jfif", "jfif_version", "jfif_unit", "jfif_density"}, "WEBP": {"loop", "background"}}
        assert picture.info.keys() <= told.get(str(picture.format), set())
        assert not picture.getexif()
    assert is_seen(np.asarray(read_image(data)), seen, off), "a scorer that is given the file itself sees the same"
    assert is_seen(np.asarray(read_image(stored)), seen, off)


PLAIN_JPEG = save(PATCHES, "JPEG", quality=90)
KEPT: dict[str, tuple[bytes, bytes]] = {
    "a JPEG": (PLAIN_JPEG, PLAIN_JPEG),
    "a progressive JPEG": (both := save(PATCHES, "JPEG", progressive=True, subsampling=0), both),
    "a JPEG with restarts": (both := save(PATCHES, "JPEG", restart_marker_rows=1), both),
    "a JPEG with a comment": (save(PATCHES, "JPEG", quality=90, comment="/home/somebody"), PLAIN_JPEG),
    "a JPEG of orientation 1": (save(PATCHES, "JPEG", quality=90, exif=b"Exif\0\0" + exif(1)), PLAIN_JPEG),
    "a JPEG with the profile of sRGB": (save(PATCHES, "JPEG", quality=90, icc_profile=SRGB), PLAIN_JPEG),
    "a JPEG with a page behind it": (PLAIN_JPEG + b"<script>", PLAIN_JPEG),
    "a JPEG with a picture behind it": (PLAIN_JPEG + PLAIN_JPEG, PLAIN_JPEG),
    "a JPEG of RGB": (both := save(PATCHES, "JPEG", quality=90, keep_rgb=True), both),
    "a WebP": (both := save(RGB, "WEBP", quality=80), both),
    "a WebP without loss": (both := save(RGB, "WEBP", lossless=True), both),
    "a WebP of orientation 1": (save(RGB, "WEBP", quality=80, exif=exif(1)), save(RGB, "WEBP", quality=80)),
    "a WebP with the profile of sRGB": (save(RGB, "WEBP", icc_profile=SRGB), save(RGB, "WEBP")),
}
"""JPEG and WebP pictures, and what is stored of each: the same data without metadata."""


@pytest.mark.parametrize("kind", KEPT)
def test_a_jpeg_or_webp_stays_what_it_is(kind: str) -> None:
    data, kept = KEPT[kind]
    stored = normalise(data)
    assert stored == kept
    assert (stored is data) == (data == kept)
    assert np.array_equal(pixels_of(stored), np.asarray(read_image(data)))
    check_image(stored, "here")
    assert read_size(stored) == pixels_of(stored).shape[1::-1]
    assert find_kind(stored) == find_kind(data) != "png"
    assert normalise(stored) is stored
    if data != kept:
        with pytest.raises(RunError, match="without metadata"):
            check_image(data, "here")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in AS_SENT])
def test_what_has_to_be_changed_becomes_a_png(kind: str) -> None:
    assert find_kind(normalise(KINDS[kind][0])) == "png"


@pytest.mark.parametrize("data", [PLAIN_JPEG, save(RGB, "WEBP"), save(RGB, "WEBP", lossless=True)])
def test_a_cut_jpeg_or_webp_is_refused(data: bytes) -> None:
    for size in (len(data) // 2, len(data) - len(data) // 4):
        with pytest.raises(PictureError):
            normalise(data[:size])


def test_pictures_are_converted_where_a_recipe_says_so() -> None:
    jpeg = KEPT["a JPEG"][0]
    seen = np.asarray(read_image(jpeg))
    as_png = normalise(jpeg, "png")
    assert find_kind(as_png) == "png"
    assert np.array_equal(pixels_of(as_png), seen)
    exact = normalise(jpeg, "webp")
    assert find_kind(exact) == "webp"
    assert np.array_equal(pixels_of(exact), seen)
    small = normalise(jpeg, "webp", 60)
    assert len(small) < len(exact)
    assert is_seen(pixels_of(small), seen, 90)
    webp = KEPT["a WebP"][0]
    assert normalise(webp, "webp", 60) is webp, "what is of that format already is not encoded again"
    noted = png_of_values(RGB, 2, chunk(b"tEXt", b"image tokens\x000123456789abcdef 1 22 333"))
    assert normalise(noted, "webp") is noted, "nor is what carries image tokens"
    wide = np.zeros((1, 16_384, 3), np.uint8)
    with pytest.raises(PictureError, match="a side of WebP has at most 16383"):
        normalise(save(wide, "PNG"), "webp")


def test_a_picture_as_it_should_be_stays_byte_for_byte() -> None:
    assert normalise(BARE) is BARE
    several = io.BytesIO()
    Image.fromarray(np.kron(RGB, np.ones((90, 90, 1), np.uint8))).save(several, "PNG", compress_level=0)
    assert several.getvalue().count(b"IDAT") > 3
    assert normalise(several.getvalue()) == several.getvalue()


def test_metadata_goes_and_the_pixel_data_stay() -> None:
    texts = chunk(b"tEXt", HOME) + chunk(b"iTXt", b"parameters\0\0\0\0\0steps: 20") + chunk(b"tIME", bytes(7))
    data = png_of_values(RGB, 2, texts)
    stored = normalise(data)
    assert b"/home/" in data
    assert stored == png_of_values(RGB, 2)
    assert normalise(png_of_values(RGB, 2) + b"<script>") == stored


def test_the_tokens_of_the_embedded_model_stay_and_nothing_else_under_their_name() -> None:
    note = b"image tokens\x000123456789abcdef 1 22 333"
    noted = png_of_values(RGB, 2, chunk(b"tEXt", note))
    assert normalise(noted) is noted
    assert normalise(png_of_values(RGB, 2, chunk(b"tEXt", HOME) + chunk(b"tEXt", note))) == noted
    for other in (b"image tokens\0/home/somebody", note + b" x", note + b"\n", b"image tokens\0"):
        assert normalise(png_of_values(RGB, 2, chunk(b"tEXt", other))) == png_of_values(RGB, 2)
    twice = chunk(b"tEXt", note) * 2
    assert normalise(png_of_values(RGB, 2, twice)) == png_of_values(RGB, 2), "which of them would count?"


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.usefixtures("lenient_pillow")
def test_what_no_reader_decodes_is_refused_however_lenient_pillow_is(kind: str) -> None:
    with pytest.raises(PictureError) as caught:
        normalise(BROKEN[kind])
    assert "0x" not in str(caught.value), "no two runs share a place in memory"
    with pytest.raises(OSError):
        clean_stored(BROKEN[kind])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_broken_orientation_or_profile_is_not_heeded() -> None:
    for extra in (chunk(b"eXIf", b"MM\0*garbage"), chunk(b"eXIf", exif(77)), chunk(b"eXIf", b"")):
        assert normalise(png_of_values(RGB, 2, extra)) == png_of_values(RGB, 2)
    assert is_seen(pixels_of(normalise(save(RGB, "PNG", icc_profile=b"no profile"))), RGB, 0)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in AS_SENT])
def test_the_export_takes_nothing_else(kind: str) -> None:
    with pytest.raises(RunError, match=r"sample 7: .*an image (is not|has)"):
        check_image(KINDS[kind][0], "sample 7")


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
    assert normalise(png) == png
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
