"""A backend whose pictures are as wide as a cinema's, with one red and one blue block, and the detector that sees them.

As the backend `tests.helpers.wide` it draws a cat (red) and a dog (blue); `tests.helpers.wide_eyes` finds them again.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from datagen.records import Request, Sample, Segment

SIDES = (1024, 576)
CAT, DOG = (534, 129, 669, 245), (165, 281, 272, 473)
"""Boxes in pixels: the cat is right of the dog, and not above it."""


@dataclass(frozen=True)
class Wide:
    """Draws the same picture for every request."""

    name: str = "wide"
    lexicon: str = ""

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample]:
        for request in requests:
            segments = (Segment("text", "think", text=write_plan()), Segment("image", "image", image=draw()))
            yield Sample.make(request, segments, engine="wide", switch="autonomous", finish="stop", settings={})


def build(options: Mapping[str, Any]) -> Wide:
    return Wide(**options)


def draw() -> bytes:
    picture = Image.new("RGB", SIDES, "white")
    picture.paste("#ff0000", CAT)
    picture.paste("#0000ff", DOG)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def write_plan() -> str:
    return " and ".join(_plan(name, box) for name, box in (("cat", CAT), ("dog", DOG)))


def _plan(name: str, box: tuple[int, int, int, int]) -> str:
    x1, y1, x2, y2 = (round(1000 * edge / side) for edge, side in zip(box, (*SIDES, *SIDES), strict=True))
    return f"<|obj_start|>{name}<|obj_end|><|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
