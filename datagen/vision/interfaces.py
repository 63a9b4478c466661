"""Interfaces of vision models: detectors, encoders, and text-image models."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from datagen.records import Detection, compose

if TYPE_CHECKING:
    import numpy as np


Encode: TypeAlias = "Callable[[Sequence[bytes]], np.ndarray]"
"""An image encoder: PNG bytes to rows (n, d) float32 of length 1; NaN for an image without features."""
Search: TypeAlias = Callable[[bytes, frozenset[str]], list[Detection]]
"""A detector with an open vocabulary: PNG bytes and the names to search for."""


@dataclass(frozen=True, slots=True)
class Match:
    """Match of an image and a text: the cosine of their features in [-1, 1], and the model's score (its logit).

    Both are NaN if the image cannot be read or the model gave no number. `reference` is the score of probability 0.5,
    None for a model that has none. `cut` means that the text was longer than the model reads.
    """

    cosine: float
    logit: float
    reference: float | None = None
    cut: bool = False


Matcher: TypeAlias = Callable[[Sequence[tuple[str, bytes]]], Sequence[Match]]
"""A text-image model: one match for each pair of text and PNG bytes, in order."""


@dataclass(frozen=True, slots=True)
class Sight:
    """Vocabulary of a detector: the names of objects, colours and characters that it knows, None for any.

    `reads` means that it reads text, so that its characters count and not those of the OCR. `most` is the largest
    number of objects of one name that it returns; it cannot tell that number from a larger one.
    """

    labels: frozenset[str] | None = None
    colors: frozenset[str] | None = None
    characters: Container[str] | None = None
    reads: bool = False
    most: int | None = None


def sight_of(detector: Any) -> Sight:
    """Return the vocabulary in the attributes of a detector or its class."""
    labels = getattr(detector, "labels", None)
    return Sight(
        None if labels is None else frozenset(map(compose, labels)),
        getattr(detector, "colors", None),
        getattr(detector, "characters", None),
        hasattr(detector, "read_text"),
        getattr(detector, "most", None),
    )
