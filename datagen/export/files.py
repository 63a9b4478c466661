"""Helpers that formats share: images named by content, JSON lines, and examples as conversations.

There are three ways to split an example into the user's and the assistant's parts. By role: everything up to the last
prompt is the user's, everything after it the assistant's, read or learned; for trainers that mask each message or
piece. By loss: everything before the first learned part is the user's, the rest the assistant's; for trainers that
learn the assistant's whole turn, images too. By answer: each stretch of learned texts is the assistant's, everything
before it the user's; for trainers that learn the assistant's whole turn, and would learn the placeholder of an image in
it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

from datagen.errors import RunError
from datagen.export.columns import pack_json
from datagen.export.examples import Example, Part
from datagen.picture_files import name_ending

PLAIN = "the facts of a view are finite numbers, text, lists and mappings"


class ImageFolder:
    """Images as files in a folder: each once, named by its content, spread over 256 subfolders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, image: bytes) -> str:
        """Write an image if it is new, and return its path relative to the folder, with forward slashes."""
        name = hashlib.sha256(image).hexdigest()[:32]
        path = self._folder / "images" / name[:2] / f"{name}.{name_ending(image)}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image)
        return f"images/{name[:2]}/{path.name}"


def pack_example(example: Example, put: Callable[[bytes], str]) -> dict[str, Any]:
    """Return an example as plain values with all flags of all parts; `put` stores an image and returns its name.

    Every part has the same keys, and `facts` is JSON text: readers such as `datasets` take the types of the first lines
    for all. Raises RunError if the facts are not plain JSON.
    """
    rejected = {"rejected": _pack_parts(example.rejected, put)} if example.rejected else {}
    return {
        "id": example.id,
        "task": example.task,
        "group": example.group,
        "parts": _pack_parts(example.parts, put),
        **rejected,
        "facts": pack_facts(example),
    }


def _pack_parts(parts: Sequence[Part], put: Callable[[bytes], str]) -> list[dict[str, Any]]:
    packed = []
    for part in parts:
        content = {"text": part.text, "image": put(part.image) if part.kind == "image" else ""}
        flags = {"loss": float(part.loss), "switch": float(part.switch), "sees": part.sees}
        packed.append({"kind": part.kind, "role": part.role, **content, **flags})
    return packed


def pack_facts(example: Example) -> str:
    """Return the facts of an example as JSON text with sorted keys. Raises RunError if they are not plain JSON."""
    try:
        return pack_json(dict(example.facts))
    except RunError as error:
        raise RunError(error.what, where=f"example {example.id}", hint=PLAIN) from error


EARLY_BYTES, EARLY_LINES = 1 << 20, 100
"""Where a first line with images is late: Daft takes the types of the first MB for all lines, Polars of 100 lines."""


def write_lines(path: Path, lines: Iterable[tuple[str, Mapping[str, Any]]]) -> int:
    """Write pairs (id of the example, line) as JSON lines and return their number. Raises RunError for other values.

    The first line with a non-empty `images` becomes the first of the file if it comes late: a reader would take the
    empty lists before it for lists of nothing.
    """
    count = written = 0
    late: bytes | None = None
    with path.open("wb") as file:
        for name, line in lines:
            packed = pack_line(name, line).encode()
            if late is None and line.get("images"):
                late = packed if written > EARLY_BYTES or count >= EARLY_LINES else b""
            written += file.write(packed)
            count += 1
    if late:
        _put_first(path, late)
    return count


def _put_first(path: Path, first: bytes) -> None:
    part = path.with_suffix(".part")
    with path.open("rb") as old, part.open("wb") as new:
        new.write(first)
        moved = False
        for line in old:
            if not moved and line == first:
                moved = True
            else:
                new.write(line)
    part.replace(path)


def pack_line(name: str, line: Mapping[str, Any]) -> str:
    """Return a JSON line without escaping other scripts. Raises RunError naming the example if it is not plain JSON."""
    try:
        return json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise RunError(f"not plain JSON: {error}", where=f"example {name}", hint=PLAIN) from error


Turns: TypeAlias = tuple[tuple[Part, ...], tuple[Part, ...]]
BREAK = "\n\n"
"""Separator of consecutive texts in one turn, as in a sample's whole text."""


def split_by_role(example: Example) -> Turns:
    """Return the user's parts and the assistant's, split after the last prompt; without one, as `split_by_loss`."""
    ends = [k for k, part in enumerate(example.parts, 1) if part.role == "prompt"]
    return (example.parts[: ends[-1]], example.parts[ends[-1] :]) if ends else split_by_loss(example)


def split_by_loss(example: Example) -> Turns:
    """Return the parts before the first learned one, and the rest; all are the user's if none is learned."""
    first = next((k for k, part in enumerate(example.parts) if part.learned), len(example.parts))
    return example.parts[:first], example.parts[first:]


@dataclass(frozen=True, slots=True)
class Answer:
    """A stretch of consecutive learned texts of one weight, and all parts before it. `id` is unique in an export."""

    id: str
    asked: tuple[Part, ...]
    said: tuple[Part, ...]

    @property
    def weight(self) -> float:
        """The loss of its texts."""
        return float(self.said[0].loss)


def list_answers(example: Example) -> list[Answer]:
    """Return the answers of an example, in order: together they are all its learned texts, each in its context."""
    stretches = []
    start = 0
    for weight, parts in groupby(example.parts, key=lambda part: part.loss if part.kind == "text" else 0.0):
        end = start + len(list(parts))
        if weight > 0 and any(part.text for part in example.parts[start:end]):
            stretches.append((start, end))
        start = end
    names = [example.id] if len(stretches) == 1 else [f"{example.id}-{k}" for k in range(1, len(stretches) + 1)]
    return [
        Answer(name, example.parts[:start], example.parts[start:end])
        for name, (start, end) in zip(names, stretches, strict=True)
    ]


def join_parts(parts: Sequence[Part], tag: str = "<image>") -> str:
    """Return parts as one text, with `tag` for an image and a blank line between two texts."""
    pieces: list[str] = []
    for part, before in zip(parts, [None, *parts], strict=False):
        # Two texts in a row would run into each other; otherwise the tag of an image separates them.
        if before is not None and part.kind == before.kind == "text":
            pieces.append(BREAK)
        pieces.append(tag if part.kind == "image" else part.text)
    return "".join(pieces)


def embed_images(example: Example, images: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return the images of an example as values of a column of `datasets.Image`, each with a name of its own."""
    return [{"bytes": image, "path": f"{example.id}-{k}.{name_ending(image)}"} for k, image in enumerate(images)]


def list_images(parts: Sequence[Part], put: Callable[[bytes], str]) -> list[str]:
    """Store the images of parts and return their names, in order."""
    return [put(part.image) for part in parts if part.kind == "image"]


def split_pair(example: Example, format_: str) -> tuple[tuple[Part, ...], Part]:
    """Return the texts of an example and the one image after them; raise RunError for an example of another form."""
    refuse_preference(example, format_)
    *before, last = example.parts
    if last.kind != "image" or any(part.kind == "image" for part in before):
        hint = "use `pieces` with `tasks: [text to image]`, or another view with one image at the end"
        raise refuse(example, format_, "an example that is not texts with one image after them", hint)
    return tuple(before), last


def weight_of(parts: Sequence[Part]) -> float:
    """Return one weight for parts: the mean over modalities of the mean loss of learned parts; 0 if none is learned."""
    by_kind = [[part.loss for part in parts if part.kind == kind and part.learned] for kind in ("text", "image")]
    means = [sum(losses) / len(losses) for losses in by_kind if losses]
    return sum(means) / len(means) if means else 0.0


def refuse_preference(example: Example, format_: str) -> None:
    """Raise RunError for an example with a rejected answer, for a format that cannot hold one."""
    if example.rejected:
        raise refuse(example, format_, "a preference", "`datasets`, `jsonl` and `ms_swift` hold a rejected answer")


def refuse(example: Example, format_: str, what: str, hint: str) -> RunError:
    """Return the error for an example that a format cannot hold."""
    return RunError(f"the format {format_!r} cannot hold {what}", where=f"example {example.id}", hint=hint)
