"""ImageFolder: images as files and a line of text for each, as `load_dataset("imagefolder")` and many trainers read.

    {split}/metadata.jsonl              {"file_name": "images/ab/….png", "text": "…", "weight": 0.7, "id", "task", …}
    {split}/images/{ab}/{hash}.png      each image once

`text` has all texts before the image, `weight` is the image's loss.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datagen.export.examples import Example, NoOptions
from datagen.export.files import ImageFolder, join_parts, pack_facts, refuse, refuse_preference, write_lines

Options = NoOptions
WEIGHTS = "column"
LOSES = "the loss on text and on the switch, and the borders between texts"


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the examples of one split and return their number. Raises RunError unless each ends in its only image."""
    home = folder / split
    home.mkdir()
    images = ImageFolder(home)
    return write_lines(home / "metadata.jsonl", ((example.id, _make_line(example, images)) for example in examples))


def _make_line(example: Example, images: ImageFolder) -> dict[str, Any]:
    refuse_preference(example, "imagefolder")
    *before, last = example.parts
    if last.kind != "image" or any(part.kind == "image" for part in before):
        hint = "use `pieces` with `tasks: [text to image]`, or another view with one image at the end"
        raise refuse(example, "imagefolder", "an example that is not texts with one image after them", hint)
    line = {"file_name": images.put(last.image), "text": join_parts(before), "weight": last.loss}
    about = {"id": example.id, "task": example.task, "group": example.group}
    return {**line, **about, "facts": pack_facts(example)}
