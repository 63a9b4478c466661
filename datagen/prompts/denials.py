"""What a text says is not there, and which numbers it compares: read first, and taken out before the rest is read.

"Three stars and no moons" denies moons, "more stars than moons" compares. The reader of things
(`datagen.taxonomy.mentions`) doubts every "no" and every "more", and rightly so where nothing of the kind was claimed:
only prompts with such claims come here. The plainest forms alone are taken, and what is left is doubted as ever. Not
covered: "none of them red", "twice as many", "no star is missing".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from datagen.records import Claim
from datagen.taxonomy.english import is_pair
from datagen.taxonomy.vocabulary import PAIRS_OF, VAGUE, Item

_DENIALS = frozenset({"no", "without", "neither", "nor"})
_EXCEPTIONS = frozenset({"but", "except", "excluding", "besides", "save"})
_LEADS = frozenset({"exactly", "just", "clearly", "far", "there", "again"})
"""Words that may stand before a comparison; "twice" or "times" would change what it says."""
_REACH = 3
"""Items before a denial or a comparison in which a denial that was not taken turns it round."""
_COMMA = Item("comma", ",")


@dataclass(slots=True)
class Denied:
    """Things that are said to be absent, comparisons as normal claims, and the items that are left to read."""

    absent: set[str] = field(default_factory=set)
    comparisons: set[Claim] = field(default_factory=set)
    rest: list[Item] = field(default_factory=list)


def take_out(items: Sequence[Item]) -> Denied:
    """Read denials and comparisons from left to right; a comma stands where one was."""
    said, place, after_denial = Denied(), 0, False
    while place < len(items):
        turned = any(item.kind == "negation" for item in said.rest[-_REACH:])
        denied = 0 if turned or (after_denial and items[place].text == "without") else _measure_denial(items, place)
        compared = 0 if turned or denied else _measure_comparison(items, place, said)
        taken = items[place : place + denied]
        said.absent |= {item.value for item in taken if item.kind == "object"}
        said.rest.append(_COMMA if denied or compared else items[place])
        after_denial = denied > 0
        place += denied or compared or 1
    return said


def normalize(claim: Claim) -> Claim:
    """Return a claim of depth or of a comparison in one of its two directions, any other as it is."""
    converse = {"fewer than": "more than", "behind": "in front of"}.get(claim.name)
    if claim.kind in ("comparison", "depth") and converse:
        return Claim(claim.kind, str(claim.value), converse, claim.subject)
    if claim.name == "as many as":
        one, other = sorted((claim.subject, str(claim.value)))
        return Claim("comparison", one, claim.name, other)
    return claim


def _measure_denial(items: Sequence[Item], place: int) -> int:
    """Return how many items say that things are absent from here: "without any moons or bells"; 0 if none do."""
    if items[place].text not in _DENIALS:
        return 0
    end = _skip_object(items, place + 1)
    while end and _text(items, end) == "or" and (further := _skip_object(items, end + 1)):
        end = further
    return end - place if end and _text(items, end) not in _EXCEPTIONS else 0


def _skip_object(items: Sequence[Item], place: int) -> int:
    """Return the place after "moons", "any moons" or "a single moon", or 0."""
    if place < len(items) and (items[place].text == "any" or (items[place].kind, items[place].number) == ("number", 1)):
        place += 1
    place = _skip_unit(items, place)
    return place + 1 if _kind(items, place) == "object" else 0


def _skip_unit(items: Sequence[Item], place: int) -> int:
    """Return the place after "pairs of" before a thing that is counted in pairs, else the place itself."""
    following = items[place + 1 : place + 2]
    counted = following and following[0].kind == "object" and is_pair(following[0].value)
    return place + 1 if counted and _text(items, place) in PAIRS_OF else place


def _measure_comparison(items: Sequence[Item], place: int, said: Denied) -> int:
    """Return how many items compare two things from here, and note what they say; 0 if none do."""
    texts = [item.text for item in items[place : place + 12]]
    first = items[place]
    if first.kind == "object" and texts[1:2] in (["outnumber"], ["outnumbers"]):
        other = place + 2 + (_kind(items, place + 2) == "definite")
        return _note(items, place, "more than", place, other, said)
    before = said.rest[-1] if said.rest else _COMMA
    leads = before.kind in ("comma", "end", "stop", "definite") or before.text in _LEADS
    if not leads and (before.kind != "number" or (before.number != VAGUE and before.text not in ("a", "an"))):
        return 0
    if first.text in ("more", "fewer"):
        one = _skip_words(items, place + 1)
        other = _skip_unit(items, one + 2 + 2 * (texts[one + 2 - place : one + 4 - place] == ["there", "are"]))
        return _note(items, place, f"{first.text} than", one, other, said) if _text(items, one + 1) == "than" else 0
    if texts[:2] == ["as", "many"]:
        one = _skip_words(items, place + 2)
        other = _skip_unit(items, one + 2)
        return _note(items, place, "as many as", one, other, said) if _text(items, one + 1) == "as" else 0
    if texts[:1] in (["same"], ["equal"]) and texts[1:3] in (["number", "of"], ["numbers", "of"]):
        one = _skip_unit(items, place + 3)
        joined = _text(items, one + 1) in ("and", "as")
        return _note(items, place, "as many as", one, _skip_unit(items, one + 2), said) if joined else 0
    return 0


def _note(items: Sequence[Item], place: int, name: str, one: int, other: int, said: Denied) -> int:
    """Note a comparison of the objects at two places and return its length; 0 if one of them is no object."""
    if _kind(items, one) != "object" or _kind(items, other) != "object":
        return 0
    said.comparisons.add(normalize(Claim("comparison", items[one].value, name, items[other].value)))
    return other + 1 - place


def _skip_words(items: Sequence[Item], place: int) -> int:
    """Return the place of what follows at most two adjectives that name no colour or material."""
    end = place
    while end < place + 2 and _kind(items, end) == "word":
        end += 1
    return _skip_unit(items, end)


def _kind(items: Sequence[Item], place: int) -> str:
    return items[place].kind if place < len(items) else ""


def _text(items: Sequence[Item], place: int) -> str:
    return items[place].text if place < len(items) else ""
