"""Weights as numbers of copies, for trainers without weights: drawn systematically, the same in every export.

One copy is drawn in each of equal steps along the sum of the weights, in the order of rising weight: the copies of all
examples of one weight together are right to a single copy, and each example has the number next below or above its
share. `RepeatedLines` does so with JSON lines, which name their images.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datagen.export.files import pack_line


class CopiesOptions(BaseModel):
    """The copies of an example, and the path of the folder for the trainer."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    root: str = Field("", description="path of the export's folder for the trainer, such as /data/exports/t2i")
    copies: float = Field(4.0, gt=0, le=1000, description="copies for a weight of 1; a larger number rounds less")

    def name(self, path: str) -> str:
        """Return a path inside the folder as the trainer will call it."""
        return f"{self.root.rstrip('/')}/{path}" if self.root else path


def draw_copies(weights: Sequence[float], count: int) -> array[int]:
    """Return the index of each of `count` copies, of rising weight; a weight of 0 has none."""
    picks, step, reached = array("L"), math.fsum(weights) / count, 0.0
    for number in sorted(range(len(weights)), key=weights.__getitem__):
        reached += weights[number]
        while len(picks) < count and (len(picks) + 0.5) * step < reached:
            picks.append(number)
    return picks


class RepeatedLines:
    """JSON lines in memory, as often as they weigh when they are written, the copies of a line next to each other."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._weights = array("d")

    def add(self, name: str, line: Mapping[str, Any], weight: float) -> None:
        """Add the line of an example. Raises RunError naming the example if it is not plain JSON."""
        self._lines.append(pack_line(name, line))
        self._weights.append(weight)

    def write(self, path: Path, copies: float) -> int:
        """Write `copies` x weight of each line, and return the number of lines that are there at least once."""
        picks = array("L")
        if any(self._weights):
            picks = draw_copies(self._weights, math.ceil(copies * math.fsum(self._weights)))
        with path.open("w", encoding="utf-8") as file:
            file.writelines(self._lines[number] for number in sorted(picks))
        return len({*picks})
