"""Judges the colour of claimed objects in the image.

GenEval (arXiv 2310.11513) requires as many objects in the colour as are claimed. Here, if the prompt also claims a
number, every instance must have the colour (`counting` judges the number); otherwise one is enough. Next to an object
that the detector cannot name, "every instance" and "no instance" are unknown. Value: the share of claims that hold.

Other attributes need a judge that answers questions; a prompt that claims one is not judged here at all. A colour that
the detector has no name for (turquoise, grey) is not judged; `violet` is another name of purple.
"""

from __future__ import annotations

from collections.abc import Sequence

from datagen.records import Cause, Claim, Detection, Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import detect_claimed
from datagen.scoring.verdicts import doubt, find_unnamed, list_detections, mean_of_claims
from datagen.taxonomy.english import name_one

TARGET: Modality = "image"
JUDGES = frozenset({"attribute"})


def own_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Return the colour claims of a prompt; none if it also claims another attribute."""
    mine = [claim for claim in claims if claim.kind == "attribute"]
    return mine if all(claim.name == "color" for claim in mine) else []


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge every colour claim of the prompt on the detections in the sample's last image."""
    claims = [claim for claim in prompt.claims if claim.kind == "attribute"]
    if not claims:
        return Verdict(None, "no attribute claim")
    if others := sorted({claim.name for claim in claims} - {"color"}):
        return Verdict(
            None, f"{', '.join(others)} cannot be seen by a detector: it needs a judge that answers questions"
        )
    things = detect_claimed(claims, sample, tools)
    if isinstance(things, Verdict):
        return things
    named = [claim.subject for claim in claims]
    # "Two stars, one red and one blue": with two colours claimed, not every star can have each.
    counted = {claim.subject for claim in prompt.claims if claim.kind == "count" and named.count(claim.subject) == 1}
    wanted = {claim: tools.name_color(str(claim.value)) for claim in claims}
    answers = {
        str(claim): _judge(claim, wanted[claim], things, all_of_them=claim.subject in counted) for claim in claims
    }
    causes = {claim: cause for claim, (cause, _) in answers.items()}
    reasons = [reason for _, reason in answers.values()]
    verdict = mean_of_claims(causes, reasons, detections=list_detections(things))
    known = [_know(claim, wanted[claim], things, all_of_them=claim.subject in counted) for claim in claims]
    return doubt(verdict, find_unnamed(things), known)


def _judge(
    claim: Claim, wanted: str | None, things: Sequence[Detection], *, all_of_them: bool
) -> tuple[Cause | None, str]:
    """Return why a colour claim fails, None if it holds, and the reason in words.

    `wanted` is the detector's name of the colour.
    """
    colors = [thing.color or "unclear" for thing in things if thing.label == claim.subject]
    if not colors:
        return "missing", f"expected {name_one(claim.subject, str(claim.value))}, found no {claim.subject}"
    right = colors.count(wanted or "")
    seen = ", ".join(f"{colors.count(color)} {color}" for color in sorted({*colors}))
    if right == len(colors) or (right and not all_of_them):
        return None, f"{claim.subject}: {seen}, as asked"
    return "color", f"expected every {claim.subject} {claim.value}, found {seen}"


def _know(claim: Claim, wanted: str | None, things: Sequence[Detection], *, all_of_them: bool) -> bool | None:
    """Return whether a colour claim holds even if there are more of the object; None if it depends on them.

    `wanted` is the detector's name of the colour.
    """
    right = [thing.color == wanted for thing in things if thing.label == claim.subject]
    return (None if all(right) else False) if all_of_them else (True if any(right) else None)
