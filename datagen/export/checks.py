"""Checks of rows and examples between a dataset and a format: weights, losses, images and texts.

All such checks are here; views and formats do not repeat them. Each fault is a RunError that names the row or example.
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
from datagen.pictures import check_image

WEIGHTS = ("text_weight", "image_weight")
FindTags: TypeAlias = Callable[[Example], Sequence[str]]
FindFault: TypeAlias = Callable[[Example], str]
AGAIN = "weigh and export the run again: `datagen export RUN`"


@dataclass(slots=True)
class Checks:
    """The checks of one export, with counts of kept rows, of rows with a weight above 0, and of examples that passed.

    `find_tags` returns the media tags of the format's trainer for an example's texts. With `skip`, an example whose
    text contains such a tag or a control token is omitted, and `skipped` maps its id to the token; so is one that the
    format cannot hold, for the reason that `find_fault` returns (`""` for none), and `unheld` maps its id to that.
    """

    dataset: Path
    find_tags: FindTags = lambda example: ()
    skip: bool = False
    find_fault: FindFault = lambda example: ""
    skipped: dict[str, str] = field(default_factory=dict)
    unheld: dict[str, str] = field(default_factory=dict)
    kept: int = 0
    weighted: int = 0
    passed: int = 0

    def check_rows(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows but those that are left out, which no view is to see.

        Raises RunError if weights are missing, negative, NaN or infinite.
        """
        for row in rows:
            missing = [name for name in (*WEIGHTS, "kept", "left_out") if name not in row]
            if missing:
                raise RunError(f"its rows have no {missing[0]!r}", where=str(self.dataset), hint=AGAIN)
            weights = {name: row[name] for name in WEIGHTS if row[name] is not None}
            for name, weight in weights.items():
                if not math.isfinite(weight) or weight < 0:
                    raise RunError(f"{name} is {weight}", where=f"row {row['id']}", hint=AGAIN)
            self.kept += bool(row["kept"])
            self.weighted += any(weight > 0 for weight in weights.values())
            if not row["left_out"]:
                yield row

    def check_examples(self, examples: Iterable[Example]) -> Iterator[Example]:
        """Yield the examples.

        Raises RunError for a loss that is negative or not finite, for an invalid image, and, without `skip`, for a text
        that a trainer would misread.
        """
        for example in examples:
            where = f"example {example.id}"
            if held := self._find_held(example):
                role, token = held
                if not self.skip:
                    what = f"its text contains {token!r} (in the {role}), which a trainer does not read as text"
                    hint = "`skip: true` beside its view, or `datagen export … --skip`, omits such samples"
                    raise RunError(what, where=where, hint=hint)
                self.skipped[example.id] = token
                continue
            if self.skip and (fault := self.find_fault(example)):
                self.unheld[example.id] = fault
                continue
            for part in (*example.parts, *example.rejected):
                for name, value in (("loss", part.loss), ("switch", part.switch)):
                    if not math.isfinite(value) or value < 0:
                        raise RunError(f"the {name} of its part {part.role!r} is {value}", where=where, hint=AGAIN)
                if part.kind == "image":
                    check_image(part.image, where)
            self.passed += 1
            yield example

    def _find_held(self, example: Example) -> tuple[str, str] | None:
        """Return the role of a text with a forbidden token, and the token, or None; tokens of a layout are allowed."""
        tags = self.find_tags(example)
        for part in (*example.parts, *example.rejected):
            if part.kind == "text":
                token = find_token(part.text, LAYOUT)
                if token := token or next((tag for tag in tags if tag in part.text), ""):
                    return part.role, token
        return None

    def check_weighted(self) -> None:
        """Raise RunError if rows are kept although every weight is 0, so that nothing would be learned."""
        if self.kept and not self.weighted:
            what = f"{self.kept:,} rows are kept, but all their weights are 0"
            raise RunError(what, where=str(self.dataset), hint=AGAIN)
