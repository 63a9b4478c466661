"""Lexicons: lists of words with their plurals, articles and phrases.

A lexicon holds the words that a model knows: `everyday` is for large models, `pictograms` for the embedded model. The
same taxonomy works with both. The files are in `taxonomies/lexicons/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, get_args

from datagen.documents.checking import load_model
from datagen.documents.reading import read_yaml
from datagen.records import compose
from datagen.taxonomy.english import article_of, plural_of
from datagen.taxonomy.models import Entry, LexiconFile, ListName, Relation, Saying


class Word(str):
    """A word of a lexicon: a string equal to its name (singular), which `str()` turns into its phrase.

    `name` is the bare text for records; `plural` and `article` are for prompts; `phrase` differs from the name for
    relations ("to the left of") and for values that a prompt words differently from its claim.
    """

    __slots__ = ("article", "name", "phrase", "plural")
    article: str
    name: str
    phrase: str
    plural: str

    def __new__(cls, name: str, *, plural: str | None = None, article: str | None = None, phrase: str = "") -> Self:
        """Make a word in NFC; missing forms follow the rules of English."""
        name, phrase = compose(name), compose(phrase)
        word = super().__new__(cls, name)
        word.name = str.__str__(word)
        word.plural = compose(plural or plural_of(name))
        word.article = article or article_of(name)
        word.phrase = phrase or name
        return word

    def __str__(self) -> str:
        return self.phrase


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Lists of words by name (`objects`, `colors`, …); skills that need a missing list are skipped."""

    name: str
    about: str
    lists: Mapping[str, tuple[Word, ...]]


def word_of(entry: str | Entry | Relation | Saying) -> Word:
    """Convert an item of a list, as written in the file, to a word."""
    if isinstance(entry, str):
        return Word(entry)
    if isinstance(entry, Relation):
        return Word(entry.name, phrase=entry.phrase)
    if isinstance(entry, Saying):
        return Word(entry.shows, phrase=entry.says)
    return Word(entry.singular, plural=entry.plural, article=entry.article)


def load_lexicon(path: str | Path) -> Lexicon:
    """Load a lexicon file. Raises ConfigError that lists each problem with its line."""
    written = load_model(read_yaml(path), LexiconFile)
    lists = {name: getattr(written, name) for name in get_args(ListName)}
    words = {name: tuple(word_of(entry) for entry in entries) for name, entries in lists.items() if entries}
    return Lexicon(written.lexicon, written.about, words)
