"""Judges which candidates of a prompt people would like best, by a preference model.

Value: the mean probability of being preferred to each other candidate (see `preference`), which needs no reference: 0.5
is the middle of every group.

Not seen: whether the best of a group is any good.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.rewards.likeness.preference import NEEDS_MATCHER as NEEDS_MATCHER
from datagen.rewards.likeness.preference import look_ahead as look_ahead
from datagen.rewards.likeness.preference import prefer
from datagen.scoring.matching import describe_match, match_images
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import ALONE, spread_verdicts
from datagen.vision.interfaces import Match

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge a sample alone: there is nothing to compare."""
    return score_group(prompt, [sample], tools)[0]


def score_group(prompt: Prompt, samples: Sequence[Sample], tools: Tools) -> list[Verdict]:
    """Judge the last image of each candidate against those of the others."""
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
