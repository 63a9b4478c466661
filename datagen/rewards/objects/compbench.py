"""Judges by the scores of T2I-CompBench: `metric: spatial`, `numeracy`, `attribute` or `3in1`.

Source: github.com/Karine-Huang/T2I-CompBench at 1b70949 (MIT; arXiv 2307.06350).

**spatial**: T2I-CompBench's 2D spatial score for relations: the detector's confidence in both objects, and their
positions.

Source: UniDet evaluation of T2I-CompBench (arXiv 2307.06350; `UniDet_eval/2D_spatial_eval.py` of
github.com/Karine-Huang/T2I-CompBench at 1b70949, MIT). The most confident instance of each object counts. A relation is
1 if the centres lie on the right sides, further apart on that axis than on the other, and the boxes overlap
(intersection over union) by less than 0.1; with a larger overlap it is 0.1 / overlap; else 0. A claim scores 0.25 times
the confidence of each object, plus 0.5 times the relation, and 0 if that is below 0.5. Value: the mean over claims.

Differences: a failed relation is 0 (there, 0.5 if the detector's confidence in both is 1, which happens with other
detectors than UniDet); boxes without area overlap by 0 (there, a division by zero); objects and relation come from the
claim (there, from a parser, and `on top of` is found but never judged). The scorer `spatial` uses GenEval's rule
instead, gives no credit for confidence and checks every claimed instance. Next to an object that the detector cannot
name, a missing object is open. Not covered: `next to`, `near` and depth, which boxes do not show; a relation between
two objects of one kind.

**numeracy**: T2I-CompBench's numeracy score: half for finding an object at all, half for the exact number.

Source: UniDet evaluation of T2I-CompBench++ (arXiv 2307.06350; `UniDet_eval/numeracy_eval.py` of
github.com/Karine-Huang/T2I-CompBench at 1b70949, MIT). Two boxes of one class are one object if they share more than
0.9 of their union or of either; the more confident one stays. Value: the mean over count claims of 0.5 if there is any,
and 0.5 more if the number is exact. Next to an object that the detector cannot name, only "too many" is certain;
otherwise there is no value.

As there, boxes are measured in pixels of the image and include the last column and row. Differences: names must be
equal (there, part of a longer name counts, a `car` in a `carrot`); a claim of none, which the benchmark does not have,
is 1 if there is none, else 0. The scorer `counting` gives no credit for a wrong number and drops no box.

**attribute**: T2I-CompBench's attribute binding: a judge is asked about each object with its attributes, and all must
hold.

Source: BLIP-VQA of T2I-CompBench (arXiv 2307.06350; `BLIPvqa_eval/BLIP_vqa.py` of github.com/Karine-Huang/T2I-CompBench
at 1b70949, MIT). Each noun phrase is a question, `a red apple?`, and its P(yes) is divided by P(yes) + P(no) of the
first token. Value: the product over the phrases, so that one object in the wrong colour spoils the image.

Differences: the phrases come from the claims (there, from a parser over the prompt, at most 8); P is not rounded to
four decimals; the judge is the recipe's (there, BLIP, which is trained to answer such a question with one word).
Not covered: how a judge reads a question without a verb; an answer that is neither yes nor no has no value.

**3in1**: T2I-CompBench's 3-in-1 score of complex prompts: the mean of the scores that apply to a prompt.

Source: `3_in_1_eval/3_in_1.py` of github.com/Karine-Huang/T2I-CompBench at 1b70949 (MIT; arXiv 2307.06350). The three
scores are the attribute product, the 2D spatial score and, for actions, the cosine of CLIP. Its `complex` prompts are
in three lists: with a spatial relation and attributes, the mean of those two scores; with an action and attributes, the
mean of those two; with all, the mean of the three.

Claims have no actions, so every prompt with a relation belongs to the first list: value = (`compbench_attribute` +
`compbench_spatial`) / 2, where objects without an attribute are asked about too, as published. A prompt without a
relation claim has no value here: the score would equal `compbench_attribute`. For a prompt with an action, `join_parts`
is the whole rule, and a recipe can write `mean(compbench_attribute, compbench_spatial, my_pkg.clip)` with any scorer
that measures the cosine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any, Literal

from datagen.records import Cause, Claim, Detection, Modality, Prompt, Sample, Verdict
from datagen.scoring.judging import judge_phrases
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import detect_claimed
from datagen.scoring.verdicts import doubt, find_unnamed, know_relation, list_detections, list_failed
from datagen.taxonomy.english import name_many
from datagen.vision.geometry import RELATIONS, SQUARE, Box, Sides, measure_overlap, sides_of, to_pixels

TARGET: Modality = "image"
JUDGES = frozenset({"count", "attribute", "relation"})
"""Kinds of claim of all metrics together; `describe` gives those of one."""


class Options(ScorerOptions):
    """The benchmark's score to use."""

    metric: Literal["spatial", "numeracy", "attribute", "3in1"]


def describe(options: Options) -> dict[str, Any]:
    """Return the attributes of a metric's scorer: its kinds of claim, and whether it needs a judge."""
    return _METRICS[options.metric]


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options) -> Verdict:
    """Judge the sample's last image by the chosen score."""
    verdict: Verdict = _METRICS[options.metric]["score"](prompt, sample, tools)
    return verdict


LITTLE_OVERLAP = 0.1
"""Intersection over union below which two boxes count as separate."""
LEAST = 0.5
"""Least score of a claim; a smaller one counts as 0."""


def own_relations(claims: Sequence[Claim]) -> list[Claim]:
    """Return the relation claims of a prompt; none if the rule does not fit one of them."""
    mine = [claim for claim in claims if claim.kind == "relation"]
    return [] if any(map(_is_unsuited, mine)) else mine


def _is_unsuited(claim: Claim) -> bool:
    return claim.name not in RELATIONS or claim.subject == claim.value


def score_spatial(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge every relation claim of the prompt on the boxes found in the sample's last image."""
    claims = [claim for claim in prompt.claims if claim.kind == "relation"]
    if not claims:
        return Verdict(None, "no relation claim")
    if unsuited := [claim for claim in claims if _is_unsuited(claim)]:
        return Verdict(None, f"T2I-CompBench's rule cannot judge {unsuited[0]}")
    things = detect_claimed(claims, sample, tools)
    if isinstance(things, Verdict):
        return things
    sides = sides_of(sample)
    scores, reasons = zip(*(_judge_relation(claim, things, sides) for claim in claims), strict=True)
    value = fmean(scores)
    evidence = {"holds": min(scores) > 0, "claims": {str(c): s for c, s in zip(claims, scores, strict=True)}}
    labels = {thing.label for thing in things}
    evidence |= list_failed(
        {
            str(claim): "place" if labels.issuperset(claim.things) else "missing"
            for claim, score in zip(claims, scores, strict=True)
            if score == 0
        }
    )
    verdict = Verdict(value, "; ".join(reasons), {**evidence, "detections": list_detections(things)})
    known = [know_relation(claim, things, holds=score > 0) for claim, score in zip(claims, scores, strict=True)]
    return doubt(verdict, find_unnamed(things), known)


def _judge_relation(claim: Claim, things: Sequence[Detection], sides: Sides) -> tuple[float, str]:
    """Return the score of a relation claim, in [0, 1], and why."""
    pair = [_find_surest(name, things) for name in claim.things]
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
    """Return how well `box` has the relation `name` to `other`, in [0, 1]: 1, less if they overlap, or 0.

    Boxes are in thousandths of an image with these sides.
    """
    box, other = to_pixels(box, sides), to_pixels(other, sides)
    across = (box[0] + box[2]) / 2 - (other[0] + other[2]) / 2
    down = (box[1] + box[3]) / 2 - (other[1] + other[3]) / 2
    # `along` is the distance on the axis of the relation, positive on its side; `aside` that on the other axis.
    along, aside = (across, down) if name in ("left of", "right of") else (down, across)
    if name in ("left of", "above"):
        along = -along
    if along <= abs(aside):
        return 0.0
    overlap = measure_overlap(box, other)
    return 1.0 if overlap < LITTLE_OVERLAP else LITTLE_OVERLAP / overlap


SAME = 0.9
"""Two boxes of one class that share more than this are one object."""


def score_numeracy(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge every count claim of the prompt on the detections in the sample's last image."""
    claims = [claim for claim in prompt.claims if claim.kind == "count"]
    if not claims:
        return Verdict(None, "no count claim")
    found = detect_claimed(claims, sample, tools)
    if isinstance(found, Verdict):
        return found
    kept = drop_doubles(found, sides_of(sample))
    counts = {claim.subject: sum(thing.label == claim.subject for thing in kept) for claim in claims}
    scores = {str(claim): _judge_number(int(claim.value), counts[claim.subject]) for claim in claims}
    reasons = [
        f"expected {name_many(int(claim.value), claim.subject)}, found {counts[claim.subject]}" for claim in claims
    ]
    causes = {str(claim): _find_cause(int(claim.value), counts[claim.subject]) for claim in claims}
    evidence = {"holds": min(scores.values()) == 1, "claims": scores, **list_failed(causes), "found": counts}
    verdict = Verdict(fmean(scores.values()), "; ".join(reasons), {**evidence, "detections": list_detections(found)})
    known = [None if counts[claim.subject] <= int(claim.value) else False for claim in claims]
    return doubt(verdict, find_unnamed(found), known)


def _judge_number(wanted: int, found: int) -> float:
    if wanted == 0:
        return float(found == 0)
    return 0.5 * (found > 0) + 0.5 * (found == wanted)


def _find_cause(wanted: int, found: int) -> Cause | None:
    if found == wanted:
        return None
    return "extra" if wanted == 0 else "count" if found else "missing"


def drop_doubles(found: Iterable[Detection], sides: Sides = SQUARE) -> list[Detection]:
    """Return the detections, most confident first, without duplicates of a more confident one of their class.

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
    # The largest of three shares counts, so divide by the least area; the union is never smaller than either box.
    return shared / min(_area(box), _area(other)) > SAME


def _area(box: Box) -> float:
    """Return the area in square pixels, including the last column and row: a box without width is one pixel wide."""
    return max(0.0, box[2] - box[0] + 1) * max(0.0, box[3] - box[1] + 1)


def score_attribute(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the objects of the prompt, each with its number and attributes, on the sample's last image."""
    if not any(claim.kind == "attribute" for claim in prompt.claims):
        return Verdict(None, "no attribute claim")
    return judge_phrases(prompt, sample, tools)


def own_attributes_and_relations(claims: Sequence[Claim]) -> list[Claim]:
    """Return the attribute and relation claims of a prompt whose relations its spatial score can judge."""
    return [claim for claim in claims if claim.kind in ("attribute", "relation")] if own_relations(claims) else []


def score_3in1(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the mean of attributes by the judge and relations by the boxes; None if one of them has no value."""
    spatial = score_spatial(prompt, sample, tools)
    if spatial.value is None:
        return Verdict(None, f"spatial: {spatial.reason}", spatial.evidence)
    attribute = judge_phrases(prompt, sample, tools)
    if attribute.value is None:
        return Verdict(None, f"attribute: {attribute.reason}", attribute.evidence)
    reason = f"attribute {attribute.value:.2f}: {attribute.reason}; spatial {spatial.value:.2f}: {spatial.reason}"
    parts = {"attribute": attribute.value, "spatial": spatial.value}
    holds = bool(attribute.evidence["holds"] and spatial.evidence["holds"])
    causes = {**spatial.evidence.get("causes", {}), **attribute.evidence.get("causes", {})}
    evidence = {**spatial.evidence, **attribute.evidence, "holds": holds, **list_failed(causes), "parts": parts}
    return Verdict(join_parts(attribute.value, spatial.value), reason, evidence)


def join_parts(attribute: float, spatial: float | None = None, action: float | None = None) -> float:
    """Return the mean of the attribute score and of the other scores that apply."""
    return fmean(part for part in (attribute, spatial, action) if part is not None)


_METRICS: dict[str, dict[str, Any]] = {
    "spatial": {"score": score_spatial, "JUDGES": frozenset({"relation"}), "own_claims": own_relations},
    "numeracy": {"score": score_numeracy, "JUDGES": frozenset({"count"})},
    "attribute": {"score": score_attribute, "JUDGES": frozenset({"attribute"}), "NEEDS_JUDGE": True},
    "3in1": {
        "score": score_3in1,
        "JUDGES": frozenset({"attribute", "relation"}),
        "NEEDS_JUDGE": True,
        "SEES": frozenset({"relation"}),
        "own_claims": own_attributes_and_relations,
    },
}
