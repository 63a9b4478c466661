"""A scorer of images that breaks on candidates of odd number."""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    if sample.candidate % 2:
        raise ValueError("it is odd")
    return Verdict(0.5, "it is even")
