"""Rewards that compare the candidates of a prompt, and answers without their weights."""

from __future__ import annotations

from typing import Any

from datagen.errors import RunError, did_you_mean
from datagen.export.examples import Part, Row, parts_of


def reward_of(row: Row, name: str) -> float | None:
    """Return the reward `image` or `text` of a row, or the value of one scorer; None if it was not scored.

    Raises RunError for any other name.
    """
    column = f"{name}_reward" if name in ("image", "text") else f"reward_{name.replace('.', '_')}"
    if column not in row:
        known = ["image", "text", *(key.removeprefix("reward_") for key in row if key.startswith("reward_"))]
        raise RunError(f"no reward {name!r} in this run", where="reward", hint=did_you_mean(name, known))
    value: float | None = row[column]
    return value


def whole_parts(row: Row) -> tuple[Part, ...]:
    """Return a row as parts of weight 1, its earlier images too: losers, which have no weight, are compared as well."""
    plain: dict[str, Any] = {**row, "text_weight": 1.0, "image_weight": 1.0}
    return parts_of(plain, all_images=True)
