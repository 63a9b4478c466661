"""The losses of a training for a tracker; see `datagen.tracking`. The steps are those of the optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from datagen.config import Choice
from datagen.records import hash_of
from datagen.tracking import About, Tracking, list_parameters
from datagen.training.finetune import TrainPlan, TrainStep


class Board(Protocol):
    """Shows a training to a person."""

    def show_training(self, step: TrainStep) -> None:
        """Take how far it is."""

    def say(self, text: str, brief: str = "") -> None:
        """Take what a person is told."""


@contextmanager
def track_training(
    tracker: Choice | None, plan: TrainPlan, out: Path, board: Board
) -> Iterator[Callable[[TrainStep], None]]:
    """Yield what takes the steps of a training: the board, and the tracker if there is one.

    Raises PluginError and MissingExtraError before the training begins.
    """
    if tracker is None:
        yield board.show_training
        return
    values = plan.describe()
    about = About(out.name, hash_of("training", str(out.absolute()), values), list_parameters(values))
    tracking, finished = Tracking(tracker, about), False

    def watch(step: TrainStep) -> None:
        board.show_training(step)
        names = ("loss/text", "loss/image", "held_out/text", "held_out/image")
        tracking.log(dict(zip(names, (*step.losses, *step.held_out), strict=True)), step.done)

    try:
        yield watch
        finished = True
    finally:
        if trouble := tracking.close(finished=finished):
            board.say(f"warning: {trouble}")
