"""From what a joint model wrote to a sample: reading token ids, drawing codes, PNG, and the record.

Shared by every backend that runs a model in this vocabulary, whatever decodes it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from datagen.backends.embedded.codec import ImageCodec
from datagen.backends.embedded.vocab import Vocabulary
from datagen.pictograms import GRID
from datagen.records import Segment

IMAGE_TOKENS = GRID * (GRID + 1)
"""Tokens of an image between its begin and its end: a row token and GRID codes, GRID times."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote, read back: the plan if any, the codes of the image if it is whole, and how it ended."""

    plan: str | None
    codes: tuple[int, ...] | None
    finish: str
    problem: str


def read_answer(vocab: Vocabulary, ids: Sequence[int]) -> Answer:
    """Read what the model wrote after the prompt, token by token, without repairing anything."""
    rest = list(ids)
    finish = "stop" if rest and rest[-1] == vocab.eos else "length"
    plan = None
    if rest and rest[0] == vocab.think:
        if vocab.end_think not in rest:
            return Answer(None, None, finish, "the thought never ends")
        end = rest.index(vocab.end_think)
        plan, rest = vocab.tokenizer.decode(rest[1:end], skip_special_tokens=False), rest[end + 1 :]
    if not rest or rest[0] != vocab.image:
        return Answer(plan, None, finish, "the model does not switch to an image")
    body, tail = rest[1 : 1 + IMAGE_TOKENS], rest[1 + IMAGE_TOKENS :]
    lines = [body[k : k + GRID + 1] for k in range(0, len(body), GRID + 1)]
    whole = len(lines) == GRID and all(
        len(line) == GRID + 1 and line[0] == vocab.rows[row] and min(line[1:]) >= vocab.first_code
        for row, line in enumerate(lines)
    )
    if not whole or tail[:2] != [vocab.end_image, vocab.eos]:
        return Answer(plan, None, finish, "the image is not six whole rows and an end")
    return Answer(plan, tuple(token - vocab.first_code for line in lines for token in line[1:]), finish, "")


def draw_codes(codec: ImageCodec, codes: Mapping[int, tuple[int, ...]], size: int, device: str) -> dict[int, bytes]:
    """Decode images to PNG bytes, in batches of one fixed shape: the last one is filled up with its last image."""
    drawn: dict[int, bytes] = {}
    keys = list(codes)
    for start in range(0, len(keys), size):
        rows = [codes[keys[min(start + k, len(keys) - 1)]] for k in range(size)]
        with torch.inference_mode():
            pixels = codec.decode(torch.tensor(rows, device=device)).cpu().numpy()
        drawn.update((key, encode_png(picture)) for key, picture in zip(keys[start:], pixels, strict=False))
    return drawn


def list_segments(answer: Answer, image: bytes) -> tuple[Segment, ...]:
    """Return the thought, if there is one, and the image."""
    drawn = Segment("image", "image", image=image)
    return (drawn,) if answer.plan is None else (Segment("text", "think", text=answer.plan), drawn)


def encode_png(pixels: Any) -> bytes:
    """Return an array (height, width, 3) uint8 RGB as PNG bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
