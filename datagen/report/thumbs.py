"""Thumbnails within a byte budget, and the full pictures beside a page.

A thumbnail is a WebP with a longer side of at most `THUMB_PX`, smaller where that exceeds the budget. A picture that is
small enough itself is used unchanged. Full pictures are exact copies of those of the run, in files named by their hash.
"""

from __future__ import annotations

import base64
import io
import os
import re
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from datagen.picture_files import PictureError
from datagen.pictures import hash_image, read_header, shrink

THUMB_PX = 384
"""Longer side of a thumbnail at most, in pixels."""
EDGES = (384, 320, 256, 192, 160, 128, 112, 96, 80, 64, 48, 32, 16)
"""Longer sides to try, in pixels, the largest first."""
FINE_PX = 192
"""Thumbnails with at least this longer side have WebP quality 80, smaller ones 60."""
BYTES_A_PIXEL = 0.09
"""Bytes a pixel of a smooth picture in WebP: a side that exceeds the budget even so is not tried."""
KINDS = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp", "GIF": "gif"}
"""Formats that browsers show: their MIME subtypes by Pillow's names."""
_OWN = re.compile(r"[0-9a-f]{32}\.(png|jpeg|webp|gif)|\.[0-9a-f]{32}\..*\.part")


@dataclass(frozen=True, slots=True)
class Thumb:
    """A thumbnail as a data URL, and format, width and height of its picture.

    `is_whole` says that it is the picture itself. The URL is empty for bytes that are not a picture.
    """

    url: str = ""
    kind: str = ""
    width_px: int = 0
    height_px: int = 0
    is_whole: bool = False


def make_thumb(image: bytes, most_bytes: int) -> Thumb:
    """Return a thumbnail of at most `most_bytes` before base64; if nothing fits, one of 16 pixels."""
    try:
        name, width, height = read_header(image)
        kind = KINDS.get(name, "")
        if kind and len(image) <= most_bytes and max(width, height) <= THUMB_PX:
            return Thumb(_to_url(kind, image), kind, width, height, True)
        start = next((edge for edge in EDGES if edge * edge * BYTES_A_PIXEL <= most_bytes), EDGES[-1])
        picture = shrink(image, start)
    except PictureError:
        return Thumb()
    data = b""
    for edge in [max(picture.size), *(edge for edge in EDGES if edge < max(picture.size))]:
        picture.thumbnail((edge, edge))
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=80 if edge >= FINE_PX else 60, method=2)
        data = buffer.getvalue()
        if len(data) <= most_bytes:
            break
    return Thumb(_to_url("webp", data), kind, width, height)


def _to_url(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


@dataclass(slots=True)
class PictureFolder:
    """The folder of full pictures beside a page; files are named by their hash, so equal pictures share one."""

    path: Path
    kept: set[str] = field(default_factory=set)

    def put(self, image: bytes, kind: str) -> str:
        """Store a picture and return the name of its file; may be called from several threads."""
        name = f"{hash_image(image)[:32]}.{kind}"
        path = self.path / name
        if not path.exists() or path.stat().st_size != len(image):
            self.path.mkdir(parents=True, exist_ok=True)
            partial = self.path / f".{name}.{os.getpid()}-{threading.get_ident()}.part"
            try:
                partial.write_bytes(image)
                partial.replace(path)
            finally:
                with suppress(OSError):
                    partial.unlink()
        self.kept.add(name)
        return name

    def sweep(self) -> None:
        """Delete the pictures of earlier pages; other files in the folder stay."""
        if self.path.is_dir():
            for path in self.path.iterdir():
                if path.name not in self.kept and _OWN.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                self.path.rmdir()
