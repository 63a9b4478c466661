"""Interfaces of models that see: what a detector, an encoder and a text-image model are called with, and give back."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from datagen.records import Detection, compose

if TYPE_CHECKING:
    import numpy as np


Encode: TypeAlias = "Callable[[Sequence[bytes]], np.ndarray]"
"""An image encoder: PNG bytes to rows (n, d) float32 of length 1; NaN where an image has no features."""
Search: TypeAlias = Callable[[bytes, frozenset[str]], list[Detection]]
"""A detector with an open vocabulary: PNG bytes and the names to look for."""


@dataclass(frozen=True, slots=True)
class Match:
    """How well an image fits a text: the cosine of their features in [-1, 1], and the model's score (its logit).

    Both are NaN where the image cannot be read or the model gave no number. `reference` is the score at which a fit is
    as likely as not, None for a model that has none. `cut` says that the text was longer than the model reads.
    """

    cosine: float
    logit: float
    reference: float | None = None
    cut: bool = False


Matcher: TypeAlias = Callable[[Sequence[tuple[str, bytes]]], Sequence[Match]]
"""A text-image model: one match for each pair of text and PNG bytes, in order."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a detector says of itself: the names of things, colours and characters that it can give, None if any may be.

    `reads` says that it reads words, so that its characters count and not those of the OCR. `most` is how many things
    of one name it gives at most: of so many or more it cannot tell the number.
    """

    labels: frozenset[str] | None = None
    colors: frozenset[str] | None = None
    characters: Container[str] | None = None
    reads: bool = False
    most: int | None = None


def sight_of(detector: Any) -> Sight:
    """Return what the attributes of a detector, or of its class, say of it."""
    labels = getattr(detector, "labels", None)
    return Sight(
        None if labels is None else frozenset(map(compose, labels)),
        getattr(detector, "colors", None),
        getattr(detector, "characters", None),
        hasattr(detector, "read_text"),
        getattr(detector, "most", None),
    )
