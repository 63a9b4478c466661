"""Judges the form of the reasoning: it is there, before the image, without stray tags, and not endless.

A reflection must stand before each refined image and have its headed parts, each once, in order and not empty
(`datagen.records`; the parts of IRG, arXiv 2509.06945). Value: the share of checks that hold. It sees no meaning:
any words under the heads will do. That a reflection must not mention the improved image is not checked.
`format_brief` adds the bound of 50 words.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.rewards.reasoning._format import judge_format
from datagen.scoring.tools import Tools

TARGET: Modality = "text"
JUDGES: frozenset[str] = frozenset()


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the share of the checks of form that the sample's reasoning passes, in [0, 1]."""
    return judge_format(sample)
