"""What the learned detector is shown: true scenes, pieces of them, impostors, and pictures of nothing, all spoiled.

A picture is a true scene in which, more often than not, rectangles of cells come from another one, as when a model
draws the wrong tokens. A thing is there if the picture still shows it: if what has changed in its box is less than
`WHOLE` of its own ink (both as sums of absolute differences of pixels). From `BROKEN` on it is not there; what lies
between is open to dispute and taught as neither. Then whole pictures are spoiled: some pass through the image
tokenizer, which redraws each cell from its token, and all get blur, noise, other brightness and stains.

Not covered: things that stand off the grid of cells; two colours in one thing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from datagen.backends.embedded.codec import ImageCodec
from datagen.backends.embedded.world import lay_out, random_scene
from datagen.pictograms import BACKGROUNDS, CELL_PX, COLORS, GRID, IMAGE_PX, SHAPES, Scene, draw_scene
from datagen.records import Claim
from datagen.rewards.detectors._cells import STARTS, TONES, Start

WHOLE, BROKEN = 0.1, 0.3
"""Change of a thing, relative to its ink, below which it is there and from which it is not."""
IGNORED = -100
"""Label of a cell that takes no part in the loss."""
_FOREIGN = 0.06
"""Share of pictures with no thing of this world in them."""
_SPLICED = 0.6
"""Share of pictures in which cells come from another one."""
_REDRAWN = 0.3
"""Share of pictures that pass through the image tokenizer."""
_NUMBERS = {start: number for number, start in enumerate(STARTS)}


@dataclass(frozen=True, slots=True)
class _Piece:
    """A thing or a letter where it begins: its class, its colour, its first cell."""

    start: Start
    color: str
    x: int
    y: int


def make_batch(seed: int, step: int, size: int, codec: ImageCodec) -> tuple[Tensor, Tensor, Tensor]:
    """Return batch number `step`: pictures (size, 96, 96, 3) in [-1, 1], starts and tones (size, 36) int64.

    A pure function of its arguments. Tones are known where something starts, else `IGNORED`.
    """
    rng, noise = random.Random(f"{seed}/{step}"), np.random.default_rng([seed, step])
    # Neighbours in this order mostly share a background, and each is spliced with its neighbour.
    scenes = sorted((_draw_scene(rng) for _ in range(size)), key=lambda scene: scene.background)
    pictures = np.stack([_draw(scene, rng) for scene in scenes])
    others = np.roll(pictures, 1, axis=0)
    mixed = np.where(_choose_cells(size, rng), others, pictures)
    starts = np.zeros((size, GRID, GRID), np.int64)
    tones = np.full((size, GRID, GRID), IGNORED, np.int64)
    for shift, own in ((0, pictures), (1, others)):
        changed = _sum_cells(np.abs(mixed - own))
        plain = np.stack([BACKGROUNDS[scene.background] for scene in scenes]).astype(np.float32)
        ink = _sum_cells(np.abs(own - np.roll(plain, shift, axis=0)[:, None, None]))
        for k in range(size):
            _label(_pieces(scenes[k - shift]), changed[k], ink[k], starts[k], tones[k])
    spoiled = _spoil(_redraw(torch.from_numpy(mixed), codec, rng), noise)
    return spoiled, torch.from_numpy(starts).flatten(1), torch.from_numpy(tones).flatten(1)


def _draw_scene(rng: random.Random) -> Scene:
    """Return a crowded scene, one as prompts ask for, or one with nothing in it."""
    if rng.random() < _FOREIGN:
        return Scene(rng.choice(list(BACKGROUNDS)), ())
    if rng.random() < 0.5:
        return random_scene(rng)
    if rng.random() < 0.2:
        word = "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(1, GRID)))
        return lay_out([Claim("text", "", "", word)], rng)
    kinds = rng.sample(list(SHAPES), rng.choice((1, 1, 2)))
    return lay_out([Claim("count", kind, "", rng.randint(1, 6 // len(kinds) - 1)) for kind in kinds], rng)


def _draw(scene: Scene, rng: random.Random) -> np.ndarray:
    """Return the picture (96, 96, 3) float32, 0..255; a scene of nothing may get blots, or be mere noise."""
    if scene.items:
        return draw_scene(scene).astype(np.float32)
    picture = Image.fromarray(draw_scene(scene))
    kind = rng.random()
    if kind < 0.1:
        cells = np.random.default_rng(rng.getrandbits(32)).uniform(0, 255, (GRID, GRID, 3)).astype(np.float32)
        return cells.repeat(CELL_PX, 0).repeat(CELL_PX, 1)
    if kind < 0.2:
        return np.random.default_rng(rng.getrandbits(32)).uniform(0, 255, (IMAGE_PX, IMAGE_PX, 3)).astype(np.float32)
    for _ in range(rng.choice((0, 1, 2, 3, 4))):
        _blot(ImageDraw.Draw(picture), rng)
    return np.asarray(picture, np.float32)


def _blot(draw: ImageDraw.ImageDraw, rng: random.Random) -> None:
    """Draw an ellipse, a rectangle (either may be hollow) or a polygon of random corners, in one of the ten colours."""
    side = rng.randint(14, 46)
    x, y = rng.randint(0, IMAGE_PX - side), rng.randint(0, IMAGE_PX - side)
    tone = rng.choice(list(COLORS.values()))
    corners = [(x + rng.randint(0, side), y + rng.randint(0, side)) for _ in range(rng.randint(3, 7))]
    box = (x, y, x + side, y + rng.randint(6, side))
    hollow = {"fill": None, "outline": tone, "width": rng.randint(3, 8)} if rng.random() < 0.3 else {"fill": tone}
    shape = rng.choice(("ellipse", "rectangle", "polygon"))
    if shape == "polygon":
        draw.polygon(corners, fill=tone)
    else:
        getattr(draw, shape)(box, **hollow)


def _choose_cells(size: int, rng: random.Random) -> np.ndarray:
    """Return which pixels (size, 96, 96, 1) bool come from the other picture: up to three rectangles of cells."""
    cells = np.zeros((size, GRID, GRID), bool)
    for chosen in cells:
        for _ in range(rng.randint(1, 3) if rng.random() < _SPLICED else 0):
            width, height = rng.randint(1, 3), rng.randint(1, 3)
            x, y = rng.randint(0, GRID - width), rng.randint(0, GRID - height)
            chosen[y : y + height, x : x + width] = True
    return cells.repeat(CELL_PX, 1).repeat(CELL_PX, 2)[..., None]


def _sum_cells(pictures: np.ndarray) -> np.ndarray:
    """Sum the values of each cell: (B, 96, 96, 3) to (B, GRID, GRID)."""
    sums: np.ndarray = pictures.reshape(-1, GRID, CELL_PX, GRID, CELL_PX * 3).sum((2, 4))
    return sums


def _pieces(scene: Scene) -> Iterator[_Piece]:
    for item in scene.items:
        if not item.word:
            yield _Piece((item.kind, item.x2 - item.x1, item.y2 - item.y1), item.color, item.x1, item.y1)
        for k, letter in enumerate(item.word):
            yield _Piece((letter, 1, 2), item.color, item.x1 + k, item.y1)


def _label(
    pieces: Iterator[_Piece], changed: np.ndarray, ink: np.ndarray, starts: np.ndarray, tones: np.ndarray
) -> None:
    """Write into (GRID, GRID) labels what of a scene is there; `changed` and `ink` are sums of each cell."""
    for piece in pieces:
        _, width, height = piece.start
        box = slice(piece.y, piece.y + height), slice(piece.x, piece.x + width)
        change = changed[box].sum() / ink[box].sum()
        if change < WHOLE:
            starts[piece.y, piece.x], tones[piece.y, piece.x] = _NUMBERS[piece.start], TONES.index(piece.color)
        elif change < BROKEN and tones[piece.y, piece.x] == IGNORED:
            starts[piece.y, piece.x] = IGNORED


def _redraw(pictures: Tensor, codec: ImageCodec, rng: random.Random) -> Tensor:
    """Pass a share of the pictures (B, 96, 96, 3), 0..255, through the image tokenizer."""
    chosen = [k for k in range(len(pictures)) if rng.random() < _REDRAWN]
    if not chosen:
        return pictures
    with torch.no_grad():
        pictures[chosen] = codec.decode(codec.encode(pictures[chosen] / 127.5 - 1)).float()
    return pictures


def _spoil(pictures: Tensor, noise: np.random.Generator) -> Tensor:
    """Blur, shift, stain, tint and dust pictures (B, 96, 96, 3), 0..255, each in its own measure; to [-1, 1]."""
    size = len(pictures)

    def draw(low: float, high: float, shape: Sequence[int] = (1, 1, 1)) -> Tensor:
        return torch.from_numpy(noise.uniform(low, high, (size, *shape)).astype(np.float32))

    dust = torch.from_numpy(noise.standard_normal(pictures.shape, np.float32))
    pictures = pictures + draw(0, 1) * (_blur(pictures) - pictures)
    across, down = noise.integers(-1, 2, 2).tolist()
    pictures = pictures.roll((down, across), (1, 2))
    stains = draw(-15, 15, (GRID, GRID, 3)).repeat_interleave(CELL_PX, 1).repeat_interleave(CELL_PX, 2)
    pictures = pictures * draw(0.9, 1.1) + draw(-15, 15, (1, 1, 3)) + draw(0, 1) * stains + draw(0, 14) * dust
    return pictures.round().clamp(0, 255) / 127.5 - 1


def _blur(pictures: Tensor) -> Tensor:
    """Blur pictures (B, H, W, 3) with a Gaussian of 1 px, edges continued."""
    weights = torch.exp(-(torch.arange(-3.0, 4.0) ** 2) / 2)
    weights = (weights / weights.sum()).expand(3, 1, 1, 7)
    padded = nn.functional.pad(pictures.permute(0, 3, 1, 2), (3, 3, 3, 3), mode="replicate")
    rows = nn.functional.conv2d(padded, weights, groups=3)
    return nn.functional.conv2d(rows, weights.transpose(2, 3), groups=3).permute(0, 2, 3, 1)
