"""Asks a text-image model about samples, and says in words why it has no number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from datagen.records import Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import with_images
from datagen.vision.interfaces import Match
from datagen.vision.loading import explain_blind


def match_images(name: str, text: str, samples: Sequence[Sample], tools: Tools) -> dict[int, Match | Verdict]:
    """Return the match of a text with each last image, by the sample's number, or the verdict that there is none.

    `name` is the scorer whose matcher is asked, once for all images.
    """
    seen = with_images(samples)
    matcher = tools.matchers.get(name)
    if matcher is None:
        missing = Verdict(None, f"no text-image model: add `matchers: {{{name}: …}}` to the recipe")
        return {k: missing for k, _ in seen}
    matches = matcher([(text, image) for _, image in seen]) if seen else []
    return {
        k: match if math.isfinite(match.cosine) and math.isfinite(match.logit) else Verdict(None, explain_blind(image))
        for (k, image), match in zip(seen, matches, strict=True)
    }


def match_ahead(name: str, word: Callable[[Prompt], str], pairs: Sequence[tuple[Prompt, Sample]], tools: Tools) -> None:
    """Ask a scorer's matcher about the last images of many samples at once, each with the text that `word` makes."""
    asked = [(word(prompt), sample.image) for prompt, sample in pairs]
    if name in tools.matchers:
        tools.matchers[name]([(text, image) for text, image in asked if image is not None])


def describe_match(match: Match) -> dict[str, float | bool]:
    """Return a match as evidence; `cut` stands there only where the text was cut."""
    facts: dict[str, float | bool] = {"cosine": round(match.cosine, 6), "logit": round(match.logit, 6)}
    return {**facts, "cut": True} if match.cut else facts
