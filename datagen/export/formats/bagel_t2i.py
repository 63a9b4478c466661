"""BAGEL's text-to-image data: parquet with `image` and `captions`, an image generated from a text.

    image       bytes of its file
    captions    JSON text {"caption": …}: all texts of the example before its image; BAGEL samples one value of it
    id, weight  for people; BAGEL reads neither

`export.bagel` describes the files. Source: `T2IIterableDataset` in data/t2i_dataset.py of
github.com/ByteDance-Seed/Bagel at 056b5fd.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from datagen.export.bagel import BagelOptions, BagelWriter
from datagen.export.columns import pack_json
from datagen.export.examples import Example
from datagen.export.files import join_parts, refuse, refuse_preference

Options = BagelOptions
WEIGHTS = "copies"
LOSES = (
    "the loss on text and on the switch, since BAGEL learns the image alone; weights are rounded to numbers "
    "of copies, right on average"
)


def write(examples: Iterable[Example], folder: Path, split: str, options: BagelOptions) -> int:
    """Write the examples of one split; return the number read at least once. Raises RunError without its one image."""
    from datasets import Features, Value

    text = Value("string")
    features = Features({"image": Value("binary"), "captions": text, "id": text, "weight": Value("float64")})
    with BagelWriter(folder, split, features, options) as writer:
        for example in examples:
            refuse_preference(example, "bagel_t2i")
            *before, last = example.parts
            if last.kind != "image" or any(part.kind == "image" for part in before):
                hint = "use `pieces` with `tasks: [text to image]`, or another view with one image at the end"
                raise refuse(example, "bagel_t2i", "an example that is not texts with one image after them", hint)
            row = {"image": last.image, "captions": pack_json({"caption": join_parts(before)})}
            about = {"id": example.id, "weight": last.loss}
            writer.add("t2i_pretrain", last.loss, {**row, **about}, len(last.image))
    return writer.rows
