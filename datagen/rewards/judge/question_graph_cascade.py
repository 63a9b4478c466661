"""Asks a judge the questions of a graph; a failed answer voids all below it: DPG-Bench. See docs/judges.md.

Value: share of questions that hold while all their parents hold, and the parents of these (arXiv 2403.05135).
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.judging import judge_graph
from datagen.scoring.questions import ASKED
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
NEEDS_JUDGE = True
JUDGES = ASKED


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the question graph of the prompt's claims on the sample's last image."""
    return judge_graph(prompt, sample, tools, cascade=True)
