"""What the claims of a row say in the words that trainers want: nouns, and nouns with their attributes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from datagen.export._examples import Row
from datagen.records import Claim

_NUMBERS = ("count", "part")
_PAIRS = ("relation", "depth", "comparison")


def read_claims(row: Row) -> tuple[Claim, ...]:
    """Return the claims of a row as they were made: the dataset keeps every value as text."""
    return tuple(
        Claim(c["kind"], c["subject"], c["name"], int(c["value"]) if c["kind"] in _NUMBERS else c["value"])
        for c in row["claims"]
    )


def name_nouns(claims: Sequence[Claim]) -> list[str]:
    """Return every thing that the claims name, singular, each once, in their order."""
    names: dict[str, None] = {}
    for claim in claims:
        for name in (claim.subject, str(claim.value) if claim.kind in _PAIRS else ""):
            if name:
                names[name] = None
    return list(names)


def name_attributed(claims: Sequence[Claim]) -> list[str]:
    """Return each thing with its attributes before it: `red star`; one claimed red and blue stands there twice."""
    named = []
    for noun in name_nouns(claims):
        said: dict[str, dict[str, None]] = {}
        for claim in claims:
            if claim.kind == "attribute" and claim.subject == noun:
                said.setdefault(claim.name, {})[str(claim.value)] = None
        named += [" ".join([*words, noun]) for words in product(*said.values())]
    return named
