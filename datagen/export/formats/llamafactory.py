"""LLaMA-Factory's ShareGPT lines, with the images as files beside them.

    {split}.jsonl             {"conversations": [{"from": "human", "value": "…<image>"}, {"from": "gpt", "value": "…"}],
                               "images": ["images/ab/….png"], "weight": 0.7, "id", "task", "group", "facts"}
    dataset_info.json         the splits by name: `dataset: train` with `dataset_dir:` this folder
    images/{ab}/{hash}.{ending}    each image once

Each stretch of learned texts is a line, with everything before it in the human's turn: LLaMA-Factory learns the whole
answer, and the placeholders of images in it too. So every learned text is learned once, in its context, and an example
that only teaches an image is left out. A preference has `chosen` and `rejected`, which are texts, since LLaMA-Factory
has one list of images for both.

Not covered: its v1 engine, which reads weights, but no line with an image (`Unsupported content type: image_url`).

Source: llamafactory/data/{parser,converter}.py and data/processor/supervised.py, LLaMA-Factory 0.9.5.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from datagen.control_tokens import MEDIA_TAGS
from datagen.export.examples import Example, NoOptions
from datagen.export.files import (
    ImageFolder,
    join_parts,
    list_answers,
    list_images,
    pack_facts,
    refuse,
    split_by_role,
    write_lines,
)

Options = NoOptions
WEIGHTS = "column"
LOSES = (
    "the loss on images and on the switch; LLaMA-Factory reads no weight, `weight` is for a trainer of your own; "
    "examples that only teach an image are left out"
)
TAGS = MEDIA_TAGS["llamafactory"]


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the lines of one split and return their number. Raises RunError for a mix with preferences."""
    waiting = iter(examples)
    first = next(waiting, None)
    if first is None:
        return 0
    ranking = bool(first.rejected)
    _register(folder, split, ranking)
    lines = _make_lines(chain([first], waiting), ImageFolder(folder), ranking)
    return write_lines(folder / f"{split}.jsonl", lines)


def _make_lines(
    examples: Iterable[Example], images: ImageFolder, ranking: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    for example in examples:
        if ranking != bool(example.rejected):
            raise refuse(example, "llamafactory", "preferences beside single answers", "export them as two views")
        about = {"id": example.id, "task": example.task, "group": example.group, "facts": pack_facts(example)}
        if ranking:
            yield example.id, {**_make_preference(example, images), **about}
        else:
            for answer in list_answers(example):
                turns = [_say("human", join_parts(answer.asked)), _say("gpt", join_parts(answer.said))]
                line = {"conversations": turns, "images": list_images(answer.asked, images.put)}
                yield answer.id, {**line, "weight": answer.weight, **about, "id": answer.id}


def _make_preference(example: Example, images: ImageFolder) -> dict[str, Any]:
    asked, answer = split_by_role(example)
    if any(part.kind == "image" for part in (*answer, *example.rejected)):
        hint = "`datasets` and `ms_swift` hold the images of both answers"
        raise refuse(example, "llamafactory", "a preference between images", hint)
    return {
        "conversations": [_say("human", join_parts(asked))],
        "chosen": _say("gpt", join_parts(answer)),
        "rejected": _say("gpt", join_parts(example.rejected)),
        "images": list_images(asked, images.put),
        **({"margin": float(example.facts["margin"])} if "margin" in example.facts else {}),
    }


def _say(who: str, value: str) -> dict[str, str]:
    return {"from": who, "value": value}


def _register(folder: Path, split: str, ranking: bool) -> None:
    """Add a split to dataset_info.json."""
    path = folder / "dataset_info.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    columns = {"messages": "conversations", "images": "images"}
    columns |= {"chosen": "chosen", "rejected": "rejected"} if ranking else {}
    known[split] = {"file_name": f"{split}.jsonl", "formatting": "sharegpt", "ranking": ranking, "columns": columns}
    path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
