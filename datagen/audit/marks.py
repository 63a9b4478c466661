"""Marks for broken scenes: things of any size where there is room for them, or where they touch, overlap or are cut.

A place is the pixel of a mark's upper left corner. Of all places those are found at once that suit, by counting for
each how much of the mark's ink would fall on other ink, and one is drawn at random.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from datagen.embedded.pictograms import CELL_PX, IMAGE_PX, MARGIN_PX, Item, Mark, mark_mask, shape_mask

_TRIES = 20
"""Sizes that are tried where there is no room for one."""
GAP_PX = 2
"""Empty pixels between things that are apart."""
Suits = Callable[[Mark], np.ndarray]
"""Which places suit a mark: (IMAGE_PX + side - 1, IMAGE_PX + side - 1) bool, from (1 - side, 1 - side) on."""


def to_mark(item: Item) -> Mark:
    """Return a thing in cells as a mark, which looks the same."""
    side = CELL_PX * (item.x2 - item.x1) - 2 * MARGIN_PX
    return Mark(item.kind, item.color, CELL_PX * item.x1 + MARGIN_PX, CELL_PX * item.y1 + MARGIN_PX, side)


@lru_cache(maxsize=256)
def _get_ink(kind: str, side: int) -> np.ndarray:
    ink: np.ndarray = shape_mask(kind, side) >= 0.5
    return ink


def find_ink(marks: Iterable[Mark], grown_px: int = 0) -> np.ndarray:
    """Return which pixels of the canvas (IMAGE_PX, IMAGE_PX) bool marks ink at least to a half, or come so near to."""
    from scipy import ndimage

    off = IMAGE_PX
    around = np.zeros((3 * off, 3 * off), bool)
    for mark in marks:
        x, y, side = mark.x_px + off, mark.y_px + off, mark.side_px
        around[y : y + side, x : x + side] |= mark_mask(mark) >= 0.5
    canvas = around[off:-off, off:-off]
    return ndimage.maximum_filter(canvas, 2 * grown_px + 1) if grown_px else canvas


def _count_shared(ink: np.ndarray, mark: Mark) -> np.ndarray:
    """Return for each place how many pixels of a mark's ink fall on ink of the canvas."""
    from scipy import signal

    shape = _get_ink(mark.kind, mark.side_px)[::-1, ::-1]
    shared: np.ndarray = np.rint(signal.fftconvolve(ink.astype(np.float32), shape.astype(np.float32)))
    return shared


def share_on_canvas(mark: Mark) -> np.ndarray:
    """Return for each place the share of a mark's ink that is on the canvas."""
    share: np.ndarray = (
        _count_shared(np.ones((IMAGE_PX, IMAGE_PX), bool), mark) / _get_ink(mark.kind, mark.side_px).sum()
    )
    return share


def is_apart(others: Sequence[Mark], mark: Mark) -> np.ndarray:
    """Return for each place whether a mark stands apart from others."""
    apart: np.ndarray = _count_shared(find_ink(others, GAP_PX), mark) == 0
    return apart


def touches(other: Mark, mark: Mark) -> np.ndarray:
    """Return for each place whether a mark's ink is next to that of another, and not over it."""
    meets: np.ndarray = (_count_shared(find_ink([other]), mark) == 0) & (_count_shared(find_ink([other], 1), mark) > 0)
    return meets


def overlaps(other: Mark, mark: Mark, least: float, most: float) -> np.ndarray:
    """Return for each place whether such a share of a mark's square lies over another's."""
    places = np.arange(1 - mark.side_px, IMAGE_PX)
    across, down = (
        np.clip(np.minimum(places + mark.side_px, at + other.side_px) - np.maximum(places, at), 0, None)
        for at in (other.x_px, other.y_px)
    )
    share = down[:, None] * across[None] / mark.side_px**2
    within: np.ndarray = (share >= least) & (share <= most)
    return within


def place(old: Mark, rng: random.Random, sides: tuple[int, int], suits: Suits) -> Mark | None:
    """Return a mark of another size at one of the places that suit it; None where none of the sizes tried has one."""
    for _ in range(_TRIES):
        side = rng.randint(*sides)
        mark = replace(old, side_px=side)
        rows, columns = np.nonzero(suits(mark))
        if len(rows):
            k = rng.randrange(len(rows))
            return replace(mark, x_px=int(columns[k]) + 1 - side, y_px=int(rows[k]) + 1 - side)
    return None


def place_apart(old: Mark, others: Sequence[Mark], rng: random.Random, sides: tuple[int, int]) -> Mark | None:
    """Return a mark of another size anywhere on the canvas, apart from others."""
    return place(old, rng, sides, lambda mark: (share_on_canvas(mark) == 1) & is_apart(others, mark))


def push_to_border(mark: Mark, others: Sequence[Mark], rng: random.Random) -> Mark:
    """Move a mark towards a border until its ink reaches that, or something else is in its way."""
    fits = (share_on_canvas(mark) == 1) & is_apart(others, mark)
    dx, dy = rng.choice(((-1, 0), (1, 0), (0, -1), (0, 1)))
    x, y = mark.x_px + mark.side_px - 1, mark.y_px + mark.side_px - 1
    while fits[y + dy, x + dx]:
        x, y = x + dx, y + dy
    return replace(mark, x_px=x + 1 - mark.side_px, y_px=y + 1 - mark.side_px)
