"""Judges relations by T2I-CompBench's 2D spatial score: how sure the detector is of both things, and how they stand.

Source: UniDet evaluation of T2I-CompBench (arXiv 2307.06350; `UniDet_eval/2D_spatial_eval.py` of
github.com/Karine-Huang/T2I-CompBench at 1b70949, MIT). Of each thing the surest counts. A relation is 1 if the centres
lie on the right sides, further apart on that axis than on the other, and the boxes overlap (intersection over union) by
less than 0.1; with a larger overlap it is 0.1 / overlap; else 0. A claim is worth 0.25 for each thing times the
detector's confidence, plus 0.5 times the relation, and 0 where that is below 0.5. Value: the mean over claims.

Differences: a relation that fails is 0 (there, 0.5 if the detector is entirely sure of both things, which UniDet never
is and other detectors are); boxes without area overlap by 0 (there, a division by zero); things and relation come from
the claim (there, from a parser, and `on top of` is found but never judged). `spatial` has GenEval's rule instead, gives
no credit for confidence and looks at every instance that is claimed.
Not covered: `next to` and `near`, and depth, which no box tells; a relation between two of one kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from datagen.records import Claim, Detection, Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import find_unseen, refuse
from datagen.scoring.verdicts import list_detections
from datagen.vision.geometry import RELATIONS, SQUARE, Box, Sides, measure_overlap, sides_of, to_pixels

TARGET: Modality = "image"
JUDGES = frozenset({"relation"})
LITTLE_OVERLAP = 0.1
"""Intersection over union up to which two boxes are apart."""
LEAST = 0.5
"""Least score of a claim that is worth anything."""


def own_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Return the relation claims of a prompt; none if the rule does not fit one of them."""
    mine = [claim for claim in claims if claim.kind == "relation"]
    return [] if any(map(_is_unsuited, mine)) else mine


def _is_unsuited(claim: Claim) -> bool:
    return claim.name not in RELATIONS or claim.subject == claim.value


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge every relation claim of the prompt on the boxes found in the sample's last image."""
    claims = [claim for claim in prompt.claims if claim.kind == "relation"]
    if not claims:
        return Verdict(None, "no relation claim")
    if unsuited := [claim for claim in claims if _is_unsuited(claim)]:
        return Verdict(None, f"T2I-CompBench's rule cannot judge {unsuited[0]}")
    if sample.image is None:
        return Verdict(None, "the sample has no image")
    if unseen := find_unseen(claims, tools):
        return refuse(unseen)
    things = tools.detect(sample.image)
    sides = sides_of(sample)
    scores, reasons = zip(*(_judge(claim, things, sides) for claim in claims), strict=True)
    value = fmean(scores)
    evidence = {"holds": min(scores) > 0, "claims": {str(c): s for c, s in zip(claims, scores, strict=True)}}
    return Verdict(value, "; ".join(reasons), {**evidence, "detections": list_detections(things)})


def _judge(claim: Claim, things: Sequence[Detection], sides: Sides) -> tuple[float, str]:
    """Return the score of a relation claim, in [0, 1], and why."""
    pair = [_find_surest(name, things) for name in (claim.subject, str(claim.value))]
    one, other = pair
    asked = f"the {claim.subject} {claim.name} the {claim.value}"
    if one is None or other is None:
        missing = [name for name, found in zip((claim.subject, claim.value), pair, strict=True) if found is None]
        return 0.0, f"expected {asked}, found no {' and no '.join(map(str, missing))}"
    placed = measure_relation(claim.name, one.box, other.box, sides)
    total = 0.25 * one.confidence + 0.25 * other.confidence + 0.5 * placed
    how = f"relation {placed:.2f}, confidence {one.confidence:.2f} and {other.confidence:.2f}"
    if placed == 0 or total < LEAST:
        return 0.0, f"expected {asked}, found {how}"
    return min(1.0, total), f"{asked}: {how}"


def _find_surest(label: str, things: Sequence[Detection]) -> Detection | None:
    return max((thing for thing in things if thing.label == label), key=lambda thing: thing.confidence, default=None)


def measure_relation(name: str, box: Box, other: Box, sides: Sides = SQUARE) -> float:
    """Return how well `box` stands to `other` as `name` says, in [0, 1]: 1, less where they overlap, or 0.

    Boxes are in thousandths of an image with these sides.
    """
    box, other = to_pixels(box, sides), to_pixels(other, sides)
    across = (box[0] + box[2]) / 2 - (other[0] + other[2]) / 2
    down = (box[1] + box[3]) / 2 - (other[1] + other[3]) / 2
    along, aside = (across, down) if name in ("left of", "right of") else (down, across)
    if name in ("left of", "above"):
        along = -along
    if along <= abs(aside):
        return 0.0
    overlap = measure_overlap(box, other)
    return 1.0 if overlap < LITTLE_OVERLAP else LITTLE_OVERLAP / overlap
