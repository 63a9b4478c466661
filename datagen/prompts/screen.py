"""Screen for personal data and rude words in prompts and rewrites.

    screen: {pii: true, words: [shipped, my_words.txt]}

turns it on in a recipe; `screen: {}` runs both checks with the short list in the package. Prompts and rewrites that
match are refused and counted by kind, like contaminated ones. Whole words are compared, in Unicode NFKC and without
case; an entry of several words matches them in sequence. Card numbers must pass Luhn's check digit (ISO/IEC 7812).

Not covered: names and addresses, letters written as digits or spaced out, rude meanings of plain words, languages
beyond the list, and a model's reasoning and images. The screen reduces the risk; it is no guarantee.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from datagen.config import SHIPPED, ScreenOptions
from datagen.errors import ConfigError
from datagen.prompts.keeps import Breach

RUDE = (
    "arse arsehole arseholes asshole assholes bastard bastards bitch bitches bollocks bullshit crap cunt cunts damn "
    "dickhead dickheads fuck fucked fucker fuckers fucking fucks goddamn motherfucker motherfuckers motherfucking piss "
    "pissed shit shits shitty slut sluts twat twats wank wanker wankers whore whores"
)
"""Common English profanity without a second meaning; insults of groups belong in the user's own list."""
PII = {
    "e-mail address": r"[^\s@<>\"“”]+@[^\s@<>\"“”]+\.[^\W\d_]{2,}",
    "phone number": (
        r"(?<![\w.-])(?<!\d )(?:\+\d(?:[ ().-]{0,2}\d){7,14}"
        r"|\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}"
        r"|0\d{1,4}[ /-]{1,3}\d{3,4}[ -]?\d{2,5}"
        r"|\d{3}-\d{4})(?! ?\d|[\w-])"
    ),
    "card number": r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)",
}
"""Patterns of personal data by kind; a card number must also have a valid check digit."""
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in PII.items()}
_WORDS = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Screen:
    """The checks of one recipe; `phrases` are listed entries as tuples of normalised words."""

    pii: bool
    phrases: frozenset[tuple[str, ...]]

    @classmethod
    def from_options(cls, options: ScreenOptions) -> Self:
        """Load the word lists. Raises ConfigError for a file that cannot be read or has no words."""
        phrases = {phrase for word in options.words for phrase in _read(word)}
        return cls(options.pii, frozenset(phrases))

    def find(self, text: str) -> Breach | None:
        """Return why a text is refused, or None; the reason never repeats personal data."""
        text = unicodedata.normalize("NFKC", text)
        kind = next(_find_pii(text), None) if self.pii else None
        if kind is not None:
            return Breach(kind, f"holds what reads like {'an' if kind[0] in 'aeiou' else 'a'} {kind}")
        words = _split(text)
        for length in sorted({len(phrase) for phrase in self.phrases}):
            for start in range(len(words) - length + 1):
                phrase = words[start : start + length]
                if phrase in self.phrases:
                    return Breach("listed word", f"holds the listed {' '.join(phrase)!r}")
        return None


def _find_pii(text: str) -> Iterator[str]:
    for kind, pattern in _PATTERNS.items():
        for match in pattern.finditer(text):
            if kind != "card number" or _passes_luhn([int(digit) for digit in match.group() if digit.isdecimal()]):
                yield kind


def _passes_luhn(digits: list[int]) -> bool:
    """Return whether the last digit is the check digit of the others: every second digit from the right is doubled."""
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    # Sixteen zeros pass Luhn's test, but are no card number.
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _split(text: str) -> tuple[str, ...]:
    return tuple(_WORDS.findall(text.casefold()))


def _read(word: str) -> Iterable[tuple[str, ...]]:
    if word == SHIPPED:
        return [(each,) for each in RUDE.split()]
    try:
        lines = Path(word).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        what = f"the word list cannot be read: {why}"
        raise ConfigError(what, where=word, hint="`screen: {words: [shipped]}` uses the list in the package") from error
    found = [_split(unicodedata.normalize("NFKC", line)) for line in lines if not line.lstrip().startswith("#")]
    phrases = [phrase for phrase in found if phrase]
    if not phrases:
        raise ConfigError("the word list has no words", where=word, hint="write one word or phrase per line")
    return phrases
