"""Judges whether the reasoning text mentions every claim: the share of claims that it says.

A count is said by its number (a single thing may go without), an attribute by its word bound to the thing, a relation
either way round, a text in quotation marks to the letter. Of a reflection its final prompt is read, else the thought.
T2I-R1 (arXiv 2505.00703) asks the same of its reasoning: every object, attribute and relation. What the reader does not
cover stands in `scoring.prose`: that there is none of a thing and a relation beyond the four, whatever is said, so that
such claims are left to others. A text that also says the contrary is the matter of `contradiction`."""

from __future__ import annotations

from collections.abc import Sequence

from datagen.records import Claim, Modality, Prompt, Sample, Verdict
from datagen.scoring.prose import find_prose, read_facts, says
from datagen.scoring.tools import Tools
from datagen.vision.geometry import RELATIONS

TARGET: Modality = "text"
JUDGES = frozenset({"count", "attribute", "relation", "text"})


def own_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims of a prompt that the reader can find in a text."""
    return [claim for claim in claims if claim.kind in JUDGES and not _is_unreadable(claim)]


def _is_unreadable(claim: Claim) -> bool:
    return (claim.kind == "count" and claim.value == 0) or (claim.kind == "relation" and claim.name not in RELATIONS)


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Return the share of claims that the reasoning prose says, in [0, 1]; None where there is no prose or no claim."""
    claims = own_claims(prompt.claims)
    if not claims:
        return Verdict(None, "no claim")
    prose, why = find_prose(sample)
    if why:
        return Verdict(None, why)
    facts = read_facts(prose, claims)
    said = {str(claim): says(facts, claim) for claim in claims}
    missing = [claim for claim, holds in said.items() if not holds]
    reason = f"the reasoning does not say {', '.join(missing)}" if missing else "the reasoning says every claim"
    return Verdict(sum(said.values()) / len(said), reason, {"claims": said})
