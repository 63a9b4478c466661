"""The world of flat pictograms and block letters that the embedded model generates and its detector reads.

It defines what both sides share: the names of shapes, the ten GenEval colours, the backgrounds, the 6 x 6 cell canvas
and the rendering of a true scene. The model was trained on `render_scene`; the detector compares its findings with
`shape_mask`. Nothing here places objects for the model. The gallery of `datagen build` shows such pictures.

Not covered: perspective, overlap, shading, lower-case letters, more than one word a picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

from datagen.pictures import read_image

GRID = 6
"""Side of the canvas in cells."""
CELL_PX = 16
"""Side of a cell in pixels."""
IMAGE_PX = GRID * CELL_PX
"""Side of the canvas in pixels (96)."""
MARGIN_PX = 2
"""Empty pixels between a pictogram and the border of its box."""

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (222, 36, 44),
    "orange": (250, 140, 24),
    "yellow": (250, 222, 40),
    "green": (28, 148, 62),
    "blue": (34, 84, 216),
    "purple": (128, 48, 176),
    "pink": (255, 128, 184),
    "brown": (126, 74, 34),
    "black": (16, 16, 20),
    "white": (255, 255, 255),
}
"""The ten colours of GenEval (arXiv 2310.11513) as 8-bit RGB."""

BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "gray": (176, 180, 184),
    "sand": (208, 196, 164),
    "sky": (164, 200, 220),
    "mint": (168, 208, 184),
    "lilac": (190, 178, 212),
    "slate": (96, 112, 128),
}
"""Background tones as 8-bit RGB; each is at least 60 away (Euclidean) from all ten colours."""

_SUPERSAMPLE = 8


@dataclass(frozen=True, slots=True)
class Item:
    """One object in a scene: a pictogram, or a word.

    `kind` is a name in `SHAPES`, or `"text"` with the letters in `word`. The box is in cells, `0 <= x1 < x2 <= GRID`, y
    downwards.
    """

    kind: str
    color: str
    x1: int
    y1: int
    x2: int
    y2: int
    word: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A pictogram at any position and size, complete or broken, for training detectors; true scenes have none.

    Its square, without margin, is `side_px` pixels wide and begins at (`x_px`, `y_px`), which may lie off the canvas.
    `left` is the share of its ink that remains; `other` is the colour of the second half of its ink, if it has one.
    Both count from the side that `turn` names: 0 top, 1 left, 2 bottom, 3 right.
    """

    kind: str
    color: str
    x_px: int
    y_px: int
    side_px: int
    left: float = 1.0
    other: str = ""
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """A background, items on it without overlap, and marks rendered over them, which true scenes do not have."""

    background: str
    items: tuple[Item, ...]
    marks: tuple[Mark, ...] = ()


def _polygon(draw: ImageDraw.ImageDraw, size: int, points: list[tuple[float, float]], fill: int = 255) -> None:
    draw.polygon([(x * size, y * size) for x, y in points], fill=fill)


def _ellipse(draw: ImageDraw.ImageDraw, size: int, x1: float, y1: float, x2: float, y2: float, fill: int = 255) -> None:
    draw.ellipse((x1 * size, y1 * size, x2 * size, y2 * size), fill=fill)


def _rectangle(
    draw: ImageDraw.ImageDraw, size: int, x1: float, y1: float, x2: float, y2: float, fill: int = 255
) -> None:
    draw.rectangle((x1 * size, y1 * size, x2 * size, y2 * size), fill=fill)


def _draw_star(draw: ImageDraw.ImageDraw, size: int) -> None:
    points = []
    for k in range(10):
        radius = 0.54 if k % 2 == 0 else 0.23
        angle = math.pi * k / 5 - math.pi / 2
        points.append((0.5 + radius * math.cos(angle), 0.54 + radius * math.sin(angle)))
    _polygon(draw, size, points)


def _draw_heart(draw: ImageDraw.ImageDraw, size: int) -> None:
    _ellipse(draw, size, 0.0, 0.06, 0.54, 0.6)
    _ellipse(draw, size, 0.46, 0.06, 1.0, 0.6)
    _polygon(draw, size, [(0.04, 0.45), (0.5, 0.3), (0.96, 0.45), (0.5, 1.0)])


def _draw_moon(draw: ImageDraw.ImageDraw, size: int) -> None:
    _ellipse(draw, size, 0.05, 0.0, 1.05, 1.0)
    _ellipse(draw, size, 0.4, -0.08, 1.3, 0.82, fill=0)


def _draw_house(draw: ImageDraw.ImageDraw, size: int) -> None:
    _polygon(draw, size, [(0.0, 0.48), (0.5, 0.0), (1.0, 0.48)])
    _rectangle(draw, size, 0.12, 0.44, 0.88, 1.0)
    _rectangle(draw, size, 0.4, 0.62, 0.62, 1.0, fill=0)


def _draw_tree(draw: ImageDraw.ImageDraw, size: int) -> None:
    _polygon(draw, size, [(0.5, 0.0), (0.86, 0.42), (0.14, 0.42)])
    _polygon(draw, size, [(0.5, 0.2), (1.0, 0.8), (0.0, 0.8)])
    _rectangle(draw, size, 0.4, 0.78, 0.6, 1.0)


def _draw_fish(draw: ImageDraw.ImageDraw, size: int) -> None:
    _ellipse(draw, size, 0.0, 0.2, 0.76, 0.8)
    _polygon(draw, size, [(0.6, 0.5), (1.0, 0.16), (1.0, 0.84)])
    _ellipse(draw, size, 0.14, 0.38, 0.26, 0.5, fill=0)


def _draw_cup(draw: ImageDraw.ImageDraw, size: int) -> None:
    _ellipse(draw, size, 0.54, 0.28, 1.0, 0.74)
    _ellipse(draw, size, 0.66, 0.4, 0.88, 0.62, fill=0)
    _polygon(draw, size, [(0.0, 0.12), (0.74, 0.12), (0.66, 0.92), (0.08, 0.92)])


def _draw_key(draw: ImageDraw.ImageDraw, size: int) -> None:
    _ellipse(draw, size, 0.24, 0.0, 0.76, 0.5)
    _ellipse(draw, size, 0.39, 0.14, 0.61, 0.36, fill=0)
    _rectangle(draw, size, 0.42, 0.44, 0.58, 1.0)
    _rectangle(draw, size, 0.56, 0.64, 0.82, 0.76)
    _rectangle(draw, size, 0.56, 0.86, 0.82, 1.0)


def _draw_bell(draw: ImageDraw.ImageDraw, size: int) -> None:
    _ellipse(draw, size, 0.2, 0.04, 0.8, 0.64)
    _polygon(draw, size, [(0.2, 0.34), (0.8, 0.34), (0.86, 0.66), (1.0, 0.8), (0.0, 0.8), (0.14, 0.66)])
    _ellipse(draw, size, 0.38, 0.74, 0.62, 1.0)


def _draw_umbrella(draw: ImageDraw.ImageDraw, size: int) -> None:
    draw.pieslice((0, 0.04 * size, size, 1.04 * size), 180, 360, fill=255)
    _rectangle(draw, size, 0.45, 0.5, 0.56, 0.94)
    _rectangle(draw, size, 0.45, 0.86, 0.76, 1.0)
    _rectangle(draw, size, 0.66, 0.74, 0.76, 0.9)


def _draw_bottle(draw: ImageDraw.ImageDraw, size: int) -> None:
    _rectangle(draw, size, 0.4, 0.0, 0.6, 0.36)
    _polygon(draw, size, [(0.4, 0.26), (0.6, 0.26), (0.76, 0.46), (0.24, 0.46)])
    _rectangle(draw, size, 0.24, 0.46, 0.76, 1.0)


def _draw_car(draw: ImageDraw.ImageDraw, size: int) -> None:
    _polygon(draw, size, [(0.16, 0.5), (0.32, 0.2), (0.7, 0.2), (0.86, 0.5)])
    _rectangle(draw, size, 0.0, 0.46, 1.0, 0.74)
    _ellipse(draw, size, 0.1, 0.58, 0.38, 0.88)
    _ellipse(draw, size, 0.62, 0.58, 0.9, 0.88)
    _rectangle(draw, size, 0.38, 0.28, 0.62, 0.46, fill=0)


SHAPES: dict[str, Callable[[ImageDraw.ImageDraw, int], None]] = {
    "star": _draw_star,
    "heart": _draw_heart,
    "moon": _draw_moon,
    "house": _draw_house,
    "tree": _draw_tree,
    "fish": _draw_fish,
    "cup": _draw_cup,
    "key": _draw_key,
    "bell": _draw_bell,
    "umbrella": _draw_umbrella,
    "bottle": _draw_bottle,
    "car": _draw_car,
}
"""Name of each pictogram to the function that renders it white on black into a unit square."""


def shape_mask(kind: str, size_px: int) -> np.ndarray:
    """Return the coverage of each pixel by a pictogram.

    Shape (size_px, size_px), float32 in [0, 1]. Raises KeyError for an unknown kind.
    """
    return _remember_shape(kind, size_px) if size_px <= IMAGE_PX else _draw_shape(kind, size_px, 2)


@lru_cache(maxsize=1024)
def _remember_shape(kind: str, size_px: int) -> np.ndarray:
    return _draw_shape(kind, size_px, _SUPERSAMPLE)


def _draw_shape(kind: str, size_px: int, supersample: int) -> np.ndarray:
    big = size_px * supersample
    image = Image.new("L", (big, big), 0)
    SHAPES[kind](ImageDraw.Draw(image), big)
    small = image.resize((size_px, size_px), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / 255.0


@lru_cache(maxsize=256)
def letter_mask(letter: str, width_px: int = CELL_PX, height_px: int = 2 * CELL_PX, scale: int = 1) -> np.ndarray:
    """Return the coverage of each pixel by a block letter that fills its cell, with a margin at each side.

    Shape (height_px, width_px), float32 in [0, 1]; `scale` multiplies the margins. The glyph is from the font that
    Pillow ships (Aileron, CC0), thickened so that it survives small sizes.
    """
    fine = -(-scale // 4)  # so that the glyph is never enlarged
    font = ImageFont.load_default(size=160 * fine)
    image = Image.new("L", (320 * fine, 320 * fine), 0)
    middle, stroke = (160 * fine, 160 * fine), 5 * fine
    ImageDraw.Draw(image).text(middle, letter, font=font, fill=255, anchor="mm", stroke_width=stroke, stroke_fill=255)
    box = image.getbbox()
    assert box is not None
    glyph = image.crop(box)
    inner_w, inner_h = width_px - 3 * scale, height_px - 6 * scale
    if letter == "I":  # stretched to the full width it would be a square
        inner_w = 5 * scale
    glyph = glyph.resize((inner_w, inner_h), Image.Resampling.LANCZOS)
    canvas = Image.new("L", (width_px, height_px), 0)
    canvas.paste(glyph, ((width_px - inner_w) // scale // 2 * scale, 3 * scale))
    return np.asarray(ImageChops.lighter(canvas, canvas), dtype=np.float32) / 255.0


def _item_mask(item: Item, cell_px: int) -> np.ndarray:
    scale = cell_px // CELL_PX
    width, height = (item.x2 - item.x1) * cell_px, (item.y2 - item.y1) * cell_px
    if item.kind == "text":
        letter_px = width // len(item.word)
        return np.concatenate([letter_mask(letter, letter_px, height, scale) for letter in item.word], axis=1)
    margin = MARGIN_PX * scale
    return np.pad(shape_mask(item.kind, width - 2 * margin), margin)


def mark_mask(mark: Mark) -> np.ndarray:
    """Return the coverage of each pixel of a mark's square, (side_px, side_px) float32 in [0, 1]."""
    mask = shape_mask(mark.kind, mark.side_px)
    return mask if mark.left >= 1 else mask * _first_share(mask, mark.left, mark.turn)


def _first_share(mask: np.ndarray, share: float, turn: int) -> np.ndarray:
    """Return a mask: 1 in the rows (or columns) that hold the first `share` of the ink of a mask, else 0."""
    turned = np.rot90(mask, -turn)
    rows = turned.sum(1)
    first = (np.cumsum(rows) - rows / 2 < share * rows.sum()).astype(np.float32)
    return np.rot90(np.repeat(first[:, None], len(mask), axis=1), turn)


def _render_mark(canvas: np.ndarray, mark: Mark) -> None:
    """Render a mark onto a canvas (side, side, 3) float32, clipped to the canvas."""
    mask = mark_mask(mark)
    tone = np.empty((*mask.shape, 3), np.float32)
    tone[:] = COLORS[mark.color]
    if mark.other:
        second = _first_share(mask, 0.5, mark.turn) == 0
        tone[second] = COLORS[mark.other]
    top, left = max(0, mark.y_px), max(0, mark.x_px)
    bottom, right = min(len(canvas), mark.y_px + mark.side_px), min(len(canvas), mark.x_px + mark.side_px)
    if top < bottom and left < right:
        inside = slice(top - mark.y_px, bottom - mark.y_px), slice(left - mark.x_px, right - mark.x_px)
        view = canvas[top:bottom, left:right]
        view += mask[inside][..., None] * (tone[inside] - view)


def render_scene(scene: Scene, scale: int = 1) -> np.ndarray:
    """Render a scene, `scale` times as large as its canvas: (IMAGE_PX * scale, IMAGE_PX * scale, 3) uint8 RGB."""
    cell_px = CELL_PX * scale
    canvas = np.empty((IMAGE_PX * scale, IMAGE_PX * scale, 3), dtype=np.float32)
    canvas[:] = BACKGROUNDS[scene.background]
    for item in scene.items:
        mask = _item_mask(item, cell_px)[..., None]
        view = canvas[item.y1 * cell_px : item.y2 * cell_px, item.x1 * cell_px : item.x2 * cell_px]
        view += mask * (np.asarray(COLORS[item.color], dtype=np.float32) - view)  # alpha blending, in place
    for mark in scene.marks:
        x, y, side = mark.x_px * scale, mark.y_px * scale, mark.side_px * scale
        _render_mark(canvas, replace(mark, x_px=x, y_px=y, side_px=side))
    return np.round(canvas).astype(np.uint8)


def read_canvas(image: bytes) -> np.ndarray:
    """Decode a picture of any size and resize it to the canvas (IMAGE_PX, IMAGE_PX, 3) uint8 RGB. Raises OSError."""
    # The gap makes the resizing of pictures of 576 px and more several times faster; smaller ones stay as they were.
    return np.array(read_image(image).resize((IMAGE_PX, IMAGE_PX), Image.Resampling.BICUBIC, reducing_gap=3.0))
