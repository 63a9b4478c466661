"""Judges the words in the image as TIIF-Bench does (arXiv 2506.02161): value is 1 - GNED.

GNED is an error, better lower: claimed and read words paired one to one (Hungarian), their normalised edit distances,
and the difference in number, over the larger number; so a word left out, put in or misspelt all cost. GNED and recall
(claimed words whose pair is at most 0.3 away) stand in the evidence; GNED 0 is `passed`. Words are cleaned as for
LongText-Bench, since the published cleaning is not stated where we could read it. Cannot see the order of words.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.rewards._ocr import explain, read_claimed
from datagen.rewards._rendered import clean, is_chinese, measure_tiif
from datagen.rewards._tools import Tools

TARGET: Modality = "image"
JUDGES = frozenset({"text"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return 1 - GNED of the words in the sample's last image, in [0, 1]."""
    found = read_claimed(prompt, sample, tools)
    if isinstance(found, Verdict):
        return found
    claimed, lines = found
    line = " ".join(claimed)
    if not clean(line, chinese=is_chinese(line)):
        return Verdict(None, "the claimed text has no letter or digit")
    error, recall = measure_tiif(line, " ".join(lines))
    evidence = {"passed": error == 0, "gned": error, "recall": recall, "read": lines}
    return Verdict(1 - error, explain(claimed, lines, right=error == 0), evidence)
