"""Judges the layout in the reasoning text, without the image: it must satisfy every claim and plan nothing else.

Each claim is one check (the number of an object, the colour of all instances, every pair by GenEval's rule of position,
the exact words). Two more check that nothing unclaimed is planned, and that boxes are well formed: corners in order,
inside 0..1000, no overlap. Value: the share of checks that hold. It stands for GoT-R1's rewards of the meaning and the
layout of the reasoning (arXiv 2505.17022), decided by rules. `got_layout` judges the boxes alone.

With `graded: true` the check of a number is worth 1 - |planned - wanted| / wanted, at least 0, as in `counting`.

Not covered: reasoning in prose, which plans nothing and scores 0; claims that no layout of boxes can express (depth,
facts, relations other than the four, words with quotation marks or angle brackets): a prompt with one is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from datagen.records import Claim, Modality, Prompt, Sample, Verdict
from datagen.scoring.layout import TEXT, Planned, count_claimed, find_claim_fault, group_by_name, read_layout
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import grade_count
from datagen.vision.geometry import RELATIONS, sides_of
from datagen.vision.ocr import unify

TARGET: Modality = "text"
JUDGES = frozenset({"count", "part", "attribute", "relation", "comparison", "text"})
MARKS = frozenset('"<>|')
"""Characters of the markup of a layout."""


class Options(ScorerOptions):
    """Whether a wrong number is worth the more, the nearer it is."""

    graded: bool = False


PLAIN = Options()
"""The default options."""


def own_claims(claims: Sequence[Claim]) -> Sequence[Claim]:
    """Return all claims of a prompt; none if a layout cannot express one of them."""
    return () if any(map(_name_beyond, claims)) else claims


def _name_beyond(claim: Claim) -> str:
    """Return what a layout cannot express of a claim, or `""`."""
    if claim.kind not in JUDGES:
        return claim.kind
    if claim.kind == "text":
        return f"the text {claim.value!r}" if set(str(claim.value)) & MARKS else ""
    return repr(claim.name) if claim.kind == "relation" and claim.name not in RELATIONS else ""


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Judge the `think` segment of a sample against the claims of its prompt."""
    thought = find_thought(sample)
    if thought is None:
        return Verdict(None, "the sample has no reasoning")
    if not prompt.claims:
        return Verdict(None, "no claim")
    if beyond := sorted({name for claim in prompt.claims if (name := _name_beyond(claim))}):
        return Verdict(None, f"a layout cannot show a claim of {' or '.join(beyond)}")
    layout = read_layout(thought)
    if not layout.things:
        return Verdict(0.0, "the reasoning plans nothing: no object with a box in it", {"passed": False})
    sides, named = sides_of(sample), group_by_name(layout.things, prompt.claims)
    faults = {str(claim): find_claim_fault(claim, prompt.claims, named, sides) for claim in prompt.claims}
    faults["nothing extra"] = _find_extra(prompt.claims, named)
    faults["boxes"] = ", ".join((*layout.faults, *layout.overlaps))
    checks = {check: not fault for check, fault in faults.items()}
    reason = "; ".join(fault for fault in faults.values() if fault) or "the plan holds every claim and nothing else"
    grades = dict[str, float](checks)
    if options.graded:
        counted = [claim for claim in prompt.claims if claim.is_counted]
        grades |= {str(c): grade_count(int(c.value), count_claimed(c, named)) for c in counted}
    return Verdict(sum(grades.values()) / len(grades), reason, {"passed": all(checks.values()), "checks": checks})


def find_thought(sample: Sample) -> str | None:
    """Return the text of a sample's `think` segments, or None if there is none."""
    thoughts = [segment.text for segment in sample.segments if segment.kind == "text" and segment.role == "think"]
    return "\n".join(thoughts) if thoughts else None


def _find_extra(claims: Sequence[Claim], named: Mapping[str, Sequence[Planned]]) -> str:
    """Return the objects that are planned but not claimed, or `""`."""
    words = [unify(str(claim.value)) for claim in claims if claim.kind == "text"]
    extra = list(named[""])
    for text in named[TEXT]:
        if unify(text.word) in words:
            words.remove(unify(text.word))
        else:
            extra.append(text)
    return f"nobody asked for {', '.join(map(str, extra))}" if extra else ""
