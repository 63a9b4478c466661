"""UniRL's prompt rows: JSON lines with what to draw, and what a reward needs to judge it.

    {split}.jsonl    {"prompt": "three stars", "prompt_id": "…", "metadata": {"claims": […], …},
                      "media": [{"modality": "image", "role": "condition", "uri": "images/ab/….png"}]}

`metadata` are the facts of the example. `media` exists only for a prompt with an image; its path is relative to the
file. Consecutive examples of one prompt become one row without their answers: UniRL generates its own.

Source: `TextPromptDataset` and `normalize_prompt_example` in unirl/data/datasets.py of github.com/Tencent-Hunyuan/UniRL
at 1a7b501, which refuses a field of `media` that it does not know and takes one image for a prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

from datagen.export.examples import Example, NoOptions
from datagen.export.files import ImageFolder, join_parts, list_images, pack_facts, refuse, split_by_role, write_lines

Options = NoOptions
WEIGHTS = "none"
LOSES = "answers and their weights: UniRL samples answers by itself; the run's rewards are in `metadata`"


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the prompts of one split and return their number. Raises RunError for a prompt that UniRL skips."""
    images = ImageFolder(folder)
    prompts = (next(group) for _, group in groupby(examples, key=lambda example: example.group))
    return write_lines(folder / f"{split}.jsonl", ((example.id, _make_row(example, images)) for example in prompts))


def _make_row(example: Example, images: ImageFolder) -> dict[str, Any]:
    asked, _ = split_by_role(example)
    words = join_parts(asked, tag="")
    shown = [part for part in asked if part.kind == "image"]
    if not words.strip() or len(shown) > 1:
        what = "a prompt without words" if not words.strip() else f"a prompt with {len(shown)} images"
        raise refuse(example, "unirl", what, "use another view, or the format `verl`")
    media = [{"modality": "image", "role": "condition", "uri": name} for name in list_images(shown, images.put)]
    metadata = {"task": example.task, **json.loads(pack_facts(example))}
    return {
        "prompt": words,
        "prompt_id": example.group,
        "metadata": metadata,
        **({"media": media} if media else {}),
    }
