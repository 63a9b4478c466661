"""Progress and messages of the pipeline for its caller, who prints them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of one stage; `before` of the `done` existed already and do not count for speed.

    `failed` counts the samples that this stage could not generate or score; `reward` is the mean image reward so far,
    in [0, 1]. `note` is what the model says of its work.
    """

    stage: str
    done: int
    total: int
    before: int = 0
    failed: int = 0
    reward: float | None = None
    note: str = ""


class Watch(Protocol):
    """Receives the progress of a run. Called often and from the main thread, so it must return at once."""

    def show(self, progress: Progress) -> None:
        """Take how far a stage is."""

    def say(self, text: str) -> None:
        """Take one sentence for a person."""


class Silent:
    """A watch that ignores everything."""

    def show(self, progress: Progress) -> None:
        """Take how far a stage is."""

    def say(self, text: str) -> None:
        """Take one sentence for a person."""
