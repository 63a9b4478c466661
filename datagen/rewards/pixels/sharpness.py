"""Judges the sharpness of an image by the variance of its Laplacian (Pech-Pacheco et al., 2000).

Value: v / (v + 100), where v is the variance over luma 0..255; 100, the usual threshold for blur, gives 0.5. The
evidence has v. A picture whose longer side exceeds `side_px` is reduced to it first, since v depends on how many pixels
show an edge: so its value is the same at every size from `side_px` on. A smaller picture is judged as it is; compare
its value only with those of its own size.

    rewards: [{name: sharpness, side_px: 1024}]  # sees a finer blur

Not seen: noise, which counts as sharp; intended softness; blur that is finer than a pixel at `side_px`.
"""

from __future__ import annotations

from pydantic import Field

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import NO_IMAGE
from datagen.vision.pixels import WORKING_PX, laplacian_variance, read_reduced, to_luma

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()
HALF = 100.0
"""Variance with value 0.5; our choice, the common threshold for blur."""


class Options(ScorerOptions):
    """The longer side in pixels to which a larger picture is reduced."""

    side_px: int = Field(WORKING_PX, ge=3, le=8192)


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options) -> Verdict:
    """Judge the sample's last image."""
    if sample.image is None:
        return Verdict(None, NO_IMAGE)
    variance = laplacian_variance(to_luma(read_reduced(sample.image, options.side_px)))
    if variance is None:
        return Verdict(None, f"the image is narrower than 3 px, at most {options.side_px} px long")
    reason = f"the Laplacian varies by {variance:.1f}, {'sharp' if variance >= HALF else 'blurred or flat'}"
    return Verdict(variance / (variance + HALF), reason, {"variance": round(variance, 3)})
