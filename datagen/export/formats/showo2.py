"""Show-o2's image and text pairs: JSON lines with the path of an image and its prompt.

    {split}.jsonl    {"path": "…/images/ab/….png", "prompt": "…", "id": "…"}
    images/{ab}/{hash}.{ending}    each image once

Show-o2 learns the image after all texts, or the text after the image (`is_captioning`). It removes line breaks, which
would run words together, so they are blanks here. It has no weights: a line stands weight x `copies` times. It passes
over images smaller than its `min_res`, 512 a side by default; a file of small images alone makes it stop.

Source: `ImageTextDataset` in show-o2/datasets/image_text_dataset.py of github.com/showlab/Show-o at 45a5a2d.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from datagen.export.copies import CopiesOptions, RepeatedLines
from datagen.export.examples import Example
from datagen.export.files import ImageFolder, join_parts, refuse, refuse_preference

Options = CopiesOptions
WEIGHTS = "copies"
LOSES = (
    "the loss on text and on the switch, borders between texts, and line breaks; weights are rounded to numbers of "
    "copies, right on average"
)


def write(examples: Iterable[Example], folder: Path, split: str, options: CopiesOptions) -> int:
    """Write the examples of one split; return the number read at least once. Raises RunError without its one image."""
    images, lines = ImageFolder(folder), RepeatedLines(folder)
    for example in examples:
        refuse_preference(example, "showo2")
        *before, last = example.parts
        if last.kind != "image" or any(part.kind == "image" for part in before):
            hint = "use `pieces` with `tasks: [text to image]`, or another view with one image at the end"
            raise refuse(example, "showo2", "an example that is not texts with one image after them", hint)
        words = " ".join(join_parts(before).split())
        lines.add(
            example.id, {"path": options.name(images.put(last.image)), "prompt": words, "id": example.id}, last.loss
        )
    return lines.write(folder / f"{split}.jsonl", options.copies)
