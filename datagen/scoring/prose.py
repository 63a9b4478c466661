"""Read facts from the prose of a reasoning text: numbers, colours, positions, and quoted text.

`datagen.taxonomy.mentions` does the reading; it knows the objects named by the claims (or a layout, or a detector), the
ten colours of GenEval and colours that no lexicon has. Layouts are removed first: `plan` and `plan_image` judge them.
Doubtful readings are not counted as said.

Not covered: objects that are not named beforehand, synonyms, denials ("no star"), languages other than English.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from datagen.embedded.pictograms import COLORS
from datagen.markup import strip_markup
from datagen.records import HEADS, Claim, Sample, read_reflection
from datagen.scoring.layout import TEXT, Layout, Planned, spell_names
from datagen.taxonomy.claims import turn
from datagen.taxonomy.english import name_many
from datagen.taxonomy.lexicon import Lexicon, Word
from datagen.taxonomy.mentions import Mention, read_text
from datagen.taxonomy.vocabulary import Phrases, compile_words, split_quoted
from datagen.vision.colors import one_name
from datagen.vision.geometry import Sides, find_relations
from datagen.vision.ocr import unify

MOST_CHARACTERS = 8000
"""Most characters that are read, enough for any reflection; the cost of reading grows faster than the text."""

_LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of a text: numbers by object, attribute values by (object, attribute), relations, and quoted text.

    An object named without a number has an empty set. Relations are turned to `left of` and `above`; quoted text is in
    the Unicode form of `unify`.
    """

    numbers: Mapping[str, frozenset[int]] = field(default_factory=dict)
    attributes: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    relations: frozenset[Claim] = frozenset()
    quoted: tuple[str, ...] = ()


def find_parts(sample: Sample) -> dict[str, str]:
    """Return the texts that plan an image: `thought`, and the `final prompt` and `guidance` of the last reflection."""
    thoughts = [s.text for s in sample.segments if s.kind == "text" and s.role == "think"]
    reflections = [s.text for s in sample.segments if s.kind == "text" and s.role == "reflect"]
    parts = {"thought": "\n".join(thoughts)} if thoughts else {}
    if reflections:
        headed = dict(read_reflection(reflections[-1]))
        parts |= {"final prompt": headed.get(HEADS[1], ""), "guidance": headed.get(HEADS[2], "")}
    return {name: text for name, text in parts.items() if text.strip()}


def find_prose(sample: Sample) -> tuple[str, str]:
    """Return the prose that the last image should follow, or `""` and the reason why there is none.

    That is the final prompt of the last reflection, else the thought, without layouts.
    """
    parts = find_parts(sample)
    if not parts:
        return "", "the sample has no reasoning"
    prose = strip_layout(parts.get("final prompt") or parts.get("thought", ""))
    return prose, "" if prose else "the reasoning is no prose: `plan` and `plan_image` judge layouts"


def strip_layout(text: str) -> str:
    """Return the prose of a text without its layout, cut at `MOST_CHARACTERS`; `""` if no letter is left."""
    prose = strip_markup(text[:MOST_CHARACTERS]).strip()
    return prose if _LETTER.search(prose) else ""


def read_facts(prose: str, claims: Iterable[Claim], things: Iterable[str] = ()) -> Facts:
    """Read the facts of a text about the objects of claims and about `things` (singulars)."""
    return _read_facts(prose, tuple(claims), frozenset(things))


@lru_cache(maxsize=16)
def _read_facts(prose: str, claims: tuple[Claim, ...], things: frozenset[str]) -> Facts:
    """Read a text once for all scorers of a sample."""
    quoted, plain = split_quoted(prose)
    reading = read_text(plain, _compile(claims, things))
    groups: dict[str, list[Mention]] = {}
    attributes: dict[tuple[str, str], set[str]] = {}
    for mention in reading.mentions:
        groups.setdefault(mention.thing, []).append(mention)
        for item in mention.attributes:
            attributes.setdefault((mention.thing, item.name), set()).add(item.value)
    return Facts(
        {thing: _read_numbers(mentions) for thing, mentions in groups.items()},
        {key: frozenset(values) for key, values in attributes.items()},
        frozenset(turn(Claim("relation", *triple)) for triple in reading.relations),
        tuple(unify(words) for words in quoted if words.strip()),
    )


@lru_cache(maxsize=64)
def _compile(claims: tuple[Claim, ...], things: frozenset[str]) -> Phrases:
    """Return the compiled vocabulary, which all candidates of a prompt share."""
    colors = tuple(Word(color) for color in COLORS)
    lexicon = Lexicon("", "", {"objects": tuple(Word(thing) for thing in sorted(things)), "colors": colors})
    return compile_words(lexicon, claims)


def _read_numbers(mentions: Sequence[Mention]) -> frozenset[int]:
    """Return the numbers said of an object; distinct kinds ("a red star and two blue stars") also give their sum."""
    said = [mention for mention in mentions if mention.number]
    kinds = [frozenset((item.name, item.value) for item in mention.attributes) for mention in said if mention.new]
    numbers = {mention.number for mention in said if mention.number}
    if len(kinds) > 1 and all(kinds) and len(set(kinds)) == len(kinds):
        numbers.add(sum(mention.number or 0 for mention in said if mention.new))
    return frozenset(numbers)


def facts_of_layout(layout: Layout, sides: Sides, claims: Iterable[Claim]) -> Facts:
    """Return the same facts of a layout: the number of each label, their colours, and the relations of all pairs.

    `sides` are those of the planned picture. What claims name has their spelling, as in the facts of prose.
    """
    spelled = spell_names(claims)
    things = [
        replace(thing, label=spelled.get(thing.label, thing.label)) for thing in layout.things if thing.label != TEXT
    ]
    colors: dict[tuple[str, str], set[str]] = {}
    for thing in things:
        if thing.color:
            colors.setdefault((thing.label, "color"), set()).add(thing.color)
    return Facts(
        {label: frozenset({count}) for label, count in Counter(thing.label for thing in things).items()},
        {key: frozenset(values) for key, values in colors.items()},
        frozenset(_relate(things, sides)),
        tuple(unify(thing.word) for thing in layout.things if thing.label == TEXT),
    )


def _relate(things: Sequence[Planned], sides: Sides) -> set[Claim]:
    """Return the relations that hold between all objects of one label and all of another."""
    pairs: dict[tuple[str, str], list[frozenset[str]]] = {}
    for one in things:
        for other in things:
            if one.label != other.label:
                pairs.setdefault((one.label, other.label), []).append(find_relations(one.box, other.box, sides))
    return {
        turn(Claim("relation", one, name, other))
        for (one, other), held in pairs.items()
        for name in frozenset.intersection(*held)
    }


def turn_around(relation: Claim) -> Claim:
    """Return the opposite of a turned relation, with both objects swapped."""
    return Claim("relation", str(relation.value), relation.name, relation.subject)


def says(facts: Facts, claim: Claim) -> bool:
    """Tell whether a text states a claim; a single object needs no number."""
    if claim.kind == "count":
        numbers = facts.numbers.get(claim.subject)
        return numbers is not None and (claim.value in numbers or (claim.value == 1 and not numbers))
    if claim.kind == "attribute":
        said = facts.attributes.get((claim.subject, claim.name), ())
        return one_name(str(claim.value)) in map(one_name, said)
    if claim.kind == "relation":
        return turn(claim) in facts.relations
    return unify(str(claim.value)) in facts.quoted


def find_contradiction(facts: Facts, claim: Claim, claims: Sequence[Claim]) -> str:
    """Return how a text contradicts a claim, or `""`; `claims` are all claims, none of which is a contradiction."""
    if claim.kind == "attribute":
        key = (claim.subject, claim.name)
        right = {one_name(str(c.value)) for c in claims if c.kind == "attribute" and (c.subject, c.name) == key}
        wrong = sorted(value for value in facts.attributes.get(key, ()) if one_name(value) not in right)
        return f"calls the {claim.subject} {wrong[0]}, the claim is {claim.value}" if wrong else ""
    if claim.kind == "relation" and turn_around(turn(claim)) in facts.relations:
        return f"places the {claim.value} {claim.name} the {claim.subject}, the claim is the other way round"
    if says(facts, claim):
        return ""
    if claim.kind == "count" and facts.numbers.get(claim.subject):
        *fewer, most = sorted(facts.numbers[claim.subject])
        said = " and ".join((*map(str, fewer), name_many(most, claim.subject)))
        return f"says {said}, the claim is {claim.value}"
    if claim.kind == "text":
        right = {unify(str(c.value)) for c in claims if c.kind == "text"}
        others = [words for words in facts.quoted if words not in right]
        return f'quotes "{others[0][:60]}", the claim is "{claim.value}"' if others else ""
    return ""
