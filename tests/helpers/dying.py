"""A run that grows while its process dies again and again, before each change of its files."""

from __future__ import annotations

from typing import Any

import pytest

from datagen.config import Recipe
from datagen.errors import RunError
from datagen.pipeline import Run, Silent, open_build, open_run
from datagen.store import RunFolder

CHANGES = ("open_whole", "_copy_file", "remove_file", "remove_tree", "append", "amend")


class Killed(BaseException):
    """The process dies here."""


def grow_dying(recipe: Recipe, address: str) -> tuple[Run, list[str]]:
    """Open a build until it no longer dies; return it, and what a reader was told after each death.

    That is how many prompts the run asks for, or why it cannot be opened. It dies one change later each time, and at
    the first one again once a reader is told something else.
    """
    told: list[str] = []
    steps = 0
    while True:
        try:
            with pytest.MonkeyPatch.context() as patch:
                _die_after(steps, patch)
                return open_build(recipe, address, "", Silent()), told
        except Killed:
            try:
                told.append(f"{open_run(address).recipe.prompts} prompts")
            except RunError as error:
                told.append(error.what)
            steps = steps + 1 if told[-1:] == told[-2:-1] else 0


def _die_after(steps: int, patch: pytest.MonkeyPatch) -> None:
    """Let the process die before the next change of a run's files, after so many."""
    left = iter(range(steps))

    def dying(function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            if next(left, None) is None:
                raise Killed
            return function(*args, **options)

        return call

    for name in CHANGES:
        patch.setattr(RunFolder, name, dying(getattr(RunFolder, name)))
