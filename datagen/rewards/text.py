"""Judges the words written in the image: what an OCR reads against what the prompt claims, to the letter.

Exact, precision, recall and F1 are those of MARIO-Eval (`_rendered.compare_words`). Value: 1 if exact, else
1 - Levenshtein / longer length between the claimed and the read line (lower case, words joined by one space), so that
a nearly right word is worth more than none. Several claimed texts may stand anywhere: read lines are put in the order
of the texts that they match. Exact is `passed`.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.rewards._ocr import explain, read_claimed
from datagen.rewards._rendered import arrange_lines, compare_words
from datagen.rewards._tools import Tools

TARGET: Modality = "image"
JUDGES = frozenset({"text"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge all text claims of the prompt together on what the OCR reads in the sample's last image."""
    found = read_claimed(prompt, sample, tools)
    if isinstance(found, Verdict):
        return found
    claimed, lines = found
    evidence = compare_words(" ".join(claimed).split(), " ".join(arrange_lines(claimed, lines)).split())
    right = bool(evidence["passed"])
    value = 1.0 if right else float(evidence["similarity"])
    return Verdict(value, explain(claimed, lines, right=right), {**evidence, "read": lines})
