"""Judges the relative positions of claimed objects in the image, by GenEval's rule.

GenEval (arXiv 2310.11513) compares every instance of one object with every instance of the other, as many of each as
are claimed, most confident first, and all pairs must hold. A missing object fails the claim once: a failed position is
0 and stays 0 (one public soft version adds 1 to it afterwards). If an object is missing next to one that the detector
cannot name, or the other of a pair of one kind, the claim is open. Value: the share of claims that hold.

Relations other than the four (`next to`) are not judged; a prompt that claims one needs a judge that answers questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from datagen.records import Cause, Claim, Detection, Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import detect_claimed
from datagen.scoring.verdicts import doubt, find_unnamed, know_relation, list_detections, mean_of_claims
from datagen.taxonomy.english import name_many, name_one
from datagen.vision.geometry import RELATIONS, Sides, find_relations, sides_of

TARGET: Modality = "image"
JUDGES = frozenset({"relation"})


def own_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Return the relation claims of a prompt; none if one of them is not among the four."""
    mine = [claim for claim in claims if claim.kind == "relation"]
    return mine if all(claim.name in RELATIONS for claim in mine) else []


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge every relation claim of the prompt on the boxes found in the sample's last image."""
    claims = [claim for claim in prompt.claims if claim.kind == "relation"]
    if not claims:
        return Verdict(None, "no relation claim")
    if strange := sorted({claim.name for claim in claims} - set(RELATIONS)):
        return Verdict(None, f"the rule of position does not know {', '.join(map(repr, strange))}")
    things = detect_claimed(claims, sample, tools)
    if isinstance(things, Verdict):
        return things
    wanted = {claim.subject: int(claim.value) for claim in prompt.claims if claim.kind == "count"}
    sides = sides_of(sample)
    answers = {str(claim): _judge(claim, things, wanted, sides) for claim in claims}
    causes = {claim: cause for claim, (cause, _) in answers.items()}
    reasons = [reason for _, reason in answers.values()]
    verdict = mean_of_claims(causes, reasons, detections=list_detections(things))
    known = [know_relation(claim, things, holds=causes[str(claim)] is None) for claim in claims]
    return doubt(verdict, find_unnamed(things), known)


def _judge(claim: Claim, things: Sequence[Detection], wanted: dict[str, int], sides: Sides) -> tuple[Cause | None, str]:
    """Return why a relation claim fails, None if it holds for all pairs, and the reason in words."""
    subject, target = claim.subject, str(claim.value)
    least = 2 if subject == target else 1
    ours, theirs = _pick(things, subject, wanted, least), _pick(things, target, wanted, least)
    missing = [name for name, group in ((subject, ours), (target, theirs)) if not group]
    if missing:
        return "missing", f"expected the {subject} {claim.name} the {target}, found no {' and no '.join(missing)}"
    if subject == target:
        return _judge_same(claim, ours, sides)
    for one in ours:
        for other in theirs:
            held = find_relations(one.box, other.box, sides)
            if claim.name not in held:
                seen = " and ".join(sorted(held)) or "in no clear relation to"
                return "place", f"expected the {subject} {claim.name} the {target}, found it {seen} the {target}"
    return None, f"the {subject} is {claim.name} the {target}"


def _judge_same(claim: Claim, things: Sequence[Detection], sides: Sides) -> tuple[Cause | None, str]:
    """Judge a relation between two objects of one kind, as `_judge`: one pair is enough."""
    wanted = f"{name_one(claim.subject)} {claim.name} another"
    if len(things) < 2:
        return "count", f"expected {wanted}, found {name_many(1, claim.subject, in_words=True)}"
    if any(claim.name in find_relations(one.box, other.box, sides) for one, other in permutations(things, 2)):
        return None, f"{name_one(claim.subject)} is {claim.name} another"
    return "place", f"expected {wanted}, found none"


def _pick(things: Sequence[Detection], label: str, wanted: dict[str, int], least: int) -> list[Detection]:
    """Return the most confident detections of a label, as many as are claimed (`least` if no count is claimed)."""
    group = sorted((thing for thing in things if thing.label == label), key=lambda thing: -thing.confidence)
    return group[: wanted.get(label, least)]
