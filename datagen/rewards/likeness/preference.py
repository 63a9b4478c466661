"""Judges how much people would like the image for its prompt, by a preference model such as PickScore or HPS.

Such models are trained so that an image of score s is preferred to one of score t, for the same text, with the
probability 1 / (1 + exp(t - s)) (Bradley-Terry; PickScore, arXiv 2305.01569). Value: that probability against an image
of the score `reference`, which the recipe says (`matchers: {preference: {…, reference: 20}}`), since the scores of CLIP
models have no zero of their own; those of SigLIP models do.

Not seen: claims. Optimised alone it was gamed in GoT-R1 (arXiv 2505.17022): beautiful pictures of something else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.matching import describe_match, match_ahead, match_images
from datagen.scoring.tools import Tools

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()
NEEDS_MATCHER = "preference"


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the sample's last image for the prompt's text."""
    found = match_images(NEEDS_MATCHER, prompt.text, [sample], tools).get(0)
    if found is None:
        return Verdict(None, "the sample has no image")
    if isinstance(found, Verdict):
        return found
    evidence = dict(describe_match(found))
    if found.reference is None:
        return Verdict(None, "the model's score has no zero: say `reference:` under its matcher", evidence)
    value = prefer(found.logit, found.reference)
    reason = f"score {found.logit:.2f}, liked better than one of {found.reference:g} with P {value:.2f}"
    return Verdict(value, reason, {**evidence, "reference": found.reference})


def look_ahead(pairs: Sequence[tuple[Prompt, Sample]], tools: Tools) -> None:
    """Ask about the last images of a shard in one batch."""
    match_ahead(NEEDS_MATCHER, lambda prompt: prompt.text, pairs, tools)


def prefer(one: float, other: float) -> float:
    """Return the probability that an image of score `one` is preferred to one of score `other`."""
    difference = one - other
    if difference >= 0:
        return 1 / (1 + math.exp(-difference))
    raised = math.exp(difference)
    return raised / (1 + raised)
