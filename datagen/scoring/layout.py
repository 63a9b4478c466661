"""Read the layout in a reasoning text, in the form of GoT-R1 (`datagen.markup`), and compare it with claims.

A phrase is a colour and an object among other words; rendered text is `black text "OPEN"`. Malformed parts become
faults with a reason, never errors. An object belongs to the longest claimed name that its phrase ends with
(`group_by_name`). Overlapping boxes are listed separately: tulips stand in their vase, although nothing in the embedded
world overlaps.

The scorer `plan` checks every claim (number, colour, position), `got_layout` those that boxes alone decide. Positions
follow GenEval's rule (`vision/geometry.py`); GoT-R1 (arXiv 2505.17022) leaves both to a judge, as `got_layout` with
`judge: true` does.

`list_names` lists the objects that a detector with an open vocabulary has to search for in a sample.

Not covered: a phrase whose object does not come last (`bouquet of red tulips` is no `tulip`), and plurals.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from datagen.embedded.pictograms import COLORS
from datagen.markup import MARKS, Box, Marked, read_markup
from datagen.records import Claim, Prompt, Sample, compose
from datagen.taxonomy.english import holds_order, name_many, say_order
from datagen.vision.colors import SAME, one_name
from datagen.vision.geometry import Sides, find_relations, shared_area
from datagen.vision.ocr import unify

TEXT = "text"
"""Label of a planned text."""
_WORD = re.compile(r'"([^"]*)"')
_ARTICLES = {"a", "an", "the", "one"}


@dataclass(frozen=True, slots=True)
class Planned:
    """One object of a plan: label without colour and article, colour or `""`, box, and the words if it is text.

    Label and colour are in lower case (`casefold`), phrase and words as they are written.
    """

    phrase: str
    label: str
    color: str
    box: Box
    word: str = ""

    def __str__(self) -> str:
        return self.phrase


@dataclass(frozen=True, slots=True)
class Layout:
    """A plan: its objects in the order of the text, and the faults of its form."""

    things: tuple[Planned, ...]
    faults: tuple[str, ...]

    @property
    def overlaps(self) -> tuple[str, ...]:
        """Descriptions of all pairs of objects that overlap."""
        pairs = combinations(self.things, 2)
        return tuple(f"{one} and {other} overlap" for one, other in pairs if shared_area(one.box, other.box) > 0)

    @property
    def placed(self) -> tuple[Planned, ...]:
        """The objects with a valid box: corners in order and inside the picture."""
        return tuple(thing for thing in self.things if not find_box_fault(thing.box))


@lru_cache(maxsize=16)
def read_layout(text: str) -> Layout:
    """Read every object with its box from a reasoning text, and list malformed parts and boxes outside the picture.

    Cached, since several scorers read the same sample in turn.
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


def group_by_name(things: Iterable[Planned], claims: Iterable[Claim]) -> dict[str, list[Planned]]:
    """Return the planned objects of each claimed name, under `TEXT` all texts, and under `""` what has no such name.

    An object belongs to the longest claimed name that its phrase or its label ends with: a `wooden chair` is a `chair`,
    and a `teddy bear` is no `bear` if teddy bears are claimed too. The names are in lower case (`casefold`).
    """
    names = tuple(sorted({name.casefold() for claim in claims for name in claim.things}, key=len, reverse=True))
    groups: dict[str, list[Planned]] = {name: [] for name in (*names, TEXT, "")}
    for thing in things:
        groups[_find_name(thing.phrase, thing.label, names)].append(thing)
    return groups


@lru_cache(maxsize=4096)
def _find_name(phrase: str, label: str, names: tuple[str, ...]) -> str:
    if label == TEXT:
        return TEXT
    ends = _space(phrase), _space(label)  # the label lacks the colour, which may be part of a name: a `red panda`
    return next((name for name in names if any(end.endswith(f" {name} ") for end in ends)), "")


def _space(words: str) -> str:
    """Return words in lower case with one space around each."""
    return f" {' '.join(words.casefold().split())} "


def find_box_fault(box: Box) -> str:
    """Return the fault of a box, or `""`; corners must be in order and inside 0..1000."""
    x1, y1, x2, y2 = box
    if 0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000:
        return ""
    return "leaves the picture" if min(box) < 0 or max(box) > 1000 else "has its corners out of order"


def as_box(values: object) -> Box | None:
    """Return four numbers as a box with 0 <= x1 < x2 <= 1000, likewise y; None for anything else."""
    if not isinstance(values, (list, tuple)) or len(values) != 4:
        return None
    try:
        x1, y1, x2, y2 = (round(float(value)) for value in values)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if find_box_fault((x1, y1, x2, y2)) else (x1, y1, x2, y2)


@lru_cache(maxsize=4096)
def _read_phrase(phrase: str) -> tuple[str, str, str]:
    """Return the label, the colour and the quoted text of a phrase."""
    quoted = _WORD.search(phrase)
    words = [word for word in _WORD.sub(" ", phrase).casefold().split() if word not in _ARTICLES]
    is_one_word = len(words) == 1 and not quoted  # then it is the object, even an `orange`
    said = "" if is_one_word else next((word for word in words if one_name(word) in COLORS), "")
    color = one_name(said)
    if color:
        words.remove(said)
    if quoted:
        return TEXT, color, quoted[1]
    return " ".join(words), color, ""


def find_claim_fault(
    claim: Claim, claims: Sequence[Claim], named: Mapping[str, Sequence[Planned]], sides: Sides
) -> str:
    """Return how a plan for a picture with these sides violates a claim, or `""`.

    `claims` are all claims of the prompt, `named` the planned objects by the names in them (`group_by_name`).
    """
    if claim.kind == "text":
        words = [unify(thing.word) for thing in named[TEXT]]
        return (
            ""
            if unify(str(claim.value)) in words
            else f'the plan lacks the text "{claim.value}", it has {words or "none"}'
        )
    ours = named[claim.subject.casefold()]
    if claim.is_counted:
        return _find_miscounted(claim, named)
    if claim.kind == "comparison":
        others = len(named[str(claim.value).casefold()])
        holds = holds_order(claim.name, len(ours), others)
        return "" if holds else f"expected {say_order(claim)} in the plan, found {len(ours)} and {others}"
    if not ours:
        return f"the plan has no {claim.subject}"
    if claim.kind == "attribute":
        return _find_wrong(claim, claims, ours)
    return _find_misplaced(claim, ours, named[str(claim.value).casefold()], sides)


def _find_miscounted(claim: Claim, named: Mapping[str, Sequence[Planned]]) -> str:
    """Return the fault if the number of an object, or of those in one colour, differs from the claim, else `""`."""
    wanted, what = int(claim.value), f"{claim.name} {claim.subject}".strip()
    found = count_claimed(claim, named)
    return "" if found == wanted else f"expected {name_many(wanted, what)} in the plan, found {found}"


def count_claimed(claim: Claim, named: Mapping[str, Sequence[Planned]]) -> int:
    """Return how many planned objects a count or part claim is about: those of its kind, in its colour if it has one.

    `named` are the objects by the claimed names (`group_by_name`).
    """
    return sum(not claim.name or _is_called(thing, claim.name) for thing in named[claim.subject.casefold()])


def _find_wrong(claim: Claim, claims: Sequence[Claim], ours: Sequence[Planned]) -> str:
    """Return the planned objects that lack an attribute; if the claims name several values, one object is enough."""
    wrong = [thing.phrase for thing in ours if not _is_called(thing, str(claim.value))]
    about = (claim.kind, claim.subject, claim.name)
    same = [other for other in claims if (other.kind, other.subject, other.name) == about]
    if not wrong or (len(same) > 1 and len(wrong) < len(ours)):
        return ""
    return f"expected every {claim.subject} {claim.value} in the plan, found {', '.join(wrong)}"


def _is_called(thing: Planned, value: str) -> bool:
    """Tell whether a phrase contains an attribute's words in a row, or the attribute's other name."""
    said, value = _space(thing.phrase), value.casefold()
    return f" {value} " in said or f" {SAME.get(value, value)} " in said


def _find_misplaced(claim: Claim, ours: Sequence[Planned], theirs: Sequence[Planned], sides: Sides) -> str:
    """Return how a relation fails, or `""`: every pair must satisfy it; within one kind, one pair in one order."""
    pairs = [(one, other) for one in ours for other in theirs if one is not other]
    if not pairs:
        return f"the plan has no {'other ' if theirs else ''}{claim.value}"
    held = [claim.name in find_relations(one.box, other.box, sides) for one, other in pairs]
    if any(held) if claim.subject == claim.value else all(held):
        return ""
    return f"the plan does not put the {claim.subject} {claim.name} the {claim.value}"


def spell_names(claims: Iterable[Claim]) -> dict[str, str]:
    """Return the claimed names, as the claims spell them, by their lower case (`casefold`), as a plan's labels are."""
    return {name.casefold(): name for claim in claims for name in claim.things}


def list_names(prompt: Prompt, sample: Sample) -> frozenset[str]:
    """Return every object in the prompt's claims or in the plan of the sample's reasoning, each in one spelling.

    Rendered text is left to the OCR.
    """
    spelled = spell_names(prompt.claims)
    planned = {spelled.get(thing.label, thing.label) for thing in read_layout(sample.text).things}
    claimed = {name for claim in prompt.claims for name in claim.things}
    return frozenset(name for name in claimed | planned if name and name != TEXT)
