"""Reads words in images with rapidocr, whose weights come inside its wheel.

Pictures smaller than `LEAST_SIDE_PX` are enlarged first: of 80 words of one to six letters drawn 96 px wide, all were
read to the letter at twice the size. Lines without a letter or digit are dropped, since shapes read as `■` or `—`.

Not covered: any other language or model than the default, which rapidocr would download; a lone `I`, which is often
taken for a stroke; a shape that looks like a letter (a car is read as `A`), so ask it only about pictures of words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from datagen.records import Prompt, Sample, Verdict
from datagen.rewards._images import read_image
from datagen.rewards._rendered import unify
from datagen.rewards._tools import Tools

LEAST_SIDE_PX = 192
"""Smaller pictures are enlarged by the whole factor that brings their longer side here."""


def build(threads: int = 1) -> Callable[[bytes], list[str]]:
    """Return a function from PNG bytes to the lines of text read, in reading order.

    The model loads once, here (about a second); `threads` is how many onnxruntime may use. The function raises
    OSError on a damaged PNG.
    """
    import numpy as np
    from PIL import Image
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "Det.limit_side_len": 256,
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )

    def read_text(image: bytes) -> list[str]:
        picture = read_image(image)
        factor = -(-LEAST_SIDE_PX // max(picture.size))
        if factor > 1:
            picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.BICUBIC)
        bgr = np.ascontiguousarray(np.asarray(picture)[..., ::-1])
        # The three switches are remembered by the engine, so each call states them.
        result = engine(bgr, use_det=True, use_cls=False, use_rec=True)
        return keep_words(result.txts or ())

    return read_text


def keep_words(lines: Iterable[str]) -> list[str]:
    """Return the lines that hold a letter or a digit."""
    return [line for line in lines if any(letter.isalnum() for letter in line)]


def read_claimed(prompt: Prompt, sample: Sample, tools: Tools) -> tuple[list[str], list[str]] | Verdict:
    """Return the texts that a prompt claims and the lines read in the sample's last image, or why there are none.

    Both are in one form of Unicode (`unify`), whatever the reader gives and however the claim was typed.
    """
    claimed = [unify(str(claim.value)) for claim in prompt.claims if claim.kind == "text"]
    if not claimed:
        return Verdict(None, "no text claim")
    if sample.image is None:
        return Verdict(None, "the sample has no image")
    return claimed, [unify(line) for line in tools.read_text(sample.image)]


def explain(claimed: list[str], lines: list[str], *, right: bool) -> str:
    """Say for a person what was asked and what was read."""
    seen = f'"{" ".join(lines)}"' if lines else "nothing"
    return f"read {seen} as asked" if right else f'expected "{" ".join(claimed)}", read {seen}'
