"""Normalisation of incoming pictures: images from a model, a server or a folder are stored as a person would see them.

`normalise` makes upright 8-bit RGB with nothing but pixels before a picture is stored, so scorers, report, dataset and
trainers see the same picture, whichever reader they use. A PNG, JPEG or WebP in this form already stays byte for byte:
a JPEG from a server is a tenth of the PNG of its pixels. Anything else becomes a PNG.

* Transparency is laid on white. 16-bit grey is divided by 257. Animations give their first picture.
* The EXIF orientation is applied once. An embedded colour profile is applied: values become sRGB.
* Metadata is removed, except the image tokens that the embedded model notes (`NOTE`) and learns from.
* Damage raises PictureError, whatever the decoder raised. A PNG is verified more strictly than decoders do: every
  checksum, the order of its chunks, and its compressed data to the last byte.

Not covered: gAMA, cHRM and cICP of a PNG, which the usual readers ignore too; JPEG data that decode to something else
than was meant, and the last bit of a JPEG's pixels, which decoders round differently.

Pictures travel to and from servers in base64, bare or in a data URL. `read_many` decodes many at once for every model
and metric; a damaged file there is an OSError, whatever the decoder raised.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import unquote

from datagen.errors import RunError
from datagen.picture_files import MOST_PIXELS, PictureError, find_kind, prove_png, read_form, read_size

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Picture
    from PIL.PngImagePlugin import PngInfo


Store = Literal["keep", "png", "webp"]
"""Format in which pictures are stored; `keep` is the one in which they come, if it is PNG, JPEG or WebP."""
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "JPEG2000", "PPM")
"""Accepted file formats. Pillow reads more, some of them by running other programs."""
MOST_WEBP_PX = 16_383
"""Greatest side of a WebP picture."""
WEBP_METHOD = 4
"""Effort of the WebP encoder, 0 to 6: the default of libwebp."""
NEAR = 2
"""A profile that changes no colour by more than this, of 255, counts as sRGB."""
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""Exceptions that Pillow's readers raise for damaged files, deliberate or not."""
_ONE_AT_A_TIME = threading.Lock()


def normalise(data: bytes, store: Store = "keep", quality: int | None = None) -> bytes:
    """Convert a picture in any of FORMATS to an upright 8-bit RGB picture without metadata, as a person would see it.

    `store` is the format in which it is stored. With `keep`, a PNG, JPEG or WebP in this form already comes back
    unchanged, one with metadata keeps its compressed pixel data, and anything else becomes a PNG. With `png` and `webp`
    other formats are converted; a PNG that carries image tokens stays. `quality` (1 to 100) is that of a lossy WebP;
    None is without loss. Raises PictureError for data that is no picture, is damaged, or has more than MOST_PIXELS.
    """
    form = read_form(data)
    if form is not None and form.kind == "png":
        prove_png(data)
    kept = form if form and form.is_rgb and (store in ("keep", form.kind) or form.is_noted) else None
    if kept and kept.kind == "png" and kept.bare is data:
        return data
    with _strict():
        picture, is_changed = _decode(data)
    return kept.bare if kept and not is_changed else _pack(picture, store, quality)


def encode_picture(picture: Picture) -> bytes:
    """Convert a Pillow picture to an upright 8-bit RGB PNG. Raises PictureError if it has no RGB form."""
    with _explain():
        return _pack(_make_upright(picture)[0])


def encode_png(pixels: np.ndarray, info: PngInfo | None = None) -> bytes:
    """Return an array (height, width, 3) uint8 RGB as PNG bytes, with the text chunks of `info`."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def read_image(image: bytes) -> Picture:
    """Decode an image as upright RGB; raises PictureError when it is damaged or is no image.

    Cheaper than `normalise`: stored images were verified when they came in.
    """
    try:
        return _decode(image)[0]
    except PictureError as error:
        raise PictureError(f"the image cannot be read: {error}") from error


def read_header(image: bytes) -> tuple[str, int, int]:
    """Return format (one of FORMATS), width and height in pixels from the head of a file, without decoding it.

    Raises PictureError for what is no picture or has more than MOST_PIXELS.
    """
    if find_kind(image) == "png" and len(image) >= 57:  # what most are, without a reader
        width, height = read_size(image)
        if 0 < width * height <= MOST_PIXELS:
            return "PNG", width, height
    with _open(image) as opened:
        return str(opened.format), opened.width, opened.height


def shrink(image: bytes, edge: int) -> Picture:
    """Decode a stored picture as RGB with a longer side of at most `edge` pixels, never enlarged.

    Several times cheaper than `read_image` for a JPEG, which is decoded at an eighth to the whole of its size. Raises
    PictureError when it is damaged or is no picture.
    """
    with _open(image) as opened, _explain():
        opened.draft("RGB", (2 * edge, 2 * edge))
        opened.load()
        small = _make_upright(opened)[0]
        if max(small.size) > edge:
            small = small.copy() if small is opened else small
            small.thumbnail((edge, edge), reducing_gap=2.0)
        return small


def check_image(image: bytes, where: str) -> None:
    """Raise RunError at `where` for an image that is not in the form in which `normalise` stores it.

    Reads only the structure of the file, which costs next to nothing: checksums and pixel data were verified when the
    image came in, and the parquet pages that hold it have checksums of their own.
    """
    try:
        form = read_form(image)
        if form is None or not form.is_rgb or form.bare is not image:
            raise PictureError("an image is not RGB of 8 bits without metadata: readers would not agree on it")
    except PictureError as error:
        hint = "make or take out that sample again: no trainer would decode it as it was scored"
        raise RunError(str(error), where=where, hint=hint) from error


def clean_stored(image: bytes) -> bytes:
    """Remove the metadata of an image that an older datagen stored.

    Raises PictureError for an image that is damaged, or that readers decode differently: rotated by EXIF, transparent,
    or with 16 bits.
    """
    clean = normalise(image)
    form = read_form(image)
    if form is None or clean != form.bare:
        raise PictureError("an image is not upright RGB of 8 bits: scorers saw another one than readers of the dataset")
    return clean


def hash_image(image: bytes) -> str:
    """Return the SHA-256 of an image's file in hexadecimal, as in the dataset's column `image_sha256`."""
    return hashlib.sha256(image).hexdigest()


# ── Pillow ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _strict() -> Iterator[None]:
    """Make Pillow refuse truncated files, whatever a plugin has set: the switch is global, hence the lock."""
    from PIL import ImageFile

    with _ONE_AT_A_TIME:
        before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


@contextmanager
def _explain() -> Iterator[None]:
    """Convert Pillow's exceptions to PictureError."""
    from PIL import Image, ImageCms, UnidentifiedImageError

    try:
        yield
    except PictureError:
        raise
    except UnidentifiedImageError as error:  # its message contains a memory address, which differs between runs
        raise PictureError("a damaged picture: no reader knows it") from error
    except (*_BROKEN, Image.DecompressionBombError, Image.DecompressionBombWarning, ImageCms.PyCMSError) as error:
        raise PictureError(f"a damaged picture: {error or type(error).__name__}") from error


def _decode(data: bytes) -> tuple[Picture, bool]:
    """Decode a picture whole and make it upright RGB; say whether that took more than reading its pixels."""
    with _open(data) as opened, _explain():
        opened.load()
        if opened.format == "PNG" and "transparency" in opened.info:
            opened.info["transparency"] = _scale_clear(opened.info["transparency"], depth=data[24], color=data[25])
        return _make_upright(opened)


@contextmanager
def _open(data: bytes) -> Iterator[Picture]:
    """Open a picture, its pixels not decoded. Raises PictureError for what is no picture or too large."""
    from PIL import Image, UnidentifiedImageError

    Image.init()
    known = [word for word in FORMATS if word in Image.OPEN]
    with _explain():
        try:
            opened = Image.open(io.BytesIO(data), formats=known)
        except UnidentifiedImageError as error:
            raise PictureError(f"not a picture: it begins with {data[:12]!r}") from error
    with opened:
        if opened.width * opened.height > MOST_PIXELS:
            what = f"an image of {opened.width} x {opened.height} pixels is outside of 1 to {MOST_PIXELS:,}"
            raise PictureError(what)
        yield opened


def _scale_clear(clear: Any, depth: int, color: int) -> Any:
    """Return a PNG's transparent colour on the scale of Pillow's pixels: Pillow scales only the pixels."""
    if color == 0 and depth in (2, 4):
        return (clear & (1 << depth) - 1) * (255 // ((1 << depth) - 1))
    if color == 2 and depth == 16:
        return tuple(value >> 8 for value in clear)
    return clear


def _make_upright(picture: Picture) -> tuple[Picture, bool]:
    """Return a loaded picture as upright RGB, and whether it differs from the given one."""
    flat = _lay_on_white(picture)
    seen = _turn(_to_srgb(flat, picture.info.get("icc_profile")), _find_orientation(picture))
    return seen if seen.mode == "RGB" else seen.convert("RGB"), seen is not picture


def _lay_on_white(picture: Picture) -> Picture:
    """Return a picture without transparency and with 8 bits: RGB, grey or CMYK."""
    from PIL import Image

    if picture.mode == "F" or picture.mode.startswith("I"):
        return _narrow(picture)
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return picture if picture.mode in ("RGB", "L", "CMYK") else picture.convert("RGB")


def _narrow(picture: Picture) -> Picture:
    """Convert integers of 0..65535 or floats of 0..1 to 8-bit grey; Pillow's own conversion would clip them.

    Raises PictureError for values outside these ranges, for which white is unknown.
    """
    import numpy as np
    from PIL import Image

    values, white = np.asarray(picture, dtype=np.float64), 1.0 if picture.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= white):
        raise PictureError(f"a picture with values outside of 0 to {white:g}: nobody can tell what is white")
    if (clear := picture.info.get("transparency")) is not None:
        values = np.where(values == clear, white, values)
    return Image.fromarray(np.round(values / (white / 255)).astype(np.uint8))


def _to_srgb(picture: Picture, profile: bytes | None) -> Picture:
    """Return a picture with its colour profile applied; a broken or unsuitable profile is ignored."""
    import numpy as np
    from PIL import Image, ImageCms

    if not profile:
        return picture
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        change = ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), picture.mode, "RGB")
        if picture.mode == "RGB":
            steps = np.linspace(0, 255, 9).astype(np.uint8)
            # A profile close to sRGB is not applied: rounding would change every pixel for nothing.
            swatch = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
            changed = np.asarray(change.apply(Image.fromarray(swatch)), np.int16)
            if np.abs(changed - swatch).max() <= NEAR:
                return picture
        return change.apply(picture)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture


def _find_orientation(picture: Picture) -> int:
    """Return the EXIF orientation, 1 to 8; like viewers, 1 if it is missing or unreadable."""
    try:
        return int(picture.getexif().get(0x0112, 1))
    except _BROKEN:
        return 1


def _turn(picture: Picture, orientation: int) -> Picture:
    """Rotate or mirror a picture as its orientation says (EXIF 2.32, 4.6.4)."""
    from PIL.Image import Transpose

    ways = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return picture.transpose(ways[orientation]) if orientation in ways else picture


def _pack(picture: Picture, store: Store = "png", quality: int | None = None) -> bytes:
    """Encode an RGB picture without metadata: as WebP if it is to be stored so, else as PNG."""
    bare, buffer = picture.copy(), io.BytesIO()
    bare.info = {}  # else Pillow writes the profile and the transparent colour again
    if store != "webp":
        bare.save(buffer, format="PNG")
        return buffer.getvalue()
    if max(bare.size) > MOST_WEBP_PX:
        raise PictureError(
            f"an image of {bare.width} x {bare.height} pixels: a side of WebP has at most {MOST_WEBP_PX}"
        )
    lossless = {"lossless": True, "exact": True} if quality is None else {"quality": quality}
    bare.save(buffer, format="WEBP", method=WEBP_METHOD, **lossless)
    return buffer.getvalue()


def from_data_url(url: str) -> bytes:
    """Return the bytes in `data:image/…;base64,…`; raises ValueError for anything else, such as a web address."""
    head, comma, body = url.strip().partition(",")
    kind = head.lower().replace(" ", "")
    if not comma or not kind.startswith("data:") or not kind.endswith(";base64"):
        raise ValueError(f"not a picture but an address: {url[:60]!r}")
    return _decode_base64(unquote(body))


def from_base64(text: str) -> bytes:
    """Return decoded bytes; raises ValueError for text that is not base64.

    The text may contain line breaks, and may be a data URL, as some servers send it.
    """
    return from_data_url(text) if text.lstrip()[:5].lower() == "data:" else _decode_base64(text)


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:  # binascii.Error is one
        raise ValueError(f"not base64: {error}") from error


def to_data_url(image: bytes) -> str:
    """Return a stored picture as a data URL."""
    return f"data:image/{find_kind(image) or 'png'};base64,{base64.b64encode(image).decode()}"


Answer = TypeVar("Answer")


def count_threads() -> int:
    """Return how many threads this process may keep busy: `OMP_NUM_THREADS`, as in torch, else one per core."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given):
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_many(read: Callable[[bytes], Answer], images: Sequence[bytes]) -> list[Answer | OSError]:
    """Read each image in parallel; an image that cannot be read becomes its OSError and does not fail the others.

    Threads suffice: decoding and resizing release the GIL.
    """

    def attempt(image: bytes) -> Answer | OSError:
        try:
            return read(image)
        except OSError as error:
            return error

    if len(images) < 2 or count_threads() < 2:
        return [attempt(image) for image in images]
    with ThreadPoolExecutor(min(count_threads(), len(images))) as pool:
        return list(pool.map(attempt, images))
