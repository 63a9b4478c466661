"""Small makers that the reward tests share: claims, prompts, samples, detections, true scenes as PNG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from datagen.embedded.pictograms import GRID, Scene, render_scene
from datagen.records import Claim, Detection, Prompt, Sample, Segment
from datagen.scoring.tools import Tools


def count(subject: str, n: int) -> Claim:
    return Claim("count", subject, "", n)


def color(subject: str, value: str) -> Claim:
    return Claim("attribute", subject, "color", value)


def relation(subject: str, name: str, other: str) -> Claim:
    return Claim("relation", subject, name, other)


def words(value: str) -> Claim:
    return Claim("text", "", "", value)


def make_prompt(*claims: Claim) -> Prompt:
    where = {"weakness": "w", "skill": "s", "level": "easy", "index": 0, "seed": 0, "template": "t"}
    return Prompt.make("words that no scorer reads", claims, **where)


def make_sample(*, think: str | None = None, image: bytes | None = b"a picture") -> Sample:
    segments = []
    if think is not None:
        segments.append(Segment("text", "think", text=think))
    if image is not None:
        segments.append(Segment("image", "image", image=image))
    return Sample("p-00", "p", 0, 1, "think", "engine", "autonomous", "stop", tuple(segments))


def thing(
    label: str, tone: str = "red", box: tuple[int, int, int, int] = (0, 0, 333, 333), sure: float = 0.9
) -> Detection:
    return Detection(label, tone, box, sure)


def make_tools(*found: Detection, read: tuple[str, ...] = (), labels: frozenset[str] | None = None) -> Tools:
    """Return tools that see exactly these things and words, whatever the picture."""
    return Tools(lambda image: list(found), lambda image: list(read), labels)


def to_png(picture: np.ndarray) -> bytes:
    """Encode (H, W, 3) numbers 0..255 as PNG."""
    stream = io.BytesIO()
    Image.fromarray(np.clip(np.round(picture), 0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def draw(scene: Scene) -> bytes:
    return to_png(render_scene(scene))


def thousandths(*cells: int) -> tuple[int, int, int, int]:
    x1, y1, x2, y2 = (round(1000 * cell / GRID) for cell in cells)
    return x1, y1, x2, y2


def write(phrase: str, x1: int, y1: int, x2: int, y2: int) -> str:
    """Write one object as the plan does."""
    return f"<|obj_start|>{phrase}<|obj_end|><|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>"
