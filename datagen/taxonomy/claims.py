"""Claim forms: the claims of a skill, written over its slots, such as `count(object, n)`.

| form | arguments |
|---|---|
| `count(object, n)` | object, number |
| `attribute(object, color, shade)` | object, name of the attribute (literal), value |
| `part(object, color, k)` | object, colour, how many of the objects have it |
| `relation(first, relation, second)` | object, relation, other object |
| `depth(first, plane, second)` | object, nearer or farther, other object |
| `comparison(object, order, other)` | object, more, fewer or as many, other object |
| `text(word)` | the words in the picture |
| `fact(sentence)`, `fact(object, predicate)` | what must be visibly true, of the picture or of an object |

An argument is the name of a slot, a whole number, a word of the lexicon, or any text in double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import cast

from datagen.documents.reading import show
from datagen.errors import ConfigError, did_you_mean
from datagen.records import Claim, ClaimKind
from datagen.taxonomy.models import NAMES
from datagen.taxonomy.render import Value
from datagen.taxonomy.sandbox import Remembered

_FORM = re.compile(r"\s*([a-z]+)\s*\((.*)\)\s*")
_ARGUMENT = re.compile(r'\s*("[^"]*"|[^,"()]+?)\s*(?:,|$)')
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "count": ("subject", "value"),
    "attribute": ("subject", "name", "value"),
    "relation": ("subject", "name", "value"),
    "text": ("value",),
    "part": ("subject", "name", "value"),
    "depth": ("subject", "name", "value"),
    "comparison": ("subject", "name", "value"),
    "fact": ("subject", "value"),
}
"""The fields of a claim that the arguments of each kind fill, in order; a fact may omit its subject."""
_COUNTED = ("count", "part")
"""Kinds whose value is a number."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a claim form: the name of a slot, or a literal."""

    slot: str = ""
    literal: str | int = ""

    def value(self, values: Mapping[str, Value]) -> str | int:
        """Return its value, as plain text or a whole number."""
        if not self.slot:
            return self.literal
        found = values[self.slot]
        return found if isinstance(found, int) else found.name


@dataclass(frozen=True, slots=True)
class ClaimForm:
    """A claim over slots; `arguments` are by field of `Claim`."""

    source: str
    kind: ClaimKind
    arguments: Mapping[str, Argument]
    filled: Remembered[Claim]

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of its slots, sorted."""
        return self.filled.names

    def fill(self, values: Mapping[str, Value]) -> Claim:
        """Return the claim for the values of the slots."""
        return self.filled(values)


def parse_claim(source: str, slots: Mapping[str, bool], words: Collection[str], where: str = "") -> ClaimForm:
    """Parse a claim form. `slots` maps each slot to whether it holds numbers; `words` are those of the lexicon.

    Raises ConfigError, at `where`, for an unknown kind, a wrong number of arguments, an unknown argument, or a number
    in place of a word.
    """
    form = _FORM.fullmatch(source)
    if form is None:
        raise ConfigError(f"{show(source)} is not a claim", where=where, hint="write it like count(object, n)")
    kind, inside = form.groups()
    if kind not in ARGUMENTS:
        raise ConfigError(f"unknown claim {kind!r}", where=where, hint=did_you_mean(kind, ARGUMENTS))
    written, end = [], 0
    for match in _ARGUMENT.finditer(inside):
        if match.start() != end:
            break
        written.append(match.group(1))
        end = match.end()
    places = ARGUMENTS[kind][1:] if kind == "fact" and len(written) == 1 else ARGUMENTS[kind]
    if end != len(inside) or len(written) != len(places) or inside.rstrip().endswith(","):
        hint = f"write {kind}({', '.join(places)})"
        raise ConfigError(f"{show(source)} must have {len(places)} arguments", where=where, hint=hint)
    arguments = {}
    for place, text in zip(places, written, strict=True):
        is_name_of_attribute = kind == "attribute" and place == "name"
        argument = Argument(literal=text) if is_name_of_attribute else _argument(text, slots, words, source, where)
        _check_kind(kind, place, argument, slots, source, where)
        arguments[place] = argument
    return _make_form(source, cast(ClaimKind, kind), arguments)


def _make_form(source: str, kind: ClaimKind, arguments: Mapping[str, Argument]) -> ClaimForm:
    def fill(values: Mapping[str, Value]) -> Claim:
        found = {place: argument.value(values) for place, argument in arguments.items()}
        return Claim(kind, str(found.get("subject", "")), str(found.get("name", "")), found["value"])

    slots = {argument.slot for argument in arguments.values() if argument.slot}
    return ClaimForm(source, kind, arguments, Remembered(slots, fill))


def _argument(text: str, slots: Collection[str], words: Collection[str], source: str, where: str) -> Argument:
    if text in slots:
        return Argument(slot=text)
    if text.startswith('"'):
        return Argument(literal=text[1:-1])
    if re.fullmatch(r"\d{1,9}", text):
        return Argument(literal=int(text))
    if text in words or any(text in names for names in NAMES.values()):
        return Argument(literal=text)
    hint = did_you_mean(text, slots, 'put a word that is not in the lexicon in quotes: "…"')
    raise ConfigError(f"{text!r} in {show(source)} is neither a slot nor a word", where=where, hint=hint)


def _check_kind(kind: str, place: str, argument: Argument, slots: Mapping[str, bool], source: str, where: str) -> None:
    is_number = slots[argument.slot] if argument.slot else isinstance(argument.literal, int)
    named = argument.slot or argument.literal
    if kind in _COUNTED and place == "value" and not is_number:
        raise ConfigError(f"{named!r} in {show(source)} is not a number", where=where, hint="use a slot with a range")
    if is_number and not (kind in _COUNTED and place == "value"):
        raise ConfigError(f"{named!r} in {show(source)} is a number", where=where, hint="use a word")


def turn(claim: Claim) -> Claim:
    """Return the converse of a relation "right of" or "below", and any other claim unchanged."""
    converse = {"right of": "left of", "below": "above"}.get(claim.name)
    if claim.kind != "relation" or converse is None:
        return claim
    return Claim("relation", str(claim.value), converse, claim.subject)
