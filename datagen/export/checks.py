"""Checks what passes between a dataset and a format: sound weights, losses, images and texts.

The one home of these checks: no view and no format repeats them. Each fault is one RunError that names the row or the
example.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from datagen.control_tokens import LAYOUT, find_token
from datagen.errors import RunError
from datagen.export.examples import Example, Row
from datagen.pictures import check_png

WEIGHTS = ("text_weight", "image_weight")
FindTags: TypeAlias = Callable[[Example], Sequence[str]]
AGAIN = "weigh and export the run again: `datagen export RUN`"


@dataclass(slots=True)
class Checks:
    """The checks of one export, and what they counted on the way: rows that are kept, rows with a weight above 0.

    `find_tags` says what the format's trainer takes for media in an example's texts. With `skip` an example whose text
    holds such a tag or a control token is left out, and noted in `skipped` by its id with what it holds.
    """

    dataset: Path
    find_tags: FindTags = lambda example: ()
    skip: bool = False
    skipped: dict[str, str] = field(default_factory=dict)
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
        """Yield the examples.

        Raises RunError for a loss that is negative or not finite, for an absurd image, and, without `skip`, for a text
        that a trainer would read as something else.
        """
        for example in examples:
            where = f"example {example.id}"
            if held := self._find_held(example):
                role, token = held
                if not self.skip:
                    what = f"its text holds {token!r} (in the {role}), which a trainer takes for something else"
                    hint = "`skip: true` beside its view, or `datagen export … --skip`, leaves such samples out"
                    raise RunError(what, where=where, hint=hint)
                self.skipped[example.id] = token
                continue
            for part in (*example.parts, *example.rejected):
                for name, value in (("loss", part.loss), ("switch", part.switch)):
                    if not math.isfinite(value) or value < 0:
                        raise RunError(f"the {name} of its part {part.role!r} is {value}", where=where, hint=AGAIN)
                if part.kind == "image":
                    check_png(part.image, where)
            yield example

    def _find_held(self, example: Example) -> tuple[str, str] | None:
        """Return the role of a text with what it must not hold, and that, or None; the model may write a layout."""
        tags = self.find_tags(example)
        for part in (*example.parts, *example.rejected):
            if part.kind == "text":
                token = find_token(part.text, LAYOUT)
                if token := token or next((tag for tag in tags if tag in part.text), ""):
                    return part.role, token
        return None

    def check_weighted(self) -> None:
        """Raise RunError where rows are said to be kept and yet every weight is 0: nothing would be learned."""
        if self.kept and not self.weighted:
            what = f"{self.kept:,} rows are kept, and all their weights are 0"
            raise RunError(what, where=str(self.dataset), hint=AGAIN)
