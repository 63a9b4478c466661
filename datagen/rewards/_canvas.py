"""Draws a planned layout as labelled boxes on a white canvas, so that a judge that looks can say whether it fits.

The idea is GoT-R1's (arXiv 2505.17022): a model that reads coordinates badly sees boxes well. All ink is black, so that
no judge takes the colour of a line for that of a thing. Not covered: labels in letters that Pillow's own font lacks (it
has Latin ones).
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from datagen.rewards._layout import Planned
from datagen.rewards._relations import SQUARE, Sides, shared_area, to_pixels

CANVAS_PX = 512
"""Pixels of the longer side."""
_LEAST_PX = 64
_LINE_PX, _FONT_PX, _GAP_PX = 3, 18, 4
_Box = tuple[float, float, float, float]


def draw_layout(things: Sequence[Planned], sides: Sides = SQUARE) -> bytes:
    """Return a PNG of the boxes with their phrases; the same things give the same bytes.

    The canvas has the shape of a picture with these `sides`, so that a judge sees what is planned undistorted; its
    longer side is `CANVAS_PX`. Every box must be one (`Layout.placed`). Labels stand inside the canvas, from the upper
    left corner of their box downwards to where no other label is.
    """
    from PIL import Image, ImageDraw, ImageFont

    width_px, height_px = (max(_LEAST_PX, round(CANVAS_PX * side / max(sides))) for side in sides)
    image = Image.new("RGB", (width_px, height_px), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=_FONT_PX)
    corners = [to_pixels(thing.box, (width_px - 1, height_px - 1)) for thing in things]
    for box in corners:
        draw.rectangle(box, outline="black", width=_LINE_PX)
    taken: list[_Box] = []
    for thing, (left, top, *_) in zip(things, corners, strict=True):
        label = " ".join(thing.phrase.split())
        place = _find_place(draw.textlength(label, font=font), left, top, taken, (width_px, height_px))
        draw.rectangle(place, fill="white")
        draw.text(place[:2], label, font=font, fill="black")
        taken.append(place)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _find_place(
    width: float, left: float, top: float, taken: Sequence[_Box], canvas: tuple[int, int] = (CANVAS_PX, CANVAS_PX)
) -> _Box:
    """Return where a label of a width goes: inside the corner of its box, or below until it covers no other label."""
    height = _FONT_PX + _GAP_PX
    lowest = canvas[1] - height
    left = max(0.0, min(left + _LINE_PX + _GAP_PX, canvas[0] - width - _GAP_PX))
    top = min(top + _LINE_PX, lowest)
    while top < lowest and any(shared_area((left, top, left + width, top + height), other) for other in taken):
        top = min(top + height / 2, lowest)
    return left, top, left + width, top + height
