"""Examples as views make them, with all that is awkward in a text, and the readers that several tests share."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from export_cases import draw
from PIL import Image

from datagen.export.checks import Checks
from datagen.export.examples import Example, Part
from datagen.export.view import find_tags_of
from datagen.plugins import load_plugin
from datagen.records import write_reflection

RED, GREEN, BLUE = draw("red"), draw("green", "JPEG"), draw("blue", "WEBP", lossless=True)
"""One image of each kind in which images are stored."""
AWKWARD = [
    'drei "rote" Äpfel\nund \\ ein \t Tab',
    "三颗星 🌟 «звёзды»",
    "نجمة حمراء",
    "{'not': \"json\"}, <b>&amp;</b> | $x$",
    "a line separator \u2028 and a nul-like \u0001 sign",
]


def ask(text: str) -> Part:
    """The prompt."""
    return Part("text", "prompt", text=text)


def say(text: str, loss: float = 0.0, role: str = "think", switch: float = 0.0) -> Part:
    """A text of the model."""
    return Part("text", role, text=text, loss=loss, switch=switch)


def show(image: bytes, loss: float = 0.0, sees: Any = "", role: str = "image") -> Part:
    """An image, learned or read."""
    return Part("image", role, image=image, loss=loss, sees=sees)


def make_example(name: str, *parts: Part, task: str = "trajectory", **facts: Any) -> Example:
    """An example in a group of its own."""
    return Example(name, task, f"group of {name}", parts, facts={"weakness": "counting", **facts})


def make_trajectories() -> list[Example]:
    """Think and draw: a prompt, a thought and an image; awkward texts, an empty thought, losses that differ."""
    images = [RED, GREEN, BLUE]
    examples = []
    for k, text in enumerate(AWKWARD):
        weights = 0.25 * (k + 1), 0.5 * (k + 1)
        parts = ask(text), say(f"I see: {text}", weights[0], switch=weights[0]), show(images[k % 3], weights[1])
        examples.append(make_example(f"t{k}", *parts, reward=k / 3))
    return [*examples, make_example("empty", ask("a star"), say("", 1.0), show(RED, 1.5))]


def make_reflections() -> list[Example]:
    """Two images each: draw, look, reflect, draw again; learned whole, or the second image alone."""
    whole = (ask("zwei «Sterne»"), say("plan", 0.5), show(RED, 2.0), say("ich sehe", 0.5, "look"))
    whole = (*whole, say("besser so", 0.75, "reflect"), show(BLUE, 3.0, role="refined image"))
    read = tuple(replace(part, loss=0.0, sees="vae+vit" if part.kind == "image" else "") for part in whole[:-1])
    return [make_example("whole", *whole), make_example("piece", *read, whole[-1], task="text and image to image")]


def criticise(improvements: str, role: str = "reflect") -> tuple[Part, Part]:
    """A look at an image and what must improve, as the last of a sample with the role `close`."""
    look = "closing look" if role == "close" else "look"
    words = write_reflection(improvements, "so", "zwei Sterne")
    return say(f"ich sehe {improvements}", 1.0, look), say(words, 1.0, role)


def make_closed() -> list[Example]:
    """Reflections that end in a look at the last image: nothing to improve at once, after one edit, and after two."""
    first = ask("zwei «Sterne»"), say("plan", 1.0), show(RED, 1.0)
    second, third = show(GREEN, 1.0, role="refined image"), show(BLUE, 1.0, role="refined image")
    same, edit, close = show(RED, 1.0, role="refined image"), criticise("mehr grün"), criticise("none", "close")
    return [
        make_example("at once", *first, *criticise("none"), same, *close),
        make_example("after one", *first, *edit, second, *close),
        make_example("after two", *first, *edit, second, *criticise("mehr blau"), third, *close),
    ]


def make_preference(images: bool = True) -> Example:
    """A better and a worse answer, with an image of each or texts alone."""
    chosen, rejected = (say("gut ✓", 1.0), show(RED, 1.0)), (say("schlecht", 1.0), show(BLUE, 1.0))
    if not images:
        chosen, rejected = chosen[:1], rejected[:1]
    example = make_example("pair", ask("ein Stern"), *chosen, task="pair", margin=0.375)
    return replace(example, rejected=rejected)


def make_questions() -> list[Example]:
    """An image and a question about it, with the answer to learn."""
    parts = show(GREEN, sees="vit"), ask("Was ist «das»?"), say("ein Stern 星", 0.7, "caption")
    return [make_example("question", *parts, task="image to text")]


def write(word: str, examples: Sequence[Example], folder: Path, split: str = "train", **options: Any) -> ModuleType:
    """Write checked examples as a split."""
    format_ = load_plugin("export.formats", word, "write")
    folder.mkdir(parents=True, exist_ok=True)
    checked = Checks(folder, find_tags_of(format_)).check_examples(examples)
    format_.write(checked, folder, split, format_.Options(**options))
    return format_


def read_lines(path: Path) -> list[dict[str, Any]]:
    """JSON lines, ended by line feeds alone: other separators may stand inside a text."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def load(kind: str, **options: Any) -> list[dict[str, Any]]:
    """All rows of the split `train`, read by the `datasets` library; the image columns undecoded."""
    from datasets import Image as ImageFeature
    from datasets import List, load_dataset

    rows = load_dataset(kind, split="train", **options)
    for name, feature in rows.features.items():
        if isinstance(feature, ImageFeature):
            rows = rows.cast_column(name, ImageFeature(decode=False))
        elif isinstance(feature, List) and isinstance(feature.feature, ImageFeature):
            rows = rows.cast_column(name, List(ImageFeature(decode=False)))
    return list(rows)


def pixels(image: bytes) -> tuple[int, ...]:
    """The colour of an image of one colour."""
    with Image.open(io.BytesIO(image)) as picture:
        return tuple(picture.convert("RGB").getpixel((0, 0)))  # type: ignore[arg-type]


def texts(parts: Sequence[Part]) -> list[str]:
    """The texts of parts."""
    return [part.text for part in parts if part.kind == "text"]


def images(parts: Sequence[Part]) -> list[bytes]:
    """The images of parts."""
    return [part.image for part in parts if part.kind == "image"]
