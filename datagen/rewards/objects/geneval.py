"""Judges a prompt as GenEval's evaluator does: everything asked for at once, right or wrong.

Value: 1 if each thing is there at least as often as claimed (exactly, where more or fewer than one is claimed), the
surest of them in the claimed colour and in the claimed place, else 0. Source and differences: `_geneval.py`
(arXiv 2310.11513).

How it relates to the other scorers: `counting` counts exactly and takes the detector at its word, without GenEval's
limits of confidence and number; `attribute` wants every instance in the colour, GenEval the surest; `spatial` has the
same rule of position. Each of those gives a share of claims, so that a prompt with four claims is not all or nothing;
this one gives what the benchmark would say. With all of them in one recipe the same fact counts twice.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.rewards.objects._geneval import KINDS, judge_claims, own_claims
from datagen.scoring.tools import Tools

__all__ = ["JUDGES", "TARGET", "own_claims", "score"]

TARGET: Modality = "image"
JUDGES = KINDS


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge all count, colour and relation claims of the prompt together, by the original rule."""
    return judge_claims(prompt, sample, tools, strict=False)
