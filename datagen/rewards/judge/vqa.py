"""Asks a judge whether the image shows the prompt: P(yes) to one question about all of it. See docs/judges.md.

* `form: qwenvqascore` (the default), the score of GenEval 2: `Does this image show "…"? Answer the question with Yes or
  No.`, the softmax mass of yes in the first token (github.com/facebookresearch/GenEval2 at a6e82d2, there with
  Qwen3-VL-8B-Instruct).
* `form: vqascore`, VQAScore (arXiv 2404.01291): `Does this figure show "…"? Please answer Yes or No.`, one token
  (github.com/linzhiqiu/t2v_metrics at 6ecb74f).

A fact that the words only imply is left to what the judge knows; the scorers that ask each claim tell it.
"""

from __future__ import annotations

from typing import Literal

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.judging import judge_whole
from datagen.scoring.questions import SAID
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
NEEDS_JUDGE = True
JUDGES = SAID


class Options(ScorerOptions):
    """How the question is put, and how its answer is read."""

    form: Literal["qwenvqascore", "vqascore"] = "qwenvqascore"


PLAIN = Options()
"""As it is without options."""


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge the prompt's text on the sample's last image."""
    return judge_whole(options.form, prompt, sample, tools)
