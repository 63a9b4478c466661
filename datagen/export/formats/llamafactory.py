"""LLaMA-Factory's data: ShareGPT lines for its own engine, and `messages` with `loss_weight` for the v1 engine beside.

    {split}.jsonl             {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…<image>"}],
                               "images": ["images/ab/….png"],
                               "messages": [{"role": "assistant", "content": [{"type": "text", "value": "…"}],
                                             "loss_weight": 0.7}]}
    dataset_info.json         the splits by name: `dataset: train` with `dataset_dir:` this folder
    images/{ab}/{hash}.{ending}    each image once

One file serves both engines. `conversations` has two turns, as the first engine requires: everything before the first
learned piece is the human's. The v1 engine takes the path of the file as `train_dataset` and has a message for each
piece. A preference has `chosen` and `rejected` (`chosen_messages`, `rejected_messages` for v1); its answers are texts,
since the first engine has one list of images for both.

Source: llamafactory/data/{parser,converter}.py, v1/core and v1/trainers/sft_trainer.py, LLaMA-Factory 0.9.5.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from datagen.control_tokens import MEDIA_TAGS
from datagen.export.examples import Example, NoOptions, Part
from datagen.export.files import ImageFolder, join_parts, list_images, refuse, split_by_loss, split_by_role, write_lines

Options = NoOptions
WEIGHTS = "message"
LOSES = (
    "the loss on images and on the switch; the first engine reads no weight, and v1 reads weights and no images, and "
    "divides by the sum of a batch's weights, so that they act between pieces of one batch alone"
)
TAGS = MEDIA_TAGS["llamafactory"]


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the examples of one split and return their number. Raises RunError for a mix with preferences."""
    waiting = iter(examples)
    first = next(waiting, None)
    if first is None:
        return 0
    images, ranking = ImageFolder(folder), bool(first.rejected)
    _register(folder, split, ranking)
    lines = ((example.id, _make_line(example, images, ranking)) for example in chain([first], waiting))
    return write_lines(folder / f"{split}.jsonl", lines)


def _make_line(example: Example, images: ImageFolder, ranking: bool) -> dict[str, Any]:
    if ranking != bool(example.rejected):
        raise refuse(example, "llamafactory", "preferences beside single answers", "export them as two views")
    line = _make_preference(example) if ranking else _make_answer(example, images)
    line["images"] = list_images(example.parts, images.put)
    return {**line, "id": example.id, "task": example.task, "group": example.group}


def _make_answer(example: Example, images: ImageFolder) -> dict[str, Any]:
    human, gpt = map(join_parts, split_by_loss(example))
    asked, answer = split_by_role(example)
    messages = [_make_message("user", asked, 0.0, images)]
    messages += [_make_message("assistant", (part,), part.loss, images) for part in answer]
    return {"conversations": [_say("human", human), _say("gpt", gpt)], "messages": messages}


def _make_preference(example: Example) -> dict[str, Any]:
    asked, answer = split_by_role(example)
    if any(part.kind == "image" for part in (*answer, *example.rejected)):
        hint = "`datasets` and `ms_swift` hold the images of both answers"
        raise refuse(example, "llamafactory", "a preference between images", hint)
    line: dict[str, Any] = {"conversations": [_say("human", join_parts(asked))]}
    for name, parts in (("chosen", answer), ("rejected", example.rejected)):
        said = join_parts(parts)
        line[name] = _say("gpt", said)
        line[f"{name}_messages"] = [
            {"role": role, "content": [{"type": "text", "value": text}], "loss_weight": weight}
            for role, text, weight in (("user", join_parts(asked), 0.0), ("assistant", said, 1.0))
        ]
    return {**line, **({"margin": example.facts["margin"]} if "margin" in example.facts else {})}


def _say(who: str, value: str) -> dict[str, str]:
    return {"from": who, "value": value}


def _make_message(role: str, parts: Sequence[Part], loss: float, images: ImageFolder) -> dict[str, Any]:
    """Return a message of the v1 engine, whose type of a picture is `image_url`, also for a path."""
    content = [
        {"type": "image_url", "value": images.put(part.image)}
        if part.kind == "image"
        else {"type": "text", "value": part.text}
        for part in parts
    ]
    return {"role": role, "content": content, "loss_weight": loss}


def _register(folder: Path, split: str, ranking: bool) -> None:
    """Add a split to dataset_info.json."""
    path = folder / "dataset_info.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    columns = {"messages": "conversations", "images": "images"}
    columns |= {"chosen": "chosen", "rejected": "rejected"} if ranking else {}
    known[split] = {"file_name": f"{split}.jsonl", "formatting": "sharegpt", "ranking": ranking, "columns": columns}
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
