"""Examples whose every loss differs, and what a trainer should make of them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from export_cases import draw_noise
from format_cases import ask, make_example, say, show

from datagen.export.examples import Example

ONE, TWO, THREE = (draw_noise(112, seed) for seed in range(3))
"""Pictures of 112 px, which Qwen2-VL reads as they are: sides of 56 px or more, multiples of 28."""
WHOLE = make_example(
    "whole",
    ask("zwei «Sterne» 星"),
    say("plan", 0.5, switch=0.5),
    show(ONE, 2.0),
    say("ich sehe", 0.25, "look"),
    say("besser so", 0.75, "reflect"),
    show(TWO, 3.0, role="refined image"),
)
QUESTION = make_example("question", show(THREE, sees="vit"), ask("Was ist das?"), say("ein Stern", 0.3, "caption"))
THOUGHT = make_example("thought", ask("ein Stern"), say("so", 0.6), task="text to text", piece=1, pieces=2, ends=False)
PICTURE = make_example("picture", ask("ein Stern"), say("so"), show(THREE, 1.5), task="text to image")
LESSONS = [WHOLE, QUESTION, THOUGHT, PICTURE]


def prefer(images: bool = True) -> Example:
    """A better and a worse answer to one prompt, with an image of each or texts alone."""
    chosen, rejected = (say("gut", 1.0), show(ONE, 1.0)), (say("schlecht", 1.0), show(TWO, 1.0))
    end = 2 if images else 1
    example = make_example("pair", ask("ein Stern"), *chosen[:end], task="pair", margin=0.375)
    return replace(example, rejected=rejected[:end])


def name_of(image: bytes) -> str:
    """The name under which formats store an image."""
    return f"{hashlib.sha256(image).hexdigest()[:32]}.png"
