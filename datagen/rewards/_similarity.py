"""Likeness of images: the rows that an encoder gives, and the cosine of two of them.

A row has length 1. An image that cannot be read, and features that are zero or not finite, have no direction: their
row is NaN, their cosine None, and `explain_blind` says why in words. It is never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from datagen.rewards._images import read_image

if TYPE_CHECKING:
    import numpy as np


def normalise(features: np.ndarray) -> np.ndarray:
    """Return rows (n, d) divided by their length, float32; a row without a direction becomes NaN."""
    import numpy as np

    rows = np.asarray(features, dtype=np.float64)
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = rows / largest  # squares of very large or small numbers would leave the range of floats
        unit = scaled / np.sqrt((scaled**2).sum(axis=1, keepdims=True))
    unit[~np.isfinite(unit).all(axis=1)] = np.nan
    narrow: np.ndarray = unit.astype(np.float32)
    return narrow


def measure_cosine(one: np.ndarray, other: np.ndarray) -> float | None:
    """Return the cosine of two rows of length 1, in [-1, 1]; None where one is not finite."""
    import numpy as np

    value = float(one.astype(np.float64) @ other.astype(np.float64))
    return min(1.0, max(-1.0, value)) if np.isfinite(value) else None


def cosine_table(rows: np.ndarray) -> np.ndarray:
    """Return the cosines of all rows (n, d) with each other, (n, n) float64 in [-1, 1]; NaN where a row is."""
    import numpy as np

    wide = rows.astype(np.float64)
    return np.clip(wide @ wide.T, -1.0, 1.0)


def explain_blind(image: bytes) -> str:
    """Say why an encoder gave no features of an image."""
    try:
        read_image(image)
    except OSError as error:
        return f"the image cannot be read: {str(error).removeprefix('the image cannot be read: ')}"
    return "the encoder gave features without a direction: all zero, or not finite"


def find_blind(rows: np.ndarray) -> Sequence[int]:
    """Return the numbers of the rows that are not finite."""
    import numpy as np

    return [int(k) for k in np.flatnonzero(~np.isfinite(rows).all(axis=1))]
