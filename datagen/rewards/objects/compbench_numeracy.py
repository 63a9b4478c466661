"""Judges numbers by T2I-CompBench's numeracy score: half for finding a thing at all, half for the exact number.

Source: UniDet evaluation of T2I-CompBench++ (arXiv 2307.06350; `UniDet_eval/numeracy_eval.py` of
github.com/Karine-Huang/T2I-CompBench at 1b70949, MIT). Two boxes of one class are one thing if more than 0.9 of their
union, or of either, is shared; the surer stays. Value: the mean over the count claims of 0.5 if there is any, and 0.5
more if there are exactly as many as claimed. Beside something that the detector cannot name a number
is known to be too large at most, else there is no value.

Boxes are measured in pixels of the image, the last column and row counted, as there. Differences: names must be equal
(there, a name that is part of a longer one counts, a `car` in a `carrot`); a claim of none, which the benchmark does
not have, is 1 if there is none, else 0. `counting` gives no credit for a wrong number and drops no box.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from datagen.records import Detection, Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import find_unseen, refuse
from datagen.scoring.verdicts import doubt, find_unnamed, list_detections
from datagen.taxonomy.english import name_many
from datagen.vision.geometry import SQUARE, Box, Sides, sides_of, to_pixels

TARGET: Modality = "image"
JUDGES = frozenset({"count"})
SAME = 0.9
"""Two boxes of one class that share more than this are one thing."""


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge every count claim of the prompt on what the detector finds in the sample's last image."""
    claims = [claim for claim in prompt.claims if claim.kind == "count"]
    if not claims:
        return Verdict(None, "no count claim")
    if sample.image is None:
        return Verdict(None, "the sample has no image")
    if unseen := find_unseen(claims, tools):
        return refuse(unseen)
    found = tools.detect(sample.image)
    kept = drop_doubles(found, sides_of(sample))
    counts = {claim.subject: sum(thing.label == claim.subject for thing in kept) for claim in claims}
    scores = {str(claim): _judge(int(claim.value), counts[claim.subject]) for claim in claims}
    reasons = [
        f"expected {name_many(int(claim.value), claim.subject)}, found {counts[claim.subject]}" for claim in claims
    ]
    evidence = {"holds": min(scores.values()) == 1, "claims": scores, "found": counts}
    verdict = Verdict(fmean(scores.values()), "; ".join(reasons), {**evidence, "detections": list_detections(found)})
    known = [None if counts[claim.subject] <= int(claim.value) else False for claim in claims]
    return doubt(verdict, find_unnamed(found), known)


def _judge(wanted: int, found: int) -> float:
    if wanted == 0:
        return float(found == 0)
    return 0.5 * (found > 0) + 0.5 * (found == wanted)


def drop_doubles(found: Iterable[Detection], sides: Sides = SQUARE) -> list[Detection]:
    """Return the things, the surest first, without those that are one with a surer thing of their class.

    `sides` are those of the image in pixels.
    """
    kept: list[Detection] = []
    for thing in sorted(found, key=lambda thing: -thing.confidence):
        if not any(thing.label == other.label and _are_one(thing.box, other.box, sides) for other in kept):
            kept.append(thing)
    return kept


def _are_one(box: Box, other: Box, sides: Sides) -> bool:
    box, other = to_pixels(box, sides), to_pixels(other, sides)
    shared = _area(
        (max(box[0], other[0]), max(box[1], other[1]), min(box[2], other[2]), min(box[3], other[3])),
    )
    # The least of the three areas decides: the union is never smaller than either.
    return shared / min(_area(box), _area(other)) > SAME


def _area(box: Box) -> float:
    """Return the area in square pixels, the last column and row included: a box of no width is one wide."""
    return max(0.0, box[2] - box[0] + 1) * max(0.0, box[3] - box[1] + 1)
