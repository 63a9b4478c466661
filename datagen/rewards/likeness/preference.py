"""Judges how much people would like the image for its prompt, by a preference model such as PickScore or HPS.

In such models an image of score s is preferred to one of score t, for the same text, with probability
1 / (1 + exp(t - s)) (Bradley-Terry; PickScore, arXiv 2305.01569). Value: that probability against an image of the score
`reference`, set in the recipe (`matchers: {preference: {…, reference: 20}}`), since the scores of CLIP models have no
natural zero; those of SigLIP models do.

With `wins: true` candidates of a prompt are compared: value is the mean probability of being preferred to each other
candidate, which needs no reference. 0.5 is the middle of every group, so it does not show whether the best is good.

Not seen: claims. In GoT-R1 (arXiv 2505.17022) a model that was trained on it alone gamed it with beautiful pictures of
something else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.matching import describe_match, match_ahead, match_images
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import ALONE, NO_IMAGE, spread_verdicts
from datagen.vision.interfaces import Match

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()
NEEDS_MATCHER = "preference"


class Options(ScorerOptions):
    """The comparison: with a reference score, or with the other candidates of the prompt."""

    wins: bool = False


PLAIN = Options()
"""The default options."""


def describe(options: Options) -> dict[str, Any]:
    """Return the functions that compare candidates, if the options ask for them."""
    return {"score": score_alone, "score_group": compare} if options.wins else {}


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge the sample's last image for the prompt's text."""
    return score_alone(prompt, sample, tools) if options.wins else score_one(prompt, sample, tools)


def score_one(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the sample's last image for the prompt's text."""
    found = match_images(NEEDS_MATCHER, prompt.text, [sample], tools).get(0)
    if found is None:
        return Verdict(None, NO_IMAGE)
    if isinstance(found, Verdict):
        return found
    evidence = dict(describe_match(found))
    if found.reference is None:
        return Verdict(None, "the model's score has no zero: say `reference:` under its matcher", evidence)
    value = prefer(found.logit, found.reference)
    reason = f"score {found.logit:.2f}, liked better than one of {found.reference:g} with P {value:.2f}"
    return Verdict(value, reason, {**evidence, "reference": found.reference})


def look_ahead(pairs: Sequence[tuple[Prompt, Sample]], tools: Tools, options: Options = PLAIN) -> None:
    """Match the last images of a shard in one batch."""
    match_ahead(NEEDS_MATCHER, lambda prompt: prompt.text, pairs, tools)


def prefer(one: float, other: float) -> float:
    """Return the probability that an image of score `one` is preferred to one of score `other`."""
    difference = one - other
    if difference >= 0:  # each branch raises e to a negative power, so neither overflows
        return 1 / (1 + math.exp(-difference))
    raised = math.exp(difference)
    return raised / (1 + raised)


def score_alone(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return a verdict without value: a sample alone has nothing to compare."""
    return compare(prompt, [sample], tools)[0]


def compare(prompt: Prompt, samples: Sequence[Sample], tools: Tools) -> list[Verdict]:
    """Judge the last image of each candidate against the others."""
    found = match_images(NEEDS_MATCHER, prompt.text, samples, tools)
    known = {k: match for k, match in found.items() if isinstance(match, Match)}
    judged = {k: match for k, match in found.items() if isinstance(match, Verdict)}
    return spread_verdicts(samples, judged | {k: _judge(k, known) for k in known})


def _judge(number: int, matches: dict[int, Match]) -> Verdict:
    mine = matches[number]
    chances = [prefer(mine.logit, other.logit) for k, other in matches.items() if k != number]
    if not chances:
        return Verdict(None, ALONE)
    value = fmean(chances)
    return Verdict(value, f"liked better than another candidate with P {value:.2f}", dict(describe_match(mine)))
