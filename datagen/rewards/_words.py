"""Small words for reasons that a person reads, and the edit distance."""

from __future__ import annotations

_PLURALS = {"fish": "fish", "sheep": "sheep", "knife": "knives", "leaf": "leaves", "person": "people", "mouse": "mice"}


def name_many(count: int, noun: str) -> str:
    """Write a number and a noun for a reason: `1 star`, `3 stars`, `2 boxes` (prompts take theirs from a lexicon)."""
    if count == 1:
        return f"1 {noun}"
    if noun in _PLURALS:
        plural = _PLURALS[noun]
    elif noun.endswith(("s", "x", "z", "ch", "sh")):
        plural = f"{noun}es"
    else:
        plural = f"{noun}s"
    return f"{count} {plural}"


def edit_distance(a: str, b: str) -> int:
    """Return the Levenshtein distance: the fewest insertions, deletions and substitutions of characters."""
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        current = [i]
        for j, y in enumerate(b, 1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (x != y)))
        previous = current
    return previous[-1]
