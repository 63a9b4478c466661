"""Progress and messages of the pipeline for its caller, who prints them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

Item = TypeVar("Item")


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

    def say(self, text: str, brief: str = "") -> None:
        """Take what a person is told, and a `brief` form for one who did not ask for details."""


class Silent:
    """A watch that ignores everything."""

    def show(self, progress: Progress) -> None:
        """Take how far a stage is."""

    def say(self, text: str, brief: str = "") -> None:
        """Take what a person is told."""


SILENT = Silent()


def follow(
    items: Iterable[Item], stage: str, watch: Watch, total: int, *, before: int = 0, note: str = ""
) -> Iterator[Item]:
    """Yield items, and show after each how many of the `total` of a stage are done; `before` were done earlier."""
    watch.show(Progress(stage, before, total, note=note))
    for number, item in enumerate(items, before + 1):
        yield item
        watch.show(Progress(stage, min(number, total), total, note=note))
