"""Says how a planned layout misses a claim: as many of a thing as claimed, in the claimed colour, in the claimed place.

`plan` holds every claim against a plan, `got_layout` those that boxes alone decide. Places follow GenEval's rule
(`_relations.py`); GoT-R1 (arXiv 2505.17022) leaves both to a judge, for which see `got_layout_judge`.
"""

from __future__ import annotations

from collections.abc import Sequence

from datagen.records import Claim
from datagen.rewards._layout import TEXT, Planned, is_named
from datagen.rewards._orders import holds_order, say_order
from datagen.rewards._relations import Sides, find_relations
from datagen.rewards._rendered import unify
from datagen.rewards._web_colors import SAME
from datagen.taxonomy.english import name_many


def find_claim_fault(claim: Claim, claims: Sequence[Claim], things: Sequence[Planned], sides: Sides) -> str:
    """Say how a plan for a picture with these sides misses a claim, or `""` if it holds it."""
    if claim.kind == "text":
        words = [unify(thing.word) for thing in things if thing.label == TEXT]
        return (
            ""
            if unify(str(claim.value)) in words
            else f'the plan lacks the text "{claim.value}", it has {words or "none"}'
        )
    ours = [thing for thing in things if is_named(thing, claim.subject)]
    if claim.kind in ("count", "part"):
        return _find_miscounted(claim, ours)
    if claim.kind == "comparison":
        others = sum(is_named(thing, str(claim.value)) for thing in things)
        holds = holds_order(claim.name, len(ours), others)
        return "" if holds else f"expected {say_order(claim)} in the plan, found {len(ours)} and {others}"
    if not ours:
        return f"the plan has no {claim.subject}"
    if claim.kind == "attribute":
        return _find_wrong(claim, claims, ours)
    theirs = [thing for thing in things if is_named(thing, str(claim.value))]
    return _find_misplaced(claim, ours, theirs, sides)


def _find_miscounted(claim: Claim, ours: Sequence[Planned]) -> str:
    """Say how many of a thing, or of those in one colour, are missing or too many."""
    wanted, what = int(claim.value), f"{claim.name} {claim.subject}".strip()
    found = sum(not claim.name or _is_called(thing, claim.name) for thing in ours)
    return "" if found == wanted else f"expected {name_many(wanted, what)} in the plan, found {found}"


def _find_wrong(claim: Claim, claims: Sequence[Claim], ours: Sequence[Planned]) -> str:
    """Say which planned things lack an attribute: one with it is enough if others are claimed to be different."""
    wrong = [thing.phrase for thing in ours if not _is_called(thing, str(claim.value))]
    about = (claim.kind, claim.subject, claim.name)
    same = [other for other in claims if (other.kind, other.subject, other.name) == about]
    if not wrong or (len(same) > 1 and len(wrong) < len(ours)):
        return ""
    return f"expected every {claim.subject} {claim.value} in the plan, found {', '.join(wrong)}"


def _is_called(thing: Planned, value: str) -> bool:
    """Say whether the phrase of a planned thing has an attribute's words, one after the other, or its other name."""
    phrase = f" {' '.join(thing.phrase.split())} "
    return f" {value} " in phrase or f" {SAME.get(value, value)} " in phrase


def _find_misplaced(claim: Claim, ours: Sequence[Planned], theirs: Sequence[Planned], sides: Sides) -> str:
    """Say how a relation fails, or `""`: all pairs must hold; of two of one kind, one pair in one order."""
    pairs = [(one, other) for one in ours for other in theirs if one is not other]
    if not pairs:
        return f"the plan has no {'other ' if theirs else ''}{claim.value}"
    held = [claim.name in find_relations(one.box, other.box, sides) for one, other in pairs]
    if any(held) if claim.subject == claim.value else all(held):
        return ""
    return f"the plan does not put the {claim.subject} {claim.name} the {claim.value}"
