"""What formats of plain files share: images named by their content, examples as JSON, JSON lines."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from datagen.errors import RunError
from datagen.export._columns import pack_json
from datagen.export._examples import Example, Part

PLAIN = "the facts of a view are finite numbers, text, lists and mappings"


class ImageFolder:
    """Images as files below a folder: each once, named by its content, spread over 256 folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, image: bytes) -> str:
        """Write an image if it is new, and return its path from the folder, with forward slashes."""
        name = hashlib.sha256(image).hexdigest()[:32]
        path = self._folder / "images" / name[:2] / f"{name}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image)
        return f"images/{name[:2]}/{path.name}"


def pack_example(example: Example, put: Callable[[bytes], str]) -> dict[str, Any]:
    """Return an example as plain values, every flag of every part kept; `put` stores an image and names it."""
    rejected = {"rejected": _pack_parts(example.rejected, put)} if example.rejected else {}
    return {
        "id": example.id,
        "task": example.task,
        "group": example.group,
        "parts": _pack_parts(example.parts, put),
        **rejected,
        "facts": dict(example.facts),
    }


def _pack_parts(parts: Sequence[Part], put: Callable[[bytes], str]) -> list[dict[str, Any]]:
    packed = []
    for part in parts:
        content = {"image": put(part.image)} if part.kind == "image" else {"text": part.text}
        flags = {"loss": part.loss, "switch": part.switch, "sees": part.sees}
        packed.append({"kind": part.kind, "role": part.role, **content, **flags})
    return packed


def pack_facts(example: Example) -> str:
    """Return the facts of an example as JSON text with sorted keys. Raises RunError for what is not plain JSON."""
    try:
        return pack_json(dict(example.facts))
    except RunError as error:
        raise RunError(error.what, where=f"example {example.id}", hint=PLAIN) from error


def write_lines(path: Path, lines: Iterable[tuple[str, Mapping[str, Any]]]) -> int:
    """Write (id of the example, line) as JSON lines and return how many. Raises RunError for what is no JSON."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for name, line in lines:
            file.write(pack_line(name, line))
            count += 1
    return count


def pack_line(name: str, line: Mapping[str, Any]) -> str:
    """Return a JSON line, other scripts as they are. Raises RunError naming the example for what is not plain JSON."""
    try:
        return json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise RunError(f"not plain JSON: {error}", where=f"example {name}", hint=PLAIN) from error
