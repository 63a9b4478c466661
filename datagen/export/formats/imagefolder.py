"""ImageFolder: images as files and a line of text for each, as `load_dataset("imagefolder")` and many trainers read.

    {split}/metadata.jsonl              {"file_name": "images/ab/….png", "text": "…", "weight": 0.7, "id", "task", …}
    {split}/images/{ab}/{hash}.png      each image once

`text` has all texts before the image, `weight` is the image's loss. An image of weight 0, whose text alone is worth
learning, is left out: most trainers read no weight. Scripts such as diffusers' take everything below
`--train_data_dir` for training: name `{split}` there, or export one split alone (`split: train`), which stands in the
root.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from datagen.export.examples import Example, Part
from datagen.export.files import ImageFolder, join_parts, pack_facts, split_pair, write_lines

WEIGHTS = "column"
LOSES = "the loss on text and on the switch, and the borders between texts; examples whose image has no weight"


class Options(BaseModel):
    """The splits to write."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: Literal["all", "train", "validation"] = Field("all", description="one split alone stands in the root")


def write(examples: Iterable[Example], folder: Path, split: str, options: Options) -> int:
    """Write the examples of one split and return their number. Raises RunError unless each ends in its only image."""
    if options.split not in ("all", split):
        return 0
    home = folder / split if options.split == "all" else folder
    home.mkdir(exist_ok=True)
    images = ImageFolder(home)
    pairs = ((example, *split_pair(example, "imagefolder")) for example in examples)
    lines = ((example.id, _make_line(example, before, last, images)) for example, before, last in pairs if last.learned)
    return write_lines(home / "metadata.jsonl", lines)


def _make_line(example: Example, before: Sequence[Part], last: Part, images: ImageFolder) -> dict[str, Any]:
    line = {"file_name": images.put(last.image), "text": join_parts(before), "weight": last.loss}
    about = {"id": example.id, "task": example.task, "group": example.group}
    return {**line, **about, "facts": pack_facts(example)}
