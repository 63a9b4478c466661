"""How wide and how high the picture of a sample is, so that boxes in thousandths can be told apart across and down.

The sides stand in the picture itself: a PNG says them in its first 24 bytes, which costs nothing to read. A plan
without a picture takes the `image_size` that the backend was asked for, and is square where nobody said one.
"""

from __future__ import annotations

import re
import struct

from datagen.records import Sample
from datagen.rewards._relations import SQUARE, Sides

_SIZE = re.compile(r"([1-9]\d*)x([1-9]\d*)")
_HEAD = struct.Struct(">8s4x4sII")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_sides(image: bytes) -> Sides | None:
    """Return the sides of a PNG in pixels, or None for bytes that do not begin as one."""
    if len(image) < _HEAD.size:
        return None
    signature, kind, width, height = _HEAD.unpack_from(image)
    return (width, height) if signature == _SIGNATURE and kind == b"IHDR" and width and height else None


def sides_of(sample: Sample) -> Sides:
    """Return the sides of a sample's last image in pixels; of a plan without one, those that were asked for."""
    if (image := sample.image) is not None:
        return read_sides(image) or SQUARE
    asked = _SIZE.fullmatch(str(sample.settings.get("image_size", "")))
    return (int(asked[1]), int(asked[2])) if asked else SQUARE
