"""Joins the values of several scorers into one reward. None is left out and never counts as 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

WAYS = ("product", "mean", "genmean", "min")
"""Names of the ways to aggregate; `genmean` is the geometric mean (product ** (1 / n))."""


def aggregate(values: Sequence[float | None], how: str) -> float | None:
    """Return one value in [0, 1] from values in [0, 1], or None if all are None.

    Product beat the sum in GoT-R1 (arXiv 2505.17022); the geometric mean keeps its zeros and does not shrink with the
    number of scorers. Raises ValueError for an unknown way.
    """
    if how not in WAYS:
        raise ValueError(f"unknown aggregation {how!r}; known: {', '.join(WAYS)}")
    known = [value for value in values if value is not None]
    if not known:
        return None
    if how == "mean":
        return math.fsum(known) / len(known)
    if how == "min":
        return min(known)
    product = math.prod(known)
    return product if how == "product" else float(product ** (1 / len(known)))
