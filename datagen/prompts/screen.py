"""Refuses prompts with personal data or rude words, in what is to be rendered and in what a language model rewrote.

    screen: {pii: true, words: [shipped, my_words.txt]}

in a recipe turns it on; `screen: {}` is both checks with the short list that ships. A prompt or rewrite that is hit is
refused and counted by its kind, as a contaminated one is. Words are compared whole, in Unicode NFKC without letter
case; an entry of several words is a run of them. Card numbers must pass the check digit of Luhn (ISO/IEC 7812).

Not covered: names and addresses, letters written as digits or spaced out, rude meanings of plain words, languages
beyond the list, and what a model writes while it reasons or draws. It is a net with wide meshes, not a guarantee.
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
"""Common English profanity without a second meaning; insults of groups belong in a list of the user's own."""
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
"""Patterns of personal data by kind; a card number needs its check digit besides."""
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in PII.items()}
_WORDS = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Screen:
    """The checks of one recipe; `phrases` are listed entries as tuples of normalised words."""

    pii: bool
    phrases: frozenset[tuple[str, ...]]

    @classmethod
    def from_options(cls, options: ScreenOptions) -> Self:
        """Read the lists. Raises ConfigError for a file that cannot be read or holds no word."""
        phrases = {phrase for word in options.words for phrase in _read(word)}
        return cls(options.pii, frozenset(phrases))

    def find(self, text: str) -> Breach | None:
        """Return why a text is refused, or None; what was found of personal data is not repeated."""
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
    """Tell whether the last digit is the check digit of the others: every second from the right counts double."""
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
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
        raise ConfigError(what, where=word, hint="`screen: {words: [shipped]}` is the short list that ships") from error
    found = [_split(unicodedata.normalize("NFKC", line)) for line in lines if not line.lstrip().startswith("#")]
    phrases = [phrase for phrase in found if phrase]
    if not phrases:
        raise ConfigError("the word list holds no word", where=word, hint="one word or phrase a line")
    return phrases
