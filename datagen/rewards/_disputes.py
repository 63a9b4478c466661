"""Where scorers contradict each other about one image: the samples that a person should look at first.

Two scorers that judge different claims may well differ. A no is disputed only if those who say yes judge, between them,
every kind of claim that it is about: `vqa` says yes and `counting` no, or `counting` and `attribute` both say yes and a
judge of counts and attributes says no. One side is wrong. Scorers that judge no claims, such as `sharpness`, take no
part. Not covered: two scorers that share a fault agree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from datagen.records import Prompt, Score
from datagen.rewards._verdict import says_yes


@dataclass(frozen=True, slots=True)
class Dispute:
    """One scorer denies what others affirm; `gap` is the least value of these minus its own, in [-1, 1]."""

    no: Score
    yes: tuple[Score, ...]
    gap: float


def find_dispute(prompt: Prompt, scores: Sequence[Score], judges: Mapping[str, Collection[str]]) -> Dispute | None:
    """Return the widest dispute about the image of a sample, or None; `judges` maps scorers to their kinds of claim."""
    kinds = {claim.kind for claim in prompt.claims}
    voices = [(score, kinds & set(judges.get(score.name, ())), says_yes(score)) for score in scores]
    heard = [(score, mine, says) for score, mine, says in voices if score.target == "image" and mine]
    found = []
    for no, denied, says in heard:
        if says is not False:
            continue
        yes = [(score, mine) for score, mine, affirms in heard if affirms and mine & denied]
        if yes and denied <= set().union(*(mine for _, mine in yes)):
            gap = min(score.value or 0.0 for score, _ in yes) - (no.value or 0.0)
            found.append(Dispute(no, tuple(score for score, _ in yes), gap))
    return max(found, key=lambda dispute: dispute.gap, default=None)
