"""Thumbnails that fit a number of bytes, and the full pictures beside a page.

A thumbnail is a WebP with a longer side of at most `THUMB_PX`, smaller where it would not fit. A picture that is small
enough by itself stays as it is. Full pictures are byte for byte those of the run, in files named by their hash.
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

from datagen.pictures import PictureError, hash_image, read_header, shrink

THUMB_PX = 384
"""The longer side of a thumbnail at most."""
EDGES = (384, 320, 256, 192, 160, 128, 112, 96, 80, 64, 48, 32, 16)
"""The longer sides that are tried, in pixels."""
FINE_PX = 192
"""From this side on a thumbnail has quality 80, below 60: there the pixels are few, not fine."""
BYTES_A_PIXEL = 0.09
"""What a smooth picture takes as WebP of these qualities, at least; larger sides need not be tried."""
KINDS = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp", "GIF": "gif"}
"""What browsers show, by Pillow's names."""
_OWN = re.compile(r"[0-9a-f]{32}\.(png|jpeg|webp|gif)|\.[0-9a-f]{32}\..*\.part")


@dataclass(frozen=True, slots=True)
class Thumb:
    """A thumbnail as a data URL, with kind, width and height of its picture; `is_whole`: it is the picture itself.

    The URL is empty for bytes that are no picture.
    """

    url: str = ""
    kind: str = ""
    width_px: int = 0
    height_px: int = 0
    is_whole: bool = False


def make_thumb(image: bytes, most_bytes: int) -> Thumb:
    """Return a thumbnail of at most so many bytes, before base64; of 16 pixels where nothing larger fits."""
    try:
        name, width, height = read_header(image)
        kind = KINDS.get(name, "")
        if kind and len(image) <= most_bytes and max(width, height) <= THUMB_PX:
            return Thumb(_to_url(kind, image), kind, width, height, True)
        start = next((edge for edge in EDGES if edge * edge * BYTES_A_PIXEL <= most_bytes), EDGES[-1])
        picture = shrink(image, start)
    except PictureError:
        return Thumb()
    edge, data = start, b""
    for edge in EDGES[EDGES.index(start) :]:
        if edge < max(picture.size):
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
    """Full pictures in a folder beside a page, named by their hash: the same picture is one file."""

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
        """Delete the pictures of earlier pages; whatever else a person put there stays."""
        if self.path.is_dir():
            for path in self.path.iterdir():
                if path.name not in self.kept and _OWN.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                self.path.rmdir()
