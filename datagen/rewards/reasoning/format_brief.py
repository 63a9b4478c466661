"""Judges the form of the reasoning as `format` does, and that a thought has at most 50 words.

The bound is that of T2I-R1 (arXiv 2505.00703), whose reasoning names every object, attribute and relation and nothing
else. It is no rule for layouts or for models that are meant to think at length.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.rewards.reasoning._format import judge_format
from datagen.scoring.tools import Tools

TARGET: Modality = "text"
JUDGES: frozenset[str] = frozenset()
MOST_WORDS = 50


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the share of the checks of form that the sample's reasoning passes, in [0, 1]."""
    return judge_format(sample, most_words=MOST_WORDS)
