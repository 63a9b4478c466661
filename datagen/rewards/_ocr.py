"""Reads words in images with rapidocr, whose weights come inside its wheel.

Pictures smaller than `LEAST_SIDE_PX` are enlarged first: of 80 words of one to six letters drawn 96 px wide, all were
read to the letter at twice the size. Lines without a letter or digit are dropped, since shapes read as `■` or `—`.

Not covered: any other language or model than the default, which rapidocr would download; a lone `I`, which is often
taken for a stroke; a shape that looks like a letter (a car is read as `A`), so ask it only about pictures of words.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from datagen.records import Prompt, Sample, Verdict
from datagen.rewards._images import read_image
from datagen.rewards._rendered import unify
from datagen.rewards._tools import Tools
from datagen.rewards._unseen import find_unseen, refuse

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


def read_claimed(prompt: Prompt, sample: Sample, tools: Tools) -> tuple[list[str], list[str]] | Verdict:
    """Return the texts that a prompt claims and the lines read in the sample's last image, or why there are none.

    Both are in one form of Unicode (`unify`), whatever the reader gives and however the claim was typed.
    """
    claims = [claim for claim in prompt.claims if claim.kind == "text"]
    claimed = [unify(str(claim.value)) for claim in claims]
    if not claimed:
        return Verdict(None, "no text claim")
    if not all(any(letter.isalnum() for letter in text) for text in claimed):
        return Verdict(None, "the claimed text has no letter or digit")
    if sample.image is None:
        return Verdict(None, "the sample has no image")
    if unseen := find_unseen(claims, tools):
        return refuse(unseen)
    return claimed, [unify(line) for line in tools.read_text(sample.image)]


def explain(claimed: list[str], lines: list[str], *, right: bool) -> str:
    """Say for a person what was asked and what was read."""
    seen = f'"{" ".join(lines)}"' if lines else "nothing"
    return f"read {seen} as asked" if right else f'expected "{" ".join(claimed)}", read {seen}'
