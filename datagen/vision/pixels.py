"""Measures of pixels without a model: sharpness, contrast, and the share that is not blank."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


NEAR_TONE = 8
"""Largest difference of any channel (0..255) from the median tone in a blank pixel."""


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
    return float((np.abs(rgb - median).max(axis=2) > NEAR_TONE).mean())
