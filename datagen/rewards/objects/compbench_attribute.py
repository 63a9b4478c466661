"""Asks a judge for each thing with its attributes, all of which must be there: T2I-CompBench's attribute binding.

Source: BLIP-VQA of T2I-CompBench (arXiv 2307.06350; `BLIPvqa_eval/BLIP_vqa.py` of github.com/Karine-Huang/T2I-CompBench
at 1b70949, MIT). Each noun phrase is asked as it stands, `a red apple?`, and its P(yes) is divided by P(yes) + P(no) of
the first token. Value: the product over the phrases, so that one thing in the wrong colour spoils the image.

Differences: the phrases come from the claims (there, from a parser over the prompt, at most 8); P is not rounded to
four decimals; the judge is the recipe's (there, BLIP, which is trained to answer such a question with one word).
Not covered: what a judge makes of a question without a verb; one that answers neither yes nor no has no value.
"""

from __future__ import annotations

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.judging import judge_phrases
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
NEEDS_JUDGE = True
JUDGES = frozenset({"attribute"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the things that the prompt claims, each with its number and attributes, on the sample's last image."""
    if not any(claim.kind == "attribute" for claim in prompt.claims):
        return Verdict(None, "no attribute claim")
    return judge_phrases(prompt, sample, tools)
