"""Judges the words in the image as CVTG-2K does (arXiv 2503.23461): value is NED, how near each claimed word was read.

NED here is a similarity, better higher: the mean over claimed words of 1 - edit distance / longer length to the read
word that is most alike. Word accuracy, the share of claimed words read to the letter, stands in the evidence. Words are
split at spaces, letter case is ignored, marks are kept: "5," is not "5". Both let one read word answer for all claimed
copies of it and forgive surplus words, so the scorer does not say `passed`. Of a corpus both are means over all words,
which the report shows. Equal to the authors' evaluator (`unified_metrics_eval.py` of TextCrafter) up to 100 words of
each side and 100 letters of a word; there PaddleOCR reads, here the recipe's OCR.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.rendered import CVTG, explain, measure_cvtg, read_claimed, score_cvtg
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES = frozenset({"text"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the mean nearness of claimed words in the sample's last image, in [0, 1]."""
    found = read_claimed(prompt, sample, tools)
    if isinstance(found, Verdict):
        return found
    claimed, lines = found
    measured = measure_cvtg(" ".join(claimed), " ".join(lines))
    if not measured.words:
        return Verdict(None, "the claimed text has no word")
    accuracy, ned = score_cvtg([measured]).values()
    evidence = {"word_accuracy": accuracy, "ned": ned, **measured.to_dict(), "read": lines}
    return Verdict(ned, explain(claimed, lines, right=accuracy == 1), evidence)


def score_corpus(evidence: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the benchmark's figures of many samples from their evidence: word accuracy and NED over all words."""
    known = [each for each in evidence if "near" in each]  # runs of older versions did not note it
    return score_cvtg(CVTG(each["words"], each["right"], each["near"]) for each in known) if known else {}
