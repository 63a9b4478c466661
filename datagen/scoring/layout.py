"""Reads the layout that a reasoning text carries, in the form of GoT-R1 (`datagen.markup`).

A phrase is a colour and an object, in any order of other words; a written word is `black text "OPEN"`. What does not
have this form is a fault with a reason, never an error. Boxes that overlap are listed apart from the faults: tulips
stand in their vase, but nothing of the embedded world does.
Not covered: a phrase whose object does not come last (`bouquet of red tulips` is no `tulip`), and plurals.

Says how a planned layout misses a claim: as many of a thing as claimed, in the claimed colour, in the claimed place.

`plan` holds every claim against a plan, `got_layout` those that boxes alone decide. Places follow GenEval's rule
(`vision/geometry.py`); GoT-R1 (arXiv 2505.17022) leaves both to a judge, for which see `got_layout` with `judge: true`.

The names of things that matter for one sample: what a detector with an open vocabulary is told to look for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from datagen.embedded.pictograms import COLORS
from datagen.markup import MARKS, Box, Marked, read_markup
from datagen.records import Claim, Prompt, Sample, compose
from datagen.taxonomy.english import holds_order, name_many, say_order
from datagen.vision.colors import SAME
from datagen.vision.geometry import Sides, find_relations, shared_area
from datagen.vision.ocr import unify

TEXT = "text"
"""Label of a planned word."""
_WORD = re.compile(r'"([^"]*)"')
_ARTICLES = {"a", "an", "the", "one"}


@dataclass(frozen=True, slots=True)
class Planned:
    """One thing in a plan: label without colour and article, colour or `""`, box, and the word if it is text."""

    phrase: str
    label: str
    color: str
    box: Box
    word: str = ""

    def __str__(self) -> str:
        return self.phrase


@dataclass(frozen=True, slots=True)
class Layout:
    """A plan as read: its things in the order of the text, and what is wrong with its form."""

    things: tuple[Planned, ...]
    faults: tuple[str, ...]

    @property
    def overlaps(self) -> tuple[str, ...]:
        """Which things lie over which."""
        pairs = combinations(self.things, 2)
        return tuple(f"{one} and {other} overlap" for one, other in pairs if shared_area(one.box, other.box) > 0)

    @property
    def placed(self) -> tuple[Planned, ...]:
        """The things whose box is one: corners in order and inside the picture."""
        return tuple(thing for thing in self.things if not find_box_fault(thing.box))


@lru_cache(maxsize=16)
def read_layout(text: str) -> Layout:
    """Read every object with its box from a reasoning text, and list all that is malformed or outside.

    Remembered, since several scorers read one sample after the other.
    """
    pieces = read_markup(compose(text))
    words = "".join(piece for piece in pieces if isinstance(piece, str))
    marked = [piece for piece in pieces if isinstance(piece, Marked)]
    things = tuple(_read_thing(one.phrase, one.box) for one in marked if one.box)
    faults = []
    if len(things) < len(marked) or any(mark in words for mark in MARKS):
        faults.append("an object or box is not written out in full")
    faults += [f"the box of {thing} {reason}" for thing in things if (reason := find_box_fault(thing.box))]
    return Layout(things, tuple(faults))


def _read_thing(phrase: str, box: Box) -> Planned:
    label, color, word = _read_phrase(phrase)
    return Planned(phrase, label, color, box, word)


def is_named(thing: Planned, name: str) -> bool:
    """Say whether a planned thing is the named object: `wooden chair` is a `chair`."""
    return thing.label == name or (thing.label != TEXT and thing.label.endswith(f" {name}"))


def find_box_fault(box: Box) -> str:
    """Say what is wrong with a box, or `""`: corners in order and inside 0..1000."""
    x1, y1, x2, y2 = box
    if 0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000:
        return ""
    return "leaves the picture" if min(box) < 0 or max(box) > 1000 else "has its corners out of order"


@lru_cache(maxsize=4096)
def _read_phrase(phrase: str) -> tuple[str, str, str]:
    """Return the label, the colour and the word of a phrase."""
    quoted = _WORD.search(phrase)
    words = [word for word in _WORD.sub(" ", phrase).split() if word.lower() not in _ARTICLES]
    color = next((word for word in words if word in COLORS), "")
    if color:
        words.remove(color)
    if quoted:
        return TEXT, color, quoted[1]
    return " ".join(words), color, ""


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
    if claim.is_counted:
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


def list_names(prompt: Prompt, sample: Sample) -> frozenset[str]:
    """Return every object that the prompt claims something about, or that the sample's reasoning plans.

    Written words are not among them: an OCR reads those.
    """
    claimed = {name for claim in prompt.claims for name in claim.things}
    planned = {thing.label for thing in read_layout(sample.text).things}
    return frozenset(name for name in claimed | planned if name and name != TEXT)
