"""Paints continuous pictures at any size from one formula, so that none is a resized copy of another.

A `Painting` is a function of the place in a unit square: a soft gradient of two tones, waves of 3 to `MOST_WAVES` to
the side, whose height falls with their number as in photographs, and discs with edges. A lens blurs it by a share of
the side, so that what is out of focus at one size is so at every size. A pixel is the mean of the function over its
square. Paintings are made for scorers of pixels: they have no objects to name, and claim nothing.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


MOST_WAVES = 400
"""Waves of the finest texture to the side: more than a picture of 512 px can show, and fewer than one of 1024 px."""
LENS = 1 / 4096
"""Least blur, as a standard deviation in shares of the side."""
_POINTS = 2048
"""Points to the side, about, at which the function is evaluated."""
_WAVES, _DISCS = 40, 6


@dataclass(frozen=True, slots=True)
class Painting:
    """A seed for tones, waves and discs; whether it is `rich` in them, or one disc on one tone; and what it suffered.

    `blur` is the standard deviation of the lens as a share of the side, `contrast` a factor of the distance of all
    tones from their middle, `shift` how far everything is moved, in shares of the side.
    """

    seed: int
    rich: bool
    blur: float
    contrast: float
    shift: tuple[float, float] = (0.0, 0.0)


def plan_paintings(count: int, seed: int) -> list[tuple[Painting, ...]]:
    """Return groups of four: a painting, the same moved a little, the same with less contrast, and another."""
    groups: list[tuple[Painting, ...]] = []
    for k in range(count):
        rng = random.Random(f"{seed} {k}")
        first = _plan(rng)
        moved = replace(first, shift=(rng.uniform(-0.03, 0.03), rng.uniform(-0.03, 0.03)))
        groups.append((first, moved, replace(first, contrast=first.contrast * rng.uniform(0.4, 0.95)), _plan(rng)))
    return groups


def _plan(rng: random.Random) -> Painting:
    blur = rng.choice((0.0, 0.001, 0.002, 0.004, 0.008))
    faint = math.exp(rng.uniform(math.log(0.03), math.log(0.3)))
    contrast = rng.choice((faint, rng.uniform(0.3, 1), rng.uniform(0.3, 1)))
    return Painting(rng.getrandbits(32), rng.random() < 0.75, blur, contrast)


def render_painting(painting: Painting, side_px: int) -> np.ndarray:
    """Return a painting as (side_px, side_px, 3) uint8 RGB."""
    import numpy as np

    # An odd number of points to a pixel's side: the points of one size are then not those of another.
    points = max(1, _POINTS // side_px) | 1
    steps = (np.arange(points) + 0.5) / points
    total = np.zeros((side_px, side_px, 3), np.float32)
    for down in steps:
        for across in steps:
            line = np.arange(side_px, dtype=np.float32)
            total += _paint(painting, (line + across) / side_px, (line + down) / side_px)
    tones: np.ndarray = (total / points**2 + 0.5).astype(np.uint8)
    return tones


def _paint(painting: Painting, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the tones (len(y), len(x), 3), 0..255, at the crossings of columns and rows."""
    import numpy as np

    rng = np.random.default_rng(painting.seed)
    x, y = x - painting.shift[0], y - painting.shift[1]
    middle, blur = rng.uniform(90, 165, 3), max(painting.blur, LENS)
    tones = np.empty((len(y), len(x), 3), np.float32)
    tones[:] = middle
    slope = rng.uniform(-60, 60, (2, 3))
    if painting.rich:
        tones += x[None, :, None] * slope[0] + y[:, None, None] * slope[1] - slope.sum(0) / 2
        tones += _wave(x, y, blur, rng)[..., None]
    for _ in range(_DISCS if painting.rich else 1):
        radius = rng.uniform(0.03, 0.2) if painting.rich else rng.uniform(0.01, 0.05)
        _lay_disc(tones, x, y, rng.uniform(0.1, 0.9, 2), radius, blur, rng.uniform(-110, 110, 3))
    center = middle.astype(np.float32)
    return np.clip(center + np.float32(painting.contrast) * (tones - center), 0, 255)


def _wave(x: np.ndarray, y: np.ndarray, blur: float, rng: np.random.Generator) -> np.ndarray:
    """Return the sum of the waves at the crossings, in levels."""
    import numpy as np

    count = np.exp(rng.uniform(math.log(3), math.log(MOST_WAVES), _WAVES))
    turn, begin = rng.uniform(0, np.pi, _WAVES), rng.uniform(0, 2 * np.pi, _WAVES)
    height = 30 / np.sqrt(count) * np.exp(-2 * (np.pi * blur * count) ** 2)  # what a Gaussian lens leaves of a wave
    # A plane wave is a product of a column and a row of complex numbers, so that all waves are one product of matrices.
    across = np.exp(2j * np.pi * np.outer(count * np.cos(turn), x)).astype(np.complex64)
    down = np.exp(1j * (2 * np.pi * np.outer(y, count * np.sin(turn)) + begin)).astype(np.complex64)
    waves: np.ndarray = ((down * height.astype(np.float32)) @ across).real
    return waves


def _lay_disc(
    tones: np.ndarray, x: np.ndarray, y: np.ndarray, at: np.ndarray, radius: float, blur: float, change: np.ndarray
) -> None:
    """Add `change` to the tones inside a disc, in place."""
    import numpy as np

    reach = radius + 6 * blur
    columns, rows = (np.flatnonzero(np.abs(line - place) < reach) for line, place in zip((x, y), at, strict=True))
    if not len(columns) or not len(rows):
        return
    inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    away = np.hypot(x[inside[1]] - at[0], y[inside[0], None] - at[1])
    cover = 1 / (1 + np.exp(np.clip((away - radius) * (1.702 / blur), -60, 60)))  # near the normal distribution
    tones[inside] += cover[..., None] * change.astype(np.float32)
