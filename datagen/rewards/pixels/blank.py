"""Judges whether the image shows anything at all: 0 for a blank image, 1 for any other.

An image is blank if less than `LEAST_DRAWN` of its pixels differ visibly from the median tone. The evidence has the
share. A picture whose longer side exceeds 512 px is reduced to it first.

Not seen: noise, which is not blank.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import NO_IMAGE
from datagen.vision.pixels import WORKING_PX, drawn_share, read_reduced

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()
LEAST_DRAWN = 0.001
"""Least share of pixels that show something: 3 x 3 px of a picture of 96 x 96; our choice."""


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the sample's last image."""
    if sample.image is None:
        return Verdict(None, NO_IMAGE)
    share = drawn_share(read_reduced(sample.image, WORKING_PX))
    blank = share < LEAST_DRAWN
    reason = "the image is blank" if blank else f"{share:.1%} of the image differs from its ground"
    return Verdict(0.0 if blank else 1.0, reason, {"drawn": round(share, 6)})
