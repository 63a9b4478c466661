"""Conversations in TRL's convention: parquet with `prompt` and `completion` (or `messages`, or `prompt` alone).

    data/{split}-00000-of-00001.parquet
    prompt      [{"role": "user", "content": [{"type": "text", "text": "…"}, {"type": "image"}]}]
    completion  [{"role": "assistant", "content": "…"}]
    images      bytes of their files, in the order of the `{"type": "image"}` pieces
    weight      the loss of the answer, for a trainer of your own
    id, task, group, facts

Each stretch of learned texts is a row, with everything before it in the user's turn: TRL fills images in the prompt
alone, and would learn their placeholders in an answer. So every learned text is learned once, in its context, and an
example that only teaches an image is left out.

`layout: completion` separates the learned part, which is what TRL learns then. `layout: messages` is one list, of which
TRL learns the prompt too, with the placeholders of its images, unless `assistant_only_loss` is set. `layout: prompt`,
for GRPO, has one row for each prompt, without answers; reward functions receive `facts`, JSON text. A preference has
`prompt`, `chosen`, `rejected` and `margin`, and pictures in its prompt only, for DPO, KTO and reward models.

A split without images has no column `images`, since TRL takes a dataset with one for a vision model's. Messages without
an image are plain texts, as chat templates of text models require.

Source: `prepare_multimodal_messages` in trl/data_utils.py and the trainers' data collators, TRL 1.16.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from datagen.errors import RunError
from datagen.export.examples import Example, Part
from datagen.export.files import embed_images, join_parts, list_answers, pack_facts, refuse, split_by_role
from datagen.export.shards import SplitWriter, drop_column

if TYPE_CHECKING:
    from datasets import Features

WEIGHTS = "column"
LOSES = (
    "the loss on images and on the switch; TRL reads no weight, `weight` is for a trainer of your own; examples that "
    "only teach an image are left out"
)


class Options(BaseModel):
    """TRL's layout."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["completion", "messages", "prompt"] = Field(
        "completion", description="the learned part separate; one list; or prompts alone, for GRPO"
    )


def write(examples: Iterable[Example], folder: Path, split: str, options: Options) -> int:
    """Write the rows of one split and return their number. Raises RunError for a mix with preferences."""
    import pyarrow.parquet as pq

    waiting = iter(examples)  # the first example decides the columns of the file
    first = next(waiting, None)
    if first is None:
        return 0
    layout = "preference" if first.rejected else options.layout
    data = folder / "data"
    data.mkdir(exist_ok=True)
    others = any("images" in pq.read_schema(path).names for path in data.iterdir())
    has_images = False
    with SplitWriter(data, split, _features(layout, has_images=True)) as writer:
        for example, row, images in _make_rows(chain([first], waiting), layout):
            has_images |= bool(images)
            writer.add({**row, "images": embed_images(example, images)}, sum(map(len, images)))
    if has_images and not others and any(data.glob("train-*")) and split != "train":
        what = f"the format 'chat' cannot hold images in the split {split!r} alone"
        raise RunError(what, where=str(folder), hint="export another view, or build with another `validation_share`")
    if not has_images and not others:
        for path in data.glob(f"{split}-*.parquet"):
            drop_column(path, _features(layout, has_images=False))
    return writer.rows


def _features(layout: str, *, has_images: bool) -> Features:
    from datasets import Features, Image, Json, List, Value

    text, number, messages = Value("string"), Value("float64"), List(Json())
    columns: dict[str, dict[str, Any]] = {
        "messages": {"messages": messages, "weight": number},
        "completion": {"prompt": messages, "completion": messages, "weight": number},
        "prompt": {"prompt": messages},
        "preference": {"prompt": messages, "chosen": messages, "rejected": messages, "margin": number},
    }
    images = {"images": List(Image())} if has_images else {}
    return Features({"id": text, "task": text, "group": text, **columns[layout], **images, "facts": text})


def _make_rows(examples: Iterable[Example], layout: str) -> Iterator[tuple[Example, dict[str, Any], list[bytes]]]:
    """Yield each row without its images, and these."""
    if layout == "prompt":
        examples = (next(group) for _, group in groupby(examples, key=lambda example: example.group))
    for example in examples:
        if bool(example.rejected) != (layout == "preference"):
            raise refuse(example, "chat", "preferences beside single answers", "export them as two views")
        about = {"id": example.id, "task": example.task, "group": example.group, "facts": pack_facts(example)}
        for asked, columns in _make_columns(example, layout):
            yield example, {**about, **columns}, [part.image for part in asked if part.kind == "image"]


def _make_columns(example: Example, layout: str) -> Iterator[tuple[Sequence[Part], dict[str, Any]]]:
    """Yield the user's parts of each row, and its columns of messages."""
    asked, chosen = split_by_role(example)
    if layout == "prompt":
        yield asked, {"prompt": [_make_message("user", asked)]}
    elif layout == "preference":
        answers = {"chosen": chosen, "rejected": example.rejected}
        if any(part.kind == "image" for parts in answers.values() for part in parts):
            hint = "TRL reads pictures of the prompt alone there; `datasets` and `ms_swift` hold those of answers"
            raise refuse(example, "chat", "a preference between images", hint)
        packed = {name: [_make_message("assistant", parts)] for name, parts in answers.items()}
        yield asked, {"prompt": [_make_message("user", asked)], **packed, "margin": example.facts.get("margin")}
    else:
        for answer in list_answers(example):
            turns = [_make_message("user", answer.asked)], [_make_message("assistant", answer.said)]
            lists = {"messages": [*turns[0], *turns[1]]}
            lists = lists if layout == "messages" else {"prompt": turns[0], "completion": turns[1]}
            yield answer.asked, {"id": answer.id, **lists, "weight": answer.weight}


def _make_message(role: str, parts: Sequence[Part]) -> str:
    """Return a message as JSON text. Pieces of it have no null keys: a template would take them for content."""
    content: str | list[dict[str, str]] = join_parts(parts)
    if any(part.kind == "image" for part in parts):
        content = []
        for kind, group in groupby(parts, key=lambda part: part.kind):
            pieces = [*group]
            content += (
                [{"type": "image"}] * len(pieces) if kind == "image" else [{"type": "text", "text": join_parts(pieces)}]
            )
    return json.dumps({"role": role, "content": content}, ensure_ascii=False)
