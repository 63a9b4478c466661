"""How the numbers of two kinds of thing compare: what `comparison(star, more than, moon)` asks, and how it is said."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from datagen.records import Claim
from datagen.taxonomy.english import is_pair, plural_of

ORDERS: Mapping[str, Callable[[int, int], bool]] = {
    "more than": operator.gt,
    "fewer than": operator.lt,
    "as many as": operator.eq,
}
"""What the name of a comparison asks of the two numbers."""


def holds_order(name: str, ours: int, theirs: int) -> bool:
    """Say whether two numbers of things compare as named; where either kind is missing nothing is compared.

    Raises KeyError for a name that is none of `ORDERS`.
    """
    return min(ours, theirs) > 0 and ORDERS[name](ours, theirs)


def say_order(claim: Claim) -> str:
    """Say a comparison in words: `more stars than moons`, `as many stars as moons`."""
    order, link = claim.name.rsplit(" ", 1)
    things = claim.subject, str(claim.value)
    ours, theirs = (f"pairs of {name}" if is_pair(name) else plural_of(name) for name in things)
    return f"{order} {ours} {link} {theirs}"
