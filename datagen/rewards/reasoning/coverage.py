"""Judges whether the reasoning text states every claim: the share of claims that it states.

A count is stated by its number (a single object needs none), an attribute by its word bound to the object, a relation
in either direction, a text by its exact words in quotation marks. The final prompt of a reflection is read, else the
thought. T2I-R1 (arXiv 2505.00703) asks the same of its reasoning: every object, attribute and relation.

Not covered: see `scoring.prose`; claims that there is none of an object and relations other than the four are not
judged. `contradiction` judges texts that also state the contrary.
"""

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
    """Return the share of claims that the reasoning prose states, in [0, 1]; None without prose or claims."""
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
