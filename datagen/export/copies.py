"""Weights as numbers of copies, for trainers without weights: drawn systematically, the same in every export.

One copy is drawn in each of equal steps along the sum of the weights, in the order of rising weight: the copies of all
examples of one weight together are right to a single copy, and each example has the number next below or above its
share. `RepeatedLines` does so with JSON lines, which name their images.
"""

from __future__ import annotations

import math
import tempfile
from array import array
from collections.abc import Mapping, Sequence
from itertools import groupby
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
    """JSON lines as often as they weigh when they are written, the copies of a line next to each other.

    They wait in a temporary file, 16 bytes each in memory; it ends with `write`.
    """

    def __init__(self, folder: Path) -> None:
        self._spool = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `write`
        self._weights, self._places = array("d"), array("Q", [0])

    def add(self, name: str, line: Mapping[str, Any], weight: float) -> None:
        """Add the line of an example. Raises RunError naming the example if it is not plain JSON."""
        self._spool.write(pack_line(name, line).encode())
        self._weights.append(weight)
        self._places.append(self._spool.tell())

    def write(self, path: Path, copies: float) -> int:
        """Write `copies` x weight of each line, and return the number of lines that are there at least once."""
        picks = array("L")
        if any(self._weights):
            picks = draw_copies(self._weights, math.ceil(copies * math.fsum(self._weights)))
        with self._spool, path.open("wb") as file:
            for number, group in groupby(sorted(picks)):
                self._spool.seek(self._places[number])
                file.write(self._spool.read(self._places[number + 1] - self._places[number]) * len(list(group)))
        return len({*picks})
