"""What scorers say of each image of a sample that reflected, kept in the evidence of the score of the last one.

    {"rounds": [[null, null], [0.5, false]], "rounds_open": [["unnamed"], []]}

`rounds` has the value and the strict verdict after each image, the first one first; `rounds_open` says why a round has
no value, if it should have one, and is absent if none is open. `split_rounds` makes scores of it again, so that a round
has the reward and the verdict that a sample of its own would have.

Not covered: scorers that compare candidates, which judge the last image alone; their value counts in every round. In
scores that were stored before there was `rounds_open`, a scorer without claims that failed on an earlier image looks
like one that found nothing to judge there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from datagen.records import Score

ROUNDS, OPEN = "rounds", "rounds_open"
_MARKS = ("unseen", "failed", "unnamed")
"""Evidence of a score without a value that should have one."""


def join_rounds(before: Sequence[Score], score: Score) -> Score:
    """Return a scorer's score of the last image with what it said of those before it; a score of text stays as it is.

    Of a sample with one image, `before` is empty and nothing is added.
    """
    if score.target != "image" or not before:
        return score
    every = (*before, score)
    marks = [[mark for mark in _MARKS if each.value is None and each.evidence.get(mark)] for each in every]
    told: dict[str, Any] = {ROUNDS: [[each.value, each.evidence.get("passed")] for each in every]}
    return replace(score, evidence={**score.evidence, **told, **({OPEN: marks} if any(marks) else {})})


def split_rounds(scores: Sequence[Score]) -> list[list[Score]]:
    """Return the scores of a sample after each image, the first one first; [] if no scorer saw more than one.

    A score of the text counts in every round. Of earlier images only values, verdicts and what is open are known.
    """
    count = min((len(score.evidence[ROUNDS]) for score in scores if ROUNDS in score.evidence), default=0)
    return [[_pick(score, k) for score in scores] for k in range(count)]


def _pick(score: Score, k: int) -> Score:
    rounds = score.evidence.get(ROUNDS, ())
    if k >= len(rounds) - 1:
        return score
    value, passed = rounds[k]
    marks = score.evidence[OPEN][k] if OPEN in score.evidence else ()
    evidence = {**dict.fromkeys(marks, True), **({} if passed is None else {"passed": passed})}
    return replace(score, value=value, reason="", evidence=evidence)
