"""Judges the words written in the image: what an OCR reads against what the prompt claims, to the letter.

Exact, precision, recall and F1 are those of MARIO-Eval (arXiv 2305.10855; LenCom-Eval, arXiv 2403.16422): words in
lower case, a greedy multiset match; precision = matched / read, recall = matched / claimed, exact if the sorted lists
of words are equal.
Value: 1 if exact, else 1 - Levenshtein / longer length between the claimed and the read line (lower case, words joined
by one space), so that a nearly right word is worth more than none. Exact is `passed`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.rewards._tools import Tools
from datagen.rewards._words import edit_distance

TARGET: Modality = "image"
JUDGES = frozenset({"text"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge all text claims of the prompt together on what the OCR reads in the sample's last image."""
    claimed = [str(claim.value) for claim in prompt.claims if claim.kind == "text"]
    if not claimed:
        return Verdict(None, "no text claim")
    if sample.image is None:
        return Verdict(None, "the sample has no image")
    lines = tools.read_text(sample.image)
    evidence = compare_words(" ".join(claimed).split(), " ".join(lines).split())
    value = 1.0 if evidence["passed"] else float(evidence["similarity"])
    wanted, seen = " ".join(claimed), f'"{" ".join(lines)}"' if lines else "nothing"
    reason = f"read {seen} as asked" if evidence["passed"] else f'expected "{wanted}", read {seen}'
    return Verdict(value, reason, {**evidence, "read": lines})


def compare_words(claimed: list[str], seen: list[str]) -> dict[str, Any]:
    """Return `passed` (exact), `precision`, `recall`, `f1` and `similarity`, each in [0, 1], of two lists of words.

    No word read: precision, recall and F1 are 0. Letter case is ignored.
    """
    truth, words = [word.lower() for word in claimed], [word.lower() for word in seen]
    matched = (Counter(truth) & Counter(words)).total()
    precision = matched / len(words) if words else 0.0
    recall = matched / len(truth) if truth else 0.0
    f1 = 2 * precision * recall / (precision + recall) if matched else 0.0
    line, read = " ".join(truth), " ".join(words)
    similarity = 1 - edit_distance(line, read) / max(len(line), len(read), 1)
    exact = sorted(truth) == sorted(words)
    return {"passed": exact, "precision": precision, "recall": recall, "f1": f1, "similarity": similarity}
