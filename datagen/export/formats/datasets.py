"""A plain Hugging Face dataset of examples: parquet that `load_dataset` reads, every flag of every part kept.

    data/{split}-00000-of-00001.parquet
    id, task, group, segments, images, chosen, rejected, facts

`segments` are the parts in order: kind, role, text or the index of an image in `images`, loss, switch, sees. A
preference has the parts before the two answers in `segments`, and the answers in `chosen` and `rejected`, which are
empty otherwise. `facts` is JSON text. Images are the bytes of their files, each once in an example.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.export.examples import Example, NoOptions, Part
from datagen.export.files import embed_images, pack_facts, split_by_role
from datagen.export.shards import SplitWriter

if TYPE_CHECKING:
    from datasets import Features

Options = NoOptions
WEIGHTS = "parts"
LOSES = ""


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the examples of one split and return how many there were."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    with SplitWriter(data, split, example_features()) as writer:
        for example in examples:
            row = pack_example(example)
            writer.add(row, sum(len(image["bytes"]) for image in row["images"]))
    return writer.rows


def example_features() -> Features:
    """Return the columns and types of a dataset of examples."""
    from datasets import Features, Image, List, Value

    text, number = Value("string"), Value("float64")
    part = {"kind": text, "role": text, "text": text, "image": Value("int32")}
    part |= {"loss": number, "switch": number, "sees": text}
    columns = {"id": text, "task": text, "group": text, "segments": List(part), "images": List(Image())}
    return Features({**columns, "chosen": List(part), "rejected": List(part), "facts": text})


def pack_example(example: Example) -> dict[str, Any]:
    """Return an example as a row with the columns of `example_features`. Raises RunError if its facts are no JSON."""
    segments, chosen = split_by_role(example) if example.rejected else (example.parts, ())
    images: dict[bytes, int] = {}
    row: dict[str, Any] = {"id": example.id, "task": example.task, "group": example.group}
    for name, parts in (("segments", segments), ("chosen", chosen), ("rejected", example.rejected)):
        row[name] = _pack_parts(parts, images)
    row["images"] = embed_images(example, images)
    return {**row, "facts": pack_facts(example)}


def _pack_parts(parts: Sequence[Part], images: dict[bytes, int]) -> list[dict[str, Any]]:
    """Return parts as rows; a new image gets the next index in `images`."""
    packed = []
    for part in parts:
        drawn = part.kind == "image"
        content: dict[str, Any] = {
            "text": None if drawn else part.text,
            "image": images.setdefault(part.image, len(images)) if drawn else None,
        }
        flags = {"loss": part.loss, "switch": part.switch, "sees": part.sees}
        packed.append({"kind": part.kind, "role": part.role, **content, **flags})
    return packed
