"""Judges each atom of the claims by a judge: Soft-TIFA (GenEval 2). See docs/judges.md.

* `mean: gm` (default): the geometric mean over atoms of P(accepted answer), so that all must hold. Each P counts as at
  least `EPSILON`, so that images that miss an atom still differ; one impossible atom of n leaves at most
  `EPSILON ** (1 / n)`.
* `mean: am`: the arithmetic mean; a missed atom costs its share.
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
    """The mean over atoms."""

    mean: Literal["gm", "am"] = "gm"


PLAIN = Options()
"""The default options."""


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge the atoms of the prompt's claims on the sample's last image."""
    return judge_atoms(prompt, sample, tools, geometric_mean if options.mean == "gm" else fmean)


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of values in [0, 1], each of which counts as at least `EPSILON`."""
    return math.exp(math.fsum(math.log(max(value, EPSILON)) for value in values) / len(values))
