"""Asks a judge whether the image shows the prompt: QwenVQAScore, the score of GenEval 2. See docs/judges.md.

Value: P(yes) to `Does this image show "…"? Answer the question with Yes or No.`, the softmax mass of yes in the first
token (github.com/facebookresearch/GenEval2 at a6e82d2, there with Qwen3-VL-8B-Instruct). A fact that the words only
imply is left to what the judge knows; the scorers that ask each claim tell it.
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
    return judge_whole("qwenvqascore", prompt, sample, tools)
