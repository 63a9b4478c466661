"""What passes between a dataset and a format: rows with sound weights, examples with sound losses and images.

The one home of these checks: no view and no format repeats them. Each fault is one RunError that names the row or the
example.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from datagen.errors import RunError
from datagen.export._examples import Example, Row
from datagen.pictures import check_png

WEIGHTS = ("text_weight", "image_weight")
AGAIN = "weigh and export the run again: `datagen export RUN`"


@dataclass(slots=True)
class Checks:
    """The checks of one export, and what they counted on the way: rows that are kept, rows with a weight above 0."""

    dataset: Path
    kept: int = 0
    weighted: int = 0

    def check_rows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows. Raises RunError where weights are missing, negative, NaN or infinite."""
        for row in rows:
            missing = [name for name in (*WEIGHTS, "kept") if name not in row]
            if missing:
                raise RunError(f"its rows have no {missing[0]!r}", where=str(self.dataset), hint=AGAIN)
            weights = {name: row[name] for name in WEIGHTS if row[name] is not None}
            for name, weight in weights.items():
                if not math.isfinite(weight) or weight < 0:
                    raise RunError(f"{name} is {weight}", where=f"row {row['id']}", hint=AGAIN)
            self.kept += bool(row["kept"])
            self.weighted += any(weight > 0 for weight in weights.values())
            yield row

    def check_examples(self, examples: Iterable[Example]) -> Iterator[Example]:
        """Yield the examples. Raises RunError for a loss that is negative or not finite, and for an absurd image."""
        for example in examples:
            where = f"example {example.id}"
            for part in (*example.parts, *example.rejected):
                for name, value in (("loss", part.loss), ("switch", part.switch)):
                    if not math.isfinite(value) or value < 0:
                        raise RunError(f"the {name} of its part {part.role!r} is {value}", where=where, hint=AGAIN)
                if part.kind == "image":
                    check_png(part.image, where)
            yield example

    def check_weighted(self) -> None:
        """Raise RunError where rows are said to be kept and yet every weight is 0: nothing would be learned."""
        if self.kept and not self.weighted:
            what = f"{self.kept:,} rows are kept, and all their weights are 0"
            raise RunError(what, where=str(self.dataset), hint=AGAIN)
