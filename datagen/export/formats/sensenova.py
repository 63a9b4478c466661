"""SenseNova-U1's training data: JSON lines of conversations, and a meta file that says how often each is read.

    {split}.json                    {name: {"root", "annotation", "repeat_time", "length", "task"}}: `mm_data_path`
    {split}-t2i-x4.jsonl            {"id", "conversations": [{"from": "human", "value": "…"}, {"from": "gpt", …}],
                                     "image": ["images/ab/….png"], "width": [512], "height": [512]}
    images/{ab}/{hash}.{ending}          each image once

Each task and each number of repeats has its own file. The task depends on the positions of images: `t2i` has one at the
end of the answer; `it2i` the same, with images in the question; `interleave_gen` is any other answer with images;
without an image in the answer the task is empty (understanding), or `text` if there is no image at all. SenseNova-U1
learns the whole answer, so everything before the first learned piece is the human's, and an example is left out if an
image behind that one has no weight. A thought that begins an answer is
in `<think>` tags: before an answer without them its trainer puts an empty thought (`thinking_method="tag"`).

Source: training/data/sample and training/sensenovavl/data/multimodal_dataset.py of
github.com/OpenSenseNova/SenseNova-U1 at 0029177.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datagen.control_tokens import MEDIA_TAGS
from datagen.export.examples import Example, Part
from datagen.export.files import (
    ImageFolder,
    join_parts,
    list_images,
    pack_line,
    refuse,
    refuse_preference,
    split_by_loss,
    weight_of,
)
from datagen.picture_files import read_size
from datagen.records import hash_of

WEIGHTS = "repeat"
LOSES = (
    "the loss on the switch, which texts behind the first learned piece are only read, and weights apart for text and "
    "image: their mean is rounded to a number of repeats, right on average; examples with an image there that has no "
    "weight are left out"
)
TAGS = MEDIA_TAGS["sensenova"]
MOST_IMAGES = 40
"""Most images of a conversation; SenseNova-U1 skips longer ones."""


class Options(BaseModel):
    """Conversion of weights to repeats, and the path of the folder for the trainer.

    A weight times `copies` lies between two of the `buckets` (or 0 and the first) and is rounded to one of them by a
    hash of the example's id, to the nearer one more often: the same in every export, and exactly the weight on average.
    Above the last bucket it is cut.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    copies: float = Field(4.0, gt=0, description="repeats for a weight of 1; a larger number rounds less")
    buckets: tuple[Annotated[int, Field(ge=1, strict=True)], ...] = Field(
        (1, 2, 4, 8, 16, 32), min_length=1, description="allowed numbers of repeats, in rising order"
    )
    root: str = Field("", description="path of the export's folder for the trainer, such as data/exports/t2i")

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"`buckets` must rise, and do not: {list(self.buckets)}")
        return self

    def count(self, example: Example) -> int:
        """Return the number of repeats of an example by its weight: a bucket, or 0 to omit it."""
        wanted = min(self.copies * weight_of(example.parts), self.buckets[-1])
        steps = (0, *self.buckets)
        place = min(bisect_right(steps, wanted), len(steps) - 1)
        below, above = steps[place - 1], steps[place]
        # A hash in [0, 1) in place of a random number: the expected number of repeats is `wanted`.
        draw = int(hash_of("repeats", example.id), 16) / 2**64
        return above if draw < (wanted - below) / (above - below) else below


def write(examples: Iterable[Example], folder: Path, split: str, options: Options) -> int:
    """Write the examples of one split; return the number read at least once. Raises RunError for too many images."""
    images, lengths = ImageFolder(folder), Counter[tuple[str, int]]()
    with ExitStack() as stack:
        files: dict[tuple[str, int], IO[str]] = {}
        for example in examples:
            refuse_preference(example, "sensenova")
            if any(part.kind == "image" and not part.learned for part in split_by_loss(example)[1]):
                continue
            task, line = _make_line(example, images)
            key = task, options.count(example)
            if not key[1]:
                continue
            if key not in files:
                path = folder / f"{_name(split, *key)}.jsonl"
                files[key] = stack.enter_context(path.open("w", encoding="utf-8"))
            files[key].write(pack_line(example.id, line))
            lengths[key] += 1
    prefix = f"{options.root.rstrip('/')}/" if options.root else ""
    meta = {_name(split, *key): _describe(split, key, count, prefix) for key, count in sorted(lengths.items())}
    (folder / f"{split}.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    return lengths.total()


def _make_line(example: Example, images: ImageFolder) -> tuple[str, dict[str, Any]]:
    human, gpt = split_by_loss(example)
    pictures = [part for part in example.parts if part.kind == "image"]
    if len(pictures) > MOST_IMAGES:
        raise refuse(example, "sensenova", f"more than {MOST_IMAGES} images", "choose a view with shorter examples")
    line: dict[str, Any] = {
        "id": example.id,
        "conversations": [{"from": "human", "value": join_parts(human)}, {"from": "gpt", "value": _answer(gpt)}],
    }
    if pictures:
        sizes = [read_size(part.image) for part in pictures]
        line["image"] = list_images(pictures, images.put)
        line["width"], line["height"] = [width for width, _ in sizes], [height for _, height in sizes]
    return find_task(human, gpt), line


def _answer(gpt: Sequence[Part]) -> str:
    """Return the answer with its first thought in tags, as SenseNova-U1 writes it."""
    first = gpt[0] if gpt else Part("text", "")
    if first.role != "think" or not first.text:
        return join_parts(gpt)
    return f"<think>\n{first.text}\n</think>\n\n{join_parts(gpt[1:])}"


def find_task(human: Iterable[Part], gpt: Iterable[Part]) -> str:
    """Return the task of an example, `und` for understanding, which has no name in SenseNova-U1."""
    asked, answer = [part.kind for part in human], [part.kind for part in gpt]
    if "image" not in answer:
        return "und" if "image" in asked else "text"
    if answer.count("image") == 1 and answer[-1] == "image":
        return "it2i" if "image" in asked else "t2i"
    return "interleave_gen"


def _name(split: str, task: str, repeats: int) -> str:
    return f"{split}-{task}-x{repeats}"


def _describe(split: str, key: tuple[str, int], length: int, prefix: str) -> dict[str, Any]:
    task, repeats = key
    where = {"root": prefix or ".", "annotation": f"{prefix}{_name(split, *key)}.jsonl"}
    return {**where, "repeat_time": repeats, "length": length, **({} if task == "und" else {"task": task})}
