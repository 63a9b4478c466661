"""An example as a conversation: what is the user's, what is the assistant's, and what a format cannot say.

Two ways to part them. By role: what stands up to the last prompt is the user's, all behind it the assistant's, read or
learned; for trainers that mask each message or piece. By loss: what is only read is the user's up to the first learned
part, and all from there on the assistant's; for trainers that learn whatever the assistant says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from datagen.errors import RunError
from datagen.export._examples import Example, Part

Turns: TypeAlias = tuple[tuple[Part, ...], tuple[Part, ...]]
BREAK = "\n\n"
"""Stands between two texts that follow each other in one turn, as in a sample's whole text."""


def split_by_role(example: Example) -> Turns:
    """Return the user's parts and the assistant's; without a prompt as `split_by_loss` has it."""
    ends = [k for k, part in enumerate(example.parts, 1) if part.role == "prompt"]
    return (example.parts[: ends[-1]], example.parts[ends[-1] :]) if ends else split_by_loss(example)


def split_by_loss(example: Example) -> Turns:
    """Return the parts before the first learned one, and the rest; all are the user's where none is learned."""
    first = next((k for k, part in enumerate(example.parts) if part.learned), len(example.parts))
    return example.parts[:first], example.parts[first:]


def join_parts(parts: Sequence[Part], tag: str = "<image>") -> str:
    """Return parts as one text, with `tag` where an image stands and a blank line between two texts."""
    pieces: list[str] = []
    for part, before in zip(parts, [None, *parts], strict=False):
        if before is not None and part.kind == before.kind == "text":
            pieces.append(BREAK)
        pieces.append(tag if part.kind == "image" else part.text)
    return "".join(pieces)


def list_images(parts: Sequence[Part], put: Callable[[bytes], str]) -> list[str]:
    """Return where the images of the parts were put, in order."""
    return [put(part.image) for part in parts if part.kind == "image"]


def refuse_preference(example: Example, format_: str) -> None:
    """Raise RunError for an example with a rejected answer, where a format has no place for one."""
    if example.rejected:
        raise refuse(example, format_, "a preference", "`datasets`, `jsonl` and `ms_swift` hold a rejected answer")


def refuse(example: Example, format_: str, what: str, hint: str) -> RunError:
    """Return the error of an example that a format cannot hold."""
    return RunError(f"the format {format_!r} cannot hold {what}", where=f"example {example.id}", hint=hint)
