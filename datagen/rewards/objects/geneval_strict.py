"""Judges a prompt by the strict variant of GenEval that is used as a reward: every number exactly.

Value: 1 if each thing is there exactly as often as claimed, all in the claimed colour and place, else 0. The original
lets `a cat` pass with five cats, which a model that is rewarded for it soon draws. Source and differences:
`_geneval.py` (Flow-GRPO's reward over arXiv 2310.11513). For how it relates to other scorers see `geneval.py`.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.rewards.objects._geneval import KINDS, judge_claims, own_claims
from datagen.scoring.tools import Tools

__all__ = ["JUDGES", "TARGET", "own_claims", "score"]

TARGET: Modality = "image"
JUDGES = KINDS


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge all count, colour and relation claims of the prompt together, by the strict rule."""
    return judge_claims(prompt, sample, tools, strict=True)
