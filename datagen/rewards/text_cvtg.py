"""Judges the words in the image as CVTG-2K does (arXiv 2503.23461): value is NED, how near each claimed word was read.

NED here is a similarity, better higher: the mean over claimed words of 1 - edit distance / longer length to the
closest read word. Word accuracy, the share of claimed words read to the letter, stands in the evidence. Both let one
read word answer for all claimed copies of it and forgive surplus words, so the scorer does not say `passed`. How the
published evaluator cleans words is not stated where we could read it; here as for LongText-Bench.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.rewards._ocr import explain, read_claimed
from datagen.rewards._rendered import clean, is_chinese, measure_cvtg
from datagen.rewards._tools import Tools

TARGET: Modality = "image"
JUDGES = frozenset({"text"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the mean nearness of claimed words in the sample's last image, in [0, 1]."""
    found = read_claimed(prompt, sample, tools)
    if isinstance(found, Verdict):
        return found
    claimed, lines = found
    line = " ".join(claimed)
    if not clean(line, chinese=is_chinese(line)):
        return Verdict(None, "the claimed text has no letter or digit")
    accuracy, near = measure_cvtg(line, " ".join(lines))
    evidence = {"word_accuracy": accuracy, "ned": near, "read": lines}
    return Verdict(near, explain(claimed, lines, right=accuracy == 1), evidence)
