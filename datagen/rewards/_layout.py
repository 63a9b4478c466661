"""Reads the layout that a reasoning text carries, in the form of GoT-R1 (arXiv 2505.17022).

    <|obj_start|>red star<|obj_end|><|box_start|>(167,333),(500,667)<|box_end|>

A phrase is a colour and an object, in any order of other words; a written word is `black text "OPEN"`. Coordinates are
whole thousandths of each side of the picture, y downwards. What does not have this form is a fault with a reason, never
an error. Boxes that overlap are listed apart from the faults: tulips stand in their vase, but nothing of the embedded
world does.
Not covered: a phrase whose object does not come last (`bouquet of red tulips` is no `tulip`), and plurals.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from datagen.pictograms import COLORS
from datagen.records import compose
from datagen.rewards._relations import shared_area

TEXT = "text"
"""Label of a planned word."""
_OBJECT = re.compile(
    r"<\|obj_start\|>([^<>|]*)<\|obj_end\|>\s*"
    r"<\|box_start\|>\(\s*(-?\d{1,6})\s*,\s*(-?\d{1,6})\s*\)\s*,\s*\(\s*(-?\d{1,6})\s*,\s*(-?\d{1,6})\s*\)<\|box_end\|>"
)
_MARK = re.compile(r"<\|(?:obj|box)_(?:start|end)\|>")
_WORD = re.compile(r'"([^"]*)"')
_ARTICLES = {"a", "an", "the", "one"}


@dataclass(frozen=True, slots=True)
class Planned:
    """One thing in a plan: label without colour and article, colour or `""`, box, and the word if it is text."""

    phrase: str
    label: str
    color: str
    box: tuple[int, int, int, int]
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
    text = compose(text)
    things = tuple(_read_object(match) for match in _OBJECT.finditer(text))
    faults = []
    if _MARK.search(_OBJECT.sub("", text)):
        faults.append("an object or box is not written out in full")
    faults += [f"the box of {thing} {reason}" for thing in things if (reason := find_box_fault(thing.box))]
    return Layout(things, tuple(faults))


def _read_object(match: re.Match[str]) -> Planned:
    phrase, x1, y1, x2, y2 = match.groups()
    label, color, word = _read_phrase(phrase.strip())
    return Planned(phrase.strip(), label, color, (int(x1), int(y1), int(x2), int(y2)), word)


def is_named(thing: Planned, name: str) -> bool:
    """Say whether a planned thing is the named object: `wooden chair` is a `chair`."""
    return thing.label == name or (thing.label != TEXT and thing.label.endswith(f" {name}"))


def find_box_fault(box: tuple[int, int, int, int]) -> str:
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
