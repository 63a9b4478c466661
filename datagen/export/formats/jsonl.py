"""Plain JSON lines with the images as files beside them: to read, diff, and load with anything.

    {split}.jsonl             one example a line: id, task, group, parts, rejected, facts
    images/{ab}/{hash}.{ending}    each image once, named by its content

A part keeps every flag: kind, role, text or image, loss, switch, sees.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from datagen.export.examples import Example, NoOptions
from datagen.export.files import ImageFolder, pack_example, write_lines

Options = NoOptions
WEIGHTS = "parts"
LOSES = ""


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the examples of one split and return their number."""
    put = ImageFolder(folder).put
    return write_lines(folder / f"{split}.jsonl", ((example.id, pack_example(example, put)) for example in examples))
