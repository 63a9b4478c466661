"""Plain JSON lines with the images as files beside them: to read, diff, and load with anything.

    {split}.jsonl          one example a line: id, task, group, parts, rejected, facts
    images/{sha256}.png    each image once, named by its content

A part keeps every flag: kind, role, text or image, loss, switch, sees.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from datagen.export._examples import Example, NoOptions, Part

Options = NoOptions
WEIGHTS = "parts"
LOSES = ""


def write(examples: Iterable[Example], folder: Path, split: str, options: NoOptions) -> int:
    """Write the examples of one split and return how many there were."""
    images = folder / "images"
    images.mkdir(exist_ok=True)
    count = 0
    with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
        for example in examples:
            line = {
                "id": example.id,
                "task": example.task,
                "group": example.group,
                "parts": [_pack(part, images) for part in example.parts],
                **({"rejected": [_pack(part, images) for part in example.rejected]} if example.rejected else {}),
                "facts": dict(example.facts),
            }
            count += 1
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    return count


def _pack(part: Part, images: Path) -> dict[str, Any]:
    packed: dict[str, Any] = {"kind": part.kind, "role": part.role}
    if part.kind == "image":
        path = images / f"{hashlib.sha256(part.image).hexdigest()[:32]}.png"
        if not path.exists():
            path.write_bytes(part.image)
        packed["image"] = f"images/{path.name}"
    else:
        packed["text"] = part.text
    return {**packed, "loss": part.loss, "switch": part.switch, "sees": part.sees}
