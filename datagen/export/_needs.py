"""What a view asks of a run: a line that says so where the run cannot give it."""

from __future__ import annotations

from datagen.errors import RunError
from datagen.export._examples import Row


def need_mode(row: Row, view: str, mode: str) -> None:
    """Raise RunError if a sample was not made in the mode that a view is about."""
    if row["mode"] != mode:
        raise RunError(
            f"the view {view!r} is about samples of mode {mode!r}, and this run has {row['mode']!r}",
            where=f"sample {row['id']}",
            hint=f"build a run with `mode: {mode}`, or export it through another view",
        )


def need_scorer(row: Row, view: str, scorer: str) -> None:
    """Raise RunError if the run was not scored by what a view rests on."""
    if f"reward_{scorer}" not in row:
        raise RunError(
            f"the view {view!r} needs the scorer {scorer!r}, and this run has no score of it",
            where=f"sample {row['id']}",
            hint=f"score it again with {scorer} under `rewards`: datagen score RUN --set 'rewards=[…]'",
        )
