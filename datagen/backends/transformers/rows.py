"""Requests as rows of token ids, batched and sampled so that a row does not depend on its neighbours.

Prompts are padded on the left to a multiple of 32 tokens, rows of one padded length share batches, and a batch that is
not full is filled with copies of its last row. So a row always has the same shapes and gives the same numbers.

`generate` of transformers samples from torch's one global generator, so a row would depend on its neighbours and on
everything before it. Here `generate` runs greedily (`do_sample=False`), and the last logits processor leaves one token
possible for each row: the one where the cumulative distribution passes the row's own random number. Number p of a
Philox stream keyed by the seed decides the token at position p of the sequence without padding, as in the embedded
model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from datagen.backends.transformers.options import TransformersOptions
from datagen.generation.batches import Batches
from datagen.records import Failure, Request

STEP = 32
"""Prompt lengths are rounded up to a multiple of this: few shapes, little padding."""
HELD = 8
"""Batches' worth of rows that wait for others of their shape at most."""
Made = TypeVar("Made")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class Row:
    """One request as token ids, the seed of its random numbers, and the thought written before, if any."""

    request: Request
    ids: tuple[int, ...]
    seed: int
    thought: str = ""
    finish: str = "stop"

    @property
    def padded_length(self) -> int:
        """Number of tokens that the row takes in a batch."""
        return -(-len(self.ids) // STEP) * STEP

    @property
    def shape(self) -> tuple[str, int]:
        """Mode and padded length: rows that are alike in both can share a batch."""
        return self.request.mode, self.padded_length


@dataclass(frozen=True, slots=True)
class Grid:
    """A batch: tokens and mask (size, length) int64 hold the `rows`, then copies of the last one up to `size`."""

    rows: Sequence[Row]
    tokens: Tensor
    mask: Tensor
    size: int

    @property
    def length(self) -> int:
        """Number of tokens before the generated ones, padding included."""
        return self.tokens.shape[1]

    def make_picker(self, steps: int, options: TransformersOptions) -> Picker:
        """Return the processor that samples each row's tokens with its own random numbers."""
        rows = _fill(self.rows, self.size)
        numbers = draw_numbers([row.seed for row in rows], [len(row.ids) for row in rows], steps)
        return Picker(numbers.to(self.tokens.device), options.temperature, options.top_p)


class RowRunner:
    """Runs work over rows in batches of fixed shapes; batches shrink when memory runs out."""

    def __init__(self, options: TransformersOptions, pad: int) -> None:
        self.device, self.pad = options.device, pad
        self._batches = Batches(options.batch_size)

    def stream(
        self, rows: Iterator[Row | Other | None], work: Callable[[Grid], Sequence[Made]]
    ) -> Iterator[Made | Failure | Other | None]:
        """Yield the result of each row as its batch is done; a row that memory cannot hold fails.

        Rows of one mode and padded length share a batch, which is run when it is full. The oldest batch is run as it is
        where `rows` yields None, "none to take now", where `HELD` batches' worth of rows wait, and at the end. What is
        no row is handed on at once, and so is a None that finds no row waiting.
        """
        groups: dict[tuple[str, int], list[Row]] = {}  # the oldest first, since a group is run as a whole
        size = self._batches.size

        def run(shape: tuple[str, int]) -> Iterator[Made | Failure]:
            return self._run(shape, groups.pop(shape), work)

        for row in rows:
            if isinstance(row, Row):
                groups.setdefault(row.shape, []).append(row)
                if len(groups[row.shape]) == size:
                    yield from run(row.shape)
                elif sum(map(len, groups.values())) == HELD * size:
                    yield from run(next(iter(groups)))
            elif row is None and groups:
                yield from run(next(iter(groups)))
            else:
                yield row
        while groups:
            yield from run(next(iter(groups)))

    def _run(
        self, shape: tuple[str, int], rows: Sequence[Row], work: Callable[[Grid], Sequence[Made]]
    ) -> Iterator[Made | Failure]:
        def make(batch: Sequence[Row], size: int) -> Sequence[Made | Failure]:
            return work(self._lay_out(batch, size))

        def fail(row: Row, reason: str) -> Made | Failure:
            return Failure.unanswered(row.request, reason)

        return self._batches.run(shape, rows, make, fail)

    def _lay_out(self, rows: Sequence[Row], size: int) -> Grid:
        length = rows[0].padded_length
        filled = _fill(rows, size)
        tokens = torch.tensor([[self.pad] * (length - len(row.ids)) + list(row.ids) for row in filled])
        mask = torch.tensor([[0] * (length - len(row.ids)) + [1] * len(row.ids) for row in filled])
        return Grid(rows, tokens.to(self.device), mask.to(self.device), size)


def fit_row(row: Row, limit: int) -> Row | Failure:
    """Return the row, or a failure if it has more than `limit` tokens."""
    if len(row.ids) <= limit:
        return row
    return Failure.unanswered(row.request, f"the prompt is {len(row.ids)} tokens long; this model reads {limit}")


def cut_after(ids: Sequence[int], end: int) -> list[int]:
    """Return ids up to the first `end`, included, or all of them without one."""
    listed = list(ids)
    return listed[: listed.index(end) + 1] if end in listed else listed


def _fill(rows: Sequence[Row], size: int) -> list[Row]:
    return [rows[min(k, len(rows) - 1)] for k in range(size)]


def draw_numbers(seeds: Sequence[int], starts: Sequence[int], steps: int) -> Tensor:
    """Return random numbers (rows, steps) float64 in [0, 1): those of positions `start`, `start + 1`, … of each row."""
    streams = zip(seeds, starts, strict=True)
    rows = [np.random.Generator(np.random.Philox(key=seed)).random(start + steps)[start:] for seed, start in streams]
    return torch.from_numpy(np.stack(rows))


def pick_tokens(scores: Tensor, numbers: Tensor, temperature: float, top_p: float) -> Tensor:
    """Sample one token for each row: scores (rows, vocabulary) and numbers (rows,) in [0, 1) give (rows,) int64.

    Temperature 0 takes the likeliest token. A score of minus infinity is never sampled. `top_p` keeps the smallest set
    of likeliest tokens whose probabilities reach it (arXiv 1904.09751). Sums are float64, so that rounding cannot
    select an impossible token.
    """
    if temperature == 0:
        return scores.argmax(-1)
    best = scores.max(-1, keepdim=True)
    mass = ((scores - best.values) / temperature).softmax(-1, dtype=torch.float64)
    if top_p < 1:
        ordered, order = mass.sort(dim=-1, descending=True, stable=True)
        ordered[ordered.cumsum(-1) - ordered >= top_p] = 0  # the mass before a token; the likeliest always stays
        mass = torch.zeros_like(mass).scatter_(-1, order, ordered)
    total = mass.cumsum(-1)
    # Scaled by the last sum, since `top_p` leaves less than 1 and rounding may too.
    wanted = numbers[:, None] * total[:, -1:]
    picked = torch.searchsorted(total, wanted, right=True).clamp_(max=scores.shape[-1] - 1)
    return torch.where(mass.gather(-1, picked) > 0, picked, best.indices).squeeze(-1)


class Picker:
    """The last logits processor of one `generate` call: leaves only the sampled token of each row possible."""

    def __init__(self, numbers: Tensor, temperature: float, top_p: float) -> None:
        self.numbers, self.temperature, self.top_p = numbers, temperature, top_p
        self._step = 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Take and return scores (rows, vocabulary)."""
        # The step is counted here, since not every loop grows `input_ids`; on a GPU one or two run past the end.
        step = min(self._step, self.numbers.shape[1] - 1)
        self._step += 1
        picked = pick_tokens(scores.float(), self.numbers[:, step], self.temperature, self.top_p)
        return torch.full_like(scores, -torch.inf).scatter_(-1, picked[:, None], 0)
