"""Asks a judge the questions of a graph, where a failed answer voids others. See docs/judges.md.

* As it stands, OneIG-Bench: the share of questions that hold while all their parents were answered well. What a voided
  question voids in turn is not followed (github.com/OneIG-Bench/OneIG-Benchmark at 2240296).
* `cascade: true`, DPG-Bench (arXiv 2403.05135): a failed answer voids all below it. The share of questions that hold
  while all their parents hold, and the parents of these.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.judging import judge_graph
from datagen.scoring.questions import ASKED
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
NEEDS_JUDGE = True
JUDGES = ASKED


class Options(ScorerOptions):
    """How far a failed answer reaches."""

    cascade: bool = False


PLAIN = Options()
"""As it is without options."""


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge the question graph of the prompt's claims on the sample's last image."""
    return judge_graph(prompt, sample, tools, cascade=options.cascade)
