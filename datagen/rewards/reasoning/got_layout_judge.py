"""Asks a judge whether the layout that a reasoning text plans fits the prompt, drawn as boxes on a white canvas.

The reward for the layout of the reasoning in GoT-R1 (arXiv 2505.17022): coordinates are drawn with their phrases, since
models see boxes better than they read numbers. Value: P(yes) to the question `LAYOUT` of `_questions.py`.

Differences: GoT-R1 lets its judge give a number, in words that are not published; here it is P(yes), as in `vqa`.
Boxes that leave the picture or have their corners out of order are not drawn and stand in the evidence. A thought
without a box scores 0 and nobody is asked. `got_layout` answers by rule what claims decide.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.rewards.reasoning.got_layout import draw_layout
from datagen.rewards.reasoning.plan import find_thought
from datagen.scoring.judging import NO_JUDGE, judge_layout
from datagen.scoring.layout import read_layout
from datagen.scoring.tools import Tools
from datagen.vision.geometry import sides_of

TARGET: Modality = "text"
NEEDS_JUDGE = True
JUDGES = frozenset({"count", "attribute", "relation", "text"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the layout in the `think` segment of a sample against the prompt's text."""
    thought = find_thought(sample)
    if thought is None:
        return Verdict(None, "the sample has no reasoning")
    if tools.ask is None:
        return Verdict(None, NO_JUDGE)
    layout = read_layout(thought)
    if not layout.placed:
        return Verdict(0.0, "the reasoning plans nothing: no object with a box in the picture", {"holds": False})
    verdict = judge_layout(prompt, sample, tools, draw_layout(layout.placed, sides_of(sample)))
    faults = list(layout.faults)
    return Verdict(verdict.value, "; ".join([verdict.reason, *faults]), {**verdict.evidence, "malformed": faults})
