"""Asks a judge whether the image shows the prompt: VQAScore (arXiv 2404.01291). See docs/judges.md.

Value: P(yes) to `Does this figure show "…"? Please answer Yes or No.` (github.com/linzhiqiu/t2v_metrics at 6ecb74f).
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.judging import judge_whole
from datagen.scoring.questions import SAID
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
NEEDS_JUDGE = True
JUDGES = SAID


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the prompt's text on the sample's last image."""
    return judge_whole("vqascore", prompt, sample, tools)
