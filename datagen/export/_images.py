"""Which images pass export: whole PNG files of a size that a trainer can decode.

Only the structure is read, chunk by chunk, so that the check costs next to nothing beside writing. Refused are: what is
not a PNG or is cut off, a size of nothing or of more than MOST_PIXELS, a size that the pixel data cannot fill, and
compressed notes that would swell to hundreds of megabytes.

Not covered: flipped bits inside the pixel data. A backend decodes what it takes from a server, or encodes it itself.
"""

from __future__ import annotations

import struct

from datagen.errors import RunError

MOST_PIXELS = 40_000_000
"""What BAGEL's reader of text-to-image data refuses: twice its `MAX_IMAGE_PIXELS`, as Pillow does."""
MOST_NOTE_BYTES = 64 * 1024
"""Compressed text and colour profiles may be this long."""
DEFLATE_RATIO = 1032
"""The most that deflate can shrink, by its definition (RFC 1951)."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBB")
"""Width, height, bits and colour type, which stand at byte 16."""
_CHUNK = struct.Struct(">I4s")
"""The head of a chunk: the bytes between it and its check sum, and its kind."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values of a pixel by the colour type in the header."""


def check_png(image: bytes, where: str) -> None:
    """Raise RunError at `where` for an image that should not reach a trainer."""
    if reason := _find_fault(image):
        raise RunError(reason, where=where, hint="make or take out that sample again: no trainer would decode it")


def read_size(image: bytes) -> tuple[int, int]:
    """Return width and height of a PNG that passed `check_png`, in pixels."""
    width, height, *_ = _HEADER.unpack_from(image, 16)
    return width, height


def _find_fault(image: bytes) -> str:
    """Say what is wrong with an image, or `""`."""
    if not image.startswith(SIGNATURE) or image[12:16] != b"IHDR" or len(image) < 57:
        return f"an image is not a PNG: it begins with {image[:8]!r}"
    width, height, depth, color = _HEADER.unpack_from(image, 16)
    if not width or not height or width * height > MOST_PIXELS:
        return f"an image of {width} x {height} pixels is outside of 1 to {MOST_PIXELS:,}"
    if color not in CHANNELS or depth not in (1, 2, 4, 8, 16):
        return f"an image has the unknown colour type {color} with {depth} bits"
    row_bytes = (width * depth * CHANNELS[color] + 7) // 8
    return _find_fault_behind(image, height * row_bytes)


def _find_fault_behind(image: bytes, pixel_bytes: int) -> str:
    """Say what is wrong with the chunks of an image whose header is sound, or `""`."""
    place, data_bytes, last = 8, 0, len(image) - 12
    while place <= last:
        length, kind = _CHUNK.unpack_from(image, place)
        place += 12 + length
        if kind == b"IDAT":
            data_bytes += length
        elif kind in (b"zTXt", b"iTXt", b"iCCP") and length > MOST_NOTE_BYTES:
            return f"an image carries {length:,} bytes of compressed notes"
        elif kind == b"IEND":
            break
    else:
        return "an image is cut off"
    if place != len(image):
        return "an image is cut off, or something follows it"
    if data_bytes * DEFLATE_RATIO < pixel_bytes:
        width, height = read_size(image)
        return f"an image claims {width} x {height} pixels, which its {data_bytes:,} bytes of data cannot fill"
    return ""
