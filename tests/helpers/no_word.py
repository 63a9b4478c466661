"""A scorer of words that are never right: what a model that cannot write gets."""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES = frozenset({"text"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    if not any(claim.kind == "text" for claim in prompt.claims):
        return Verdict(None, "no text claim")
    return Verdict(0.0, "it says something else", {"passed": False})
