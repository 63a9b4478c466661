"""Judges the boxes that a reasoning text plans: do they stand as the prompt claims, and are there as many?

GoT-R1 (arXiv 2505.17022) rewards the layout of the reasoning apart from its meaning. There a judge looks at the boxes
(here `got_layout_judge`); this is the same question by rule, for prompts whose claims say it: each count claim on the
number of planned things, each relation claim by GenEval's rule on all pairs. Value: the share of these claims that
hold.

How it differs from `plan`: attributes and words are not looked at, extra things and overlaps are no fault, so that it
fits reasoning in prose with boxes in it (a vase on a tablecloth). A thing whose box leaves the picture or has its
corners out of order is not placed and counts as missing. A thought without any layout scores 0, as in `plan`.
Not covered: relations beyond four; a phrase that stands for several things.
"""

from __future__ import annotations

from collections.abc import Sequence

from datagen.records import Claim, Modality, Prompt, Sample, Verdict
from datagen.rewards._layout import read_layout
from datagen.rewards._layout_claims import find_claim_fault
from datagen.rewards._relations import RELATIONS
from datagen.rewards._sides import sides_of
from datagen.rewards._tools import Tools
from datagen.rewards.plan import find_thought

TARGET: Modality = "text"
JUDGES = frozenset({"count", "relation"})


def own_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims of a prompt that boxes decide: numbers, and the four relations."""
    return [c for c in claims if c.kind == "count" or (c.kind == "relation" and c.name in RELATIONS)]


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the layout in the `think` segment of a sample against the count and relation claims of its prompt."""
    claims = own_claims(prompt.claims)
    if not claims:
        return Verdict(None, "no count claim, and no relation claim that boxes decide")
    thought = find_thought(sample)
    if thought is None:
        return Verdict(None, "the sample has no reasoning")
    layout = read_layout(thought)
    if not layout.things:
        return Verdict(0.0, "the reasoning plans nothing: no object with a box in it", {"passed": False})
    placed, sides = layout.placed, sides_of(sample)
    faults = {str(claim): find_claim_fault(claim, claims, placed, sides) for claim in claims}
    checks = {claim: not fault for claim, fault in faults.items()}
    said = [fault for fault in faults.values() if fault] or ["the boxes stand as claimed"]
    evidence = {"passed": all(checks.values()), "claims": checks, "malformed": list(layout.faults)}
    return Verdict(sum(checks.values()) / len(checks), "; ".join([*said, *layout.faults]), evidence)
