"""Figures of runs and trainings for a tracker, such as TensorBoard: off unless a recipe or a command names one.

    track: {name: tensorboard}          # in a recipe, for `datagen build` and for `datagen train` on its run
    datagen train RUN --out DIR --track mlflow:uri=http://tracker:5000

A tracker is a plugin: `build(options)` returns it, or it is a class of your own, `my_pkg.tracking:Mine`, that takes the
options as keywords. It runs in a thread of its own: what it raises ends the tracking with one message and never the
work, and who is slow is not waited for, but for `CLOSE_SECONDS` at the end. A missing package is said before anything
is begun.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from datagen.config import TRACKERS, Choice
from datagen.errors import DatagenError
from datagen.plugins import Failed, attempt

CLOSE_SECONDS = 30.0
"""How long the end of a run or a training waits for what the tracker has not taken yet."""


@dataclass(frozen=True, slots=True)
class About:
    """What is tracked: its name, an id that stays the same when it is resumed, and its parameters by dotted key."""

    name: str
    id: str
    parameters: Mapping[str, str] = field(default_factory=dict)


class Tracker(Protocol):
    """Takes the figures of one run or training. All methods are called in one thread, in this order."""

    def begin(self, about: About) -> None:
        """Open the record; one with the same id, of a run that was stopped, goes on."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Take finite figures by name, such as `score/reward`, at a step."""

    def end(self, *, finished: bool) -> None:
        """Close the record."""


class Tracking:
    """A tracker at work. Raises PluginError for an unknown one, MissingExtraError if its package is missing.

    `trouble` says why it stopped, `""` while it works.
    """

    def __init__(self, choice: Choice, about: About) -> None:
        self._name, self.trouble = choice.name, ""
        made = attempt(lambda: TRACKERS.load(choice.name).build(choice.options))
        self._calls: queue.Queue[partial[None] | None] = queue.Queue()
        if isinstance(made, Failed):
            self.trouble = f"the tracker {choice.name!r} stopped: {made.text}"
            return
        self._tracker: Tracker = made
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()
        self._calls.put(partial(self._tracker.begin, about))

    def log(self, metrics: Mapping[str, float | None], step: int) -> None:
        """Hand on figures; those that are None or not finite are left out. Returns at once."""
        known = {name: float(value) for name, value in metrics.items() if value is not None and math.isfinite(value)}
        if known and not self.trouble:
            self._calls.put(partial(self._tracker.log, known, step))

    def close(self, *, finished: bool) -> str:
        """Wait for what was handed on, close the record, and return what went wrong, `""` for nothing."""
        if not self.trouble:
            self._calls.put(partial(self._tracker.end, finished=finished))
            self._calls.put(None)
            self._thread.join(CLOSE_SECONDS)
            if self._thread.is_alive() and not self.trouble:
                self.trouble = f"the tracker {self._name!r} has not taken all within {CLOSE_SECONDS:.0f} seconds"
        return self.trouble

    def _work(self) -> None:
        while not self.trouble and (call := self._calls.get()) is not None:
            try:
                said = attempt(call)
                text = said.text if isinstance(said, Failed) else ""
            except DatagenError as error:
                text = str(error)
            if text:
                self.trouble = f"the tracker {self._name!r} stopped: {text}"


def list_parameters(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested plain values as texts by dotted key; None is left out."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= list_parameters(value, f"{prefix}{key}.")
        elif value is not None:
            found[f"{prefix}{key}"] = str(value)
    return found
