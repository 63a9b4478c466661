"""The little English that prompts need: articles, plurals and number words.

A lexicon may state the plural and the article of each word; these rules fill in what it leaves out, and serve the
words that a template writes itself. Not covered: compound nouns whose first word takes the plural ("mothers-in-law"),
Latin plurals beyond the list, silent letters in names.
"""

from __future__ import annotations

import re
from functools import lru_cache

_NUMBERS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)

_AN_ANYWAY = re.compile(r"(hour|honest|honou?r|heir)", re.IGNORECASE)
_A_ANYWAY = re.compile(
    r"(eu|ewe|one\b|one-|once|ouija|u(biq|fo|k|kulele|nanim|rani|sa\b|se|sual|sur|tens|tili|topi))", re.I
)
_YOU_NI = re.compile(r"uni(?!n|m[^a]|dent)", re.IGNORECASE)
_SPELLED_WITH_AN = set("AEFHILMNORSX")

_IRREGULAR = {
    "calf": "calves",
    "child": "children",
    "die": "dice",
    "elf": "elves",
    "foot": "feet",
    "goose": "geese",
    "half": "halves",
    "knife": "knives",
    "leaf": "leaves",
    "life": "lives",
    "loaf": "loaves",
    "man": "men",
    "mouse": "mice",
    "ox": "oxen",
    "person": "people",
    "scarf": "scarves",
    "shelf": "shelves",
    "thief": "thieves",
    "tooth": "teeth",
    "wife": "wives",
    "wolf": "wolves",
    "woman": "women",
    **{same: same for same in ("aircraft", "binoculars", "deer", "fish", "moose", "scissors", "sheep", "swine")},
    **{word: word + "es" for word in ("echo", "hero", "mango", "mosquito", "potato", "tomato", "volcano")},
}


@lru_cache(maxsize=4096)
def article_of(word: str) -> str:
    """Return `a` or `an`, by the sound that the first letters suggest: an hourglass, a unicycle, an X-ray."""
    word = word.strip()
    first = re.split(r"[\s-]", word, maxsplit=1)[0]
    if first[:1].isdigit():
        return "an" if first.startswith("8") or first in ("11", "18") else "a"
    if len(first) == 1 or (first.isupper() and not re.search("[AEIOUY]", first)):
        return "an" if first[:1].upper() in _SPELLED_WITH_AN else "a"
    if _AN_ANYWAY.match(word):
        return "an"
    if _A_ANYWAY.match(word) or _YOU_NI.match(word):
        return "a"
    return "an" if word[:1].lower() in set("aeiou") else "a"


@lru_cache(maxsize=4096)
def plural_of(word: str) -> str:
    """Return the plural of a noun; of a compound such as `wine glass`, that of its last word."""
    before, space, last = word.rpartition(" ")
    return before + space + _plural_of_one(last)


def _plural_of_one(word: str) -> str:
    lower = word.lower()
    if lower in _IRREGULAR:
        return _IRREGULAR[lower]
    for ending in ("man", "foot", "tooth", "goose", "mouse", "knife", "shelf", "child", "fish"):
        if lower.endswith(ending) and lower not in ("human", "caiman", "talisman", "mongoose"):
            return word[: -len(ending)] + _IRREGULAR[ending]
    if re.search(r"[^aeiou]y$", lower):
        return word[:-1] + "ies"
    if re.search(r"(s|x|z|ch|sh)$", lower):
        return word + "es"
    return word + "s"


def number_word(n: int) -> str:
    """Return the word for a whole number from 0 to twenty, and digits beyond."""
    return _NUMBERS[n] if 0 <= n < len(_NUMBERS) else str(n)
