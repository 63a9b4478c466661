"""Judges whether the image shows the prompt: a judge's P(yes) to one question about all of it. See docs/judges.md.

* `form: qwenvqascore` (default), the score of GenEval 2: `Does this image show "…"? Answer the question with Yes or
  No.`, the softmax mass of yes in the first token (github.com/facebookresearch/GenEval2 at a6e82d2, there with
  Qwen3-VL-8B-Instruct).
* `form: vqascore`, VQAScore (arXiv 2404.01291): `Does this figure show "…"? Please answer Yes or No.`, one token
  (github.com/linzhiqiu/t2v_metrics at 6ecb74f).

A fact that the prompt only implies depends on the judge's own knowledge; scorers that ask about each claim state it.
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
WITHOUT_CLAIMS = True
"""It judges the words of a prompt as a whole."""


class Options(ScorerOptions):
    """Wording of the question and reading of its answer."""

    form: Literal["qwenvqascore", "vqascore"] = "qwenvqascore"


PLAIN = Options()
"""The default options."""


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge the prompt's text on the sample's last image."""
    return judge_whole(options.form, prompt, sample, tools)
