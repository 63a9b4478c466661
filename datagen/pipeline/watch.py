"""Progress and plain sentences that the pipeline tells whoever looks on. Printing is not its business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one stage is; `before` of the `done` were there already and say nothing about speed.

    `failed` counts the samples that this stage could not make or score; `reward` is the mean image reward so
    far, in [0, 1].
    """

    stage: str
    done: int
    total: int
    before: int = 0
    failed: int = 0
    reward: float | None = None


class Watch(Protocol):
    """Looks on at a run. Called from the main thread, often: must return at once."""

    def show(self, progress: Progress) -> None:
        """Take how far a stage is."""

    def say(self, text: str) -> None:
        """Take one sentence for a person."""


class Silent:
    """Looks on and says nothing."""

    def show(self, progress: Progress) -> None:
        """Take how far a stage is."""

    def say(self, text: str) -> None:
        """Take one sentence for a person."""
