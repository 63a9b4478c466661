"""Judges the number of claimed objects in the image, of a kind or of a kind in one colour, which must be exact.

GenEval (arXiv 2310.11513) asks for at least n and forbids n + 1, which together is equality. Unclaimed objects are no
fault, as there; the evidence lists them. Next to an object that the detector cannot name, only "too many" is certain. A
claim of 0 requires that there is none. A `part` claim counts the objects of a kind in its colour; an object whose
colour has no name has none. Value: the share of count and part claims that hold.
"""

from __future__ import annotations

from datagen.records import UNNAMED, Cause, Claim, Modality, Prompt, Sample, Verdict
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools
from datagen.scoring.unseen import detect_claimed
from datagen.scoring.verdicts import doubt, find_unnamed, grade_count, list_detections, mean_of_claims
from datagen.taxonomy.english import name_many

TARGET: Modality = "image"
JUDGES = frozenset({"count", "part"})


class Options(ScorerOptions):
    """Whether a wrong number is worth the more, the nearer it is."""

    graded: bool = False


PLAIN = Options()
"""The default options."""


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge every count and part claim of the prompt on the detections in the sample's last image."""
    claims = [claim for claim in prompt.claims if claim.is_counted]
    if not claims:
        return Verdict(None, "no count claim")
    things = detect_claimed(claims, sample, tools)
    if isinstance(things, Verdict):
        return things
    labels = [thing.label for thing in things]
    colored = [(thing.label, thing.color) for thing in things]
    seen = [
        labels.count(c.subject) if c.kind == "count" else colored.count((c.subject, tools.name_color(c.name) or ""))
        for c in claims
    ]
    causes = {str(c): find_cause(c, n, labels.count(c.subject)) for c, n in zip(claims, seen, strict=True)}
    counts = {claim.subject: labels.count(claim.subject) for claim in claims}
    extras = {label: labels.count(label) for label in sorted({*labels} - counts.keys() - {UNNAMED})}
    reasons = [_explain(claim, n) for claim, n in zip(claims, seen, strict=True)]
    grades = [grade_count(int(c.value), n) for c, n in zip(claims, seen, strict=True)] if options.graded else None
    verdict = mean_of_claims(causes, reasons, grades, found=counts, extras=extras, detections=list_detections(things))
    known = [None if n <= int(claim.value) else False for claim, n in zip(claims, seen, strict=True)]
    return doubt(verdict, find_unnamed(things), known)


def find_cause(claim: Claim, found: int, of_kind: int) -> Cause | None:
    """Return why a count or part claim fails, or None: `found` things are as claimed, of `of_kind` things in all."""
    wanted = int(claim.value)
    if found == wanted:
        return None
    if claim.kind == "part" and (found < wanted <= of_kind or not wanted):
        return "color"  # enough of them are there, so their colours are wrong; or one has a colour that none may have
    if not of_kind:
        return "missing"
    return "count" if wanted else "extra"


def _explain(claim: Claim, found: int) -> str:
    wanted, what = int(claim.value), f"{claim.name} {claim.subject}".strip()
    if found == wanted:
        return f"found {name_many(found, what)} as asked"
    return f"expected {name_many(wanted, what)}, found {found}"
