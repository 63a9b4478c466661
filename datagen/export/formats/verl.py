"""verl's prompt files for GRPO and its kin: parquet with what to ask, and what a reward function needs to judge it.

    {split}-00000-of-00001.parquet
    data_source     "datagen/<task>"
    prompt          [{"role": "user", "content": "…"}], with `<image>` for an image of the prompt
    images          bytes of their files; the column exists only if the first example has images
    ability         the weakness of the prompt, or the task
    reward_model    {"style": "rule", "ground_truth": JSON text of the example's facts: claims, rewards, …}
    extra_info      {"split", "index", "id", "group"}

Consecutive examples of one prompt become one row without their answers: verl generates its own. verl has no reward
function for `datagen/…`: name yours with `custom_reward_function.path`; it receives `ground_truth`.

Source: verl/utils/dataset/rl_dataset.py, examples/data_preprocess/geo3k.py and verl/workers/reward_manager/naive.py,
verl 0.9.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.control_tokens import MEDIA_TAGS
from datagen.export.examples import Example, NoOptions
from datagen.export.files import embed_images, join_parts, pack_facts, refuse, split_by_role
from datagen.export.shards import SplitWriter

if TYPE_CHECKING:
    from datasets import Features

Options = NoOptions
WEIGHTS = "none"
LOSES = "answers and their weights: verl samples answers by itself; the run's rewards are in `ground_truth`"


def find_tags(example: Example) -> tuple[str, ...]:
    """Return verl's media tags for an example: none if its prompt has no image."""
    has_images = any(part.kind == "image" for part in split_by_role(example)[0])
    return MEDIA_TAGS["verl"] if has_images else ()


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the prompts of one split and return their number. Raises RunError if only some have images."""
    prompts = (next(group) for _, group in groupby(examples, key=lambda example: example.group))
    first = next(prompts, None)
    if first is None:
        return 0
    with_images = any(part.kind == "image" for part in split_by_role(first)[0])
    with SplitWriter(folder, split, _features(with_images)) as writer:
        for index, example in enumerate(chain([first], prompts)):
            row = _make_row(example, split, index)
            if bool(row["images"]) != with_images:
                raise refuse(example, "verl", "prompts with images beside prompts without", "export them as two views")
            writer.add(row, sum(len(image["bytes"]) for image in row["images"]))
    return writer.rows


def _features(with_images: bool) -> Features:
    from datasets import Features, Image, List, Value

    text = Value("string")
    return Features(
        {
            "data_source": text,
            "prompt": List({"role": text, "content": text}),
            **({"images": List(Image())} if with_images else {}),
            "ability": text,
            "reward_model": {"style": text, "ground_truth": text},
            "extra_info": {"split": text, "index": Value("int64"), "id": text, "group": text},
        }
    )


def _make_row(example: Example, split: str, index: int) -> dict[str, Any]:
    asked, _ = split_by_role(example)
    images = [part.image for part in asked if part.kind == "image"]
    return {
        "data_source": f"datagen/{example.task.replace(' ', '_')}",
        "prompt": [{"role": "user", "content": join_parts(asked)}],
        "images": embed_images(example, images),
        "ability": str(example.facts.get("weakness", example.task)),
        "reward_model": {"style": "rule", "ground_truth": pack_facts(example)},
        "extra_info": {"split": split, "index": index, "id": example.id, "group": example.group},
    }
