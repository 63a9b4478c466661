"""A backend whose world has things that the shipped detector has no name for: what it draws of them is always right.

A hammer is drawn as a key and a violet thing in purple, so that pictures exist; who judges cannot know which is which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from datagen.records import Claim, Failure, Request, Sample
from tests.helpers.instant import Instant

DRAWN_AS = {"hammer": "key", "violet": "purple", "turquoise": "blue", "grey": "black"}


class Stranger:
    """Draws as `Instant` does, with its options, and what `DRAWN_AS` says for what that has no shape or colour for."""

    name, lexicon = "stranger", "pictograms"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._inner = Instant(**options)

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        known = [
            replace(each, prompt=replace(each.prompt, claims=tuple(map(_translate, each.prompt.claims))))
            for each in requests
        ]
        return self._inner.generate(known)


def _translate(claim: Claim) -> Claim:
    value = DRAWN_AS.get(claim.value, claim.value) if isinstance(claim.value, str) else claim.value
    return replace(claim, subject=DRAWN_AS.get(claim.subject, claim.subject), value=value)


def build(options: Mapping[str, Any]) -> Stranger:
    return Stranger(options)
