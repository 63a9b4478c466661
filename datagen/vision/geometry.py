"""Geometry of boxes: their relative positions by the rule of GenEval (arXiv 2310.11513), and their overlap.

Source: `evaluation/evaluate_images.py` of github.com/djghosh13/geneval at af4902f (MIT), a new implementation of its
definition. Boxes are (x1, y1, x2, y2), y downwards, in thousandths of the sides of their picture. The rule compares
horizontal with vertical offsets, so it needs the picture's sides: a thousandth of 1280 px is not one of 720.

The sides of a sample come from its picture: its file has them near the begin, where they are cheap to read. A plan
without a picture takes the `image_size` requested from the backend, and is square without one.
"""

from __future__ import annotations

import math
import re

from datagen.picture_files import PictureError, read_size
from datagen.records import Sample

Box = tuple[float, float, float, float]
Sides = tuple[float, float]
"""Width and height of a picture, in pixels or in any unit that both share."""

RELATIONS = ("left of", "right of", "above", "below")
"""The four relations of the rule."""
SLACK = 0.1
"""Share of the summed widths (or heights) that is subtracted from the offset of two centres."""
LEAST_SHARE = 0.5
"""A relation holds if the remaining offset on its axis is more than this share of the whole offset."""
THOUSAND = 1000
"""Sides of a picture in the unit of boxes."""
SQUARE: Sides = (THOUSAND, THOUSAND)
"""Sides of an unknown picture."""


def to_pixels(box: Box, sides: Sides) -> Box:
    """Convert a box from thousandths to the unit of the picture's sides."""
    width, height = sides
    x1, y1, x2, y2 = box
    return x1 * width / THOUSAND, y1 * height / THOUSAND, x2 * width / THOUSAND, y2 * height / THOUSAND


def find_relations(box: Box, other: Box, sides: Sides = SQUARE) -> frozenset[str]:
    """Return every relation of `box` to `other`: none, one, or two on a diagonal.

    The offset of the centres in pixels is shortened on each axis by `SLACK` times the summed sides, never past 0, and
    divided by the length of the full offset; below -0.5 it is left of / above, over 0.5 right of / below.
    """
    if sides != SQUARE:
        box, other = to_pixels(box, sides), to_pixels(other, sides)
    ax1, ay1, ax2, ay2 = box
    bx1, by1, bx2, by2 = other
    # The same order of operations as the source, so that offsets of exactly half the length round to the same side.
    offset_x = (ax1 + ax2) / 2 - (bx1 + bx2) / 2
    offset_y = (ay1 + ay2) / 2 - (by1 + by2) / 2
    length = math.sqrt(offset_x * offset_x + offset_y * offset_y)
    if length == 0:
        return frozenset()
    held = []
    if (abs(offset_x) - SLACK * ((ax2 - ax1) + (bx2 - bx1))) / length > LEAST_SHARE:
        held.append("left of" if offset_x < 0 else "right of")
    if (abs(offset_y) - SLACK * ((ay2 - ay1) + (by2 - by1))) / length > LEAST_SHARE:
        held.append("above" if offset_y < 0 else "below")
    return frozenset(held)


def measure_overlap(box: Box, other: Box) -> float:
    """Return the intersection over union of two boxes, in [0, 1]; 0 for boxes without area.

    The sides of the picture do not matter, since they scale all areas equally.
    """
    shared = shared_area(box, other)
    return shared / (_area(box) + _area(other) - shared) if shared else 0.0


def shared_area(box: Box, other: Box) -> float:
    """Return the area that two boxes share; boxes that only touch share none."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return width * height if width > 0 and height > 0 else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


_SIZE = re.compile(r"([1-9]\d*)x([1-9]\d*)")


def read_sides(image: bytes) -> Sides | None:
    """Return the sides of a stored picture in pixels, or None if the bytes do not begin like one."""
    try:
        width, height = read_size(image)
    except PictureError:
        return None
    return (width, height) if width and height else None


def sides_of(sample: Sample) -> Sides:
    """Return the sides of a sample's last image in pixels; without an image, the requested ones."""
    if (image := sample.image) is not None:
        return read_sides(image) or SQUARE
    asked = _SIZE.fullmatch(str(sample.settings.get("image_size", "")))
    return (int(asked[1]), int(asked[2])) if asked else SQUARE
