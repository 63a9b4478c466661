"""Judges the words in the image as LongText-Bench does (arXiv 2507.22058): the share of claimed words that were read.

Letters and digits, letter case ignored, a multiset match in any order; of Chinese, characters. The benchmark's figure
sums matched and claimed words (both in the evidence) over all samples before it divides. It forgives surplus words, so
it does not say `passed`. Differs from the published evaluator as `_rendered` says, in ignoring letter case within
Chinese text too, and in the reader: an OCR here, a vision-language model there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.rendered import explain, measure_longtext, read_claimed
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES = frozenset({"text"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return matched over claimed words of the sample's last image, in [0, 1]."""
    found = read_claimed(prompt, sample, tools)
    if isinstance(found, Verdict):
        return found
    claimed, lines = found
    matched, words = measure_longtext(" ".join(claimed), " ".join(lines))
    if not words:
        return Verdict(None, "the claimed text has no letter or digit")
    evidence = {"matched": matched, "words": words, "read": lines}
    return Verdict(matched / words, explain(claimed, lines, right=matched == words), evidence)


def score_corpus(evidence: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the benchmark's figure of many samples from their evidence: all matched words over all claimed ones."""
    pairs = [(each["matched"], each["words"]) for each in evidence]
    return {"accuracy": sum(matched for matched, _ in pairs) / max(1, sum(words for _, words in pairs))}
