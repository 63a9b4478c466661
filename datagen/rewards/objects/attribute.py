"""Judges the colour of claimed things in the image.

GenEval (arXiv 2310.11513) asks as many of the thing to have the colour as are claimed. Here, if the prompt also claims
how many there are, every instance must have the colour (an odd one is a fault, a wrong number is for `counting`);
else one is enough. Beside something that the detector cannot name, it is not known that every instance has the colour,
or that there is none. Value: the share that holds.

Attributes other than colour need a judge that answers questions, and a prompt that claims one is left to it whole. A
colour that the detector has no name for (turquoise, grey) is not judged; `violet` is another name of purple.
"""

from __future__ import annotations

from collections.abc import Sequence

from datagen.records import Claim, Detection, Modality, Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import detect_claimed
from datagen.scoring.verdicts import doubt, find_unnamed, mean_of_claims
from datagen.taxonomy.english import name_one

TARGET: Modality = "image"
JUDGES = frozenset({"attribute"})


def own_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Return the colour claims of a prompt; none if it claims another attribute besides."""
    mine = [claim for claim in claims if claim.kind == "attribute"]
    return mine if all(claim.name == "color" for claim in mine) else []


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge every colour claim of the prompt on what the detector finds in the sample's last image."""
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
    counted = {claim.subject for claim in prompt.claims if claim.kind == "count" and named.count(claim.subject) == 1}
    answers = {
        str(claim): _judge(claim, tools.name_color(str(claim.value)), things, all_of_them=claim.subject in counted)
        for claim in claims
    }
    verdicts = {claim: holds for claim, (holds, _) in answers.items()}
    verdict = mean_of_claims(verdicts, [reason for _, reason in answers.values()])
    known = [_know(claim, things, all_of_them=claim.subject in counted) for claim in claims]
    return doubt(verdict, find_unnamed(things), known)


def _judge(claim: Claim, wanted: str | None, things: Sequence[Detection], *, all_of_them: bool) -> tuple[bool, str]:
    """Say whether a colour claim holds, and why; `wanted` is what the detector calls the colour."""
    colors = [thing.color or "unclear" for thing in things if thing.label == claim.subject]
    if not colors:
        return False, f"expected {name_one(claim.subject, str(claim.value))}, found no {claim.subject}"
    right = colors.count(wanted or "")
    seen = ", ".join(f"{colors.count(color)} {color}" for color in sorted({*colors}))
    if right == len(colors) or (right and not all_of_them):
        return True, f"{claim.subject}: {seen}, as asked"
    return False, f"expected every {claim.subject} {claim.value}, found {seen}"


def _know(claim: Claim, things: Sequence[Detection], *, all_of_them: bool) -> bool | None:
    """Say whether a colour claim holds even if there are more of the thing; None if it depends on those."""
    right = [thing.color == claim.value for thing in things if thing.label == claim.subject]
    return (None if all(right) else False) if all_of_them else (True if any(right) else None)
