"""Small words for reasons that a person reads."""

from __future__ import annotations

_PLURALS = {"fish": "fish", "sheep": "sheep", "knife": "knives", "leaf": "leaves", "person": "people", "mouse": "mice"}


def name_many(count: int, noun: str) -> str:
    """Write a number and a noun for a reason: `1 star`, `3 stars`, `2 boxes` (prompts take theirs from a lexicon)."""
    if count == 1:
        return f"1 {noun}"
    before, space, last = noun.rpartition(" ")
    if last in _PLURALS:
        plural = before + space + _PLURALS[last]
    elif noun.endswith(("s", "x", "z", "ch", "sh")):
        plural = f"{noun}es"
    else:
        plural = f"{noun}s"
    return f"{count} {plural}"
