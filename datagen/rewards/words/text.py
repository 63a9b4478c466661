"""Judges the words written in the image, to the letter: each claimed text by itself, on the lines that are its own.

A text is right if the very letters stand there in their order. Letter case counts where the text has letters that tell
it (`wow` and `WOW` differ in size alone), spaces count between letters (not beside a mark, where readers drop them:
`No.1` is `No. 1`). Where a text stands, and on how many lines, does not matter; words of one text that stand in another
do. `passed` asks that every text is right and that nothing is written beside them. Value: 1 if passed, else how near it
all is (`_rendered.compare_texts`), so that a nearly right word is worth more than none; wrong letter case costs half a
letter, and the right words in a wrong order are worth half. Precision, recall and F1 of whole words, as in MARIO-Eval,
stand in the evidence.

Cannot see where a line stands: two texts of one word each that changed places are right, and so are lines that the
reader gives in an order in which they make the claimed texts.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.rendered import compare_texts, compare_words, explain, read_claimed
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES = frozenset({"text"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge every text claim of the prompt on what the OCR reads in the sample's last image."""
    found = read_claimed(prompt, sample, tools)
    if isinstance(found, Verdict):
        return found
    claimed, lines = found
    written = compare_texts(claimed, lines)
    right = all(written.right) and not written.others
    shares = compare_words(" ".join(claimed).split(), " ".join(lines).split())
    claims = [str(claim) for claim in prompt.claims if claim.kind == "text"]
    evidence = {
        **shares,
        "passed": right,
        "similarity": written.similarity,
        "claims": dict(zip(claims, written.right, strict=True)),
        "read": lines,
    }
    value = 1.0 if right else max(written.similarity, float(shares["f1"]) / 2)
    return Verdict(value, explain(claimed, lines, right=right), evidence)
