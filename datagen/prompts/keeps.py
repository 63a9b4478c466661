"""Checks of rewritten prompts: a rewrite must make every claim of its prompt and none against them. Doubts refuse it.

`judge_rewrite` returns the first breach with its class, `find_breach` only the reason in words. They check numbers,
objects, colours, materials, relations with their direction, depth, absent objects, comparisons and quoted words, and
anything that the rewriter added. Measured in `tests/prompts/test_keeps.py`. Not covered: synonyms of objects ("kitten"
for a cat is refused), objects outside the lexicon, languages other than English, and the claims that `find_unchecked`
names, whose prompts are not rewritten.

A JSON brief states the claims of a prompt as data, `{"objects": […], "relations": […], "text": […]}`: `SCHEMA`
constrains the rewriter, `read_brief` returns the claims. A recipe asks for it with `expand: {styles: [JSON brief]}`.
Not covered: places in a layout, sizes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, get_args

from datagen.control_tokens import find_token
from datagen.records import Claim
from datagen.taxonomy.claims import turn
from datagen.taxonomy.english import is_pair, name_many, name_one, number_word
from datagen.taxonomy.lexicon import Lexicon
from datagen.taxonomy.mentions import Denied, Mention, Reading, normalize, read_mentions, take_out
from datagen.taxonomy.models import RelationName
from datagen.taxonomy.vocabulary import VAGUE, Phrases, compile_words, listed, read_items, split_quoted, tokenize

MAX_CHARACTERS = 2000
"""Most characters of a rewrite, as for a prompt of a template."""

_CAPITALS = re.compile(r"\b[A-Z](?:[-. ]?[A-Z])+\b")
_ECHO = re.compile(
    r"\b(?:rewrit\w*|rephras\w*|paraphras\w*|json|prompts?|persona)\b|^\W*(?:sure|certainly|of course|okay)\b[,!. ]"
    r"|\bhere(?: is|'s|’s) (?:a|the|your)\b|\bas an ai\b|\bi (?:cannot|can't|can’t|am unable)\b|```|[{}<>]|\*\*|^#",
    re.IGNORECASE,
)
_FOREIGN = frozenset(
    listed(
        "un une una uno unos ein eine einen einem der das und mit le les el los las il lo gli et avec con que dice "
        "deux trois dos tres zwei drei vier uma dois com rotes roter rouge bleu"
    )
)


@dataclass(frozen=True, slots=True)
class Breach:
    """Why a rewrite is refused: the class (`count`, `object`, `colour`, …) and a readable reason."""

    kind: str
    reason: str


def find_breach(text: str, claims: Sequence[Claim], lexicon: Lexicon) -> str:
    """Return `""` if a text keeps every claim and adds none against them, else the first reason against it."""
    breach = judge_rewrite(text, claims, lexicon)
    return breach.reason if breach else ""


def find_unchecked(claims: Sequence[Claim]) -> str:
    """Return the claims that cannot be checked in words, or `""`: facts, parts, and one object hiding another.

    A fact can be expressed in countless ways, and the colour of some of several objects is said across clauses.
    """
    hidden = ("partly hides", "partly hidden by")
    return ", ".join(str(claim) for claim in claims if claim.kind in ("fact", "part") or claim.name in hidden)


def judge_rewrite(text: str, claims: Sequence[Claim], lexicon: Lexicon) -> Breach | None:
    """Return the first breach of a text or a JSON brief, or None. A text of more than 2,000 characters is refused."""
    if len(text) > MAX_CHARACTERS:
        return Breach("too long", f"is {len(text):,} characters long; {MAX_CHARACTERS:,} are allowed")
    if not text.strip():
        return Breach("empty", "says nothing")
    if token := find_token(text):
        return Breach("control token", f"holds {token!r}, which models read as a control token")
    if unchecked := find_unchecked(claims):
        return Breach("unchecked", f"nobody can tell by its words whether it keeps {unchecked}")
    if text.lstrip().startswith("{"):
        return next(_find_in_brief(text, claims, lexicon), None)
    return next(_find_in_words(text, claims, compile_words(lexicon, claims)), None)


def _find_in_brief(text: str, claims: Sequence[Claim], lexicon: Lexicon) -> Iterator[Breach]:
    brief = parse_brief(text)
    if brief is None:
        yield Breach("not JSON", "is no JSON brief")
        return
    singulars = {
        form: item.value
        for words, item in compile_words(lexicon, claims).table.items()
        if item.kind == "object"
        for form in (" ".join(words), item.text)
    }
    # "a pair of scissors" is one object in a brief, so this form of the name counts as well.
    in_pairs = [(form, thing) for form, thing in singulars.items() if is_pair(thing)]
    singulars |= {f"{unit} of {form}": thing for form, thing in in_pairs for unit in ("pair", "pairs")}
    said = read_brief(brief, singulars)
    wanted, found = normalize_claims(claims), Counter(turn(claim) for claim in said)
    for claim in claims:
        if turn(claim) not in found:
            kind = _name(claim.name) if claim.kind == "attribute" else claim.kind
            yield Breach(kind, f"the brief lacks {claim}")
    for claim in said:
        if turn(claim) not in wanted or found[turn(claim)] > 1:
            yield Breach("added", f"the brief adds {claim}")


def _find_in_words(text: str, claims: Sequence[Claim], phrases: Phrases) -> Iterator[Breach]:
    quoted, plain = split_quoted(text)
    yield from _find_in_form(plain)
    yield from _find_in_quotes(quoted, plain, claims)
    items = read_items(plain, phrases)
    absent = {claim.subject for claim in claims if claim.kind == "count" and claim.value == 0}
    compared = {normalize(claim) for claim in claims if claim.kind == "comparison"}
    denied = take_out(items) if absent or compared else Denied(rest=items)
    yield from _find_in_denials(denied, absent, compared)
    claims = [claim for claim in claims if claim.subject not in absent and claim.kind != "comparison"]
    reading = read_mentions(denied.rest)
    plurals = {
        item.value: item.text for item in phrases.table.values() if item.kind == "object" and item.forms != "one"
    }
    yield from _find_in_things(reading.mentions, claims, plurals, _things_in(compared))
    if compared or any(claim.kind != "text" for claim in claims):
        for about, reason in reading.doubts:
            yield Breach(about, reason)
        yield from _find_in_numbers(reading.numbers, claims)
        for thing in dict.fromkeys(mention.thing for mention in reading.mentions):
            yield from _find_in_attributes(thing, reading.mentions, claims)
    yield from _find_in_relations(reading, claims)


def _find_in_form(plain: str) -> Iterator[Breach]:
    echo = _ECHO.search(plain)
    if echo:
        yield Breach("echo", f"answers about its task: {echo.group()!r}")
    letters = [letter for letter in plain if letter.isalpha()]
    foreign = _FOREIGN & set(tokenize(plain))
    # A few accents are English too (café); more than a fifth of such letters is another language.
    if foreign or 5 * sum(not letter.isascii() for letter in letters) > len(letters):
        yield Breach("language", "is not English" + (f": {min(foreign)!r}" if foreign else ""))


def _find_in_quotes(quoted: Sequence[str], plain: str, claims: Sequence[Claim]) -> Iterator[Breach]:
    wanted = [str(claim.value) for claim in claims if claim.kind == "text"]
    for words in wanted:
        if words not in quoted:
            yield Breach("text", f'lacks the text "{words}" to the letter')
    for words in quoted:
        if words not in wanted:
            yield Breach("text", f'adds the text "{words[:60]}"')
    if any(mark in plain for mark in '"“”«»'):
        yield Breach("text", "has a quotation mark without its other half")
    for capitals in _CAPITALS.findall(plain) if wanted else ():
        if re.sub("[-. ]", "", capitals) not in wanted and capitals not in wanted:
            yield Breach("text", f"adds the text {capitals[:60]}")


def _find_in_denials(denied: Denied, absent: Set[str], compared: Set[Claim]) -> Iterator[Breach]:
    for thing in sorted(absent ^ denied.absent):
        says = "does not say" if thing in absent else "says"
        yield Breach("absence", f"{says} that there is no {thing}")
    for claim in sorted(compared ^ denied.comparisons, key=str):
        yield Breach("comparison", f"{'does not say' if claim in compared else 'says'} {claim}")


def _things_in(compared: Set[Claim]) -> set[str]:
    return {name for claim in compared for name in claim.things}


def _find_in_things(
    mentions: Sequence[Mention], claims: Sequence[Claim], plurals: Mapping[str, str], uncounted: Set[str]
) -> Iterator[Breach]:
    named = [claim.subject for claim in claims if claim.kind != "text"]
    named += [str(claim.value) for claim in claims if claim.kind in ("relation", "depth")]
    for thing in dict.fromkeys(named):
        ours = [mention for mention in mentions if mention.thing == thing]
        if not ours:
            yield Breach("object", f"lacks the object {thing}")
        for claim in claims:
            if ours and claim.kind == "count" and claim.subject == thing:
                yield from _find_in_count(thing, plurals[thing], int(claim.value), ours)
    for mention in mentions:
        if mention.thing in uncounted and mention.thing not in named and mention.number is not None:
            yield Breach("count", f"says how many {plurals[mention.thing]}, which is not claimed")
        if mention.thing not in named and mention.thing not in uncounted:
            yield Breach("added", f"adds {name_one(mention.thing)}")


def _find_in_count(thing: str, plural: str, wanted: int, ours: Sequence[Mention]) -> Iterator[Breach]:
    several = plural if wanted != 1 else thing
    for mention in ours:
        said = mention.number
        if said == VAGUE:
            yield Breach("count", f"does not say how many {plural}, the claim is {number_word(wanted)}")
        elif said is not None and said != wanted and not mention.each:
            yield Breach(
                "count",
                f"says {name_many(said, thing, plural=plural, in_words=True)}, the claim is {number_word(wanted)}",
            )
        elif mention.forms == ("several" if wanted == 1 else "one") and not (mention.each and wanted != 1):
            written = f"{'several' if wanted == 1 else 'one'} {thing}"
            if is_pair(thing):
                written = f"{'pairs' if wanted == 1 else 'a pair'} of {thing}"
            yield Breach("count", f"writes {written}, the claim is {number_word(wanted)}")
        elif mention.each and wanted == 1:
            yield Breach("count", f"says each {thing}, the claim is one")
    if sum(mention.new for mention in ours) > 1:
        yield Breach("count", f"names {number_word(wanted)} {several} more than once as new")
    if wanted != 1 and not any(mention.number == wanted for mention in ours):
        yield Breach("count", f"does not say how many {several}, the claim is {number_word(wanted)}")


def _find_in_numbers(numbers: Sequence[int], claims: Sequence[Claim]) -> Iterator[Breach]:
    counts = [int(claim.value) for claim in claims if claim.kind == "count"]
    for number in numbers:
        # "Five things: two stars and three moons" and "two kinds of things" count nothing new.
        if number not in {*counts, sum(counts), len(counts)}:
            what = "one more" if number < 0 else number_word(number)
            yield Breach("count", f"says {what} where nothing claimed is counted")


def _find_in_attributes(thing: str, mentions: Sequence[Mention], claims: Sequence[Claim]) -> Iterator[Breach]:
    said = {(item.name, item.value) for mention in mentions if mention.thing == thing for item in mention.attributes}
    wanted = {(c.name, str(c.value)) for c in claims if c.kind == "attribute" and c.subject == thing}
    for name, value in sorted(wanted - said):
        yield Breach(_name(name), f"lacks the {_name(name)} {value} of the {thing}")
    for name, value in sorted(said - wanted):
        claimed = next((right for other, right in sorted(wanted) if other == name), "")
        ending = f", the claim is {claimed}" if claimed else ""
        yield Breach(_name(name), f"gives the {thing} the {_name(name)} {value}{ending}")


def _find_in_relations(reading: Reading, claims: Sequence[Claim]) -> Iterator[Breach]:
    wanted = [claim for claim in claims if claim.kind == "relation"]
    turned = {turn(claim): claim for claim in wanted}
    said = [Claim("relation", *triple) for triple in reading.relations]
    for claim in said:
        if turn(claim) not in turned:
            against = next((c for c in wanted if {c.subject, c.value} == {claim.subject, claim.value}), None)
            ending = (
                f", the claim is that the {against.subject} is {against.name} the {against.value}" if against else ""
            )
            yield Breach("relation", f"the {claim.subject} stands {claim.name} the {claim.value}{ending}")
    for claim in wanted:
        if turn(claim) not in {turn(each) for each in said}:
            yield Breach("relation", f"does not say that the {claim.subject} is {claim.name} the {claim.value}")
    planes = {normalize(claim) for claim in claims if claim.kind == "depth"}
    placed = {normalize(Claim("depth", *triple)): triple for triple in reading.places}
    for claim, (subject, place, other) in placed.items():
        if claim not in planes:
            yield Breach("added", f"adds that the {subject} is {place} the {other}")
    for claim in sorted(planes - placed.keys(), key=str):
        yield Breach("depth", f"does not say that the {claim.subject} is {claim.name} the {claim.value}")


def _name(attribute: str) -> str:
    return "colour" if attribute == "color" else attribute


_TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
_OBJECT = {
    "type": "object",
    "properties": {"name": _TEXT, "count": {"type": "integer", "minimum": 1}, "color": _TEXT, "material": _TEXT},
    "required": ["name", "count"],
    "additionalProperties": False,
}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "objects": {"type": "array", "items": _OBJECT, "maxItems": 20},
        "relations": {"type": "array", "items": _TEXT, "maxItems": 20},
        "text": {"type": "array", "items": _TEXT, "maxItems": 20},
    },
    "additionalProperties": False,
}
"""JSON Schema of a brief; each object has a name and a count, a relation is written "bell below car"."""


def parse_brief(text: str) -> dict[str, Any] | None:
    """Return a brief that obeys `SCHEMA`, or None."""
    import jsonschema

    try:
        brief = json.loads(text)
        jsonschema.validate(brief, dict(SCHEMA))
    except (ValueError, RecursionError, jsonschema.ValidationError):
        return None
    return dict(brief)


def read_brief(brief: Mapping[str, Any], singulars: Mapping[str, str]) -> list[Claim]:
    """Return what a brief claims; `singulars` maps each form of an object to its singular.

    An unreadable relation becomes a relation of unknown objects, which no prompt claims.
    """
    found: list[Claim] = []
    for item in brief.get("objects", ()):
        name = singulars.get(item["name"], item["name"])
        found.append(Claim("count", name, value=item["count"]))
        found += [Claim("attribute", name, key, item[key]) for key in ("color", "material") if key in item]
    found += [_read_relation(written, singulars) for written in brief.get("relations", ())]
    return found + [Claim("text", value=words) for words in brief.get("text", ())]


def _read_relation(written: str, singulars: Mapping[str, str]) -> Claim:
    for relation in get_args(RelationName):
        subject, found, other = written.partition(f" {relation} ")
        if found:
            return Claim("relation", singulars.get(subject, subject), relation, singulars.get(other, other))
    return Claim("relation", written)


def normalize_claims(claims: Sequence[Claim]) -> set[Claim]:
    """Return claims as a set with "right of" and "below" turned into their converses, so that equal relations match."""
    return {turn(claim) for claim in claims}
