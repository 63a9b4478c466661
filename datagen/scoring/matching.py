"""Match texts with images of samples by a text-image model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from datagen.records import Prompt, Sample, Verdict
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import with_images
from datagen.vision.interfaces import Match
from datagen.vision.loading import explain_blind


def match_images(name: str, text: str, samples: Sequence[Sample], tools: Tools) -> dict[int, Match | Verdict]:
    """Return the match of a text with each sample's last image, or a verdict without value, by the sample's index.

    The matcher of the scorer `name` is called once for all images.
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
    """Match the last images of many samples with `word(prompt)` in one call; later calls find them in the cache."""
    asked = [(word(prompt), sample.image) for prompt, sample in pairs]
    if name in tools.matchers:
        tools.matchers[name]([(text, image) for text, image in asked if image is not None])


def describe_match(match: Match) -> dict[str, float | bool]:
    """Return a match as evidence; `cut` is present only if the text was cut."""
    facts: dict[str, float | bool] = {"cosine": round(match.cosine, 6), "logit": round(match.logit, 6)}
    return {**facts, "cut": True} if match.cut else facts
