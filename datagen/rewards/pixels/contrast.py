"""Judges the RMS contrast of an image (Peli, 1990).

Value: twice the standard deviation of luma 0..1: 1 for half black and half white, 0 for one tone. The evidence has the
standard deviation itself. A picture whose longer side exceeds 512 px is reduced to it first.

Not seen: contrast of colours of the same luma, and of textures finer than that; whether the contrast suits the picture.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import NO_IMAGE
from datagen.vision.pixels import WORKING_PX, read_reduced, rms_contrast, to_luma

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the sample's last image."""
    if sample.image is None:
        return Verdict(None, NO_IMAGE)
    contrast = rms_contrast(to_luma(read_reduced(sample.image, WORKING_PX)))
    return Verdict(min(1.0, 2 * contrast), f"RMS contrast {contrast:.3f} of at most 0.5", {"rms": round(contrast, 6)})
