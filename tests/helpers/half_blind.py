"""A scorer that gives no value to candidates of odd number."""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    return Verdict(None, "it is odd") if sample.candidate % 2 else Verdict(1.0, "it is even")
