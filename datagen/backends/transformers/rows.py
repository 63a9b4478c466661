"""Requests as rows of token ids, in batches whose shape depends on each row's own length alone.

Prompts are padded on the left to a multiple of 32 tokens, rows of one padded length share batches, and a batch that is
not full is filled with copies of its last row. So a row always meets the same shapes, and computes the same numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from datagen.backends._batches import Batches
from datagen.backends.transformers.options import TransformersOptions
from datagen.backends.transformers.sampling import Picker, draw_numbers
from datagen.records import Failure, Request

STEP = 32
"""Prompt lengths are rounded up to a multiple of this: few shapes, little padding."""
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Row:
    """One request as token ids, the seed of its numbers, and what the model has written before, if anything."""

    request: Request
    ids: tuple[int, ...]
    seed: int
    thought: str = ""
    finish: str = "stop"

    @property
    def padded_length(self) -> int:
        """The number of tokens that the row takes in a batch."""
        return -(-len(self.ids) // STEP) * STEP


@dataclass(frozen=True, slots=True)
class Grid:
    """A batch: `rows` are the real ones, tokens and mask (size, length) int64 hold copies of the last one beside them.

    `size` is the number of rows in the tensors, real or not.
    """

    rows: Sequence[Row]
    tokens: Tensor
    mask: Tensor
    size: int

    @property
    def length(self) -> int:
        """Tokens before what the model writes, padding included."""
        return self.tokens.shape[1]

    def make_picker(self, steps: int, options: TransformersOptions) -> Picker:
        """Return the processor that draws each row's tokens from its own numbers."""
        rows = _fill(self.rows, self.size)
        numbers = draw_numbers([row.seed for row in rows], [len(row.ids) for row in rows], steps)
        return Picker(numbers.to(self.tokens.device), options.temperature, options.top_p)


class RowRunner:
    """Runs work over rows in batches of fixed shapes, smaller where memory says so."""

    def __init__(self, options: TransformersOptions, pad: int) -> None:
        self.device, self.pad = options.device, pad
        self._batches = Batches(options.batch_size)

    def run(self, rows: Sequence[Row], work: Callable[[Grid], Sequence[Made]]) -> Iterator[Made | Failure]:
        """Yield what work makes of each row, the longest prompts first; a row that memory cannot hold fails."""
        groups: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            groups[row.padded_length].append(row)

        def make(batch: Sequence[Row], size: int) -> Sequence[Made | Failure]:
            return work(self._lay_out(batch, size))

        def fail(row: Row, reason: str) -> Made | Failure:
            return Failure.unanswered(row.request, reason)

        for length in sorted(groups, reverse=True):
            yield from self._batches.run(length, groups[length], make, fail)

    def _lay_out(self, rows: Sequence[Row], size: int) -> Grid:
        length = rows[0].padded_length
        filled = _fill(rows, size)
        tokens = torch.tensor([[self.pad] * (length - len(row.ids)) + list(row.ids) for row in filled])
        mask = torch.tensor([[0] * (length - len(row.ids)) + [1] * len(row.ids) for row in filled])
        return Grid(rows, tokens.to(self.device), mask.to(self.device), size)


def split_fitting(rows: Sequence[Row], limit: int) -> tuple[list[Row], list[Failure]]:
    """Return the rows of at most `limit` tokens, and a failure for each of the others."""
    fitting = [row for row in rows if len(row.ids) <= limit]
    failures = [
        Failure.unanswered(row.request, f"the prompt is {len(row.ids)} tokens long; this model reads {limit}")
        for row in rows
        if len(row.ids) > limit
    ]
    return fitting, failures


def cut_after(ids: Sequence[int], end: int) -> list[int]:
    """Return ids up to and with the first `end`, or all of them without it."""
    listed = list(ids)
    return listed[: listed.index(end) + 1] if end in listed else listed


def _fill(rows: Sequence[Row], size: int) -> list[Row]:
    return [rows[min(k, len(rows) - 1)] for k in range(size)]
