"""Reads words in images with rapidocr, whose weights come inside its wheel.

Pictures smaller than `LEAST_SIDE_PX` are enlarged first: of 80 words of one to six letters drawn 96 px wide, all were
read to the letter at twice the size. Lines without a letter or digit are dropped, since shapes read as `■` or `—`.

Not covered: any other language or model than the default, which rapidocr would download; a lone `I`, which is often
taken for a stroke; a shape that looks like a letter (a car is read as `A`), so ask it only about pictures of words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any

from datagen.pictures import read_image

LEAST_SIDE_PX = 192
"""Smaller pictures are enlarged by the whole factor that brings their longer side here."""

_PRINTED = frozenset(map(chr, range(ord("!"), ord("~") + 1)))


class Reader:
    """A callable from PNG bytes to the lines of text read, in reading order; raises OSError on a damaged PNG."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    @cached_property
    def characters(self) -> frozenset[str]:
        """The classes of its model; what is drawn in another script is read as something else, or as nothing."""
        import numpy as np

        # The model loads with the first picture.
        self._engine(np.full((48, 96, 3), 255, np.uint8), use_det=False, use_cls=False, use_rec=True)
        return frozenset(self._engine.text_rec.session.get_character_list())

    def __call__(self, image: bytes) -> list[str]:
        """Return the lines in a picture, in reading order; raises OSError for bytes that are none."""
        import numpy as np
        from PIL import Image

        picture = read_image(image)
        factor = -(-LEAST_SIDE_PX // max(picture.size))
        if factor > 1:
            picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC)
        bgr = np.ascontiguousarray(np.asarray(picture)[..., ::-1])
        # The three switches are remembered by the engine, so each call states them.
        result = self._engine(bgr, use_det=True, use_cls=False, use_rec=True)
        return keep_words(result.txts or ())


class LateReader:
    """A `Reader` that loads when it is first asked: a run without words to read never waits for it.

    Whether it can write a character is asked of it as of a set. It can write all that is printed of ASCII, which it
    need not be loaded for.
    """

    def __init__(self) -> None:
        self._reader: Reader | None = None

    def __call__(self, image: bytes) -> list[str]:
        """Return the lines in a picture; the models are loaded on the first call."""
        return self._load()(image)

    def __contains__(self, character: object) -> bool:
        return character in _PRINTED or character in self._load().characters

    @property
    def characters(self) -> LateReader:
        """Itself, as the characters that it can write."""
        return self

    def _load(self) -> Reader:
        self._reader = self._reader or build()
        return self._reader


def build(threads: int = 1) -> Reader:
    """Return the reader, which takes about a second to load; `threads` is how many onnxruntime may use."""
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "Det.limit_side_len": 256,
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    return Reader(engine)


def keep_words(lines: Iterable[str]) -> list[str]:
    """Return the lines that hold a letter or a digit."""
    return [line for line in lines if any(letter.isalnum() for letter in line)]


_MARKS = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u02bc\u2032\u00b4", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    "\u2122": "TM",
}
"""Typographic quotes, apostrophes and dashes: which one of them stands there, no reader tells for sure."""
_OTHER_MEANING = ("<super>", "<sub>", "<circle>", "<fraction>")
"""Compatibility forms that look and mean otherwise than their plain letters: `x²` is not `x2`."""


def unify(text: str) -> str:
    """Return a text in the one form in which claimed and read texts are compared; plain ASCII stays as it is.

    Composed and decomposed letters, letters in full width, ligatures and other compatibility forms (NFKC) become one,
    and so do typographic and plain quotes, apostrophes and dashes. Raised, lowered, circled and fractional digits stay
    what they are.
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", "".join(map(_unify_letter, text)))


@lru_cache(maxsize=4096)
def _unify_letter(letter: str) -> str:
    if letter in _MARKS:
        return _MARKS[letter]
    if unicodedata.decomposition(letter).startswith(_OTHER_MEANING):
        return letter
    return unicodedata.normalize("NFKC", letter)
