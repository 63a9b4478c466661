"""Words in quotation marks, straight and typographic: what a prompt asks to be written, to the letter.

For a prompt that has no claims `find_quoted` gives the words that a scorer of rendered text needs; a rewritten prompt
is read without them. One pass, linear in the length of the text. Not covered: quotations inside quotations (the outer
one is taken whole), a quotation over an apostrophe that ends a word between single marks (`'the dogs' bowls'`).
"""

from __future__ import annotations

import re

from datagen.records import compose

_PAIRS = ('""', "“”", "„“", "„”", "«»", "»«", "‹›", "「」", "『』")
_DOUBLE = "|".join(f"{pair[0]}([^{pair}]*){pair[1]}" for pair in _PAIRS)
# An apostrophe between two letters is no mark: 'don't stop' is one quotation, and "it's" opens none.
_SINGLE = r"(?<!\w)['‘]((?:[^'‘’\"]|(?<=\w)['’](?=\w))*)['’](?!\w)"
_QUOTED = re.compile(f"{_DOUBLE}|{_SINGLE}")


def find_quoted(text: str) -> list[str]:
    """Return what stands in quotation marks, in the order of the text, without the marks and without empty ones."""
    return [words.strip() for words in split_quoted(text)[0] if words.strip()]


def split_quoted(text: str) -> tuple[list[str], str]:
    """Return the quotations, empty ones as `""`, and the text with a space in place of each; letters are composed."""
    text = compose(text)
    quoted = [next(filter(None, match.groups()), "") for match in _QUOTED.finditer(text)]
    return quoted, _QUOTED.sub(" ", text)
