"""Conversations in TRL's convention: parquet with `messages` (or `prompt` and `completion`) and `images`.

    data/{split}-00000-of-00001.parquet
    messages    [{"role": "user", "content": [{"type": "text", "text": "…"}]},
                 {"role": "assistant", "content": [{"type": "text", "text": "…"}, {"type": "image"}]}]
    images      bytes of their files, in the order of the `{"type": "image"}` pieces
    weights     the loss of each piece, in the order of all pieces
    id, task, group, facts

Pieces have no null keys: the columns are JSON, one text for each message. `layout: messages` puts everything before the
first learned piece into the user's turn, since TRL learns the assistant's whole turn. `layout: completion` keeps it
with the assistant, in `prompt`, and TRL learns `completion`, the rest. A preference has `prompt`, `chosen`, `rejected`
and `margin`; TRL takes its pictures from the prompt alone.

Source: `prepare_multimodal_messages` in trl/data_utils.py and the trainers' data collators, TRL 1.16.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from datagen.export.examples import Example, Part
from datagen.export.files import embed_images, pack_facts, refuse, split_by_loss, split_by_role
from datagen.export.shards import SplitWriter

if TYPE_CHECKING:
    from datasets import Features

WEIGHTS = "column"
LOSES = (
    "nothing in the file, but TRL reads no weight: it learns every piece of the answer alike, and no image; `weights` "
    "is for a trainer of your own"
)


class Options(BaseModel):
    """TRL's layout for a single answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layout: Literal["messages", "completion"] = Field("messages", description="one list, or the learned part separate")


def write(examples: Iterable[Example], folder: Path, split: str, options: Options) -> int:
    """Write the examples of one split and return their number. Raises RunError for a mix with preferences."""
    waiting = iter(examples)  # the first example decides the columns of the file
    first = next(waiting, None)
    if first is None:
        return 0
    layout = "preference" if first.rejected else options.layout
    data = folder / "data"
    data.mkdir(exist_ok=True)
    with SplitWriter(data, split, _features(layout)) as writer:
        for example in chain([first], waiting):
            if bool(example.rejected) != (layout == "preference"):
                hint = "export them as two views"
                raise refuse(example, "chat", "preferences beside single answers", hint)
            images = [part.image for part in example.parts if part.kind == "image"]
            row = {
                "id": example.id,
                "task": example.task,
                "group": example.group,
                **_make_messages(example, layout),
                "images": embed_images(example, images),
                "facts": pack_facts(example),
            }
            writer.add(row, sum(map(len, images)))
    return writer.rows


def _features(layout: str) -> Features:
    from datasets import Features, Image, Json, List, Value

    text, number, messages = Value("string"), Value("float64"), List(Json())
    columns: dict[str, dict[str, Any]] = {
        "messages": {"messages": messages, "weights": List(number)},
        "completion": {"prompt": messages, "completion": messages, "weights": List(number)},
        "preference": {"prompt": messages, "chosen": messages, "rejected": messages, "margin": number},
    }
    names = {"id": text, "task": text, "group": text}
    return Features({**names, **columns[layout], "images": List(Image()), "facts": text})


def _make_messages(example: Example, layout: str) -> dict[str, Any]:
    if layout == "preference":
        asked, chosen = split_by_role(example)
        answers = {"chosen": chosen, "rejected": example.rejected}
        if any(part.kind == "image" for parts in answers.values() for part in parts):
            hint = "TRL reads pictures of the prompt alone there; `datasets` and `ms_swift` hold those of answers"
            raise refuse(example, "chat", "a preference between images", hint)
        packed = {name: _make_turns((), parts) for name, parts in answers.items()}
        return {"prompt": _make_turns(asked, ()), **packed, "margin": example.facts.get("margin")}
    weights = {"weights": [part.loss for part in example.parts]}
    learned_from = len(split_by_loss(example)[0])
    if layout == "messages":
        return {"messages": _make_turns(example.parts[:learned_from], example.parts[learned_from:]), **weights}
    asked, answer = split_by_role(example)
    read = max(learned_from - len(asked), 0)
    return {"prompt": _make_turns(asked, answer[:read]), "completion": _make_turns((), answer[read:]), **weights}


def _make_turns(asked: Sequence[Part], answer: Sequence[Part]) -> list[str]:
    """Return the user's and the assistant's message as JSON texts, without empty ones."""
    turns = []
    for role, parts in (("user", asked), ("assistant", answer)):
        content = [{"type": "image"} if p.kind == "image" else {"type": "text", "text": p.text} for p in parts]
        if content:
            turns.append(json.dumps({"role": role, "content": content}, ensure_ascii=False))
    return turns
