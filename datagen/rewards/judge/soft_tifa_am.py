"""Asks a judge about each atom of the claims and takes the mean: Soft-TIFA AM (GenEval 2). See docs/judges.md.

Value: arithmetic mean over atoms of P(accepted answer); a missed atom costs its share.
"""

from __future__ import annotations

from statistics import fmean

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.judging import judge_atoms
from datagen.scoring.questions import ASKED
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
NEEDS_JUDGE = True
JUDGES = ASKED


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the atoms of the prompt's claims on the sample's last image."""
    return judge_atoms(prompt, sample, tools, fmean)
