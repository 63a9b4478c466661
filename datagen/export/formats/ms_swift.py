"""ms-swift's own dataset format: JSON lines with a message for each piece, `loss` and `loss_scale` on each of them.

    {split}.jsonl             {"messages": [{"role": "user", "content": "…"},
                               {"role": "assistant", "content": "…<image>", "loss": true, "loss_scale": 0.7}],
                               "images": ["images/ab/….png"], "add_eos": true, "id", "task", "group", "facts"}
    images/{ab}/{hash}.{ending}    each image once

ms-swift joins consecutive messages of the assistant to one answer, so a text after a text begins with a blank line. A
preference has `rejected_messages`, `rejected_images` and `margin`. An example that teaches no text is left out, except
in a preference: ms-swift would learn nothing of it but to stop after its image.

What must be set, or ms-swift silently does something else:

* `--is_binary_loss_scale false`: without it, all pieces are learned alike.
* The paths of images are relative to the working folder, `ROOT_IMAGE_DIR` or `root:`; examples whose images are not
  found are dropped with a message in the log.
* `--remove_unused_columns false`: without it, `add_eos` is dropped too. The turn of a piece that goes on (`add_eos:
  false`) would end after it, so that a thought before an image teaches to stop there.

ms-swift adds the token that ends a turn, with a weight of 1, whatever the answer's. With `end: "<|im_end|>"`, the
chat template's token, it is a message of its own, with the weight of the text that it ends.

Source: swift/template/base.py, swift/loss_scale/base.py and docs/source_en/Customization/Custom-dataset.md, ms-swift
4.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datagen.control_tokens import MEDIA_TAGS
from datagen.export.examples import Example, Part
from datagen.export.files import BREAK, ImageFolder, join_parts, list_images, pack_facts, split_by_role, write_lines

WEIGHTS = "message"
LOSES = (
    "the loss on images, which ms-swift reads and never learns, and on the switch; examples that teach no text are "
    "left out; weights need `--is_binary_loss_scale false`, pieces that go on `--remove_unused_columns false`, and "
    "images `ROOT_IMAGE_DIR`, set to this folder, unless it was exported with `root:`"
)
TAGS = MEDIA_TAGS["ms_swift"]


class Options(BaseModel):
    """Where the trainer finds the images, and how its chat template ends a turn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    root: str = Field("", description="the path of the export for ms-swift, to begin the paths of images with")
    end: str = Field("", description="the token that ends a turn, such as `<|im_end|>`, to learn it with its weight")


def write(examples: Iterable[Example], folder: Path, split: str, options: Options) -> int:
    """Write the examples of one split and return their number."""
    return write_lines(folder / f"{split}.jsonl", _make_lines(examples, ImageFolder(folder), options))


def _make_lines(
    examples: Iterable[Example], images: ImageFolder, options: Options
) -> Iterator[tuple[str, dict[str, Any]]]:
    root = options.root.rstrip("/") + "/" if options.root else ""

    def put(image: bytes) -> str:
        return root + images.put(image)

    for example in examples:
        asked, answer = split_by_role(example)
        about = {"id": example.id, "task": example.task, "group": example.group, "facts": pack_facts(example)}
        pictures = list_images(example.parts, put)
        if example.rejected:
            line = {
                "messages": [_ask(asked), *_make_plain(answer)],
                "images": pictures,
                "rejected_messages": [_ask(asked), *_make_plain(example.rejected)],
                "rejected_images": list_images((*asked, *example.rejected), put),
                **({"margin": float(example.facts["margin"])} if "margin" in example.facts else {}),
            }
            yield example.id, {**line, **about}
        elif any(part.learned and part.text for part in answer):
            ends = _is_end(example)
            messages = [_ask(asked), *_make_weighted(answer)]
            if ends and options.end:
                said = [part for part in answer if part.kind == "text"][-1]
                messages.append(_weigh(options.end, said))
            yield example.id, {"messages": messages, "images": pictures, "add_eos": ends and not options.end, **about}


def _is_end(example: Example) -> bool:
    """Tell whether the model's turn ends with the example: not after a piece that the sample goes on from."""
    return bool(example.facts.get("ends", True))


def _ask(asked: Sequence[Part]) -> dict[str, Any]:
    return {"role": "user", "content": join_parts(asked)}


def _make_plain(answer: Sequence[Part]) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": content} for content in _list_contents(answer)]


def _make_weighted(answer: Sequence[Part]) -> list[dict[str, Any]]:
    """Return a message for each part, with its loss; ms-swift does not learn the one of an image."""
    return [_weigh(content, part) for content, part in zip(_list_contents(answer), answer, strict=True)]


def _weigh(content: str, part: Part) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "loss": part.learned, "loss_scale": float(part.loss)}


def _list_contents(answer: Sequence[Part]) -> list[str]:
    """Return the text of each part, a text after a text with a blank line before it."""
    return [
        (BREAK if before is not None and before.kind == part.kind == "text" else "") + join_parts((part,))
        for part, before in zip(answer, [None, *answer], strict=False)
    ]
