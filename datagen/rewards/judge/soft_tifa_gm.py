"""Asks a judge about each atom of the claims, all of which must hold: Soft-TIFA GM (GenEval 2). See docs/judges.md.

Value: geometric mean over atoms of P(accepted answer), each at least `EPSILON`, so that two images that both miss an
atom can still be told apart; one impossible atom of n leaves at most `EPSILON ** (1 / n)`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.judging import judge_atoms
from datagen.scoring.questions import ASKED
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
NEEDS_JUDGE = True
JUDGES = ASKED
EPSILON = 1e-6
"""Least P of an atom; our choice."""


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the atoms of the prompt's claims on the sample's last image."""
    return judge_atoms(prompt, sample, tools, geometric_mean)


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of values in [0, 1], each raised to `EPSILON` at least."""
    return math.exp(math.fsum(math.log(max(value, EPSILON)) for value in values) / len(values))
