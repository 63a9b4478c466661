"""Judges the words in the image as MARIO-Eval does (arXiv 2305.10855; LenCom-Eval, arXiv 2403.16422): value is F1.

Words are compared whole and in any order, letter case ignored, punctuation kept: "Open," is not "open". Their accuracy
(the same words, no more and no fewer) is `passed`. Of a corpus the published F is that of mean precision and mean
recall, which the report shows beside the mean of these values. Source: `textdiffuser/eval/ocr_eval.py` of
github.com/microsoft/unilm at 768a3c8, from which this differs as `_rendered.compare_words` says. Cannot see where a
word stands, how it looks, or how near a wrong word is: one letter off is as wrong as ten.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.rendered import compare_words, explain, read_claimed, score_mario
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES = frozenset({"text"})
score_corpus = score_mario
"""The benchmark's figures of many samples from their evidence."""


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the F1 of claimed and read words in the sample's last image, in [0, 1]; precision and recall beside it."""
    found = read_claimed(prompt, sample, tools)
    if isinstance(found, Verdict):
        return found
    claimed, lines = found
    if not " ".join(claimed).split():
        return Verdict(None, "the claimed text has no word")
    evidence = compare_words(" ".join(claimed).split(), " ".join(lines).split())
    value = float(evidence["f1"])
    return Verdict(value, explain(claimed, lines, right=bool(evidence["passed"])), {**evidence, "read": lines})
