"""English for prompts, reasons and questions: articles, plurals, pairs, number words, misspellings and comparisons.

A lexicon may state the plural and the article of each word; the rules here supply missing ones, and those for words in
templates. Objects with two halves are counted in pairs: "two pairs of scissors". Measured on words that were collected
independently of the rules (`tests/taxonomy/data/`), next to the library `inflect`. Not covered: foreign plurals beyond
the lists, names with silent letters, plural names that are no pairs ("noodles"), American "an herb".

`spell_wrong` misspells one word of a text that a picture must copy exactly. The kinds are those of LenCom's
Aug-MARIO-Hard (arXiv 2403.16422): misspellings of people, slips on a keyboard, words split in two. A model that reads
for meaning writes the correct word, which is the weakness to train. The result depends only on the text, so the same
taxonomy always gives the same prompts; case and punctuation stay. Not covered: texts in other than Latin letters, which
stay as they are.

`holds_order` and `say_order` evaluate and phrase a comparison such as `comparison(star, more than, moon)`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, TypeVar

from datagen.records import Claim

_NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Articles: they follow the sound of the first letters, of a number, or of the name of a letter.

_AN_ANYWAY = re.compile(r"(hour|honest|honou?r|heir)", re.IGNORECASE)
_A_ANYWAY = re.compile(
    r"(eu|ewe|one\b|one-|once|ouija"
    r"|u(?:biq|fo|gand|k|kulele|nanim|nesco|ral\b|ran|rea|rin|rugua|sa\b|sab|sag|se|su|tah|ter|tens|tili|topi|vula)"
    r"|uni(?:b|c|dir|f|l(?!l)|mod|on|p|q|s(?!s)|t|v))",
    re.IGNORECASE,
)
_NUMBER_WITH_AN = re.compile(r"8|1[18](?!\d)|18\d\d(?!\d)")
_SPELLED_WITH_AN = set("AEFHILMNORSX")
_ACRONYM = re.compile(r"[A-Z][A-Z0-9&.]*[A-Z0-9](?:s|c|[’']s)?")
_SAID_AS_A_WORD = _words("FAQ HUB LAN MAC NIB RAM ROM SAM SIM SUM")
_BEGINS_LIKE_A_WORD = re.compile(r"(?:[FHLMNRS]|FL|FR|RH|S[CHKLMNPTW]|S[CPT]R|SCH|SHR|SPL)[AEIOUY]")

# Plurals: irregular words, irregular endings, then the rules.

_SAME = _words(
    "aircraft barracks bison chassis cod corps crossroads deer elk gallows grouse headquarters hovercraft "
    "mackerel means moose offspring reindeer rotorcraft salmon series sheep shrimp spacecraft species squid swine "
    "trout watercraft wildebeest"
)
_IRREGULAR = {
    "die": "dice",
    "hanger-on": "hangers-on",
    "muskox": "muskoxen",
    "ox": "oxen",
    "passer-by": "passers-by",
    "passerby": "passersby",
    "runner-up": "runners-up",
    "still life": "still lifes",
    "thief": "thieves",
    "elf": "elves",
    **{word: word + "zes" for word in ("fez", "quiz", "whiz")},
    **{word: word[:-2] + "i" for word in ("alumnus", "bacillus", "fungus", "nucleus", "radius", "stimulus")},
    **{word: word[:-2] + "a" for word in ("addendum", "bacterium", "criterion", "datum", "medium", "ovum", "stratum")},
    **{word: word[:-2] + "ices" for word in ("appendix", "codex", "cortex", "matrix", "vertex", "vortex")},
    "phenomenon": "phenomena",
    **{
        word: word + "es"
        for word in (
            *("buffalo", "cargo", "domino", "echo", "embargo", "hero", "mango", "mosquito", "potato", "superhero"),
            *("tomato", "tornado", "torpedo", "veto", "volcano"),
        )
    },
    **{
        word: word + "s"
        for word in (
            *("epoch", "eunuch", "loch", "matriarch", "monarch", "oligarch", "patriarch", "stomach"),
            *("blouse", "delouse", "mongoose"),
            *(
                "brahman",
                "caiman",
                "cayman",
                "german",
                "human",
                "superhuman",
                "norman",
                "ottoman",
                "roman",
                "shaman",
                "talisman",
            ),
        )
    },
}
_IRREGULAR_ENDINGS = {
    "calf": "calves",
    "child": "children",
    "fish": "fish",
    "foot": "feet",
    "goose": "geese",
    "half": "halves",
    "hoof": "hooves",
    "knife": "knives",
    "leaf": "leaves",
    "life": "lives",
    "loaf": "loaves",
    "louse": "lice",
    "man": "men",
    "mouse": "mice",
    "person": "people",
    "scarf": "scarves",
    "self": "selves",
    "sheaf": "sheaves",
    "shelf": "shelves",
    "tooth": "teeth",
    "wharf": "wharves",
    "wife": "wives",
    "wolf": "wolves",
}
_GREEK = re.compile(r"(?:analys|paralys|^bas|cris|^oas|thes|emphas|ellips|synops|gnos|neuros|morphos|genes|^ax)is$")
_HEAD_FIRST = re.compile(
    r"(.+?)((?: (?:of|with|without|from|for) | (?:in|on|at|under|behind) (?:a|an|the) |-(?:in-law|at-arms)\b|-of-).*)"
)

# Pairs: nouns with two halves and no singular, and nouns in the plural because the objects come in twos.

_PAIRS = _words(
    "binoculars boots bottoms breeches briefs chopsticks clippers culottes cutters dungarees earbuds earphones "
    "earrings eyeglasses flippers forceps glasses gloves goggles handcuffs headphones jeans jodhpurs knickers "
    "leggings mittens nippers overalls pajamas panties pants pantyhose pincers pliers pyjamas sandals scissors "
    "secateurs shears shoes shorts skates skis slacks slippers snippers sneakers socks spectacles stockings "
    "sunglasses suspenders sweatpants tights tongs trousers trunks tweezers underpants"
)


@lru_cache(maxsize=4096)
def article_of(word: str) -> str:
    """Return `a` or `an` according to the sound of the first letters: an hourglass, a unicycle, a USB stick."""
    word = word.strip()
    first = re.split(r"[\s-]", word, maxsplit=1)[0]
    if first[:1].isdigit():
        return "an" if _NUMBER_WITH_AN.match(first) else "a"
    if len(first) == 1 or (_ACRONYM.fullmatch(first) and _is_spelled(first)):
        return "an" if first[:1].upper() in _SPELLED_WITH_AN else "a"
    if _AN_ANYWAY.match(word):
        return "an"
    if _A_ANYWAY.match(word):
        return "a"
    return "an" if word[:1].lower() in set("aeiou") else "a"


def _is_spelled(acronym: str) -> bool:
    """Return whether an acronym is said letter by letter: short ones, and those that no word could begin like."""
    letters = re.sub(r"[^A-Z]", "", acronym)
    if letters in _SAID_AS_A_WORD:
        return False
    return len(letters) <= 3 or not (letters[0] in "AEIOU" or _BEGINS_LIKE_A_WORD.match(letters))


@lru_cache(maxsize=4096)
def plural_of(word: str) -> str:
    """Return the plural of a noun: of its head in `loaf of bread`, of the last word in `wine glass`.

    A noun that is already plural, such as a pair, is returned unchanged.
    """
    if word.lower() in _IRREGULAR:
        return _like(word, _IRREGULAR[word.lower()])
    compound = _HEAD_FIRST.fullmatch(word)
    if compound:
        return plural_of(compound[1]) + compound[2]
    before, space, last = word.rpartition(" ")
    start, hyphen, end = last.rpartition("-") if last.lower() not in _IRREGULAR else ("", "", last)
    return before + space + start + hyphen + _plural_of_one(end)


def _plural_of_one(word: str) -> str:
    lower = word.lower()
    if lower in _SAME or lower in _PAIRS or lower.endswith("ese"):
        return word
    if lower in _IRREGULAR:
        return _like(word, _IRREGULAR[lower])
    if re.fullmatch(r"[A-Z0-9&.]*[A-Z0-9]", word) and len(word) > 1:
        return word + ("es" if word.endswith("S") else "s")
    for ending, plural in _IRREGULAR_ENDINGS.items():
        if lower.endswith(ending):
            return word[: -len(ending)] + _like(word[-len(ending) :], plural)
    if _GREEK.search(lower):
        return word[:-2] + "es"
    if re.search(r"([^aeiou]|qu)y$", lower):
        return word[:-1] + "ies"
    if re.search(r"(s|x|z|ch|sh)$", lower):
        return word + "es"
    return word + "s"


def _like(word: str, plural: str) -> str:
    """Return a plural with a capital if the word has one."""
    return plural[:1].upper() + plural[1:] if word[:1].isupper() else plural


@lru_cache(maxsize=4096)
def is_pair(noun: str) -> bool:
    """Return whether a noun is counted in pairs: scissors, garden shears, but not `pair of scissors`."""
    return noun.lower().rsplit(" ", 1)[-1] in _PAIRS and not _HEAD_FIRST.fullmatch(noun)


def name_one(noun: str, *before: str, article: str = "") -> str:
    """Return a noun with its article and the words before it: `an orange bench`, `a pair of red scissors`.

    `article` is that of the first word; the default follows the rules of English.
    """
    words = " ".join((*before, noun))
    return f"a pair of {words}" if is_pair(noun) else f"{article or article_of(words)} {words}"


def name_many(count: int, noun: str, *before: str, plural: str = "", in_words: bool = False) -> str:
    """Return a noun with its number: `1 star`, `3 red stars`, `2 pairs of scissors`; `in_words` says two for 2."""
    number = number_word(count) if in_words else str(count)
    if is_pair(noun) and plural in ("", noun):
        return " ".join((number, "pair of" if count == 1 else "pairs of", *before, noun))
    return " ".join((number, *before, noun if count == 1 else plural or plural_of(noun)))


def number_word(n: int) -> str:
    """Return the word for a whole number from 0 to twenty, and digits beyond."""
    return _NUMBERS[n] if 0 <= n < len(_NUMBERS) else str(n)


Spelling = Literal["misspelt", "typo", "split"]
"""Kinds of misspelling: `misspelt` (brekfast), `typo` (breskfast), `split` (brea kfast)."""

_Item = TypeVar("_Item")

_WORD = re.compile(r"[A-Za-z]{4,}")
_SOUNDS = (
    *(("ie", "ei"), ("ei", "ie"), ("ough", "uff"), ("able", "ible")),
    *(("ea", "ee"), ("ph", "f"), ("ou", "ow"), ("tion", "sion")),
)
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def spell_wrong(text: str, how: Spelling) -> str:
    """Return a text with one word of four or more letters misspelt, or unchanged if it has no such word.

    Raises KeyError for an unknown kind.
    """
    ways = _WAYS[how]
    words = list(_WORD.finditer(text))
    if not words:
        return text
    # A hash of the text instead of a random stream: the choice must not depend on order or seed.
    bits = int.from_bytes(blake2b(f"{how}/{text}".encode(), digest_size=16).digest(), "little")
    bits, word = _choose(bits, words)
    _, wrong = _choose(bits, [each for each in ways(word.group()) if each != word.group()])
    return text[: word.start()] + wrong + text[word.end() :]


def _choose(bits: int, items: Sequence[_Item]) -> tuple[int, _Item]:
    bits, place = divmod(bits, len(items))
    return bits, items[place]


def _misspell(word: str) -> Iterator[str]:
    """Yield a word with a double letter made single, a sound spelt another way, or two inner letters swapped."""
    yield from (word[:k] + word[k + 1 :] for k in range(1, len(word)) if word[k].lower() == word[k - 1].lower())
    for right, wrong in _SOUNDS:
        for match in re.finditer(right, word, re.IGNORECASE):
            yield word[: match.start()] + _cased_like(match.group(), wrong) + word[match.end() :]
    for k in range(1, len(word) - 2):
        yield word[:k] + word[k + 1] + word[k] + word[k + 2 :]
    yield word[:1] + word[1] + word[1:]


def _mistype(word: str) -> Iterator[str]:
    """Yield a word with one letter replaced by, or struck together with, its neighbour on the keyboard row."""
    for k, letter in enumerate(word):
        row = next(row for row in _KEYS if letter.lower() in row)
        at = row.index(letter.lower())
        for key in row[max(0, at - 1) : at] + row[at + 1 : at + 2]:
            yield word[:k] + _cased_like(letter, key) + word[k + 1 :]
            yield word[: k + 1] + _cased_like(letter, key) + word[k + 1 :]


def _split(word: str) -> Iterator[str]:
    yield from (f"{word[:k]} {word[k:]}" for k in range(1, len(word)))


def _cased_like(right: str, wrong: str) -> str:
    return wrong.upper() if right.isupper() else wrong


_WAYS: dict[Spelling, Callable[[str], Iterator[str]]] = {"misspelt": _misspell, "typo": _mistype, "split": _split}


ORDERS: Mapping[str, Callable[[int, int], bool]] = {
    "more than": operator.gt,
    "fewer than": operator.lt,
    "as many as": operator.eq,
}
"""The operator of each comparison, by its name."""


def holds_order(name: str, ours: int, theirs: int) -> bool:
    """Return whether two numbers of objects compare as named; False if either number is 0.

    Raises KeyError for a name that is not in `ORDERS`.
    """
    return min(ours, theirs) > 0 and ORDERS[name](ours, theirs)


def say_order(claim: Claim) -> str:
    """Return a comparison in words: `more stars than moons`, `as many stars as moons`."""
    order, link = claim.name.rsplit(" ", 1)
    ours, theirs = (f"pairs of {name}" if is_pair(name) else plural_of(name) for name in claim.things)
    return f"{order} {ours} {link} {theirs}"
