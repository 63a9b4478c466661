"""The pictures that UAE's reinforcement learning starts from: an image and the question for its caption, no answer.

UAE (arXiv 2509.09666) lets the model write a group of captions for each picture, generates a picture from each, and
rewards the similarity. The trainer does that; this is its list, one example for each picture of the run, whatever its
weight. `reconstruction` is the score of the run's own caption, for choosing pictures that are neither easy nor
hopeless.

Not covered: the answers; `uae` has the captions of the run as targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from datagen.export.examples import Example, Row, facts_of
from datagen.export.view import need_scorer
from datagen.export.views.uae import NEEDS_SCORER, Options, show_image

__all__ = ["NEEDS_SCORER", "Options", "view"]


def view(rows: Iterable[Row], options: Options) -> Iterator[Example]:
    """Yield one example without a target for each sample with an image. Raises RunError without `reconstruction`."""
    for row in rows:
        need_scorer(row, "uae_prompts", NEEDS_SCORER)
        if row["images"]:
            facts = {**facts_of(row), "reconstruction": row["reward_reconstruction"]}
            yield Example(row["id"], "caption_prompt", row["id"], show_image(row, options.instruction), facts=facts)
