"""Judges where claimed things stand to each other in the image, by GenEval's position rule.

GenEval (arXiv 2310.11513) compares every instance of the one with every instance of the other, as many of each as are
claimed, the most confident first, and all pairs must hold. A thing that is missing fails the claim once: a failed
position is 0 and stays 0 (one public soft version adds 1 to it afterwards). What is missing beside something that the
detector cannot name leaves it open. Value: the share of claims that hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from datagen.records import Claim, Detection, Modality, Prompt, Sample, Verdict
from datagen.rewards._relations import find_relations
from datagen.rewards._tools import Tools
from datagen.rewards._verdict import doubt, find_unnamed, mean_of_claims

TARGET: Modality = "image"
JUDGES = frozenset({"relation"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge every relation claim of the prompt on the boxes found in the sample's last image."""
    claims = [claim for claim in prompt.claims if claim.kind == "relation"]
    if not claims:
        return Verdict(None, "no relation claim")
    if sample.image is None:
        return Verdict(None, "the sample has no image")
    if unknown := tools.find_unknown({name for claim in claims for name in (claim.subject, str(claim.value))}):
        return Verdict(None, f"the detector cannot see {', '.join(unknown)}")
    things = tools.detect(sample.image)
    wanted = {claim.subject: int(claim.value) for claim in prompt.claims if claim.kind == "count"}
    answers = {str(claim): _judge(claim, things, wanted) for claim in claims}
    verdicts = {claim: holds for claim, (holds, _) in answers.items()}
    verdict = mean_of_claims(verdicts, [reason for _, reason in answers.values()])
    labels = {thing.label for thing in things}
    known = [verdicts[str(c)] if {c.subject, str(c.value)} <= labels else None for c in claims]
    return doubt(verdict, find_unnamed(things), known)


def _judge(claim: Claim, things: Sequence[Detection], wanted: dict[str, int]) -> tuple[bool, str]:
    """Say whether a relation claim holds for all pairs, and why."""
    subject, target = claim.subject, str(claim.value)
    least = 2 if subject == target else 1
    ours, theirs = _pick(things, subject, wanted, least), _pick(things, target, wanted, least)
    missing = [name for name, group in ((subject, ours), (target, theirs)) if not group]
    if missing:
        return False, f"expected the {subject} {claim.name} the {target}, found no {' and no '.join(missing)}"
    if subject == target:
        return _judge_same(claim, ours)
    for one in ours:
        for other in theirs:
            held = find_relations(one.box, other.box)
            if claim.name not in held:
                seen = " and ".join(sorted(held)) or "in no clear relation to"
                return False, f"expected the {subject} {claim.name} the {target}, found it {seen} the {target}"
    return True, f"the {subject} is {claim.name} the {target}"


def _judge_same(claim: Claim, things: Sequence[Detection]) -> tuple[bool, str]:
    """Say whether one thing of a kind stands so to another of it: one pair is enough."""
    if len(things) < 2:
        return False, f"expected a {claim.subject} {claim.name} another, found one {claim.subject}"
    if any(claim.name in find_relations(one.box, other.box) for one, other in permutations(things, 2)):
        return True, f"a {claim.subject} is {claim.name} another"
    return False, f"expected a {claim.subject} {claim.name} another, found none"


def _pick(things: Sequence[Detection], label: str, wanted: dict[str, int], least: int) -> list[Detection]:
    """Return the most confident things of a label, as many as are claimed (`least` if no count is claimed)."""
    group = sorted((thing for thing in things if thing.label == label), key=lambda thing: -thing.confidence)
    return group[: wanted.get(label, least)]
