"""Asks a judge the questions of a graph; a failed answer voids its children: OneIG-Bench. See docs/judges.md.

Value: share of questions that hold while all their parents were answered well. What a voided question voids in turn is
not followed (github.com/OneIG-Bench/OneIG-Benchmark at 2240296); `question_graph_cascade` does.
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
    return judge_graph(prompt, sample, tools, cascade=False)
