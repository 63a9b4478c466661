"""Texts spelt wrong on purpose, each in one word, always the same way: what a picture must copy to the letter.

The kinds are those of LenCom's Aug-MARIO-Hard (arXiv 2403.16422): misspelt as people do, slips on a keyboard, words
split in two. A model that reads for meaning writes the right word instead, and that is the fault to be trained away.
A text is changed by a pure function of itself, so the same taxonomy always gives the same prompts; letter case and
punctuation stay. Not covered: languages in other than Latin letters, whose texts are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Literal, TypeVar

Spelling = Literal["misspelt", "typo", "split"]
"""The ways to spell wrong: `misspelt` (brekfast), `typo` (breskfast), `split` (brea kfast)."""

_Item = TypeVar("_Item")

_WORD = re.compile(r"[A-Za-z]{4,}")
_SOUNDS = (
    *(("ie", "ei"), ("ei", "ie"), ("ough", "uff"), ("able", "ible")),
    *(("ea", "ee"), ("ph", "f"), ("ou", "ow"), ("tion", "sion")),
)
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def spell_wrong(text: str, how: Spelling) -> str:
    """Return a text with one word of four or more letters spelt wrong, or as it is if it has none.

    Raises KeyError for an unknown way.
    """
    ways = _WAYS[how]
    words = list(_WORD.finditer(text))
    if not words:
        return text
    bits = int.from_bytes(blake2b(f"{how}/{text}".encode(), digest_size=16).digest(), "little")
    bits, word = _choose(bits, words)
    _, wrong = _choose(bits, [each for each in ways(word.group()) if each != word.group()])
    return text[: word.start()] + wrong + text[word.end() :]


def _choose(bits: int, items: Sequence[_Item]) -> tuple[int, _Item]:
    bits, place = divmod(bits, len(items))
    return bits, items[place]


def _misspell(word: str) -> Iterator[str]:
    """Yield a word with a doubled letter single, a sound written otherwise, or two inner letters exchanged."""
    yield from (word[:k] + word[k + 1 :] for k in range(1, len(word)) if word[k].lower() == word[k - 1].lower())
    for right, wrong in _SOUNDS:
        for match in re.finditer(right, word, re.IGNORECASE):
            yield word[: match.start()] + _like(match.group(), wrong) + word[match.end() :]
    for k in range(1, len(word) - 2):
        yield word[:k] + word[k + 1] + word[k] + word[k + 2 :]
    yield word[:1] + word[1] + word[1:]


def _mistype(word: str) -> Iterator[str]:
    """Yield a word with one letter taken for, or struck together with, its neighbour in the same row of keys."""
    for k, letter in enumerate(word):
        row = next(row for row in _KEYS if letter.lower() in row)
        at = row.index(letter.lower())
        for key in row[max(0, at - 1) : at] + row[at + 1 : at + 2]:
            yield word[:k] + _like(letter, key) + word[k + 1 :]
            yield word[: k + 1] + _like(letter, key) + word[k + 1 :]


def _split(word: str) -> Iterator[str]:
    yield from (f"{word[:k]} {word[k:]}" for k in range(1, len(word)))


def _like(right: str, wrong: str) -> str:
    return wrong.upper() if right.isupper() else wrong


_WAYS: dict[Spelling, Callable[[str], Iterator[str]]] = {"misspelt": _misspell, "typo": _mistype, "split": _split}
