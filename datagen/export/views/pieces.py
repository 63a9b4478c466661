"""Pieces of trajectories: each segment as a target after everything before it, with the same total loss.

A reflection (prompt, thought, image, look, reflection, refined image) becomes five pieces. Every learned part is a
target once and a condition afterwards, and the token that opens an image is learned with that image. So the sum of loss
times weight over tokens equals that of the whole trajectory. `average: token` keeps it as it is, right for trainers
that average over the tokens of a batch. A trainer that first averages over an example's own tokens of a modality, like
the loss on the dataset card, would count a short piece as much as a long one: for it, `average: example` scales the
weight of each piece by its share of the trajectory's tokens, counted by `tokenizer`.

Complete interleaved sequences were reported to take about three times as long to converge (UniCoT, issue 2).

`tasks` selects pieces, for trainers that support some kinds only; then the sum is that of the selected ones.

Not counted: marks that a chat template puts around a part.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FilePath, model_validator

from datagen.export.examples import Example, Part, Row, facts_of, parts_of
from datagen.records import Modality

Task = Literal["text to text", "text and image to text", "text to image", "text and image to image"]
TASKS: dict[tuple[Modality, bool], Task] = {
    ("text", False): "text to text",
    ("text", True): "text and image to text",
    ("image", False): "text to image",
    ("image", True): "text and image to image",
}
"""Task of a piece, by the kind of its target and whether an image precedes it."""
Count = Callable[[Part], float]


class Options(BaseModel):
    """The trainer's average, and the pieces to export."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    average: Literal["token", "example"] = Field("token", description="unit of the trainer's mean")
    tasks: list[Task] = Field([], description="pieces to export, for trainers that support some kinds only; []: all")
    tokenizer: FilePath | None = Field(None, description="a tokenizer.json, to count the tokens of `average: example`")

    @model_validator(mode="after")
    def _check_tokenizer(self) -> Self:
        if self.average == "example" and self.tokenizer is None:
            raise ValueError("`average: example` needs `tokenizer:`, the trainer's tokenizer.json")
        return self


def view(rows: Iterable[Row], options: Options) -> Iterator[Example]:
    """Yield the pieces of each row with a weight, in order.

    `piece` and `pieces` are its number and their count; `ends` tells whether the sample ends with it.
    """
    count = _make_count(options)
    for row in rows:
        if row["kept"]:
            yield from (piece for piece in _cut(row, count) if not options.tasks or piece.task in options.tasks)


def _cut(row: Row, count: Count | None) -> Iterator[Example]:
    parts = parts_of(row)
    if count is not None:
        parts = _divide(parts, count)
    ends = [k for k in range(1, len(parts)) if parts[k].learned or parts[k - 1].switch > 0]
    for number, end in enumerate(ends, 1):
        target = replace(parts[end], switch=0.0)
        before = [_condition(part, target.kind) for part in parts[:end]]
        before[-1] = replace(before[-1], switch=parts[end - 1].switch)
        task = TASKS[target.kind, any(part.kind == "image" for part in before)]
        place = {"trajectory": row["id"], "piece": number, "pieces": len(ends), "ends": end == len(parts) - 1}
        facts = {**facts_of(row), **place}
        yield Example(f"{row['id']}-{number}", task, row["group_id"], (*before, target), facts=facts)


def _condition(part: Part, target: Modality) -> Part:
    """Return a part that is only read: an image through the ViT, and also through the VAE if the target is an image."""
    if part.kind == "text":
        return replace(part, loss=0.0, switch=0.0)
    return replace(part, loss=0.0, sees="vit" if target == "text" else "vae+vit")


def _divide(parts: tuple[Part, ...], count: Count) -> tuple[Part, ...]:
    """Return the parts with losses scaled by their share of all learned tokens of their modality."""
    # The token that opens an image counts as a text token, so each switch adds one to the text's total.
    counts = [count(part) if part.learned else 0.0 for part in parts]
    switches = sum(part.switch > 0 for part in parts)
    whole = {
        kind: sum(n for n, part in zip(counts, parts, strict=True) if part.kind == kind) + (kind == "text") * switches
        for kind in ("text", "image")
    }
    return tuple(
        replace(part, loss=part.loss * n / (whole[part.kind] or 1.0), switch=part.switch / (whole["text"] or 1.0))
        for n, part in zip(counts, parts, strict=True)
    )


def _make_count(options: Options) -> Count | None:
    """Return a function that counts tokens: text by the tokenizer, images by their pixels, which are in proportion."""
    if options.tokenizer is None or options.average == "token":
        return None
    from PIL import Image
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(options.tokenizer))

    def count(part: Part) -> float:
        if part.kind == "text":
            return float(len(tokenizer.encode(part.text, add_special_tokens=False).ids))
        with Image.open(io.BytesIO(part.image)) as picture:
            return float(picture.width * picture.height)

    return count
