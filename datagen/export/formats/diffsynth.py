"""DiffSynth-Studio's training data: JSON lines of images and prompts.

    {split}.jsonl    {"image": "images/ab/….png", "prompt": "…", "edit_image": ["images/cd/….png"], "id": "…"}
    images/{ab}/{hash}.{ending}    each image once

for `--dataset_base_path FOLDER --dataset_metadata_path FOLDER/train.jsonl --data_file_keys image,edit_image`; a line
without images before the last has no `edit_image`. DiffSynth learns the last image alone, after all texts, which are
the prompt. It has no weights: a line stands weight x `copies` times.

Source: `UnifiedDataset` in diffsynth/core/data/unified_dataset.py of github.com/modelscope/DiffSynth-Studio at fed7b18.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from datagen.export.copies import CopiesOptions, RepeatedLines
from datagen.export.examples import Example
from datagen.export.files import ImageFolder, join_parts, list_images, refuse, refuse_preference

Options = CopiesOptions
WEIGHTS = "copies"
LOSES = (
    "the loss on text, on all images but the last and on the switch, and where images stand among texts; weights are "
    "rounded to numbers of copies, right on average"
)


def write(examples: Iterable[Example], folder: Path, split: str, options: CopiesOptions) -> int:
    """Write the examples of one split; return the number read at least once. Raises RunError without a last image."""
    images, lines = ImageFolder(folder), RepeatedLines(folder)
    for example in examples:
        refuse_preference(example, "diffsynth")
        *before, last = example.parts
        if last.kind != "image":
            hint = "use `pieces` with `tasks: [text to image]`, or another view with an image at the end"
            raise refuse(example, "diffsynth", "an example that does not end in an image", hint)
        shown = [options.name(path) for path in list_images(before, images.put)]
        line = {
            "image": options.name(images.put(last.image)),
            "prompt": join_parts([part for part in before if part.kind == "text"]),
            **({"edit_image": shown} if shown else {}),
            "id": example.id,
        }
        lines.add(example.id, line, last.loss)
    return lines.write(folder / f"{split}.jsonl", options.copies)
