"""The reader sees the image tokens that a picture was drawn from, and only where they draw this very picture."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from datagen.embedded.chat import encode_image, see_image
from datagen.embedded.codec import KEY, ImageCodec, fingerprint, note_codes
from datagen.embedded.loading import load_codec
from datagen.embedded.options import SHIPPED


@cache
def open_codec() -> ImageCodec:
    return load_codec(SHIPPED)


def drawn_codes(seed: int = 0) -> list[int]:
    return torch.randint(open_codec().codes, (36,), generator=torch.Generator().manual_seed(seed)).tolist()


def draw(codes: list[int]) -> np.ndarray:
    with torch.inference_mode():
        return open_codec().decode(torch.tensor([codes]))[0].numpy()


def png(pixels: np.ndarray, info: PngInfo) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def see(file: bytes) -> list[int]:
    return see_image(open_codec(), fingerprint(open_codec()), file, "cpu")


def test_a_picture_of_the_model_is_seen_as_it_was_drawn() -> None:
    codes = drawn_codes()
    file = png(draw(codes), note_codes(fingerprint(open_codec()), codes))
    assert encode_image(open_codec(), file, "cpu") != codes  # found anew, some come out otherwise
    assert see(file) == codes


def test_a_note_on_another_picture_is_not_believed() -> None:
    codes = drawn_codes()
    other = png(draw(drawn_codes(1)), note_codes(fingerprint(open_codec()), codes))
    assert see(other) == encode_image(open_codec(), other, "cpu")


def test_notes_that_draw_nothing_or_are_of_another_tokenizer_are_left_alone() -> None:
    codes, name = drawn_codes(), fingerprint(open_codec())
    garbage = PngInfo()
    garbage.add_text(KEY, f"{name} no numbers")
    cut, beyond, foreign = codes[:-1], [*codes[:-1], 99_999], "0" * 16
    for info in (note_codes(name, cut), note_codes(name, beyond), note_codes(foreign, codes), garbage):
        file = png(draw(codes), info)
        assert see(file) == encode_image(open_codec(), file, "cpu")
