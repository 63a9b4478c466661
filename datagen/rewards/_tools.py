"""What scorers see an image through: a detector, an OCR and a judge, handed in as plain callables.

Several scorers look at the same image one after the other, so `make_tools` remembers what was last seen and read. The
judge is not remembered: each scorer has questions of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from datagen.chat import ChatRequest, Reply
from datagen.records import Detection

Answer = TypeVar("Answer")
Ask: TypeAlias = Callable[[Sequence[ChatRequest]], Sequence[Reply]]
"""A judge: one reply for each request, in order."""


@dataclass(frozen=True, slots=True)
class Tools:
    """Callables from PNG bytes to what is seen: things, and words in reading order.

    `labels` holds every object name the detector can give, or None if it can name anything. `ask` answers questions
    about images, one reply for each request in order; None where the recipe names no judge.
    """

    detect: Callable[[bytes], list[Detection]]
    read_text: Callable[[bytes], list[str]]
    labels: frozenset[str] | None = None
    ask: Ask | None = None

    def find_unknown(self, names: set[str]) -> list[str]:
        """Return those object names, sorted, that the detector cannot see."""
        return [] if self.labels is None else sorted(names - self.labels)


class _LastImage(Generic[Answer]):
    """Calls a function once per image as long as the image stays the same; an exception is not remembered."""

    def __init__(self, call: Callable[[bytes], list[Answer]]) -> None:
        self._call = call
        self._image: bytes | None = None
        self._answer: list[Answer] = []

    def __call__(self, image: bytes) -> list[Answer]:
        if image != self._image:
            self._image = None
            self._answer = self._call(image)
            self._image = image
        return list(self._answer)


def make_tools(
    detect: Callable[[bytes], list[Detection]],
    read_text: Callable[[bytes], list[str]],
    *,
    ask: Ask | None = None,
) -> Tools:
    """Return tools that look at the current image once; `detect.labels`, if it has any, become the known labels."""
    return Tools(_LastImage(detect), _LastImage(read_text), getattr(detect, "labels", None), ask)
