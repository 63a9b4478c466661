"""Pictures on their way in: whatever a model, a server or a folder gives becomes the picture that a person would see.

`to_png` makes of it an upright PNG of RGB with 8 bits and nothing beside its pixels, before it is stored. So scorers,
gallery, dataset and trainers see the same, whichever reader they use. A PNG that is so already stays byte for byte.

* What is clear lies on white. 16-bit grey is divided by 257. Animations give their first picture.
* The orientation in EXIF is applied, once. An embedded colour profile is applied: the values are sRGB.
* Metadata goes, but for the image tokens that the embedded model notes (`NOTE`): digits, from which it learns.
* What is damaged is a PictureError, whatever the decoder raised. A PNG is proved with no decoder's lenience: each check
  sum, the order of its parts, its compressed data to the last byte.

Not covered: gAMA, cHRM and cICP of a PNG, which the usual readers do not heed either; JPEG data that decode to
something else than was meant.

Base64, bare or in a data URL, is how pictures travel to and from servers. Many at once become arrays in the same way
for every model and measure; there a damaged file is an OSError, whatever the decoder raised."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import unquote

from datagen.errors import RunError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image as Picture
    from PIL.PngImagePlugin import PngInfo


MOST_PIXELS = 40_000_000
"""What BAGEL's reader of text-to-image data refuses: twice its `MAX_IMAGE_PIXELS`, as Pillow does."""
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "JPEG2000", "PPM")
"""What a picture may come as. Pillow reads more, some of it by running other programs."""
NOTE = "image tokens"
"""Keyword of the one text that stays: see `datagen.embedded.codec`."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEFLATE_RATIO = 1032
"""The most that deflate can shrink, by its definition (RFC 1951)."""
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits of a value by the colour type of a PNG: grey, RGB, palette, grey and alpha, RGB and alpha (PNG, 11.2.1)."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values of a pixel by the colour type."""
NEAR = 2
"""A profile that changes no colour by more than this, of 255, is that of sRGB itself."""
_BEGIN = SIGNATURE + b"\0\0\0\x0dIHDR"
_KNOWN = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
"""The chunks that a reader must know; the names of others that it must are in capitals, too."""
_HEADER = struct.Struct(">IIBBBBB")
"""Width, height, bits, colour type, compression, filter, interlace: the content of IHDR."""
_CHUNK = struct.Struct(">I4s")
"""The head of a chunk: the bytes between it and its check sum, and its kind."""
_NOTED = re.compile(rb"image tokens\0[0-9a-f]{16}(?: [0-9]{1,6}){1,4096}")
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
"""What Pillow's readers raise for damaged files: their own words, and whatever they trip over."""
_ONE_AT_A_TIME = threading.Lock()


class PictureError(OSError):
    """A picture that cannot be seen: none, damaged, or too large. It is an OSError, as scorers expect of a bad file."""


def to_png(data: bytes) -> bytes:
    """Return a picture of any of FORMATS as a person would see it: an upright PNG of RGB with 8 bits.

    A PNG that is so already comes back as it is; of one with metadata the pixel data stay as they are. Raises
    PictureError for what is not a picture, is damaged, or has more than MOST_PIXELS.
    """
    png = _prove(data) if data.startswith(SIGNATURE) else None
    if png is not None and png.is_bare:
        return data
    with _strict():
        picture, is_changed = _decode(data)
    if png is not None and png.is_rgb and not is_changed:
        return _drop_metadata(data, png)
    return _pack(picture)


def encode_picture(picture: Picture) -> bytes:
    """Return a picture of Pillow's as `to_png` does. Raises PictureError for one that cannot be seen as RGB."""
    with _explain():
        return _pack(_make_upright(picture)[0])


def encode_png(pixels: np.ndarray, info: PngInfo | None = None) -> bytes:
    """Return an array (height, width, 3) uint8 RGB as PNG bytes, with text chunks if there are any."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()


def read_image(image: bytes) -> Picture:
    """Decode an image as RGB, as `to_png` makes it; raises PictureError when it is damaged or is no image.

    Cheaper than `to_png`: what was stored has been proved on its way in.
    """
    try:
        return _decode(image)[0]
    except PictureError as error:
        raise PictureError(f"the image cannot be read: {error}") from error


def read_header(image: bytes) -> tuple[str, int, int]:
    """Return format (one of FORMATS), width and height in pixels from the head of a file, without decoding it.

    Raises PictureError for what is no picture or has more than MOST_PIXELS.
    """
    if image.startswith(_BEGIN) and len(image) >= 57:  # what most are, without a reader
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


def check_png(image: bytes, where: str) -> None:
    """Raise RunError at `where` for an image that is not as `to_png` makes it.

    Only the structure is read, chunk by chunk, which costs next to nothing: check sums and pixel data were proved on
    the way in, and the pages that hold the image have check sums of their own.
    """
    try:
        png = _read_chunks(image)
        if not png.is_bare:
            raise PictureError("an image is not RGB of 8 bits without metadata: readers would not agree on it")
    except PictureError as error:
        hint = "make or take out that sample again: no trainer would decode it as it was scored"
        raise RunError(str(error), where=where, hint=hint) from error


def clean_stored(image: bytes) -> bytes:
    """Return an image that an older datagen stored, without its metadata.

    Raises PictureError for one that is damaged, or that is not seen alike by all readers: turned by EXIF, clear in
    places, or of 16 bits.
    """
    clean = to_png(image)
    if clean != image and not (image.startswith(SIGNATURE) and clean == _drop_metadata(image, _read_chunks(image))):
        raise PictureError("an image is not upright RGB of 8 bits: scorers saw another one than readers of the dataset")
    return clean


def hash_image(image: bytes) -> str:
    """Return the SHA-256 of an image's file in hexadecimal: what the dataset's column `image_sha256` says of it."""
    return hashlib.sha256(image).hexdigest()


def read_size(image: bytes) -> tuple[int, int]:
    """Return width and height of a PNG that passed `check_png`, in pixels."""
    width, height, *_ = _HEADER.unpack_from(image, 16)
    return width, height


# ── PNG, byte by byte ──────────────────────────────────────────────────────────────────────────────────────────────


class _Png(NamedTuple):
    """The parts of a PNG file: its header's values, and kind, begin and end of each chunk up to its end.

    `others` are the kinds of the chunks that hold no pixels; `is_noted` says that one of them is the note that stays.
    """

    width: int
    height: int
    depth: int
    color: int
    interlaced: int
    chunks: list[tuple[bytes, int, int]]
    others: list[bytes]
    is_noted: bool
    is_all: bool
    """Whether nothing follows its end."""

    @property
    def is_rgb(self) -> bool:
        """Whether its pixel data are RGB of 8 bits, line by line."""
        return self.color == 2 and self.depth == 8 and not self.interlaced

    @property
    def is_bare(self) -> bool:
        """Whether it is RGB and holds nothing beside its pixels but the one note that stays."""
        return self.is_rgb and self.is_all and len(self.others) == 2 + self.is_noted


def _read_chunks(image: bytes) -> _Png:
    """Read the structure of a PNG file. Raises PictureError for one that breaks the rules of the format (PNG, 5.6)."""
    if not image.startswith(_BEGIN) or len(image) < 57:
        raise PictureError(f"an image is not a PNG: it begins with {image[:8]!r}")
    width, height, depth, color, compression, filtering, interlace = _HEADER.unpack_from(image, 16)
    if not width or not height or width * height > MOST_PIXELS:
        raise PictureError(f"an image of {width} x {height} pixels is outside of 1 to {MOST_PIXELS:,}")
    if depth not in DEPTHS.get(color, ()) or compression or filtering or interlace > 1:
        raise PictureError(f"an image has the unknown colour type {color} with {depth} bits")
    chunks: list[tuple[bytes, int, int]] = []
    others: list[bytes] = []
    stretches, data_bytes, notes, is_painted, before, end = 0, 0, 0, False, b"", 0
    for kind, begin, end in _walk(image):
        chunks.append((kind, begin, end))
        if kind == b"IDAT":
            stretches += before != kind
            data_bytes += end - begin - 12
        else:
            others.append(kind)
            notes += kind == b"tEXt" and _is_note(image, begin, end)
            is_painted |= kind == b"PLTE" and not stretches
            if kind not in _KNOWN and kind[:1].isupper():
                raise PictureError(f"an image needs {kind!r}, which no reader knows")
        before = kind
    if stretches != 1 or others.count(b"IHDR") > 1:
        raise PictureError("the parts of an image are missing or not in order")
    if color == 3 and not is_painted:
        raise PictureError("an image of palette colours has no palette")
    png = _Png(width, height, depth, color, interlace, chunks, others, notes == 1, end == len(image))
    if data_bytes * DEFLATE_RATIO < _pixel_bytes(png):
        what = f"an image claims {width} x {height} pixels, which its {data_bytes:,} bytes of data cannot fill"
        raise PictureError(what)
    return png


def _walk(image: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of each chunk, head and check sum included. Raises PictureError where it is cut."""
    place, kind, whole = len(SIGNATURE), b"", len(image)
    while kind != b"IEND":
        if place + 12 > whole:
            raise PictureError("an image is cut off")
        length, kind = _CHUNK.unpack_from(image, place)
        end = place + 12 + length
        if end > whole:
            raise PictureError("an image is cut off")
        yield kind, place, end
        place = end


def _is_note(image: bytes, begin: int, end: int) -> bool:
    return _NOTED.fullmatch(image[begin + 8 : end - 4]) is not None


def _pixel_bytes(png: _Png) -> int:
    """Return how many bytes the lines of a PNG have, each with its filter before it; interlaced ones have more."""
    return png.height * (1 + (png.width * png.depth * CHANNELS[png.color] + 7) // 8)


def _prove(image: bytes) -> _Png:
    """Read a PNG file and prove its check sums and pixel data. Raises PictureError for what some reader refuses."""
    png, whole = _read_chunks(image), memoryview(image)
    for kind, begin, end in png.chunks:
        if zlib.crc32(whole[begin + 4 : end - 4]) != int.from_bytes(whole[end - 4 : end]):
            raise PictureError(f"a damaged picture: the check sum of {kind!r} is wrong")
    if png.interlaced:  # its lines come in seven passes: left to the decoder
        return png
    wanted = _pixel_bytes(png)
    inflate, lines, room = zlib.decompressobj(), list[bytes](), wanted + 1
    try:
        for kind, begin, end in png.chunks:
            if kind == b"IDAT" and room:
                lines.append(inflate.decompress(whole[begin + 8 : end - 4], room))
                room -= len(lines[-1])
    except zlib.error as error:
        raise PictureError(f"a damaged picture: {error}") from error
    data = b"".join(lines)
    if len(data) != wanted or not inflate.eof or max(data[:: wanted // png.height]) > 4:
        raise PictureError("a damaged picture: its pixel data are not those of its size")
    return png


def _drop_metadata(image: bytes, png: _Png) -> bytes:
    kept = [b"IHDR", b"IDAT", b"IEND"]
    parts = [SIGNATURE]
    for kind, begin, end in png.chunks:
        if kind in kept or (kind == b"tEXt" and png.is_noted and _is_note(image, begin, end)):
            parts.append(image[begin:end])
    return b"".join(parts)


# ── Pillow ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _strict() -> Iterator[None]:
    """Let Pillow refuse what is cut, whatever a plugin has set for itself; the switch is one for the whole process."""
    from PIL import ImageFile

    with _ONE_AT_A_TIME:
        before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = before


@contextmanager
def _explain() -> Iterator[None]:
    """Turn what Pillow raises into a PictureError."""
    from PIL import Image, ImageCms, UnidentifiedImageError

    try:
        yield
    except PictureError:
        raise
    except UnidentifiedImageError as error:  # its own words name a place in memory, which no two runs share
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
    """Return the clear colour of a PNG on the scale that Pillow gives its pixels: it leaves it as in the file."""
    if color == 0 and depth in (2, 4):
        return (clear & (1 << depth) - 1) * (255 // ((1 << depth) - 1))
    if color == 2 and depth == 16:
        return tuple(value >> 8 for value in clear)
    return clear


def _make_upright(picture: Picture) -> tuple[Picture, bool]:
    """Return a loaded picture as RGB, and whether that is another one than was given."""
    flat = _lay_on_white(picture)
    seen = _turn(_to_srgb(flat, picture.info.get("icc_profile")), _find_orientation(picture))
    return seen if seen.mode == "RGB" else seen.convert("RGB"), seen is not picture


def _lay_on_white(picture: Picture) -> Picture:
    """Return a picture without anything clear, with 8 bits: RGB, grey or CMYK."""
    from PIL import Image

    if picture.mode == "F" or picture.mode.startswith("I"):
        return _narrow(picture)
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    return picture if picture.mode in ("RGB", "L", "CMYK") else picture.convert("RGB")


def _narrow(picture: Picture) -> Picture:
    """Return whole numbers of 0..65535 or fractions of 0..1 as grey of 8 bits, which Pillow's own conversion clips.

    Raises PictureError for other values: nobody can tell what is white.
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
    """Return a picture with its colour profile applied; one that is broken or fits no such picture is not heeded."""
    import numpy as np
    from PIL import Image, ImageCms

    if not profile:
        return picture
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        change = ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), picture.mode, "RGB")
        if picture.mode == "RGB":
            steps = np.linspace(0, 255, 9).astype(np.uint8)
            swatch = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
            changed = np.asarray(change.apply(Image.fromarray(swatch)), np.int16)
            if np.abs(changed - swatch).max() <= NEAR:
                return picture
        return change.apply(picture)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture


def _find_orientation(picture: Picture) -> int:
    """Return the orientation in EXIF, 1 to 8; 1 where there is none or it cannot be read, as for viewers."""
    try:
        return int(picture.getexif().get(0x0112, 1))
    except _BROKEN:
        return 1


def _turn(picture: Picture, orientation: int) -> Picture:
    """Return a picture as its orientation says (EXIF 2.32, 4.6.4): turned, mirrored, or itself."""
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


def _pack(picture: Picture) -> bytes:
    bare, buffer = picture.copy(), io.BytesIO()
    bare.info = {}  # else Pillow writes a profile and a clear colour again
    bare.save(buffer, format="PNG")
    return buffer.getvalue()


def from_data_url(url: str) -> bytes:
    """Return the bytes inside `data:image/…;base64,…`; raises ValueError for anything else, such as a web address."""
    head, comma, body = url.strip().partition(",")
    kind = head.lower().replace(" ", "")
    if not comma or not kind.startswith("data:") or not kind.endswith(";base64"):
        raise ValueError(f"not a picture but an address: {url[:60]!r}")
    return _decode_base64(unquote(body))


def from_base64(text: str) -> bytes:
    """Return decoded bytes; raises ValueError for text that is not base64.

    The text may be wrapped in lines, and may stand in a data URL, as some servers send it.
    """
    return from_data_url(text) if text.lstrip()[:5].lower() == "data:" else _decode_base64(text)


def _decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:  # binascii.Error is one
        raise ValueError(f"not base64: {error}") from error


def to_data_url(png: bytes) -> str:
    """Return PNG bytes as a data URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


Answer = TypeVar("Answer")
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""


def read_rgb(image: bytes) -> np.ndarray:
    """Decode an image as (height, width, 3) float64, 0..255; raises OSError."""
    import numpy as np

    return np.asarray(read_image(image), dtype=np.float64)


def read_luma(image: bytes) -> np.ndarray:
    """Decode an image as its luma (height, width) float64, 0..255; raises OSError."""
    import numpy as np

    luma: np.ndarray = read_rgb(image) @ np.array(LUMA)
    return luma


def count_threads() -> int:
    """Return how many threads this process may keep busy: `OMP_NUM_THREADS`, as for torch, else one for each core."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given):
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_many(read: Callable[[bytes], Answer], images: Sequence[bytes]) -> list[Answer | OSError]:
    """Read each image, spread over the cores; what cannot be read is its OSError, and fails no neighbour.

    Threads do: decoding and resizing give the interpreter free.
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
