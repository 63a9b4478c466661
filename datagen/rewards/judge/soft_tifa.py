"""Asks a judge about each atom of the claims: Soft-TIFA (GenEval 2). See docs/judges.md.

* `mean: gm` (the default): geometric mean over atoms of P(accepted answer), all of which must hold; each P is at least
  `EPSILON`, so that two images that both miss an atom can still be told apart, and one impossible atom of n leaves at
  most `EPSILON ** (1 / n)`.
* `mean: am`: arithmetic mean; a missed atom costs its share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.judging import judge_atoms
from datagen.scoring.questions import ASKED
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
NEEDS_JUDGE = True
JUDGES = ASKED
EPSILON = 1e-6
"""Least P of an atom; our choice."""


class Options(ScorerOptions):
    """How the atoms are joined."""

    mean: Literal["gm", "am"] = "gm"


PLAIN = Options()
"""As it is without options."""


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge the atoms of the prompt's claims on the sample's last image."""
    return judge_atoms(prompt, sample, tools, geometric_mean if options.mean == "gm" else fmean)


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of values in [0, 1], each raised to `EPSILON` at least."""
    return math.exp(math.fsum(math.log(max(value, EPSILON)) for value in values) / len(values))
