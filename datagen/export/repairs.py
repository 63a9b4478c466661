"""A failed candidate beside a passed one of the same prompt, and what the scorers say against the failed one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle

from datagen.errors import RunError
from datagen.export.checks import AGAIN
from datagen.export.examples import Row


def pair_rows(group: Sequence[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield each candidate of a prompt that fails for a reason in words with one that passes, these in turn.

    One passes if no scorer that selects denies its last image, and it has a reward and a weight for it. Raises
    RunError for a dataset without the column `faults`.
    """
    for row in group:
        if "faults" not in row:
            raise RunError("its rows have no 'faults'", where=f"sample {row['id']}", hint=AGAIN)
    passing = [row for row in group if _passes(row)]
    if passing:
        failing = [row for row in group if row["faults"] and row["images"]]
        yield from zip(failing, cycle(passing), strict=False)


def _passes(row: Row) -> bool:
    judged = row["passed"] is not False and row["causes"] == [] and row["image_reward"] is not None
    return bool(judged and row["images"] and row["kept"] and row["image_weight"])


def tell_faults(row: Row) -> str:
    """Return the reasons of the scorers that deny an image as one text."""
    return "; ".join(row["faults"])
