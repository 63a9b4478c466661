"""Vocabulary for reading rewritten prompts: words for objects, numbers, colours and places, and quoted words.

`compile_words` turns a lexicon into a table of phrases, `read_items` splits a text into items of that table, longest
phrase first. `datagen.taxonomy.mentions` interprets the items. Not covered: languages other than English, texts without
spaces between words, a word that a lexicon lists as object and as colour (it is read as object).

Words in straight or typographic quotation marks are what a prompt asks to be written, to the letter. `find_quoted`
returns them for prompts without claims, for scorers of rendered text; rewritten prompts are read without them. One
pass, linear in the length of the text. Not covered: quotations inside quotations (the outer one counts), and a
quotation in single marks that contains a final apostrophe (`'the dogs' bowls'`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from datagen.records import Claim, compose
from datagen.taxonomy.english import number_word, plural_of
from datagen.taxonomy.lexicon import Lexicon

ItemKind = Literal[
    "object",
    "attribute",
    "number",
    "unit",
    "definite",
    "pronoun",
    "more",
    "hedge",
    "relation",
    "place",
    "negation",
    "unclear",
    "or",
    "comma",
    "end",
    "stop",
    "word",
]
Forms = Literal["one", "several", "either"]

VAGUE = 0
"""The value of a vague number word: several, many, some."""


@dataclass(frozen=True, slots=True)
class Item:
    """One phrase of a text and its meaning.

    `value` is the object's singular, a relation's name, or the value of an attribute whose `name` is `color`,
    `material`, …; `number` is the value of a number word; `forms` says whether an object's form is singular or plural.
    """

    kind: ItemKind
    text: str
    value: str = ""
    name: str = ""
    number: int = 1
    forms: Forms = "either"


@dataclass(slots=True)
class Phrases:
    """Items by their words, and for each first word the length of the longest phrase that begins with it."""

    table: dict[tuple[str, ...], Item] = field(default_factory=dict)
    longest: dict[str, int] = field(default_factory=dict)

    def add(self, item: Item) -> None:
        """Add an item under the words of its text, replacing an earlier one."""
        words = _part(item.text)
        first = words[0] if words else ""
        self.table[words] = item
        self.longest[first] = max(self.longest.get(first, 0), len(words))


def listed(words: str) -> tuple[str, ...]:
    """Split a line into words or phrases: at commas if it has any, else at spaces."""
    return tuple(words.split(", " if "," in words else None))


_TOKENS = re.compile(r"\d+(?:[.,]\d+)+|\d+[^\W_]*|[^\W\d_]+n't\b|[^\W\d_]+|'s\b|[.!?\n]+|[,;:()–—]|(?<=\s)-(?=\s)")
_ENDS = frozenset(".!?\n")
_TENS = {"thirty": 30, "forty": 40, "fifty": 50, "hundred": 100, "thousand": 1000}
_NUMBERS = {
    **{number_word(n): n for n in range(21)},
    **_TENS,
    **dict.fromkeys(listed("a, an, single, a single, lone, a lone, solitary, a solitary, just one"), 1),
    **dict.fromkeys(listed("pair of, a pair of, couple of, a couple of, both, twin, duo of, a duo of"), 2),
    **dict.fromkeys(listed("trio of, a trio of, triplet of, a triplet of"), 3),
    **dict.fromkeys(listed("quartet of, a quartet of"), 4),
    **dict.fromkeys(listed("half a dozen, half dozen, a half dozen"), 6),
    **dict.fromkeys(listed("dozen, a dozen"), 12),
    **dict.fromkeys(
        listed(
            "several, many, some, few, multiple, numerous, various, countless, plenty, dozens, hundreds, scores, lots, "
            "most, a few, a lot of, lots of, dozens of, a number of, plenty of, any number"
        ),
        VAGUE,
    ),
}
ARTICLES = frozenset({"a", "an"})
PAIRS_OF = frozenset({"pair of", "a pair of", "pairs of"})
"""Unit of objects counted in pairs, but the number two for others: "a pair of scissors" is 1, "a pair of cups" 2."""
_RELATIONS = {
    "above": ("above", "over", "on top of", "atop", "higher than", "up above"),
    "below": ("below", "under", "beneath", "underneath", "lower than", "down below"),
}
_SIDES = listed(
    "{} of, to the {} of, on the {} of, at the {} of, to {} of, to the immediate {} of, to the far {} of, "
    "to the {} side of, on the {} side of, at the {} side of, to the {} hand side of, on the {} hand side of"
)
_WORDS: Mapping[ItemKind, str] = {
    "definite": "the this these those its my your our their his her each every all such any",
    "pronoun": "it they them which itself themselves",
    "more": "another other others more extra additional further second third fourth fifth",
    "negation": "no not without never neither nor none instead except excluding lacks lacking avoid "
    "isn't aren't don't doesn't cannot rather unlike hardly barely scarcely",
    "hedge": "at least, at most, more than, less than, fewer than, up to, about, nearly, almost, roughly, "
    "approximately",
    "place": "on, in, inside, within, behind, between, among, amid, beside, besides, by, near, nearby, alongside, "
    "around, next to, close to, adjacent to, in front of, at, across, across from, opposite, along, into, onto, "
    "facing, touching, surrounded by, overlapping, in between, in the middle of, at the side of, to the side of",
    "unclear": "former latter respectively versa missing absent invisible hidden removed erased swap swaps swapped "
    "reversed exchanged alternately either anything minus left right leftmost rightmost topmost bottommost",
    "or": "or",
    "stop": "of with and that who whose is are was were be being has have having shows show showing contains "
    "containing features featuring depicts depicting holding wearing carrying riding made as for from to than "
    "but while where there please draw make create give want need see plus as against like also looks appears",
}
_SYNONYMS = {"wood": ("wooden",), "aluminum": ("aluminium",), "wool": ("woollen", "woolen")}
OTHER_COLORS = frozenset(
    listed(
        "gray grey gold golden silver turquoise cyan magenta violet teal beige crimson scarlet navy maroon indigo lime "
        "tan amber ivory bronze lavender olive aqua rainbow multicolored multicoloured colorless transparent"
    )
)
"""Colours that lexicons seldom have; on a claimed object they contradict its colour, elsewhere they are allowed."""


def tokenize(text: str) -> list[str]:
    """Return the words, numbers and marks of a text in lower case; hyphens separate words."""
    return _TOKENS.findall(text.casefold().replace("’", "'"))


def read_items(text: str, phrases: Phrases) -> list[Item]:
    """Return the items of a text, longest phrase first; a word that begins no phrase has kind `word`."""
    tokens = tokenize(text)
    items: list[Item] = []
    place = 0
    while place < len(tokens):
        for size in range(min(phrases.longest.get(tokens[place], 0), len(tokens) - place), 0, -1):
            found = phrases.table.get(tuple(tokens[place : place + size]))
            if found is not None:
                break
        else:
            found, size = _read_token(tokens[place]), 1
        items.append(found)
        place += size
    return items


@lru_cache(maxsize=4096)
def _read_token(token: str) -> Item:
    if token[0] in _ENDS:
        return Item("end", token)
    if token != "'s" and not token[0].isalnum():
        return Item("comma", token)
    if token.isdecimal():
        return Item("number", token, number=int(token))
    if token == "'s":
        return Item("stop", token)
    return Item("negation" if token.endswith("n't") else "word", token)


def compile_words(lexicon: Lexicon, claims: Iterable[Claim]) -> Phrases:
    """Return the table of phrases for a lexicon, plus words of the claims that it lacks."""
    things = {word.name: word.plural for word in lexicon.lists.get("objects", ())}
    values = {word.name: "color" for word in lexicon.lists.get("colors", ())}
    values |= {word.name: "material" for word in lexicon.lists.get("materials", ()) if word.name not in values}
    for claim in claims:
        for name in claim.things:
            if name not in things:
                things[name] = plural_of(name)
        if claim.kind == "attribute":
            values.setdefault(str(claim.value), claim.name)
    return _compile(tuple(things.items()), tuple(values.items()))


@lru_cache(maxsize=64)
def _compile(things: tuple[tuple[str, str], ...], values: tuple[tuple[str, str], ...]) -> Phrases:
    english = _compile_english()
    phrases = Phrases(dict(english.table), dict(english.longest))
    for value, name in values:
        for word in (value, *_SYNONYMS.get(value, ())):
            phrases.add(Item("attribute", word, value, name))
    for one, several in things:
        same = one == several
        phrases.add(Item("object", several, one, forms="either" if same else "several"))
        phrases.add(Item("object", one, one, forms="either" if same else "one"))
    return phrases


@lru_cache(maxsize=1)
def _compile_english() -> Phrases:
    """Return the phrases that do not depend on the lexicon."""
    phrases = Phrases()
    for kind, words in _WORDS.items():
        for word in listed(words):
            phrases.add(Item(kind, word))
    for word, number in _NUMBERS.items():
        phrases.add(Item("number", word, number=number))
    phrases.add(Item("unit", "pairs of"))
    for relation, said in _RELATIONS.items():
        for word in said:
            phrases.add(Item("relation", word, relation))
    for side in ("left", "right"):
        for form in _SIDES:
            phrases.add(Item("relation", form.format(side), f"{side} of"))
    for color in OTHER_COLORS:
        phrases.add(Item("attribute", color, color, "color"))
    return phrases


@lru_cache(maxsize=4096)
def _part(words: str) -> tuple[str, ...]:
    return tuple(tokenize(words))


_PAIRS = ('""', "“”", "„“", "„”", "«»", "»«", "‹›", "「」", "『』")
_DOUBLE = "|".join(f"{pair[0]}([^{pair}]*){pair[1]}" for pair in _PAIRS)
# An apostrophe between two letters is no quotation mark: 'don't stop' is one quotation, and "it's" opens none.
_SINGLE = r"(?<!\w)['‘]((?:[^'‘’\"]|(?<=\w)['’](?=\w))*)['’](?!\w)"
_QUOTED = re.compile(f"{_DOUBLE}|{_SINGLE}")


def find_quoted(text: str) -> list[str]:
    """Return the texts in quotation marks, in order, without the marks and without empty texts."""
    return [words.strip() for words in split_quoted(text)[0] if words.strip()]


def split_quoted(text: str) -> tuple[list[str], str]:
    """Return the quotations, empty ones as `""`, and the text with a space in place of each; both in NFC."""
    text = compose(text)
    quoted = [next(filter(None, match.groups()), "") for match in _QUOTED.finditer(text)]
    return quoted, _QUOTED.sub(" ", text)
