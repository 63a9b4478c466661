"""Lets a judge and a drawer answer for many samples at once, which takes an engine a fraction of the time.

A scorer asks about one sample and goes on with the answer. Here it is run with models that answer only what they were
asked before, note everything else and give up; then all that was noted is asked together, and the scorer is run again.
The true models must remember their answers, as those of `make_tools` do.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from datagen.rewards._tools import Remembered, Tools

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class UnansweredError(Exception):
    """What a scorer asked is not known yet: it is to be run again."""


class Later:
    """The judge and the drawer of `tools`, asked later: `bind` them to the tools of a scorer, then `ask`."""

    def __init__(self, tools: Tools) -> None:
        self._judge = _Postponed(tools.ask) if isinstance(tools.ask, Remembered) else None
        self._drawer = _Postponed(tools.draw) if isinstance(tools.draw, Remembered) else None

    def bind(self, tools: Tools) -> Tools:
        """Return tools whose models raise UnansweredError at what they were not asked before."""
        return replace(tools, ask=self._judge, draw=self._drawer)

    def ask(self) -> None:
        """Ask each model, in one call, all that was noted since the last time. What it raises is raised.

        What it was not reached for raises where a scorer wants it.
        """
        for postponed in (self._judge, self._drawer):
            if postponed is not None:
                postponed.ask()


class _Postponed(Generic[Asked, Answer]):
    def __init__(self, model: Remembered[Asked, Answer]) -> None:
        self._model = model
        self._asked: set[Hashable] = set()
        self._noted: list[Asked] = []

    def __call__(self, things: Sequence[Asked]) -> list[Answer]:
        if self._asked.issuperset(map(self._model.name, things)):
            return self._model(things)
        self._noted += things
        raise UnansweredError

    def ask(self) -> None:
        noted, self._noted = self._noted, []
        if noted:
            self._model.learn(noted)
            self._asked.update(map(self._model.name, noted))
