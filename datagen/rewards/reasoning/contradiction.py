"""Judges whether the reasoning text contradicts claims: 1 - the share of claims that it contradicts.

A count is contradicted by another number without the right one, an attribute by another value for the object, a
relation by its opposite, a text by other quoted words without the claimed ones. Silence contradicts nothing, so an
empty thought scores 1: use it beside `coverage`. The final prompt of a reflection is read, else the thought.

Not covered: see `scoring.prose`, for example denials ("no star" is not read as a number); relations other than the
four, which the reader cannot contradict.
"""

from __future__ import annotations

from collections.abc import Sequence

from datagen.records import Claim, Modality, Prompt, Sample, Verdict
from datagen.scoring.prose import find_contradiction, find_prose, read_facts
from datagen.scoring.tools import Tools
from datagen.vision.geometry import RELATIONS

TARGET: Modality = "text"
JUDGES = frozenset({"count", "attribute", "relation", "text"})


def own_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims of a prompt whose contradiction the reader can find."""
    return [c for c in claims if c.kind in JUDGES and (c.kind != "relation" or c.name in RELATIONS)]


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return 1 - contradicted / claims of the reasoning prose, in [0, 1]; None without prose or claims."""
    claims = own_claims(prompt.claims)
    if not claims:
        return Verdict(None, "no claim")
    prose, why = find_prose(sample)
    if why:
        return Verdict(None, why)
    facts = read_facts(prose, claims)
    against = {str(claim): find_contradiction(facts, claim, claims) for claim in claims}
    found = [fault for fault in against.values() if fault]
    reason = f"the reasoning {'; '.join(found)}" if found else "the reasoning contradicts no claim"
    value = 1 - sum(map(bool, against.values())) / len(against)
    return Verdict(value, reason, {"claims": {claim: not fault for claim, fault in against.items()}})
