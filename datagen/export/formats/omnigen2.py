"""OmniGen2's training data: JSON lines of instructions and images, and the file that lists them.

    {split}.yml                   `data_path` of its training config
    {split}-t2i.jsonl             {"task_type": "t2i", "instruction": "…", "output_image": "…/images/ab/….png", "id"}
    {split}-edit.jsonl            the same with "task_type": "edit" and "input_images": […]
    images/{ab}/{hash}.{ending}   each image once

OmniGen2 learns the last image alone, after all texts, which are the instruction; images before it are the input. It has
no weights, and does not apply the `ratio` of its config, so a line stands weight x `copies` times.

Source: `OmniGen2TrainDataset` in omnigen2/dataset/omnigen2_train_dataset.py of github.com/VectorSpaceLab/OmniGen2 at
0f72fa9, where the lines drawn by `ratio` are not used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import yaml

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
    images, files = ImageFolder(folder), defaultdict[str, RepeatedLines](partial(RepeatedLines, folder))
    for example in examples:
        refuse_preference(example, "omnigen2")
        *before, last = example.parts
        if last.kind != "image":
            hint = "use `pieces` with `tasks: [text to image]`, or another view with an image at the end"
            raise refuse(example, "omnigen2", "an example that does not end in an image", hint)
        shown = [options.name(path) for path in list_images(before, images.put)]
        task = "edit" if shown else "t2i"
        line = {
            "task_type": task,
            "instruction": join_parts([part for part in before if part.kind == "text"]),
            **({"input_images": shown} if shown else {}),
            "output_image": options.name(images.put(last.image)),
            "id": example.id,
        }
        files[task].add(example.id, line, last.loss)
    read, data = 0, []
    for task, lines in sorted(files.items()):
        name = f"{split}-{task}.jsonl"
        read += lines.write(folder / name, options.copies)
        data.append({"path": options.name(name), "type": task, "ratio": 1})
    config = yaml.safe_dump({"ratio_type": "inside_ratio", "data": data}, sort_keys=False)
    (folder / f"{split}.yml").write_text(config, encoding="utf-8")
    return read
