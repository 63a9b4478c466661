"""Mentions of objects in a text: their names, numbers, colours and relations.

`read_text` is not a parser of English. It reads noun phrases backwards from each object of the lexicon, assigns the
attributes after an object to it, and pairs objects around words such as "to the left of". What it cannot read reliably
becomes a doubt, and a rewrite with a doubt is refused. Not covered: absolute places ("a cup on the left"), pronouns for
more than two objects, "the former", "respectively".

`take_out` reads denials ("three stars and no moons") and comparisons ("more stars than moons") and removes them before
the rest is read, since the reader doubts every "no" and every "more". It is called only for prompts with such claims,
and takes only the simplest forms; other forms remain doubts. Not covered: "none of them red", "twice as many", "no star
is missing".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from datagen.records import Claim
from datagen.taxonomy.english import article_of, is_pair
from datagen.taxonomy.vocabulary import (
    ARTICLES,
    OTHER_COLORS,
    PAIRS_OF,
    VAGUE,
    Forms,
    Item,
    Phrases,
    listed,
    read_items,
)

MOST_ADJECTIVES = 4
"""Most words between a number and its noun that are neither colour nor material."""
SCENERY = frozenset(
    listed("background backgrounds backdrop sky wall walls floor canvas surface page ground grass lawn field space")
)
"""Nouns whose colour no claim is about."""
_SHADES = frozenset(listed("color colour colored coloured hue shade tone tint tinted painted"))
_COPULAS = frozenset(listed("is are was were be being 's looks appears"))
_RELATIVES = frozenset({"that", "which", "who"})
_SHAPES = frozenset(
    listed(
        "shape shapes shaped tank park ring holder pattern print like size sized themed maker shop lover handle wash"
    )
)
_NOUN_ENDINGS_THAT_ARE_NOT = ("ss", "ous", "us", "is")


@dataclass(slots=True)
class Mention:
    """One noun phrase, items `start` to `end` inclusive, about one kind of object.

    `number` is None if the phrase names no number and 0 if it is vague; `new` is true for "a star", but not for "the
    star" or "star".
    """

    thing: str
    start: int
    end: int
    forms: Forms
    number: int | None = None
    new: bool = False
    definite: bool = False
    each: bool = False
    attributes: list[Item] = field(default_factory=list)


@dataclass(slots=True)
class Reading:
    """The content of a text; a `doubt` is a pair of its class (`count`, `colour`, …) and a readable reason."""

    mentions: list[Mention] = field(default_factory=list)
    relations: list[tuple[str, str, str]] = field(default_factory=list)
    places: list[tuple[str, str, str]] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    doubts: list[tuple[str, str]] = field(default_factory=list)


def read_text(text: str, phrases: Phrases) -> Reading:
    """Read a text without its quoted parts."""
    return read_mentions(read_items(text, phrases))


def read_mentions(items: Sequence[Item]) -> Reading:
    """Read the items of a text."""
    return _Reader(items).read()


class _Reader:
    """Reads the items of a text in passes: objects, loose words, then attributes and relations."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        self._reading = Reading()
        self._used: set[int] = set()
        self._sentences: list[int] = []
        for item in items:
            before = self._sentences[-1] if self._sentences else 0
            self._sentences.append(before + (item.kind == "end"))

    def read(self) -> Reading:
        for place, item in enumerate(self._items):
            if item.kind == "object":
                self._read_mention(place, item)
        for place, item in enumerate(self._items):
            if place not in self._used:
                self._read_loose(place, item)
        for place, item in enumerate(self._items):
            if item.kind == "attribute" and place not in self._used:
                self._bind(place, item)
            elif item.kind in ("relation", "place"):
                self._relate(place, item)
        return self._reading

    def _doubt(self, about: str, reason: str) -> None:
        self._reading.doubts.append((about, reason))

    def _near(self, place: int) -> str:
        return " ".join(item.text for item in self._items[max(0, place - 2) : place + 4])

    # Objects: "the three small red stars", read from the noun to the left.

    def _read_mention(self, noun: int, item: Item) -> None:
        mention = Mention(item.value, noun, noun, item.forms)
        place, adjectives = noun - 1, 0
        while place >= 0 and adjectives <= MOST_ADJECTIVES and self._describes(place, mention):
            found = self._items[place]
            if found.text in PAIRS_OF and is_pair(mention.thing):
                mention.forms = "several" if found.kind == "unit" else "one"
                if found.text == "a pair of":
                    mention.number, mention.new = 1, True
                self._used.add(place)
            elif found.kind == "attribute":
                mention.attributes.append(found)
                self._used.add(place)
            elif found.kind == "number":
                mention.number, mention.new = found.number, True
                self._used.add(place)
            elif found.kind == "more":
                self._doubt("count", f"speaks of {found.text} {item.text}")
            elif found.kind == "definite":
                mention.definite, mention.new = True, False
                mention.each = mention.each or found.text in ("each", "every")
            adjectives += found.kind == "word"
            mention.start = place
            place -= 1
        if place >= 0 and self._items[place].kind == "hedge" and mention.number is not None:
            self._doubt("count", f"says {self._items[place].text} {self._items[mention.start].text}")
        following = self._items[noun + 1 : noun + 2]
        if following and following[0].text in _SHAPES:
            self._doubt("object", f"speaks of {article_of(item.text)} {item.text} {following[0].text}")
        self._used.update((noun, *(k for k in range(mention.start, noun) if self._items[k].kind == "definite")))
        self._reading.mentions.append(mention)

    def _describes(self, place: int, mention: Mention) -> bool:
        """Return whether an item belongs to the noun phrase that begins right after it."""
        item = self._items[place]
        if mention.definite:
            return item.text == "all"
        if mention.number is not None:
            # Before a number, an article ("a large pair of stars") or a determiner ("the three stars") may follow.
            return item.kind in ("definite", "more") or (item.text in ARTICLES and mention.number != 1)
        if item.kind == "comma" and item.text == ",":
            before = [each.kind for each in self._items[max(0, place - 3) : place]]
            return "number" in before and before[-1] in ("word", "attribute") and mention.start <= mention.end - 1
        if item.text == "and":
            sides = self._items[max(0, place - 1)], self._items[place + 1]
            return all(side.kind == "attribute" for side in sides)
        if item.kind == "word":
            return not _is_plural_noun(item.text)
        return item.kind in ("attribute", "number", "definite", "more") or (
            item.kind == "unit" and is_pair(mention.thing)
        )

    # Loose words: numbers that count nothing here, negations, "or".

    def _read_loose(self, place: int, item: Item) -> None:
        if item.kind == "number" and (item.number > 1 or self._kind(place + 1) == "more"):
            more = self._kind(place + 1) == "more"
            self._reading.numbers.append(-1 if more else item.number)
        elif item.kind == "more" and self._kind(place + 1) == "number":
            self._doubt("count", f"says {self._near(place)!r}")
        elif item.kind == "unclear":
            self._doubt("unclear", f"says {self._near(place)!r}, which may mean anything")
        elif item.kind in ("negation", "or"):
            self._read_denial(place, item)

    def _read_denial(self, place: int, item: Item) -> None:
        ahead = 8 if item.kind == "negation" else 4
        for later in self._items[place + 1 : place + 1 + ahead]:
            if later.kind in ("comma", "end"):
                return
            counts = later.kind == "number" and later.number != 1
            if counts or later.kind in ("object", "attribute", "relation"):
                self._doubt("unclear", f"says {item.text} {later.text}")
                return
            if item.kind == "or" and later.text in ("more", "so", "less", "fewer"):
                self._doubt("count", f"says or {later.text}")
                return

    def _kind(self, place: int) -> str:
        return self._items[place].kind if 0 <= place < len(self._items) else ""

    # Attributes that follow: "a star in red", "stars, all of them red".

    def _bind(self, place: int, item: Item) -> None:
        words = []
        for later in self._items[place + 1 : place + 4]:
            if later.kind != "word":
                break
            words.append(later.text)
        other = item.text in OTHER_COLORS and item.text == item.value
        noun = words[0] if words and words[0] not in _SHADES and not words[0].endswith("ly") else ""
        if any(word in SCENERY for word in words) or (other and noun):
            return
        if noun:
            self._doubt(_about(item), f"colours or makes something else: {item.text} {noun}")
            return
        owners = self._find_owners(place)
        if not owners:
            if not other:
                self._doubt(_about(item), f"does not say for sure what is {item.text}: {self._near(place)!r}")
            return
        for owner in owners:
            owner.attributes.append(item)

    def _find_owners(self, place: int) -> list[Mention]:
        before = [mention for mention in self._reading.mentions if mention.end < place]
        here = [mention for mention in before if self._sentences[mention.end] == self._sentences[place]]
        sentence = self._sentences.index(self._sentences[place])
        between = self._items[max(sentence, here[-1].end + 1 if here else 0) : place]
        texts = [item.text for item in between]
        if not here:
            speaks_back = {"it", "they", "all", "each", "both", "them"} & set(texts)
            return before if speaks_back and len({mention.thing for mention in before}) == 1 else []
        if {"all", "both", "each", "they", "every"} & set(texts):
            # "two stars, all red and three moons, all blue": an object that has a colour already gets no second one.
            name = self._items[place].name
            return [m for m in here if not any(each.name == name for each in m.attributes)] or here
        if _speaks_of_another(between):
            return []
        return self._pick_owner(here, texts)

    def _pick_owner(self, here: list[Mention], between: list[str]) -> list[Mention]:
        nearest = here[-1]
        copula = bool(_COPULAS & set(between))
        before = self._kind(nearest.start - 1)
        if before in ("relation", "place") and not _RELATIVES & set(between) and (copula or between[:1] == [","]):
            return []
        joined = nearest.start > 0 and self._items[nearest.start - 1].text == "and"
        # "a star and a moon are red": the plural verb means both.
        if joined and len(here) > 1 and {"are", "were"} & set(between):
            return here[-2:]
        return [nearest]

    # Relations: "A left of B", "left of B is A", "B with A left of it".

    def _relate(self, place: int, item: Item) -> None:
        target = next((mention for mention in self._reading.mentions if mention.start == place + 1), None)
        here = [m for m in self._reading.mentions if self._sentences[m.end] == self._sentences[place]]
        before, after = [m for m in here if m.end < place], [m for m in here if m.start > place]
        pronoun = self._kind(place + 1) == "pronoun"
        if target is None and not pronoun:
            if item.kind == "relation" and item.text not in ("over", "under"):
                self._doubt("relation", f"says {self._near(place)!r}, and not of what")
            return
        subject = before[-1].thing if before else ""
        if target is None:
            kinds = list(dict.fromkeys(m.thing for m in before))
            pair = [subject, *(kind for kind in kinds if kind != subject)]
            if len(kinds) == 1 and after:
                pair = [after[0].thing, subject]
        else:
            if not before or subject == target.thing:
                spoken_of = any(each.kind == "pronoun" for each in self._items[self._begin(place) : place])
                follows = [m for m in after if m is not target]
                subject = follows[0].thing if follows and not spoken_of else ""
            pair = [subject, target.thing]
        self._add_pair(place, item, [name for name in pair if name])

    def _begin(self, place: int) -> int:
        return self._sentences.index(self._sentences[place])

    def _add_pair(self, place: int, item: Item, pair: list[str]) -> None:
        if len(pair) == 2:
            found = self._reading.relations if item.kind == "relation" else self._reading.places
            found.append((pair[0], item.value or item.text, pair[1]))
        elif item.kind == "relation":
            self._doubt("relation", f"does not say for sure what is {self._near(place)!r}")


def _speaks_of_another(between: Sequence[Item]) -> bool:
    """Return whether the attribute belongs to a noun that is no claimed object: "a moon; the sky is blue"."""
    nouns = [k for k, item in enumerate(between) if item.kind == "definite" or item.text in ARTICLES]
    return bool(nouns) and any(item.text in _COPULAS for item in between[nouns[0] :])


def _about(item: Item) -> str:
    return "colour" if item.name == "color" else item.name


def _is_plural_noun(word: str) -> bool:
    return len(word) > 3 and word.endswith("s") and not word.endswith(_NOUN_ENDINGS_THAT_ARE_NOT)


_DENIALS = frozenset({"no", "without", "neither", "nor"})
_EXCEPTIONS = frozenset({"but", "except", "excluding", "besides", "save"})
_LEADS = frozenset({"exactly", "just", "clearly", "far", "there", "again"})
"""Words allowed before a comparison; "twice" or "times" would change its meaning."""
_REACH = 3
"""How many items before a denial or comparison are searched for another denial, which would reverse it."""
_COMMA = Item("comma", ",")


@dataclass(slots=True)
class Denied:
    """Objects said to be absent, comparisons as normalised claims, and the remaining items."""

    absent: set[str] = field(default_factory=set)
    comparisons: set[Claim] = field(default_factory=set)
    rest: list[Item] = field(default_factory=list)


def take_out(items: Sequence[Item]) -> Denied:
    """Read denials and comparisons from left to right and replace each by a comma."""
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
    """Return a depth or comparison claim in one fixed direction of the two, and any other claim unchanged."""
    converse = {"fewer than": "more than", "behind": "in front of"}.get(claim.name)
    if claim.kind in ("comparison", "depth") and converse:
        return Claim(claim.kind, str(claim.value), converse, claim.subject)
    if claim.name == "as many as":
        one, other = sorted(claim.things)
        return Claim("comparison", one, claim.name, other)
    return claim


def _measure_denial(items: Sequence[Item], place: int) -> int:
    """Return the length in items of a denial that begins here, such as "without any moons or bells"; 0 if none."""
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
    """Return the place after "pairs of" before an object counted in pairs, else the place itself."""
    following = items[place + 1 : place + 2]
    counted = following and following[0].kind == "object" and is_pair(following[0].value)
    return place + 1 if counted and _text(items, place) in PAIRS_OF else place


def _measure_comparison(items: Sequence[Item], place: int, said: Denied) -> int:
    """Return the length in items of a comparison that begins here, and note it; 0 if there is none."""
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
    """Note a comparison of the objects at two places and return its length; 0 if either place has no object."""
    if _kind(items, one) != "object" or _kind(items, other) != "object":
        return 0
    said.comparisons.add(normalize(Claim("comparison", items[one].value, name, items[other].value)))
    return other + 1 - place


def _skip_words(items: Sequence[Item], place: int) -> int:
    """Return the place after at most two adjectives that are neither colour nor material."""
    end = place
    while end < place + 2 and _kind(items, end) == "word":
        end += 1
    return _skip_unit(items, end)


def _kind(items: Sequence[Item], place: int) -> str:
    return items[place].kind if place < len(items) else ""


def _text(items: Sequence[Item], place: int) -> str:
    return items[place].text if place < len(items) else ""
