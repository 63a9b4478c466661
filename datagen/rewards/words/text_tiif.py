"""Judges the words in the image as TIIF-Bench does (arXiv 2506.02161): value is 1 - GNED.

GNED is an error, better lower: claimed and read words paired one to one (Hungarian), their normalised edit distances,
and the difference in number, over the larger number; so a word left out, put in or misspelt all cost. GNED and recall
(claimed words that find a read word of their own at most 0.3 away) stand in the evidence; GNED 0 is `passed`. Words are
split at spaces, letter case is ignored, marks are kept: "5," is not "5". Equal to the authors' code
(`eval/cal_gned_and_recall_models.py` of github.com/A113N-W3I/TIIF-Bench at 3aae750) up to 100 words of each side; their
figures of a corpus are means over images. Cannot see the order of words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.rendered import explain, measure_tiif, read_claimed
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES = frozenset({"text"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return 1 - GNED of the words in the sample's last image, in [0, 1]."""
    found = read_claimed(prompt, sample, tools)
    if isinstance(found, Verdict):
        return found
    claimed, lines = found
    line = " ".join(claimed)
    if not line.split():
        return Verdict(None, "the claimed text has no word")
    error, recall = measure_tiif(line, " ".join(lines))
    evidence = {"passed": error == 0, "gned": error, "recall": recall, "read": lines}
    return Verdict(1 - error, explain(claimed, lines, right=error == 0), evidence)


def score_corpus(evidence: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the benchmark's figures of many samples from their evidence: the means of GNED and of recall."""
    pairs = [(each["gned"], each["recall"]) for each in evidence]
    return dict(zip(("GNED", "recall"), map(fmean, zip(*pairs, strict=True)), strict=True)) if pairs else {}
