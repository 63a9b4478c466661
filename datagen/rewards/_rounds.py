"""What each image of a reflection came to: rewards and verdicts by round, from `evidence["rounds"]` of the scores.

A sample with one image has one round. Round 0 is the first image; the gain is the last reward minus the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from datagen.records import Score
from datagen.rewards._expression import Expression


def reward_rounds(scores: Sequence[Score], join: Expression) -> list[float | None]:
    """Return the image reward after each round; empty if no scorer saw more than one image.

    Where an expression names a scorer of the text, its one value counts in every round.
    """
    judged = {score.name: score.evidence["rounds"] for score in scores if "rounds" in score.evidence}
    count = min(map(len, judged.values()), default=0)
    values = {score.name: score.value for score in scores}
    return [join({**values, **{name: rounds[k][0] for name, rounds in judged.items()}}) for k in range(count)]


def passed_rounds(scores: Sequence[Score]) -> list[bool | None]:
    """Return the strict verdict after each round, as `_verdict.passed` gives it for the last one."""
    judged = [score for score in scores if score.target == "image" and "rounds" in score.evidence]
    count = min((len(score.evidence["rounds"]) for score in judged), default=0)
    verdicts: list[bool | None] = []
    for k in range(count):
        said = [score.evidence["rounds"][k] for score in judged]
        known = [bool(holds) for value, holds in said if value is not None and holds is not None]
        verdicts.append(all(known) if known else None)
    return verdicts


def gain_of(scores: Sequence[Score], join: Expression) -> float | None:
    """Return the last image reward minus the first, in [-1, 1]; None for one image, or where one has no reward."""
    rounds = reward_rounds(scores, join)
    if len(rounds) < 2 or rounds[0] is None or rounds[-1] is None:
        return None
    return rounds[-1] - rounds[0]
