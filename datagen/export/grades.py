"""Which reward compares the candidates of a prompt, and whole answers without the weights of another training."""

from __future__ import annotations

from typing import Any

from datagen.errors import RunError, did_you_mean
from datagen.export.examples import Part, Row, parts_of

EQUAL = 1e-9
"""Rewards closer than this are equal, as for weights."""


def reward_of(row: Row, name: str) -> float | None:
    """Return the reward `image` or `text` of a row, or what one scorer gave it; None where it was not scored.

    Raises RunError for a name that is neither.
    """
    column = f"{name}_reward" if name in ("image", "text") else f"reward_{name.replace('.', '_')}"
    if column not in row:
        known = ["image", "text", *(key.removeprefix("reward_") for key in row if key.startswith("reward_"))]
        raise RunError(f"no reward {name!r} in this run", where="reward", hint=did_you_mean(name, known))
    value: float | None = row[column]
    return value


def whole_parts(row: Row) -> tuple[Part, ...]:
    """Return a row as parts that all count 1: losers have no weight, and are compared all the same."""
    plain: dict[str, Any] = {**row, "text_weight": 1.0, "image_weight": 1.0}
    return parts_of(plain)
