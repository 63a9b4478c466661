"""The instant backend with what would act on a terminal in all that it says, and Markdown in its name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from datagen.records import Failure, Request, Sample
from tests.helpers.instant import Instant
from tests.helpers.instant import build as build_instant

ACTS = "\x1b]0;title\x07\x1b[31mred\x9b2J\x7f\u202eback\r"
"""Sets a title, a colour, clears the screen by a C1 byte, deletes, turns the direction, goes to the line's start."""


def find_acting(text: str) -> set[str]:
    """The letters of a text that would act on a terminal."""
    return {letter for letter in text if unicodedata.category(letter) == "Cc" and letter not in "\n\t"} | (
        {*text} & {"\u202e", "\ud83d"}
    )


@dataclass(frozen=True)
class Acting:
    """Answers as `Instant`."""

    inner: Instant
    name: str = "acting"
    lexicon: str = "pictograms"

    def generate(self, requests: Sequence[Request]) -> Iterator[Sample | Failure]:
        for made in self.inner.generate(requests):
            if isinstance(made, Failure):
                yield replace(made, error=f"{ACTS} {made.error}", detail=ACTS)
                continue
            parts = tuple(replace(p, text=f"{ACTS} {p.text}") if p.kind == "text" else p for p in made.segments)
            yield replace(made, segments=parts, engine=f"x` <b> \n# {ACTS}", settings={"note": ACTS})


def build(options: Mapping[str, Any]) -> Acting:
    return Acting(build_instant(options))
