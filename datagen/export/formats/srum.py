"""SRUM, a BAGEL that reads rewards: JSON lines with a score for the whole image and one for each object in it.

    {split}.jsonl    {"prompt": "…", "bad_image_file": "images/ab/….png", "good_image_file": "images/cd/….png",
                      "vlm_rewards": [{"object": "red cup", "bbox": [85, 0, 256, 170], "score": -1.0}, …,
                                      {"object": "global_layout_reward", "score": 0.5}], "id": "…"}
    {split}.yaml     the group `regional_reward` for its data config
    {split}.json     the same for `DATASET_INFO` of its data/dataset_info.py
    images/{ab}/{hash}.{ending}

Needs a view whose examples have `regions` and an image reward: `graded`. A score s in [0, 1] becomes 2s - 1. The good
image is that of the prompt's candidate with the highest reward, which may be the scored image itself. SRUM does not
scale boxes with the image: `bbox` is in pixels of the size to which it resizes by the exported config, so change both
or neither.

SRUM weighs the loss of each place by (score + 1) / 2 inside boxes, by 0.5 outside, and all by (global + 1) / 2. It
takes the larger of a box and what lies below, so a score under 0 counts as 0. So that a wrong object weighs less than
its surroundings, what is around it has boxes of its own, with the score `background`. The global score is the image
reward, or, if an object is wrong, the mean of the objects: what is right in such an image is still learned. SRUM
counts 16 times the tokens of an image, so `--max_num_tokens_per_sample` and `--max_num_tokens` must be above what the
head of {split}.yaml says, or it skips every line for ever.

Source: `RegionalRewardDataset` in data/regional_reward_dataset.py of github.com/WayneJin0918/SRUM at a53ba18 (arXiv
2510.12784).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from datagen.errors import RunError
from datagen.export.bagel import IMAGE_ARGS
from datagen.export.examples import Example
from datagen.export.files import ImageFolder, refuse, refuse_preference, write_lines
from datagen.picture_files import read_size

WEIGHTS = "reward"
LOSES = "the loss on text and on the switch, thoughts, all images but the last, and weights: SRUM reads rewards"


class Options(BaseModel):
    """The path of the folder for SRUM, and what is around wrong objects."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    root: str = Field("", description="path of the export's folder for SRUM, such as /data/exports/srum")
    background: float = Field(0.5, ge=0, le=1, description="score of what is around wrong objects, as written")


def write(examples: Iterable[Example], folder: Path, split: str, options: Options) -> int:
    """Write the examples of one split and return their number. Raises RunError without rewards, or for mixed sizes."""
    images = ImageFolder(folder)
    sizes: set[tuple[int, int]] = set()
    count = write_lines(folder / f"{split}.jsonl", _list_lines(examples, images, sizes, options.background))
    place = f"{options.root.rstrip('/')}/" if options.root else ""
    home = place or "."
    about = {"jsonl_path": f"{place}{split}.jsonl", "image_dirs": {"bad": home, "good": home}}
    # SRUM stops at once at a mandatory group: its loop for them has an `assert 0`.
    group = {"dataset_names": [split], "image_transform_args": IMAGE_ARGS, "is_mandatory": False, "weight": 1.0}
    tokens = max((width * height // IMAGE_ARGS["image_stride"] for width, height in sizes), default=0)
    limits = f"# --max_num_tokens_per_sample and --max_num_tokens: {tokens:,} and the tokens of a prompt, or more\n"
    for name, packed in (
        ("json", json.dumps({"regional_reward": {split: about}}, indent=2) + "\n"),
        ("yaml", limits + yaml.safe_dump({"regional_reward": group}, sort_keys=False)),
    ):
        (folder / f"{split}.{name}").write_text(packed, encoding="utf-8")
    return count


def _list_lines(
    examples: Iterable[Example], images: ImageFolder, sizes: set[tuple[int, int]], background: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the id and the line of each example, and note the one size of all images in `sizes`."""
    for _, group in groupby(examples, key=lambda example: example.group):
        candidates = list(group)
        shown = [_find_image(example) for example in candidates]
        rewards = [_find_reward(example) for example in candidates]
        best = images.put(shown[rewards.index(max(rewards))])
        for example, image, reward in zip(candidates, shown, rewards, strict=True):
            now = find_size(*read_size(image))
            sizes.add(now)
            if len(sizes) > 1 or max(now) > IMAGE_ARGS["max_image_size"]:
                seen = " and ".join(f"{width} x {height}" for width, height in sorted(sizes))
                hint = "its batches need images of one size, not above 1024 a side"
                raise refuse(example, "srum", f"images of {seen} pixels, after it resized them", hint)
            yield (
                example.id,
                {
                    "prompt": next((part.text for part in example.parts if part.role == "prompt"), ""),
                    "bad_image_file": images.put(image),
                    "good_image_file": best,
                    "vlm_rewards": [
                        *_list_rewards(example.facts["regions"], now, background),
                        _give("global_layout_reward", _find_whole(example.facts["regions"], reward)),
                    ],
                    "id": example.id,
                },
            )


def find_size(width_px: int, height_px: int) -> tuple[int, int]:
    """Return the width and height to which SRUM resizes an image by the exported config."""
    stride, most, least = (IMAGE_ARGS[name] for name in ("image_stride", "max_image_size", "min_image_size"))
    scale = max(min(most / max(width_px, height_px), 1.0), least / min(width_px, height_px))
    width, height = (max(stride, round(round(side * scale) / stride) * stride) for side in (width_px, height_px))
    return width, height


def _find_image(example: Example) -> bytes:
    refuse_preference(example, "srum")
    pictures = [part.image for part in example.parts if part.kind == "image"]
    if not pictures:
        raise refuse(example, "srum", "an example without an image", "use the view `graded`")
    return pictures[-1]


def _find_reward(example: Example) -> float:
    reward = example.facts.get("image_reward")
    if reward is None or "regions" not in example.facts:
        hint = "choose the view `graded` with `each: candidate`"
        what = "the view gives no image reward or no regions, which the format 'srum' needs"
        raise RunError(what, where=f"example {example.id}", hint=hint)
    return float(reward)


def _find_whole(regions: Sequence[dict[str, Any]], reward: float) -> float:
    scores = [each["score"] for each in regions if each["score"] is not None]
    return sum(scores) / len(scores) if min(scores, default=1.0) < 1.0 else reward


def _list_rewards(regions: Sequence[dict[str, Any]], size: tuple[int, int], background: float) -> list[dict[str, Any]]:
    judged = [each for each in regions if each["score"] is not None]
    rewards = [
        {**_give(f"{each['color']} {each['object']}".strip(), each["score"]), "bbox": _scale(each["box"], size)}
        for each in judged
    ]
    wrong = [each["box"] for each in judged if 2 * each["score"] - 1 < background]
    around = [{"object": "background", "score": background, "bbox": _scale(box, size)} for box in list_around(wrong)]
    return rewards + around if wrong else rewards


def list_around(boxes: Sequence[Sequence[int]]) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes in thousandths that cover an image but for some boxes, in bands from top to bottom."""
    edges = sorted({0, 1000, *(edge for box in boxes for edge in (box[1], box[3]))})
    for top, bottom in pairwise(edges):
        left = 0
        for x1, x2 in sorted((box[0], box[2]) for box in boxes if box[1] < bottom and box[3] > top):
            if x1 > left:
                yield left, top, x1, bottom
            left = max(left, x2)
        if left < 1000:
            yield left, top, 1000, bottom


def _scale(box: Sequence[int], size: tuple[int, int]) -> list[int]:
    """Return a box of thousandths in pixels."""
    return [round(edge * size[k % 2] / 1000) for k, edge in enumerate(box)]


def _give(name: str, score: float) -> dict[str, Any]:
    return {"object": name, "score": 2 * score - 1}
