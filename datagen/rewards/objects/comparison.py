"""Judges which of two kinds of object the image has more of: `comparison(star, more than, moon)`.

GenAI-Bench (arXiv 2406.13743) tags such prompts "comparison" and leaves them to people; the rule here is ours. The
detector counts both kinds, both must be present (a picture without moons does not show "more stars than moons"), and
the numbers must compare as claimed. Next to an object that the detector cannot name, no comparison is certain. Value:
the share of comparison claims that hold.

Not covered: how many more, sizes, and comparisons of attributes ("a redder star").
"""

from __future__ import annotations

from collections.abc import Mapping

from datagen.records import Cause, Claim, Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import detect_claimed
from datagen.scoring.verdicts import doubt, find_unnamed, list_detections, mean_of_claims
from datagen.taxonomy.english import ORDERS, holds_order, name_many, say_order

TARGET: Modality = "image"
JUDGES = frozenset({"comparison"})


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge every comparison claim of the prompt on the detections in the sample's last image."""
    claims = [claim for claim in prompt.claims if claim.kind == "comparison"]
    if not claims:
        return Verdict(None, "no comparison claim")
    if strange := sorted({claim.name for claim in claims} - ORDERS.keys()):
        return Verdict(None, f"no rule compares numbers by {', '.join(map(repr, strange))}")
    things = detect_claimed(claims, sample, tools)
    if isinstance(things, Verdict):
        return things
    labels = [thing.label for thing in things]
    found = {name: labels.count(name) for name in sorted({name for claim in claims for name in claim.things})}
    if tools.most is not None and any(min(found[c.subject], found[str(c.value)]) >= tools.most for c in claims):
        return Verdict(
            None, f"there are {tools.most} or more of both, and the detector gives no more", {"found": found}
        )
    causes = {str(claim): _find_cause(claim, found) for claim in claims}
    reasons = [_explain(claim, found, holds=causes[str(claim)] is None) for claim in claims]
    verdict = mean_of_claims(causes, reasons, found=found, detections=list_detections(things))
    return doubt(verdict, find_unnamed(things), [None] * len(claims))


def _find_cause(claim: Claim, found: Mapping[str, int]) -> Cause | None:
    ours, theirs = (found[name] for name in claim.things)
    if holds_order(claim.name, ours, theirs):
        return None
    return "comparison" if ours and theirs else "missing"


def _explain(claim: Claim, found: Mapping[str, int], *, holds: bool) -> str:
    seen = " and ".join(name_many(found[name], name) for name in claim.things)
    return f"found {seen}, as asked" if holds else f"expected {say_order(claim)}, found {seen}"
