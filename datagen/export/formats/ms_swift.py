"""ms-swift's own dataset format: JSON lines with a message for each piece, `loss` and `loss_scale` on each of them.

    {split}.jsonl             {"messages": [{"role": "user", "content": "…"},
                               {"role": "assistant", "content": "…<image>", "loss": true, "loss_scale": 0.7}],
                               "images": ["images/ab/….png"]}
    images/{ab}/{hash}.{ending}    each image once; set ROOT_IMAGE_DIR to the folder

ms-swift joins consecutive messages of the assistant to one answer, so a text after a text begins with a blank line. A
preference has `rejected_messages`, `rejected_images` and `margin`. ms-swift drops further columns (`id`, `task`,
`group`, `facts`).

A `loss_scale` other than 0 and 1 counts only with `--is_binary_loss_scale false`: without it ms-swift silently learns
all pieces alike. Source: swift/template/base.py, swift/loss_scale/base.py and docs/source_en/Customization
/Custom-dataset.md, ms-swift 4.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from datagen.control_tokens import MEDIA_TAGS
from datagen.export.examples import Example, NoOptions, Part
from datagen.export.files import BREAK, ImageFolder, join_parts, list_images, split_by_role, write_lines

Options = NoOptions
WEIGHTS = "message"
LOSES = (
    "the loss on images, which ms-swift reads and never learns, and on the switch; weights need "
    "`--is_binary_loss_scale false`"
)
TAGS = MEDIA_TAGS["ms_swift"]


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the examples of one split and return their number."""
    images = ImageFolder(folder)
    return write_lines(folder / f"{split}.jsonl", ((example.id, _make_line(example, images)) for example in examples))


def _make_line(example: Example, images: ImageFolder) -> dict[str, Any]:
    asked, answer = split_by_role(example)
    line: dict[str, Any] = {
        "messages": _make_messages(asked, answer, flags=not example.rejected),
        "images": list_images(example.parts, images.put),
    }
    if example.rejected:
        line["rejected_messages"] = _make_messages(asked, example.rejected, flags=False)
        line["rejected_images"] = list_images((*asked, *example.rejected), images.put)
        line |= {"margin": example.facts["margin"]} if "margin" in example.facts else {}
    about = {"id": example.id, "task": example.task, "group": example.group, "facts": dict(example.facts)}
    return {**line, **about}


def _make_messages(asked: Sequence[Part], answer: Sequence[Part], flags: bool) -> list[dict[str, Any]]:
    """Return the user's message and one of the assistant for each part, with its loss if `flags` is set."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": join_parts(asked)}]
    before: Part | None = None
    for part in answer:
        follows = before is not None and before.kind == part.kind == "text"
        message = {"role": "assistant", "content": (BREAK if follows else "") + join_parts((part,))}
        messages.append({**message, "loss": part.learned, "loss_scale": part.loss} if flags else message)
        before = part
    return messages
