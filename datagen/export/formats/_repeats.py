"""A weight as a number of repeats, for trainers that know no weight but can read the same file several times.

A weight, times `copies`, falls between two of the `buckets` (or 0 and the first) and goes to one of them by a hash of
the example's id, the nearer one the more often: the same in every export, and on average exactly the weight. Above the
last bucket it is cut. An example stands on the disk once, whatever its bucket.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datagen.export._examples import Example, Part
from datagen.records import hash_of


class Repeats(BaseModel):
    """How weights become repeats."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    copies: float = Field(4.0, gt=0, description="repeats that a weight of 1 means: more of them round less")
    buckets: tuple[Annotated[int, Field(ge=1, strict=True)], ...] = Field(
        (1, 2, 4, 8, 16, 32), min_length=1, description="the numbers of repeats there are, rising"
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"`buckets` must rise, and do not: {list(self.buckets)}")
        return self

    def count(self, example: Example, parts: Sequence[Part]) -> int:
        """Return how often an example is read for what its learned parts weigh: a bucket, or 0 to leave it out."""
        wanted = min(self.copies * weight_of(parts), self.buckets[-1])
        steps = (0, *self.buckets)
        place = min(bisect_right(steps, wanted), len(steps) - 1)
        below, above = steps[place - 1], steps[place]
        draw = int(hash_of("repeats", example.id), 16) / 2**64
        return above if draw < (wanted - below) / (above - below) else below


def weight_of(parts: Sequence[Part]) -> float:
    """Return one weight for parts: the mean loss of those learned, taken by modality first; 0 where none is."""
    by_kind = [[part.loss for part in parts if part.kind == kind and part.learned] for kind in ("text", "image")]
    means = [sum(losses) / len(losses) for losses in by_kind if losses]
    return sum(means) / len(means) if means else 0.0
