"""Pictures as arrays, and many at once, the same for every model and measure; see `datagen.pictures`.

A damaged file is an OSError whatever the decoder raised.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from datagen.pictures import read_image as read_image

if TYPE_CHECKING:
    import numpy as np

Answer = TypeVar("Answer")
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""


def read_rgb(image: bytes) -> np.ndarray:
    """Decode an image as (height, width, 3) float64, 0..255; raises OSError."""
    import numpy as np

    return np.asarray(read_image(image), dtype=np.float64)


def read_luma(image: bytes) -> np.ndarray:
    """Decode an image as its luma (height, width) float64, 0..255; raises OSError."""
    import numpy as np

    luma: np.ndarray = read_rgb(image) @ np.array(LUMA)
    return luma


def count_threads() -> int:
    """Return how many threads this process may keep busy: `OMP_NUM_THREADS`, as for torch, else one for each core."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given):
        return int(given)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_many(read: Callable[[bytes], Answer], images: Sequence[bytes]) -> list[Answer | OSError]:
    """Read each image, spread over the cores; what cannot be read is its OSError, and fails no neighbour.

    Threads do: decoding and resizing give the interpreter free.
    """

    def attempt(image: bytes) -> Answer | OSError:
        try:
            return read(image)
        except OSError as error:
            return error

    if len(images) < 2 or count_threads() < 2:
        return [attempt(image) for image in images]
    with ThreadPoolExecutor(min(count_threads(), len(images))) as pool:
        return list(pool.map(attempt, images))
