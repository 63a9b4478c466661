"""A scorer that agrees with everything at once: for benchmarks of what surrounds the scorers."""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    return Verdict((sample.candidate % 4) / 4, "as its number says", {"passed": sample.candidate % 4 == 3})
