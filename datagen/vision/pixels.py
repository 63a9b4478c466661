"""Measures of pixels without a model: sharpness, contrast, and the share that is not blank.

Neighbours in a large picture are more alike than in a small one of the same scene, so a measure of pixels depends on
how many there are. `read_reduced` gives pictures of one size: a larger one is reduced, a smaller one stays as it is,
since nothing could give it the details that it lacks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from datagen.pictures import read_image

if TYPE_CHECKING:
    import numpy as np


NEAR_TONE = 8
"""Largest difference of any channel (0..255) from the median tone in a blank pixel."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""
WORKING_PX = 512
"""Longer side in pixels at which pictures are measured; our choice, see `benchmarks/blur.py`."""


@lru_cache(maxsize=1)
def read_reduced(image: bytes, side_px: int) -> np.ndarray:
    """Decode an image with a longer side of at most `side_px` as (height, width, 3) float64, 0..255; raises OSError.

    A pixel of a reduced picture is the mean of the area that it covers. The last picture is remembered, since several
    scorers measure it in turn; the array cannot be changed.
    """
    import numpy as np
    from PIL import Image

    picture = read_image(image)
    share = side_px / max(picture.size)
    if share < 1:
        width, height = (max(1, round(share * side)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    rgb = np.asarray(picture, dtype=np.float64)
    rgb.flags.writeable = False
    return rgb


def to_luma(rgb: np.ndarray) -> np.ndarray:
    """Return the luma (H, W) of pixels (H, W, 3), both 0..255."""
    import numpy as np

    luma: np.ndarray = rgb @ np.array(LUMA)
    return luma


def laplacian_variance(luma: np.ndarray) -> float | None:
    """Return the variance of the Laplacian of luma (H, W), 0..255: the focus measure of Pech-Pacheco et al. (2000).

    The kernel is 4 neighbours minus 4 times the pixel, on the pixels that have all four; None below 3 x 3 px.
    """
    if min(luma.shape) < 3:
        return None
    around = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float((around - 4 * luma[1:-1, 1:-1]).var())


def rms_contrast(luma: np.ndarray) -> float:
    """Return the standard deviation of luma (H, W), 0..255, as a share of 255 (Peli, 1990): 0 to 0.5."""
    return float(luma.std()) / 255


def drawn_share(rgb: np.ndarray) -> float:
    """Return the share of pixels (H, W, 3), 0..255, that differ from the median tone by more than `NEAR_TONE`."""
    import numpy as np

    median = np.median(rgb.reshape(-1, 3), axis=0)
    return float((np.abs(rgb - median) > NEAR_TONE).any(axis=2).mean())
