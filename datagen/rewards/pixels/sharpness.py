"""Judges the sharpness of an image by the variance of its Laplacian (Pech-Pacheco et al., 2000).

Value: v / (v + 100), where v is the variance over luma 0..255; 100, the usual threshold for blur, gives 0.5. The
evidence has v. Compare only images of one size: an enlarged picture has a smaller v.

Not seen: noise, which counts as sharp; intended softness.
"""

from __future__ import annotations

from datagen.pictures import read_luma
from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import NO_IMAGE
from datagen.vision.pixels import laplacian_variance

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()
HALF = 100.0
"""Variance with value 0.5; our choice, the common threshold for blur."""


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the sample's last image."""
    if sample.image is None:
        return Verdict(None, NO_IMAGE)
    variance = laplacian_variance(read_luma(sample.image))
    if variance is None:
        return Verdict(None, "the image is smaller than 3 x 3 px")
    reason = f"the Laplacian varies by {variance:.1f}, {'sharp' if variance >= HALF else 'blurred or flat'}"
    return Verdict(variance / (variance + HALF), reason, {"variance": round(variance, 3)})
