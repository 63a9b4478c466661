"""Pictures of every kind that servers and folders give, each with the pixels that a person sees; and broken ones.

All are made here, small and harmless. What is seen is written out by hand and never asked of the code under test.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageCms

HOME = b"workflow\0/home/somebody/flow.json"
SIDE = (6, 9)
"""Height and width: no square, so that a turn shows."""
_RNG = np.random.default_rng(0)
RGB = _RNG.integers(0, 256, (*SIDE, 3), dtype=np.uint8)
GREY = _RNG.integers(0, 256, SIDE, dtype=np.uint8)
ALPHA = _RNG.choice(np.array([0, 128, 255], np.uint8), SIDE)
CLEAR = np.zeros(SIDE, bool)
CLEAR[1:3, 2:7] = True
PURE = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 255], [0, 0, 0], [255, 255, 0]]], np.uint8)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def make_png(
    width: int, height: int, depth: int, color: int, lines: bytes, extra: bytes = b"", interlace: int = 0
) -> bytes:
    """A PNG from its lines, each with its filter byte before it."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    data = chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + data + chunk(b"IEND", b"")


def png_of_values(values: np.ndarray, color: int, extra: bytes = b"") -> bytes:
    """A PNG of an array (height, width[, channels]) of 8 or 16 bits."""
    height, width = values.shape[:2]
    wide = values.astype(values.dtype.newbyteorder(">")).reshape(height, -1)
    lines = b"".join(b"\0" + line.tobytes() for line in wide)
    return make_png(width, height, 8 * values.dtype.itemsize, color, lines, extra)


def save(values: np.ndarray, form: str, mode: str | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(values)
    (picture.convert(mode) if mode else picture).save(buffer, form, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    """EXIF that says an orientation and nothing else, as TIFF bytes."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"MM\0*" + struct.pack(">IH", 8, 1) + entry + struct.pack(">I", 0)


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What is seen of stored pixels: where row 0 and column 0 are, by the table of EXIF."""
    swapped = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    rows, columns = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}[
        orientation
    ]
    return swapped[::rows, ::columns]


def on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return np.round(pixels * share + 255 * (1 - share)).astype(np.uint8)


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def linear_profile() -> bytes:
    """An ICC profile of sRGB's primaries whose values are linear in light: a middle grey of it is seen much lighter."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv" + bytes(4) + struct.pack(">I", 0) + bytes(4)
    words = b"linear\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(words)) + words + bytes(81),
        b"cprt": b"text" + bytes(4) + b"none\0\0\0\0",
        b"wtpt": b"XYZ " + bytes(4) + fixed(0.9642, 1.0, 0.8249),
        b"rXYZ": b"XYZ " + bytes(4) + fixed(0.43607, 0.22249, 0.01392),
        b"gXYZ": b"XYZ " + bytes(4) + fixed(0.38515, 0.71687, 0.09708),
        b"bXYZ": b"XYZ " + bytes(4) + fixed(0.14307, 0.06061, 0.7141),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    place, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", place + len(body), len(content))
        body += content
    head = struct.pack(">I", place + len(body)) + bytes(4) + b"\x02\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp"
    head += bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + body


def from_linear(pixels: np.ndarray) -> np.ndarray:
    """Light as sRGB values (IEC 61966-2-1)."""
    light = pixels / 255
    return np.round(255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)).astype(int)


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PATCHES = np.kron(PURE, np.ones((8, 8, 1), np.uint8))
RAMP = np.linspace(0, 65535, 54).round().astype(np.uint16).reshape(SIDE)
KINDS: dict[str, tuple[bytes, np.ndarray, int]] = {
    "as it should be": (save(RGB, "PNG"), RGB, 0),
    "a plain JPEG": (save(PATCHES, "JPEG", quality=100, subsampling=0), PATCHES, 4),
    "a plain WebP": (save(RGB, "WEBP", lossless=True), RGB, 0),
    "a workflow beside it": (png_of_values(RGB, 2, chunk(b"tEXt", HOME)), RGB, 0),
    "a gamma beside it": (png_of_values(RGB, 2, chunk(b"gAMA", struct.pack(">I", 45455))), RGB, 0),
    "a profile that is sRGB": (save(RGB, "PNG", icc_profile=SRGB), RGB, 0),
    "a clear ground": (png_of_values(np.dstack([RGB, ALPHA]), 6), on_white(RGB, ALPHA), 1),
    "grey with alpha": (png_of_values(np.dstack([GREY, ALPHA]), 4), on_white(as_rgb(GREY), ALPHA), 1),
    "a palette with a clear colour": (
        make_png(3, 1, 8, 3, b"\0\0\1\2", chunk(b"PLTE", bytes(range(10, 19))) + chunk(b"tRNS", b"\xff\0")),
        np.array([[[10, 11, 12], [255, 255, 255], [16, 17, 18]]], np.uint8),
        0,
    ),
    "RGB with a clear colour": (
        png_of_values(PURE, 2, chunk(b"tRNS", struct.pack(">HHH", 0, 0, 0))),
        np.where((PURE == 0).all(axis=2, keepdims=True), np.uint8(255), PURE),
        0,
    ),
    "two bits with a clear grey": (
        make_png(4, 1, 2, 0, b"\0\x1b", chunk(b"tRNS", b"\0\1")),
        as_rgb(np.array([[0, 255, 170, 255]], np.uint8)),
        0,
    ),
    "one bit": (make_png(8, 1, 1, 0, b"\0\xa5"), as_rgb(np.array([[255, 0, 255, 0, 0, 255, 0, 255]], np.uint8)), 0),
    "16 bits of grey": (png_of_values(RAMP, 0), as_rgb(np.round(RAMP / 257).astype(np.uint8)), 0),
    "16 bits with a clear grey": (
        png_of_values(np.array([[300, 301, 65535]], np.uint16), 0, chunk(b"tRNS", struct.pack(">H", 300))),
        as_rgb(np.array([[255, 1, 255]], np.uint8)),
        0,
    ),
    "16 bits of RGB": (png_of_values(RGB.astype(np.uint16) * 257, 2), RGB, 0),
    "interlaced": (make_png(1, 1, 8, 2, b"\0\1\2\3", interlace=1), np.array([[[1, 2, 3]]], np.uint8), 0),
    **{
        f"a PNG of orientation {k}": (png_of_values(RGB, 2, chunk(b"eXIf", exif(k))), turn(RGB, k), 0)
        for k in range(1, 9)
    },
    "a turned JPEG": (
        save(PATCHES, "JPEG", quality=100, subsampling=0, exif=b"Exif\0\0" + exif(6)),
        turn(PATCHES, 6),
        4,
    ),
    "a grey JPEG": (save(np.full((8, 8), 90, np.uint8), "JPEG", quality=100), np.full((8, 8, 3), 90, np.uint8), 1),
    "a JPEG of printing inks": (
        save(np.full((8, 8, 3), 60, np.uint8), "JPEG", "CMYK", quality=100),
        np.full((8, 8, 3), 60, np.uint8),
        2,
    ),
    "a turned TIFF": (save(RGB, "TIFF", tiffinfo={0x0112: 6}), turn(RGB, 6), 0),
    "a TIFF of fractions": (
        save(np.array([[0.0, 0.5, 1.0]], np.float32), "TIFF"),
        as_rgb(np.array([[0, 128, 255]], np.uint8)),
        0,
    ),
    "a turned WebP with alpha": (
        save(np.dstack([RGB, 255 - 255 * CLEAR.astype(np.uint8)]), "WEBP", lossless=True, exact=True, exif=exif(8)),
        turn(np.where(CLEAR[..., None], np.uint8(255), RGB), 8),
        0,
    ),
    "an animation": (
        save(PURE, "GIF", save_all=True, append_images=[Image.fromarray(PURE[::-1])]),
        PURE,
        0,
    ),
    "a bitmap": (save(RGB, "BMP"), RGB, 0),
    "another colour profile": (save(RGB, "PNG", icc_profile=linear_profile()), from_linear(RGB), 2),
}
"""Bytes, the pixels that a person sees, and by how much a value may be off, since JPEG and alpha round."""
AS_SENT = ("as it should be", "a plain JPEG", "a plain WebP")
"""The kinds that are stored byte for byte."""

_WHOLE = save(RGB, "PNG")
_DATA = _WHOLE.index(b"IDAT")
_LINES = zlib.decompress(_WHOLE[_DATA + 4 : -16])
BROKEN: dict[str, bytes] = {
    "a wrong check sum of the header": _WHOLE[:29] + bytes([_WHOLE[29] ^ 1]) + _WHOLE[30:],
    "a depth that its colours cannot have": make_png(9, 6, 16, 3, bytes(200), chunk(b"PLTE", bytes(9))),
    "a depth that does not exist": make_png(9, 6, 5, 2, bytes(200)),
    "cut in its data": _WHOLE[: _DATA + 40],
    "cut before its end": _WHOLE[:-12],
    "fewer lines than it says": make_png(9, 6, 8, 2, _LINES[: len(_LINES) // 2]),
    "more lines than it says": make_png(9, 6, 8, 2, _LINES + bytes(28)),
    "garbled data": _WHOLE[: _DATA + 20] + bytes(16) + _WHOLE[_DATA + 36 :],
    "garbled data with its check sum": _WHOLE[: _DATA - 4]
    + chunk(b"IDAT", zlib.compress(_LINES)[:30] + bytes(20) + zlib.compress(_LINES)[50:])
    + chunk(b"IEND", b""),
    "an unknown filter": make_png(9, 6, 8, 2, b"\7" + _LINES[1:]),
    "palette colours without a palette": make_png(9, 6, 8, 3, bytes(60)),
    "a text that swells": png_of_values(RGB, 2, chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(2 << 20)))),
    "a part that nobody knows": png_of_values(RGB, 2, chunk(b"NEED", b"?")),
    "more pixels than anybody keeps": make_png(30_000, 30_000, 8, 2, bytes(100)),
    "a cut JPEG": save(np.kron(RGB, np.ones((16, 16, 1), np.uint8)), "JPEG")[:-200],
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 6\n",
    "text": b"no picture",
    "nothing": b"",
    "fractions beyond white": save(np.array([[0.0, 7.5]], np.float32), "TIFF"),
}
"""What no reader decodes, or what some reader would see as another picture."""


def pixels_of(image: bytes) -> np.ndarray:
    """The pixels of a stored image by a plain reader, which knows no rule of ours."""
    with Image.open(io.BytesIO(image)) as picture:
        assert picture.format in ("PNG", "JPEG", "WEBP")
        assert picture.mode == "RGB"
        return np.asarray(picture)


def is_seen(pixels: np.ndarray, seen: np.ndarray, off: int) -> bool:
    return pixels.shape == seen.shape and bool(abs(pixels.astype(int) - seen.astype(int)).max() <= off)
