"""BAGEL's editing data: parquet with `image_list` and `instruction_list`, an image generated from an earlier one.

    image_list          bytes of their files, two or more in order
    instruction_list    for each step from one image to the next, a list of one instruction: the texts between them
    id, weight          for people; BAGEL reads neither

Texts before the first image begin the first instruction, since BAGEL starts with an image. Of two images it sees the
first and learns the second; of more it takes a random part. `export.bagel` describes the files. Source:
`UnifiedEditIterableDataset` in data/interleave_datasets/edit_dataset.py of github.com/ByteDance-Seed/Bagel at 056b5fd.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from datagen.export.bagel import BagelOptions, BagelWriter
from datagen.export.examples import Example, Part
from datagen.export.files import join_parts, refuse, refuse_preference, weight_of

Options = BagelOptions
VIT_ARGS = {"image_stride": 14, "max_image_size": 518, "min_image_size": 224}
"""Sizes of BAGEL's data/configs/example.yaml for the encoder of understanding (ViT)."""
WEIGHTS = "copies"
LOSES = (
    "the loss on text, on the first image and on the switch, and the place of texts before the first image; weights "
    "are rounded to numbers of copies, right on average"
)


def write(examples: Iterable[Example], folder: Path, split: str, options: BagelOptions) -> int:
    """Write the examples of one split; return the number read at least once. Raises RunError below two images."""
    from datasets import Features, List, Value

    text = Value("string")
    columns = {"image_list": List(Value("binary")), "instruction_list": List(List(text))}
    features = Features({**columns, "id": text, "weight": Value("float64")})
    with BagelWriter(folder, split, features, options, VIT_ARGS) as writer:
        for example in examples:
            refuse_preference(example, "bagel_edit")
            images = [part for part in example.parts if part.kind == "image"]
            if len(images) < 2 or example.parts[-1].kind != "image":
                hint = "take `trajectories` of a reflection, or its `pieces` with `tasks: [text and image to image]`"
                raise refuse(example, "bagel_edit", "an example that does not end in an edited image", hint)
            weight = weight_of(images[1:])
            row = {
                "image_list": [part.image for part in images],
                "instruction_list": [[step] for step in list_instructions(example.parts)],
                "id": example.id,
                "weight": weight,
            }
            size = sum(len(part.image) for part in images)
            writer.add("unified_edit", weight, row, size)
    return writer.rows


def list_instructions(parts: Iterable[Part]) -> list[str]:
    """Return the texts between each image and the next; texts before the first image begin the first instruction."""
    steps: list[list[Part]] = [[]]
    images = 0
    for part in parts:
        if part.kind == "text":
            steps[-1].append(part)
            continue
        images += 1
        if images > 1:
            steps.append([])
    return [join_parts(step) for step in steps[: images - 1]]
