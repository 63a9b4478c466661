"""Judges the claims by a graph of questions, in which a failed answer voids others. See docs/judges.md.

* Default, OneIG-Bench: the share of questions that hold and whose parents' own answers hold. A voided question does not
  void its children (github.com/OneIG-Bench/OneIG-Benchmark at 2240296).
* `cascade: true`, DPG-Bench (arXiv 2403.05135): a failed answer voids all its descendants. The share of questions that
  hold together with all their ancestors.
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
"""The default options."""


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge the question graph of the prompt's claims on the sample's last image."""
    return judge_graph(prompt, sample, tools, cascade=options.cascade)
