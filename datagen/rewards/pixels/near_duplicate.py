"""Judges whether a candidate is nearly the same picture as others of its prompt, by a perceptual hash.

Value: 1 / (1 + the number of other candidates that look nearly the same), so that k copies of a picture count 1/k each
and once together. Two are nearly the same if their hashes differ by at most `NEAR`.

The hash, and what it does not see: `datagen.vision.perceptual`.
"""

from __future__ import annotations

from collections.abc import Sequence

from datagen.pictures import read_many
from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import ALONE, spread_verdicts, with_images
from datagen.vision.perceptual import NEAR, hash_image, measure_difference

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return a verdict without value: a sample alone has nothing to compare."""
    return score_group(prompt, [sample], tools)[0]


def score_group(prompt: Prompt, samples: Sequence[Sample], tools: Tools) -> list[Verdict]:
    """Judge the last image of each candidate against the others."""
    seen = with_images(samples)
    hashes = dict(zip([k for k, _ in seen], read_many(hash_image, [image for _, image in seen]), strict=True))
    judged: dict[int, Verdict] = {}
    for k, mine in hashes.items():
        if isinstance(mine, OSError):
            judged[k] = Verdict(None, str(mine))
            continue
        differences = {
            samples[j].candidate: measure_difference(mine, other)
            for j, other in hashes.items()
            if j != k and not isinstance(other, OSError)
        }
        judged[k] = _judge(differences)
    return spread_verdicts(samples, judged)


def _judge(differences: dict[int, float]) -> Verdict:
    """Return the verdict on a picture from its difference to each other candidate."""
    if not differences:
        return Verdict(None, ALONE)
    near = sorted(candidate for candidate, difference in differences.items() if difference <= NEAR)
    evidence = {"near": near, "least_difference": round(min(differences.values()), 4)}
    if not near:
        return Verdict(1.0, "no other candidate looks nearly the same", evidence)
    which = ", ".join(map(str, near))
    return Verdict(1 / (1 + len(near)), f"nearly the same picture as candidate {which}", evidence)
