"""Structure of picture files, byte by byte: PNG, JPEG and WebP, the three kinds in which pictures are stored.

A reader that decodes pixels says nothing about what else a file holds. `read_form` does: it finds size and colour form,
and the file without its metadata, while the compressed pixel data stay as they are. It decodes nothing, so it says
nothing about damaged pixels either; only a PNG can be verified here to the last byte (`prove_png`).

* PNG (W3C): the only text chunk that stays is the note of image tokens (`NOTE`).
* JPEG (ITU-T T.81): baseline, extended or progressive, three components of 8 bits. APPn and comments go, except the
  16 bytes of JFIF and Adobe's marker, which say how to read the colours; so does what follows the end of the picture.
* WebP (RFC 9649): one picture, lossy or lossless. The extended header goes together with the metadata it announces.

Anything else, a picture with transparency or a rare variant, is valid but has no such form: `is_rgb` is false.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["png", "jpeg", "webp"]
"""Kind of a stored picture: the subtype of its MIME type."""
ENDINGS: dict[Kind, str] = {"png": "png", "jpeg": "jpg", "webp": "webp"}
"""Ending of the name of a file, by kind."""
MOST_PIXELS = 40_000_000
"""The limit of BAGEL's text-to-image reader: twice its `MAX_IMAGE_PIXELS`, as in Pillow."""
NOTE = "image tokens"
"""Keyword of the only text chunk that is kept: see `datagen.embedded.codec`."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
DEFLATE_RATIO = 1032
"""The greatest compression ratio of deflate (RFC 1951): more pixels than this allows are a decompression bomb."""
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits per value by PNG colour type: grey, RGB, palette, grey and alpha, RGB and alpha (PNG, 11.2.1)."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values per pixel by colour type."""
_BEGIN = SIGNATURE + b"\0\0\0\x0dIHDR"
_KNOWN = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
"""The critical chunks that every reader knows; an unknown chunk is critical if its name begins with a capital."""
_HEADER = struct.Struct(">IIBBBBB")
"""Width, height, bits, colour type, compression, filter, interlace: the content of IHDR."""
_CHUNK = struct.Struct(">I4s")
"""The head of a chunk: length of its data in bytes, and its kind."""
_NOTED = re.compile(rb"image tokens\0[0-9a-f]{16}(?: [0-9]{1,6}){1,4096}")


class PictureError(OSError):
    """A picture that is missing, damaged or too large. An OSError, as scorers expect for a bad file."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a picture file: kind, width and height in pixels.

    `is_rgb` says that its pixels are one picture in RGB of 8 bits without transparency, `bare` is the file without
    metadata (the same object if it has none), and `is_noted` says that it carries image tokens.
    """

    kind: Kind
    width_px: int
    height_px: int
    is_rgb: bool
    bare: bytes
    is_noted: bool = False


def find_kind(image: bytes) -> Kind | None:
    """Return the kind of a file by its first bytes, None for others than PNG, JPEG and WebP."""
    if image.startswith(SIGNATURE):
        return "png"
    if image.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "webp" if image.startswith(b"RIFF") and image[8:12] == b"WEBP" else None


def name_ending(image: bytes) -> str:
    """Return the ending of the name of a stored picture's file: `png`, `jpg` or `webp`."""
    return ENDINGS[find_kind(image) or "png"]


def read_form(image: bytes) -> Form | None:
    """Return the form of a file, or None for a kind or a variant that is not known here.

    Raises PictureError for a PNG that violates its format, and for more than MOST_PIXELS.
    """
    kind = find_kind(image)
    form = _read_png(image) if kind == "png" else _read_jpeg(image) if kind == "jpeg" else None
    form = _read_webp(image) if kind == "webp" else form
    if form is not None:
        _check_sides(form.width_px, form.height_px)
    return form


def read_size(image: bytes) -> tuple[int, int]:
    """Return width and height of a stored picture in pixels, from its head. Raises PictureError for any other file."""
    if image.startswith(_BEGIN) and len(image) >= 24:
        width, height = struct.unpack_from(">II", image, 16)
        return width, height
    if find_kind(image) == "jpeg":
        for segment in _walk_jpeg(image):
            if segment.marker in _FRAMES:
                return segment.read_frame(image)[:2]
    elif (form := read_form(image)) is not None:
        return form.width_px, form.height_px
    raise PictureError(f"not a stored picture: it begins with {image[:12]!r}")


def _check_sides(width: int, height: int) -> None:
    if not width or not height or width * height > MOST_PIXELS:
        raise PictureError(f"an image of {width} x {height} pixels is outside of 1 to {MOST_PIXELS:,}")


# ── PNG ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Png(NamedTuple):
    """The structure of a PNG file: values of its header, and kind, begin and end of each chunk.

    `others` are the kinds of the chunks without pixels; `is_noted` says that one of them is the note that is kept.
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
    """Whether nothing follows the last chunk."""

    @property
    def is_rgb(self) -> bool:
        """Whether its pixels are 8-bit RGB, not interlaced."""
        return self.color == 2 and self.depth == 8 and not self.interlaced

    @property
    def is_bare(self) -> bool:
        """Whether it is RGB and holds nothing but pixels and possibly the note that is kept."""
        return self.is_rgb and self.is_all and len(self.others) == 2 + self.is_noted


def _read_png(image: bytes) -> Form:
    png = _read_chunks(image)
    bare = image if png.is_bare or not png.is_rgb else _drop_metadata(image, png)
    return Form("png", png.width, png.height, png.is_rgb, bare, png.is_noted)


def _read_chunks(image: bytes) -> _Png:
    """Read the structure of a PNG file. Raises PictureError if it violates the format (PNG, 5.6)."""
    if not image.startswith(_BEGIN) or len(image) < 57:
        raise PictureError(f"an image is not a PNG: it begins with {image[:8]!r}")
    width, height, depth, color, compression, filtering, interlace = _HEADER.unpack_from(image, 16)
    _check_sides(width, height)
    if depth not in DEPTHS.get(color, ()) or compression or filtering or interlace > 1:
        raise PictureError(f"an image has the unknown colour type {color} with {depth} bits")
    chunks: list[tuple[bytes, int, int]] = []
    others: list[bytes] = []
    # `stretches` counts unbroken series of IDAT chunks: the format allows one.
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
    # Checked before anything is inflated, so a small file cannot claim gigabytes of pixels.
    if data_bytes * DEFLATE_RATIO < _pixel_bytes(png):
        what = f"an image claims {width} x {height} pixels, which its {data_bytes:,} bytes of data cannot fill"
        raise PictureError(what)
    return png


def _walk(image: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, begin and end of each chunk, with head and checksum. Raises PictureError if the file is cut off."""
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
    """Return the inflated size of a PNG: each line with its filter byte before it; interlaced files have more."""
    return png.height * (1 + (png.width * png.depth * CHANNELS[png.color] + 7) // 8)


def prove_png(image: bytes) -> None:
    """Verify checksums and pixel data of a PNG file. Raises PictureError for anything that a reader may refuse."""
    png, whole = _read_chunks(image), memoryview(image)
    for kind, begin, end in png.chunks:
        if zlib.crc32(whole[begin + 4 : end - 4]) != int.from_bytes(whole[end - 4 : end]):
            raise PictureError(f"a damaged picture: the check sum of {kind!r} is wrong")
    if png.interlaced:  # its lines come in seven passes, which only the decoder checks
        return
    wanted = _pixel_bytes(png)
    # One byte more than wanted is allowed, so that data that are too long show as such without being inflated whole.
    inflate, lines, room = zlib.decompressobj(), list[bytes](), wanted + 1
    try:
        for kind, begin, end in png.chunks:
            if kind == b"IDAT" and room:
                lines.append(inflate.decompress(whole[begin + 8 : end - 4], room))
                room -= len(lines[-1])
    except zlib.error as error:
        raise PictureError(f"a damaged picture: {error}") from error
    data = b"".join(lines)
    # The slice takes the filter byte of each line, which the format limits to 0 to 4.
    if len(data) != wanted or not inflate.eof or max(data[:: wanted // png.height]) > 4:
        raise PictureError("a damaged picture: its pixel data are not those of its size")


def _drop_metadata(image: bytes, png: _Png) -> bytes:
    kept = [b"IHDR", b"IDAT", b"IEND"]
    parts = [SIGNATURE]
    for kind, begin, end in png.chunks:
        if kind in kept or (kind == b"tEXt" and png.is_noted and _is_note(image, begin, end)):
            parts.append(image[begin:end])
    return b"".join(parts)


# ── JPEG ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_FRAMES = (0xC0, 0xC1, 0xC2)
"""Baseline, extended sequential and progressive DCT with Huffman codes, which every reader knows (T.81, B.2.2)."""
_OTHER_FRAMES = frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8}
"""Frames without loss or with arithmetic codes; 0xC4 are Huffman tables, 0xC8 is reserved."""
_IN_SCAN = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""The end of compressed data: any marker but the restarts (0xD0 to 0xD7) and a stuffed zero (T.81, B.1.1.5)."""


class _Segment(NamedTuple):
    """A segment of a JPEG file: its marker, begin and end in bytes; a scan ends with its compressed data."""

    marker: int
    begin: int
    end: int

    def read_frame(self, image: bytes) -> tuple[int, int, int, int]:
        """Return width, height, bits and number of components of a frame."""
        if self.end - self.begin < 10:
            raise PictureError("a damaged picture: its frame is cut off")
        bits, height, width, components = struct.unpack_from(">BHHB", image, self.begin + 4)
        return width, height, bits, components

    def is_kept(self, image: bytes) -> bool:
        """Return whether a segment is pixels or says how to read their colours."""
        if self.marker == 0xE0:
            return image[self.begin + 4 : self.begin + 9] == b"JFIF\0" and self.end - self.begin == 18
        if self.marker == 0xEE:
            return image[self.begin + 4 : self.begin + 9] == b"Adobe" and self.end - self.begin == 16
        return not (0xE0 <= self.marker <= 0xEF or self.marker == 0xFE)


def _walk_jpeg(image: bytes) -> Iterator[_Segment]:
    """Yield the segments of a JPEG file up to its end of image; stops early where it is not put together as usual."""
    place = 2
    while place + 2 <= len(image) and image[place] == 0xFF:
        marker = image[place + 1]
        if marker == 0xD9:
            yield _Segment(marker, place, place + 2)
            return
        if marker < 0xC0 or 0xD0 <= marker <= 0xD8 or marker == 0xFF:
            return
        end = place + 2 + int.from_bytes(image[place + 2 : place + 4])
        if marker == 0xDA:
            found = _IN_SCAN.search(image, end)
            end = found.start() if found else len(image) + 1
        if end > len(image) or end < place + 4:
            return
        yield _Segment(marker, place, end)
        place = end


def _read_jpeg(image: bytes) -> Form | None:
    segments = list(_walk_jpeg(image))
    frames = [each for each in segments if each.marker in _FRAMES]
    is_whole = bool(segments) and segments[-1].marker == 0xD9 and any(each.marker == 0xDA for each in segments)
    if not is_whole or len(frames) != 1 or any(each.marker in _OTHER_FRAMES for each in segments):
        return None
    width, height, bits, components = frames[0].read_frame(image)
    kept = [each for each in segments if each.is_kept(image)]
    size = 2 + sum(each.end - each.begin for each in kept)
    bare = image if size == len(image) else image[:2] + b"".join(image[each.begin : each.end] for each in kept)
    return Form("jpeg", width, height, bits == 8 and components == 3, bare)


# ── WebP ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _read_webp(image: bytes) -> Form | None:
    end = 8 + int.from_bytes(image[4:8], "little")
    if end > len(image):
        return None
    chunks: list[tuple[bytes, int, int]] = []  # kind, begin, end without the byte that fills up to an even length
    place = 12
    while place + 8 <= end:
        stop = place + 8 + int.from_bytes(image[place + 4 : place + 8], "little")
        if stop > end:
            return None
        chunks.append((image[place : place + 4], place, stop))
        place = stop + stop % 2
    pictures = [chunk for chunk in chunks if chunk[0] in (b"VP8 ", b"VP8L")]
    if len(pictures) != 1 or any(kind in (b"ALPH", b"ANIM", b"ANMF") for kind, _, _ in chunks):
        return None
    kind, begin, stop = pictures[0]
    head = image[begin + 8 : begin + 18]
    if kind == b"VP8 ":  # three bytes of flags, a start code, then 14 bits each (RFC 6386, 9.1)
        if len(head) < 10 or head[3:6] != b"\x9d\x01\x2a":
            return None
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", head, 6))
        has_alpha = False
    else:  # a signature, then 14 bits each less one, then whether alpha is used (RFC 9649, 3.4)
        if len(head) < 5 or head[0] != 0x2F:
            return None
        bits = int.from_bytes(head[1:5], "little")
        width, height, has_alpha = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1)
    body = image[begin:stop] + bytes(stop % 2)
    bare = b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WEBP" + body
    return Form("webp", width, height, not has_alpha, image if bare == image else bare)
